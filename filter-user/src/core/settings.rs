//! From configuration and overrides to what the kernel reads.

use filter_common::{
    abi::{
        defence::Defence,
        lifeline::{LifelineRule, Lifelines, RULES, gate_bit},
        reason::Reason,
        service::{SERVICES, Service},
        settings::{Class, FragmentPolicy, Metering, Settings},
    },
    logic::{address::Address, bucket, hash::HashKey, packet::protocol},
};

use super::{
    defences::{self, Ground},
    refusal::Refusal,
    state::{ModeChoice, State},
};
use crate::config::{
    ClassLimit, Config,
    defence::DefenceMode,
    limit::{LimitName, LimitRate, Measure},
    units::Rate,
};

/// How long pressure lasts after the last packet above the floor, in seconds.
const PRESSURE_HOLD: u64 = 2;
/// How long the fate of a fragmented packet is remembered, in seconds: as long as a host keeps
/// fragments (Linux, `net.ipv4.ipfrag_time`).
const FRAGMENT_HOLD: u64 = 30;
/// Sources that are noted as seen in calm, for each CPU: a generation's worth fills a tenth of the
/// table's bits.
const NEW_SOURCES: Rate = Rate {
    packets: 1_000,
    burst: 10_000,
};
/// About how long a generation of the sources seen in calm lasts, in seconds.
const SEEN: u64 = 1_200;
/// New sessions that are let in whatever happens, for each CPU, if the file names no lifeline.
const NEW_SESSIONS: Rate = Rate {
    packets: 20,
    burst: 40,
};
/// The ceiling of packets in administrators' sessions, for each CPU.
const SESSION_PACKETS: Rate = Rate {
    packets: 20_000,
    burst: 20_000,
};

/// A limit that is in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitInForce {
    /// The rate; `None` is off.
    pub rate: Option<LimitRate>,
    /// Whether it holds in calm too.
    pub always: bool,
}

/// A limit: an operator's before the file's.
pub fn limit(config: &Config, state: &State, name: &LimitName) -> LimitInForce {
    let limits = &config.limits;
    let (rate, by_hand) = match (state.limits.get(name), name) {
        (Some(set), _) => (set.value, true),
        (None, LimitName::Source(class)) => class_limit(&limits.source, *class),
        (None, LimitName::Prefix(class)) => class_limit(&limits.prefix.classes, *class),
        (None, LimitName::Connections(sender)) => {
            let limit = limits.connections.get(*sender as usize);
            let limit = limit.copied().unwrap_or_default();
            (limit.rate, limit.by_hand)
        }
        (None, LimitName::Fragments) => (config.fragments.limit.map(LimitRate::Packets), true),
        (None, LimitName::IcmpErrors) => (limits.icmp.errors.map(LimitRate::Packets), true),
        (None, LimitName::IcmpEcho) => (limits.icmp.echo.map(LimitRate::Packets), true),
        (None, LimitName::Protocols) => (limits.protocols.map(LimitRate::Packets), true),
        (None, LimitName::Service(name, measure)) => (service_limit(config, name, *measure), true),
    };
    let holds_always = match name {
        // The defence says when.
        LimitName::Connections(_) => {
            defences::mode(config, state, Defence::Connections) == DefenceMode::On
        }
        LimitName::Source(_)
        | LimitName::Prefix(_)
        | LimitName::Fragments
        | LimitName::IcmpErrors
        | LimitName::IcmpEcho
        | LimitName::Protocols
        | LimitName::Service(..) => by_hand,
    };
    LimitInForce {
        rate,
        always: holds_always || limits.pressure.is_none(),
    }
}

/// Whether the file has a word on a limit.
pub fn is_from_file(config: &Config, name: &LimitName) -> bool {
    let limits = &config.limits;
    let class = match name {
        LimitName::Source(class) => limits.source.get(*class as usize),
        LimitName::Prefix(class) => limits.prefix.classes.get(*class as usize),
        LimitName::Connections(sender) => limits.connections.get(*sender as usize),
        LimitName::Fragments => return config.fragments != Config::default().fragments,
        LimitName::IcmpErrors => return limits.icmp.errors != Config::default().limits.icmp.errors,
        LimitName::IcmpEcho => return limits.icmp.echo != Config::default().limits.icmp.echo,
        LimitName::Protocols => return limits.protocols != Config::default().limits.protocols,
        LimitName::Service(..) => return true,
    };
    class.is_some_and(|limit| limit.by_hand)
}

fn class_limit(limits: &[ClassLimit], class: Class) -> (Option<LimitRate>, bool) {
    let limit = limits.get(class as usize).copied().unwrap_or_default();
    (limit.rate, limit.by_hand)
}

