//! A host on which decisions take effect, and attacks that play on it.

mod bans;
mod defences;
mod limits;
mod properties;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use filter_common::{
    abi::{
        counter::{COUNTERS, Counter},
        defence::Defence,
        reason::Reason,
        traffic::TrafficClass,
    },
    logic::packet::TcpFlags,
};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{Policy, sources};
use crate::{
    api::types::ListKind,
    config::{
        detection::{Act, Detection},
        limit::{LimitName, LimitRate},
        text::clean,
    },
    core::command::Command,
    detect::{
        Decided, Fate, Heavy, Observed, Phase, Scene, Snapshot, Standing, Target, Threat, Vector,
        input::{Handshakes, Payload, Stack},
        output::{Action, Refused, Spoofed},
    },
};

/// How long a step is.
const STEP: Duration = Duration::from_millis(100);
const TCP: Target = Target::Service {
    protocol: 6,
    port: 443,
};
const UDP: Target = Target::Service {
    protocol: 17,
    port: 3478,
};

/// A host: what the kernel would hold, and what it says of sources.
struct Host {
    policy: Policy,
    elapsed: Duration,
    config: Detection,
    snapshot: Snapshot,
    asked: Vec<IpAddr>,
    standings: BTreeMap<IpNet, Standing>,
    held: BTreeMap<Defence, (Vec<u16>, Duration)>,
    lowered: BTreeMap<LimitName, (LimitRate, Duration)>,
    banned: BTreeMap<IpNet, Duration>,
    /// When and for how long anybody was banned.
    bans: Vec<(Duration, IpNet, Duration)>,
    actions: Vec<(Duration, Action)>,
    notices: Vec<String>,
}

fn start() -> Timestamp {
    "2025-11-28T09:00:00Z".parse().expect("a time")
}

fn snapshot() -> Snapshot {
    Snapshot {
        now: start(),
        elapsed: Duration::ZERO,
        traffic: Default::default(),
        interfaces: Vec::new(),
        counters: Box::new([Counter::default(); COUNTERS as usize]),
        handshakes: BTreeMap::new(),
        stack: Stack::default(),
        observed: Vec::new(),
        standings: Vec::new(),
        listening: vec![(6, 22), (6, 443), (17, 3478)],
    }
}

