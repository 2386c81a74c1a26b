//! From configuration and overrides to what the kernel reads.

use filter_common::{
    abi::{
        lifeline::{LifelineRule, Lifelines, RULES, gate_bit},
        reason::Reason,
        settings::{CLASSES, Class, Metering, Settings},
    },
    logic::{address::Address, bucket, hash::HashKey, packet::protocol},
};

use super::{
    refusal::Refusal,
    state::{ModeChoice, State},
};
use crate::config::{Config, units::Rate};

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
    pub rate: Option<Rate>,
    /// Whether it holds in calm too.
    pub always: bool,
}

/// The limit of a class: an operator's before the file's.
pub fn limit(config: &Config, state: &State, class: Class) -> LimitInForce {
    if let Some(set) = state.limit(class) {
        return LimitInForce {
            rate: set.value,
            always: true,
        };
    }
    let limits = &config.limits;
    match limits.source.get(class as usize) {
        Some(limit) => LimitInForce {
            rate: limit.rate,
            always: limit.by_hand || limits.pressure.is_none(),
        },
        None => LimitInForce {
            rate: None,
            always: false,
        },
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
) -> Result<Settings, Refusal> {
    let hz = fixed.hz;
    let mut limits = [bucket::Limit::default(); CLASSES];
    let (mut always, mut pressed) = (0, 0);
    for (class, slot) in Class::ALL.into_iter().zip(limits.iter_mut()) {
        let in_force = limit(config, state, class);
        if let Some(rate) = in_force.rate {
            *slot = kernel_limit(rate, hz, fixed.cpus)?;
            pressed |= class.bit();
            always |= if in_force.always { class.bit() } else { 0 };
        }
    }
    Ok(Settings {
        enforced: mode(config, state).enforced(),
        unchecked: config
            .unchecked
            .iter()
            .fold(0, |set, reason| set | reason.bit()),
        lifeline_gate: lifeline_gate(config, ssh_ports),
        key: fixed.key,
        source: Metering {
            limits,
            always,
            pressed,
        },
        prefix: Metering::default(),
        fragments: bucket::Limit::default(),
        prefix_mask_v4: 0xffff_ff00,
        prefix_mask_v6: 0xffff_ffff_ffff_0000,
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
        sample_passed: cpu_limit(config.samples.passed, hz)?,
        sample_dropped: cpu_limit(config.samples.dropped, hz)?,
        seen: cpu_limit(NEW_SOURCES, hz)?,
        pressure_hold: hz.saturating_mul(PRESSURE_HOLD),
        emergency: 0,
        rule_bank: 0,
        fragment_policy: 0,
        open_gate_v6: u32::from(open_gate_v6),
        fragment_hold: hz.saturating_mul(FRAGMENT_HOLD),
        seen_log2: hz.saturating_mul(SEEN).ilog2(),
    })
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

/// A limit whose bucket belongs to one CPU.
fn cpu_limit(rate: Rate, hz: u64) -> Result<bucket::Limit, Refusal> {
    kernel_limit(rate, hz, 1)
}

/// A limit as the kernel counts it, where so many CPUs share its bucket.
pub fn kernel_limit(rate: Rate, hz: u64, cpus: u64) -> Result<bucket::Limit, Refusal> {
    bucket::Limit::new(rate.packets, rate.burst, hz, cpus).ok_or_else(|| {
        Refusal::invalid(format!(
            "the kernel cannot count {rate}: take a burst of at most some minutes' worth, and a \
             rate of at most {} packets a second",
            hz << bucket::FRACTION_BITS
        ))
    })
}

/// Whether a reason is enforced under these settings.
pub fn is_enforced(settings: &Settings, reason: Reason) -> bool {
    settings.enforced & reason.bit() != 0
}