fn service_limit(config: &Config, name: &str, measure: Measure) -> Option<LimitRate> {
    let service = config.services.iter().find(|it| it.name == name)?;
    match measure {
        Measure::Packets => service.packets.map(LimitRate::Packets),
        Measure::Bytes => service.bytes.map(LimitRate::Bytes),
    }
}

/// The mode: an operator's before the file's.
pub fn mode(config: &Config, state: &State) -> ModeChoice {
    match &state.mode {
        Some(set) => set.value.clone(),
        None => ModeChoice {
            mode: config.mode,
            reasons: Vec::new(),
        },
    }
}

/// What does not change while the daemon runs.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// The secret of the map set.
    pub key: HashKey,
    /// Ticks a second.
    pub hz: u64,
    /// CPUs that may ever run.
    pub cpus: u64,
}

/// The settings that configuration and overrides ask for.
pub fn settings(
    config: &Config,
    state: &State,
    fixed: Fixed,
    ssh_ports: &[u16],
    open_gate_v6: bool,
    ground: &Ground,
) -> Result<Settings, Refusal> {
    let hz = fixed.hz;
    let fragments = shared_limit(config, state, &LimitName::Fragments, fixed)?;
    let mut settings = Settings {
        enforced: mode(config, state).enforced(),
        unchecked: config
            .unchecked
            .iter()
            .fold(0, |set, reason| set | reason.bit()),
        lifeline_gate: lifeline_gate(config, ssh_ports),
        key: fixed.key,
        source: metering(config, state, LimitName::Source, fixed)?,
        prefix: metering(config, state, LimitName::Prefix, fixed)?,
        fragments,
        prefix_mask_v4: u64::from(u32::MAX) & mask(config.limits.prefix.ipv4, u32::BITS),
        prefix_mask_v6: mask(config.limits.prefix.ipv6, u64::BITS),
        pressure: match config.limits.pressure {
            Some(rate) => cpu_limit(rate, hz)?,
            None => bucket::Limit::default(),
        },
        control: [
            cpu_limit(config.control.discovery, hz)?,
            cpu_limit(config.control.membership, hz)?,
            cpu_limit(config.control.dhcp, hz)?,
        ],
        sessions: cpu_limit(SESSION_PACKETS, hz)?,
        sample_passed: budget(config.samples.passed, hz)?,
        sample_dropped: budget(config.samples.dropped, hz)?,
        seen: cpu_limit(NEW_SOURCES, hz)?,
        pressure_hold: hz.saturating_mul(PRESSURE_HOLD),
        emergency: 0,
        rule_bank: 0,
        fragment_policy: fragment_policy(config, state) as u32,
        open_gate_v6: u32::from(open_gate_v6),
        fragment_hold: hz.saturating_mul(FRAGMENT_HOLD),
        seen_log2: hz.saturating_mul(SEEN).ilog2(),
        icmp_errors: shared_limit(config, state, &LimitName::IcmpErrors, fixed)?,
        echo: shared_limit(config, state, &LimitName::IcmpEcho, fixed)?,
        protocols: shared_limit(config, state, &LimitName::Protocols, fixed)?,
        ..Settings::default()
    };
    defences::put(&mut settings, config, state, fixed, ground)?;
    Ok(settings)
}

/// The ceilings of services, by their place in the file.
pub fn services(
    config: &Config,
    state: &State,
    fixed: Fixed,
) -> Result<[Service; SERVICES as usize], Refusal> {
    let mut services = [Service::default(); SERVICES as usize];
    for (slot, service) in services.iter_mut().zip(&config.services) {
        let ceiling = |measure| {
            let name = LimitName::Service(service.name.clone(), measure);
            shared_limit(config, state, &name, fixed)
        };
        *slot = Service {
            packets: ceiling(Measure::Packets)?,
            bytes: ceiling(Measure::Bytes)?,
        };
    }
    Ok(services)
}

/// What becomes of later fragments whose first was not seen. A limit that is off limits nothing.
pub fn fragment_policy(config: &Config, state: &State) -> FragmentPolicy {
    let limit = limit(config, state, &LimitName::Fragments).rate;
    match config.fragments.unknown {
        FragmentPolicy::Limit if limit.is_none() => FragmentPolicy::Pass,
        policy @ (FragmentPolicy::Pass | FragmentPolicy::Limit | FragmentPolicy::Drop) => policy,
    }
}