impl Host {
    fn new() -> Self {
        Self {
            policy: Policy::default(),
            elapsed: Duration::from_secs(1_000),
            config: Detection::default(),
            snapshot: snapshot(),
            asked: Vec::new(),
            standings: BTreeMap::new(),
            held: BTreeMap::new(),
            lowered: BTreeMap::new(),
            banned: BTreeMap::new(),
            bans: Vec::new(),
            actions: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// A step, in which these threats are there.
    fn step(&mut self, threats: &[Threat]) -> Decided {
        self.step_after(STEP, threats)
    }

    fn step_after(&mut self, wait: Duration, threats: &[Threat]) -> Decided {
        self.elapsed += wait;
        let known = &self.standings;
        let standings: Vec<Standing> = std::mem::take(&mut self.asked)
            .into_iter()
            .filter_map(|source| {
                let standing = known.get(&sources::unit(source))?;
                Some(Standing {
                    source,
                    ..*standing
                })
            })
            .collect();
        let since = jiff::SignedDuration::try_from(self.elapsed).expect("not long");
        let now = start().checked_add(since).expect("before the year 9999");
        let scene = Scene {
            now,
            elapsed: self.elapsed,
            threats,
            standings: &standings,
            snapshot: &self.snapshot,
            config: &self.config,
            calm: threats.is_empty(),
            incident: None,
        };
        let decided = self.policy.decide(&scene);
        for command in &decided.commands {
            self.carry_out(command);
        }
        self.asked.clone_from(&decided.ask);
        let actions = decided.deeds.iter().map(|deed| deed.action.clone());
        self.actions
            .extend(actions.map(|action| (self.elapsed, action)));
        self.notices.extend(decided.notices.iter().cloned());
        self.snapshot.observed.clear();
        decided
    }

    fn run(&mut self, seconds: u64, threats: &[Threat]) {
        for _ in 0..seconds * 10 {
            self.step(threats);
        }
    }

    fn carry_out(&mut self, command: &Command) {
        let ends = |duration: &Duration| {
            assert!(!duration.is_zero(), "{command:?}");
            self.elapsed + *duration
        };
        match command {
            Command::Hold {
                defence,
                ports,
                duration,
                reason,
            } => {
                assert_eq!(clean(reason).as_ref(), Ok(reason));
                assert!(*duration <= Duration::from_secs(30));
                self.held.insert(*defence, (ports.clone(), ends(duration)));
            }
            Command::Release { defence } => {
                assert!(self.held.remove(defence).is_some(), "{command:?}");
            }
            Command::Lower {
                name,
                rate,
                duration,
                reason,
            } => {
                assert_eq!(clean(reason).as_ref(), Ok(reason));
                assert!(*duration <= Duration::from_secs(30));
                self.lowered.insert(name.clone(), (*rate, ends(duration)));
            }
            Command::Raise { name } => {
                assert!(self.lowered.remove(name).is_some(), "{command:?}");
            }
            Command::Add {
                list: ListKind::Ban,
                prefixes,
                duration: Some(duration),
                reason,
                force: false,
            } => {
                assert_eq!(clean(reason).as_ref(), Ok(reason));
                for prefix in prefixes {
                    let until = self.banned.insert(*prefix, ends(duration));
                    assert!(
                        until.is_none_or(|until| until <= self.elapsed),
                        "{command:?}"
                    );
                    self.bans.push((self.elapsed, *prefix, *duration));
                }
            }
            Command::Remove {
                list: ListKind::Ban,
                prefixes,
            } => {
                for prefix in prefixes {
                    assert!(self.banned.remove(prefix).is_some(), "{command:?}");
                }
            }
            Command::Add { .. }
            | Command::Remove { .. }
            | Command::Flush { .. }
            | Command::Import { .. }
            | Command::SetLimit { .. }
            | Command::AutoLimit { .. }
            | Command::SetDefence { .. }
            | Command::AutoDefence { .. }
            | Command::AddRule { .. }
            | Command::RemoveRules { .. }
            | Command::SetMode { .. }
            | Command::Attach { .. }
            | Command::Detach { .. }
            | Command::Reload
            | Command::Try { .. }
            | Command::Confirm
            | Command::Undo => panic!("the controller has no business with {command:?}"),
        }
    }

    /// Ports at which cookies are held.
    fn cookies(&self) -> Option<&[u16]> {
        let (ports, _) = self.held.get(&Defence::Cookies)?;
        Some(ports)
    }

    fn defences(&self) -> Vec<Defence> {
        self.held.keys().copied().collect()
    }

    fn limits(&self) -> Vec<String> {
        self.lowered
            .iter()
            .map(|(name, (rate, _))| format!("{name} {rate}"))
            .collect()
    }

    fn know(&mut self, source: &str, change: impl FnOnce(&mut Standing)) {
        let source: IpAddr = source.parse().expect("an address");
        let mut standing = proven(source);
        change(&mut standing);
        self.standings.insert(sources::unit(source), standing);
    }
}

/// A source that completed a handshake, and for which nothing speaks.
fn proven(source: IpAddr) -> Standing {
    Standing {
        source,
        is_proven: true,
        is_known_good: false,
        healthy_sessions: 0,
        is_untouchable: false,
    }
}

fn threat(vector: Vector, target: Target, spoofed: Spoofed) -> Threat {
    Threat {
        vector,
        target,
        phase: Phase::Attack,
        rate: 100_000.0,
        passed: 100_000.0,
        usual: 100.0,
        threshold: 1_000.0,
        spoofed,
        heavy: Vec::new(),
        evidence: "a thousand times what is usual".to_owned(),
    }
}

fn heavy(prefix: &str, rate: f64) -> Heavy {
    Heavy {
        prefix: prefix.parse().expect("a prefix"),
        rate,
        error: rate / 20.0,
    }
}

fn packet(source: IpAddr, class: TrafficClass, fate: Fate, is_proven: bool) -> Observed {
    Observed {
        source,
        destination: Ipv4Addr::new(203, 0, 113, 10).into(),
        class,
        protocol: 6,
        ports: Some((40_000, 443)),
        flags: TcpFlags(TcpFlags::SYN),
        icmp: None,
        is_fragment: false,
        hops: 60,
        length: 40,
        payload: Payload::new(&[]),
        fate,
        is_proven,
    }
}

/// A SYN that the limit of completed handshakes stopped.
fn stopped(source: &str) -> Observed {
    let source = source.parse().expect("an address");
    let fate = Fate::Stopped(Reason::LimitConnections);
    packet(source, TrafficClass::Syn, fate, false)
}
