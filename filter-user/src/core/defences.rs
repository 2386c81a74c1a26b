//! Which defences hold, and what they are told of this host.

use std::collections::{BTreeMap, BTreeSet};

use filter_common::abi::{defence::Defence, feature::Feature, reason::Reason, settings::Settings};

use super::{refusal::Refusal, settings, state::State};
use crate::config::{
    Config,
    defence::{CookiePorts, DefenceMode},
    limit::{LimitName, Sender},
};

/// How long a listener is taken to be stamped, in seconds: the kernel accepts cookies for 120 s
/// after a stamp (`TCP_SYNCOOKIE_VALID`).
const STAMP: u64 = 30;
/// About how long a generation of what this host asked for lasts, in seconds.
const ASKED: u64 = 60;

/// Defences that cannot work here, each with the sentence that says why and what mends it.
pub type Unable = BTreeMap<Defence, String>;

/// What defences depend on beside configuration and overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// What cannot work here.
    pub unable: Unable,
    /// What cannot hold at the moment.
    pub hindered: BTreeSet<Defence>,
    /// Whether everything is ready for SYNs to be answered.
    pub answers: bool,
    /// Whether that is for what the controller holds alone, so that it ends with it.
    pub answers_held: bool,
    /// CPUs that receive at the same time, at most.
    pub receiving: u64,
    /// The greatest segment that this host takes, by family: IPv4, IPv6.
    pub mss: [u32; 2],
    /// Whether the kernel's timestamps have no secret offset.
    pub timestamps: bool,
    /// The tick from which on all that this host asks for is noted; `u64::MAX` while it is not.
    pub solicited_since: u64,
    /// Identifies the network namespace.
    pub netns: u64,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            unable: Unable::new(),
            hindered: BTreeSet::new(),
            answers: false,
            answers_held: false,
            receiving: 1,
            mss: [1_460, 1_440],
            timestamps: false,
            solicited_since: u64::MAX,
            netns: 0,
        }
    }
}

/// When a defence holds: an operator's word before the file's.
pub fn mode(config: &Config, state: &State, defence: Defence) -> DefenceMode {
    match state.defences.get(&defence) {
        Some(set) => set.value,
        None => config.defences.mode(defence),
    }
}

/// Which ports cookies are to defend, whether somebody listens there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieWish<'a> {
    /// Those that go with the defence as a whole; `None` while it is off.
    pub base: Option<&'a CookiePorts>,
    /// Those that were switched on by themselves.
    pub on: BTreeSet<u16>,
    /// Those that were switched off by themselves.
    pub off: BTreeSet<u16>,
}

impl CookieWish<'_> {
    /// What file and operators wish.
    pub fn of<'a>(config: &'a Config, state: &State) -> CookieWish<'a> {
        let is_on = mode(config, state, Defence::Cookies) == DefenceMode::On;
        let ports = |on: bool| {
            let ports = state.cookie_ports.iter();
            ports
                .filter(|(_, set)| set.value == on)
                .map(|(port, _)| *port)
                .collect()
        };
        CookieWish {
            base: is_on.then_some(&config.defences.cookie_ports),
            on: ports(true),
            off: ports(false),
        }
    }

    /// Whether any port can be among them.
    pub fn is_any(&self) -> bool {
        self.base.is_some() || !self.on.is_empty()
    }

    /// Whether a port is among them.
    pub fn contains(&self, port: u16) -> bool {
        let base = self.base.is_some_and(|ports| ports.contains(port));
        (base || self.on.contains(&port)) && !self.off.contains(&port)
    }
}

/// Whether a defence has anything to do, by configuration and overrides.
pub fn is_wanted(config: &Config, state: &State, defence: Defence) -> bool {
    let limited = |sender| {
        let name = LimitName::Connections(sender);
        settings::limit(config, state, &name).rate.is_some()
    };
    match defence {
        Defence::Cookies => CookieWish::of(config, state).is_any(),
        Defence::Connections => {
            mode(config, state, defence) != DefenceMode::Off
                && (limited(Sender::Source) || limited(Sender::Prefix))
        }
        Defence::Sockets
        | Defence::ClosedPorts
        | Defence::Solicited
        | Defence::Icmp
        | Defence::Protocols => mode(config, state, defence) != DefenceMode::Off,
    }
}