/// The lifelines that the configuration asks for.
pub fn lifelines(config: &Config, ssh_ports: &[u16], hz: u64) -> Result<Lifelines, Refusal> {
    let mut rules = Vec::new();
    match &config.lifeline {
        Some(lines) => {
            for line in lines {
                let ceiling = cpu_limit(line.ceiling, hz)?;
                for from in &line.from {
                    let address = Address::from(from.network());
                    rules.push(
                        LifelineRule::from_prefix(
                            &address,
                            from.prefix_len(),
                            line.protocol,
                            line.port,
                        )
                        .with_ceiling(ceiling),
                    );
                }
            }
        }
        None => {
            let ceiling = cpu_limit(NEW_SESSIONS, hz)?;
            rules.extend(ssh_ports.iter().take(RULES).map(|port| {
                LifelineRule::opening_from_anywhere(protocol::TCP, *port).with_ceiling(ceiling)
            }));
        }
    }
    if rules.len() > RULES {
        return Err(Refusal::invalid(format!(
            "[[lifeline]] names {} prefixes, and there is room for {RULES}: merge some",
            rules.len()
        )));
    }
    let mut lifelines = Lifelines {
        count: rules.len() as u32,
        ..Lifelines::default()
    };
    for (slot, rule) in lifelines.rules.iter_mut().zip(rules) {
        *slot = rule;
    }
    Ok(lifelines)
}

/// The gate's bits of ports that lifelines name, and of sshd's, whose sessions always are one.
fn lifeline_gate(config: &Config, ssh_ports: &[u16]) -> u64 {
    let lines = config.lifeline.iter().flatten();
    let ports = lines.map(|line| line.port).chain(ssh_ports.iter().copied());
    ports.fold(0, |set, port| set | gate_bit(port))
}

/// The bits of a prefix's length in a number of so many bits.
fn mask(length: u8, bits: u32) -> u64 {
    let rest = bits.saturating_sub(u32::from(length));
    u64::MAX.checked_shl(rest).unwrap_or(0)
}

/// The limits of one kind of sender.
fn metering(
    config: &Config,
    state: &State,
    name: fn(Class) -> LimitName,
    fixed: Fixed,
) -> Result<Metering, Refusal> {
    let mut metering = Metering::default();
    for (class, slot) in Class::ALL.into_iter().zip(metering.limits.iter_mut()) {
        let in_force = limit(config, state, &name(class));
        if let Some(rate) = in_force.rate {
            *slot = kernel_limit(rate, fixed.hz, fixed.cpus)?;
            metering.pressed |= class.bit();
            metering.always |= if in_force.always { class.bit() } else { 0 };
        }
    }
    Ok(metering)
}

/// A limit whose bucket all CPUs share; all zero if it is off.
pub fn shared_limit(
    config: &Config,
    state: &State,
    name: &LimitName,
    fixed: Fixed,
) -> Result<bucket::Limit, Refusal> {
    match limit(config, state, name).rate {
        Some(rate) => kernel_limit(rate, fixed.hz, fixed.cpus),
        None => Ok(bucket::Limit::default()),
    }
}

/// A budget for each CPU; without any, one that grants nothing.
pub fn budget(rate: Option<Rate>, hz: u64) -> Result<bucket::Limit, Refusal> {
    const NOTHING: bucket::Limit = bucket::Limit {
        interval: 1,
        depth: 0,
        horizon: 0,
    };
    rate.map_or(Ok(NOTHING), |rate| cpu_limit(rate, hz))
}

/// A limit whose bucket belongs to one CPU.
pub fn cpu_limit(rate: Rate, hz: u64) -> Result<bucket::Limit, Refusal> {
    kernel_limit(LimitRate::Packets(rate), hz, 1)
}

/// A limit in packets whose bucket all CPUs share.
pub fn rate_limit(rate: Rate, fixed: Fixed) -> Result<bucket::Limit, Refusal> {
    kernel_limit(LimitRate::Packets(rate), fixed.hz, fixed.cpus)
}

/// A limit as the kernel counts it, where so many CPUs share its bucket.
pub fn kernel_limit(rate: LimitRate, hz: u64, cpus: u64) -> Result<bucket::Limit, Refusal> {
    let limit = match rate {
        LimitRate::Packets(rate) => bucket::Limit::new(rate.packets, rate.burst, hz, cpus),
        LimitRate::Bytes(rate) => bucket::Limit::of_bytes(rate.bytes, rate.burst, hz, cpus),
    };
    limit.ok_or_else(|| {
        Refusal::invalid(format!(
            "the kernel cannot count {rate} at {hz} ticks a second: take a burst of at most some \
             minutes' worth"
        ))
    })
}

/// Whether a reason is enforced under these settings.
pub fn is_enforced(settings: &Settings, reason: Reason) -> bool {
    settings.enforced & reason.bit() != 0
}