/// Whether a defence may have something to do without anybody changing configuration and overrides:
/// the controller may hold it, and then nobody waits for a program.
pub fn is_possible(config: &Config, state: &State, defence: Defence) -> bool {
    is_wanted(config, state, defence) || mode(config, state, defence) == DefenceMode::Auto
}

/// Whether SYNs are to be answered where cookies hold, and not only counted.
pub fn is_answering(config: &Config, state: &State) -> bool {
    settings::mode(config, state).enforced() & Reason::CookieAnswered.bit() != 0
}

/// Whether a defence is in force: wanted, and able to work here.
pub fn is_in_force(config: &Config, state: &State, ground: &Ground, defence: Defence) -> bool {
    let is_ready = is_wanted(config, state, defence)
        && !ground.unable.contains_key(&defence)
        && !ground.hindered.contains(&defence);
    match defence {
        // They hold a little longer than they are wanted. What is only counted needs nothing ready.
        Defence::Cookies => {
            let is_wanted = || is_wanted(config, state, defence);
            ground.answers && (!ground.answers_held || is_wanted())
                || is_ready && !is_answering(config, state)
        }
        Defence::Sockets
        | Defence::ClosedPorts
        | Defence::Solicited
        | Defence::Connections
        | Defence::Icmp
        | Defence::Protocols => is_ready,
    }
}

/// The sets of defences that hold always, and under pressure.
pub fn sets(config: &Config, state: &State, ground: &Ground) -> (u32, u32) {
    let mut sets = (0, 0);
    for defence in Defence::ALL {
        if !is_in_force(config, state, ground, defence) {
            continue;
        }
        sets.1 |= defence.bit();
        let mode = mode(config, state, defence);
        // A port of its own may have cookies while the defence as a whole is off.
        let is_always = defence == Defence::Cookies || mode == DefenceMode::On;
        if is_always || config.limits.pressure.is_none() {
            sets.0 |= defence.bit();
        }
    }
    sets
}

/// Writes into settings what is about defences.
pub fn put(
    settings: &mut Settings,
    config: &Config,
    state: &State,
    fixed: settings::Fixed,
    ground: &Ground,
) -> Result<(), Refusal> {
    let hz = fixed.hz;
    let defences = &config.defences;
    (settings.defences_always, settings.defences_pressed) = sets(config, state, ground);
    // One bucket for each CPU, so that a CPU asks no other.
    let receiving = ground.receiving.max(1);
    let answers = crate::config::units::Rate {
        packets: defences.answers.packets.div_ceil(receiving),
        burst: defences.answers.burst.div_ceil(receiving),
    };
    let cookies = &mut settings.cookies;
    cookies.answers = settings::cpu_limit(answers, hz)?;
    cookies.answers_prefix = settings::rate_limit(defences.answers_prefix, fixed)?;
    cookies.known = settings::budget(defences.known, hz)?;
    cookies.mss = ground.mss;
    cookies.timestamps = u32::from(ground.timestamps);
    cookies.stamp = hz.saturating_mul(STAMP);
    settings.connections = [
        settings::shared_limit(
            config,
            state,
            &LimitName::Connections(Sender::Source),
            fixed,
        )?,
        settings::shared_limit(
            config,
            state,
            &LimitName::Connections(Sender::Prefix),
            fixed,
        )?,
    ];
    settings.solicited_since = ground.solicited_since;
    settings.solicited_log2 = nearest_log2(hz.saturating_mul(ASKED));
    settings.netns = ground.netns;
    Ok(())
}

/// The power of two that is nearest to a number, as its exponent.
fn nearest_log2(number: u64) -> u32 {
    // Halfway between powers of two, as exponents count, is 1.41 times the lower.
    (number.saturating_mul(181) / 128).max(1).ilog2()
}

/// What the program must be able to do for a defence.
pub const fn feature(defence: Defence) -> Feature {
    match defence {
        Defence::Cookies => Feature::Cookies,
        Defence::Sockets => Feature::Sockets,
        Defence::ClosedPorts => Feature::ClosedPorts,
        Defence::Solicited => Feature::Solicited,
        Defence::Connections => Feature::Connections,
        Defence::Icmp => Feature::Icmp,
        Defence::Protocols => Feature::Protocols,
    }
}

/// The reasons for which a defence keeps packets from the stack.
pub const fn reasons(defence: Defence) -> &'static [Reason] {
    match defence {
        Defence::Cookies => &[
            Reason::CookieAnswered,
            Reason::CookieCeiling,
            Reason::CookieRefused,
        ],
        Defence::Sockets => &[Reason::NoSocket],
        Defence::ClosedPorts => &[Reason::ClosedTcp, Reason::ClosedUdp],
        Defence::Solicited => &[Reason::Unsolicited],
        Defence::Connections => &[Reason::LimitConnections, Reason::PrefixConnections],
        Defence::Icmp => &[Reason::LimitIcmpErrors, Reason::LimitEcho],
        Defence::Protocols => &[Reason::ProtocolDrop, Reason::LimitProtocols],
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use filter_common::logic::hash::HashKey;

    use super::*;
    use crate::{
        api::types::Mode,
        core::state::{Change, ModeChoice, Set},
    };

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("f.toml")).expect(text)
    }

    fn set<T>(value: T) -> Option<Set<T>> {
        Some(Set {
            value,
            by: "test".to_owned(),
            since: jiff::Timestamp::UNIX_EPOCH,
            until: None,
        })
    }

    fn in_kernel(config: &Config, state: &State, ground: &Ground) -> Settings {
        let fixed = settings::Fixed {
            key: HashKey::from_random([1; 4]),
            hz: 250,
            cpus: 4,
        };
        let mut settings = Settings::default();
        put(&mut settings, config, state, fixed, ground).expect("settings");
        settings
    }

    #[test]
    fn by_default_all_but_cookies_hold_under_pressure() {
        let settings = in_kernel(&Config::default(), &State::default(), &Ground::default());
        let all = Defence::ALL.iter().fold(0, |set, it| set | it.bit());
        assert_eq!(settings.defences_always, 0);
        assert_eq!(settings.defences_pressed, all & !Defence::Cookies.bit());
    }

    #[test]
    fn without_a_floor_of_pressure_they_hold_always() {
        let config = config("limits.pressure = \"0/s\"");
        let settings = in_kernel(&config, &State::default(), &Ground::default());
        assert_eq!(settings.defences_always, settings.defences_pressed);
    }

    #[test]
    fn an_operators_word_comes_before_the_files() {
        let config = config("defences = { sockets = \"on\", icmp = \"off\" }");
        let mut state = State::default();
        let ground = Ground::default();
        let settings = in_kernel(&config, &state, &ground);
        assert_eq!(settings.defences_always, Defence::Sockets.bit());
        assert_eq!(settings.defences_pressed & Defence::Icmp.bit(), 0);
        for (defence, mode) in [
            (Defence::Sockets, DefenceMode::Off),
            (Defence::Icmp, DefenceMode::On),
        ] {
            let _ = state.apply(Change::Defence(defence, set(mode)));
        }
        let settings = in_kernel(&config, &state, &ground);
        assert_eq!(settings.defences_always, Defence::Icmp.bit());
        assert_eq!(settings.defences_pressed & Defence::Sockets.bit(), 0);
    }

    #[test]
    fn what_cannot_work_or_is_not_ready_does_not_hold() {
        let config =
            config("mode = \"enforce\"\ndefences = { cookies = \"on\", sockets = \"on\" }");
        let state = State::default();
        let mut ground = Ground::default();
        assert_eq!(
            in_kernel(&config, &state, &ground).defences_always,
            Defence::Sockets.bit()
        );
        ground.answers = true;
        ground.unable.insert(Defence::Sockets, "no".to_owned());
        ground.hindered.insert(Defence::Icmp);
        let settings = in_kernel(&config, &state, &ground);
        assert_eq!(settings.defences_always, Defence::Cookies.bit());
        let gone = Defence::Sockets.bit() | Defence::Icmp.bit();
        assert_eq!(settings.defences_pressed & gone, 0);
    }

    #[test]
    fn cookies_that_are_only_watched_need_nothing_ready() {
        let config = config("defences.cookies = \"on\"");
        let mut state = State::default();
        let mut ground = Ground::default();
        let is_set = |state: &State, ground: &Ground| {
            let settings = in_kernel(&config, state, ground);
            settings.defences_always & Defence::Cookies.bit() != 0
        };
        assert!(is_set(&state, &ground), "monitor mode");
        ground.hindered.insert(Defence::Cookies);
        assert!(!is_set(&state, &ground));
        ground.hindered.clear();
        let enforce = |reasons: &[Reason]| {
            Change::Mode(set(ModeChoice {
                mode: Mode::Enforce,
                reasons: reasons.to_vec(),
            }))
        };
        let _ = state.apply(enforce(&[Reason::Blocked]));
        assert!(is_set(&state, &ground), "others are enforced");
        for reasons in [&[][..], &[Reason::CookieAnswered]] {
            let _ = state.apply(enforce(reasons));
            assert!(
                !is_set(&state, &ground),
                "SYNs are answered once all is ready"
            );
        }
    }

    #[test]
    fn single_ports_can_have_cookies_or_be_spared_them() {
        let config = config("defences.cookie_ports = [443, 8443]");
        let mut state = State::default();
        let _ = state.apply(Change::CookiePort(80, set(true)));
        let _ = state.apply(Change::CookiePort(443, set(false)));
        let wish = |state: &State| {
            let wish = CookieWish::of(&config, state);
            [80, 443, 8443].map(|port| wish.contains(port))
        };
        assert_eq!(wish(&state), [true, false, false]);
        assert!(is_wanted(&config, &state, Defence::Cookies));
        let _ = state.apply(Change::Defence(Defence::Cookies, set(DefenceMode::On)));
        assert_eq!(wish(&state), [true, false, true]);
    }

    #[test]
    fn the_ceiling_of_answers_is_shared_by_the_cpus() {
        let ground = Ground {
            receiving: 4,
            ..Ground::default()
        };
        let settings = in_kernel(&Config::default(), &State::default(), &ground);
        let expected = settings::cpu_limit(crate::config::units::Rate::per_second(500_000), 250);
        assert_eq!(Ok(settings.cookies.answers), expected);
        assert_eq!(settings.cookies.stamp, 30 * 250);
    }

    #[test]
    fn a_generation_of_requests_lasts_about_a_minute() {
        for hz in [100_u64, 250, 300, 1_000] {
            let ticks = 1_u64 << nearest_log2(hz * ASKED);
            assert!((43 * hz..85 * hz).contains(&ticks), "{hz}: {ticks}");
        }
    }

    #[test]
    fn connections_without_any_limit_need_no_defence() {
        let config = config("limits.source.connections = \"off\"");
        assert!(!is_wanted(&config, &State::default(), Defence::Connections));
        let default = Config::default();
        assert!(is_wanted(&default, &State::default(), Defence::Connections));
        let settings = in_kernel(&default, &State::default(), &Ground::default());
        assert_ne!(settings.connections[0], Default::default());
        assert_eq!(settings.connections[1], Default::default());
    }

    #[test]
    fn every_reason_of_a_defence_is_that_defences_alone() {
        let all: Vec<Reason> = Defence::ALL
            .iter()
            .flat_map(|it| reasons(*it))
            .copied()
            .collect();
        let different: BTreeSet<&Reason> = all.iter().collect();
        assert_eq!(all.len(), different.len());
    }
}
