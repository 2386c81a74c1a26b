//! What holds whatever comes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Addresses from a few neighbourhoods of both families.
fn address() -> impl Strategy<Value = IpAddr> {
    (any::<bool>(), 0..2_u8, 1..20_u8).prop_map(|(v6, net, last)| {
        if v6 {
            let address =
                std::net::Ipv6Addr::new(0x2001, 0xdb8, net.into(), last.into(), 0, 0, 0, 1);
            address.into()
        } else {
            Ipv4Addr::new(198, 51, net, last).into()
        }
    })
}

fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => 0.0..1e6_f64,
        1 => prop::sample::select(vec![0.0, f64::NAN, f64::INFINITY, -1.0, 1e300]),
    ]
}

fn heavies() -> impl Strategy<Value = Vec<Heavy>> {
    let prefix = (address(), prop_oneof![3 => Just(128_u8), 1 => 16..128_u8]);
    let one = (prefix, rate(), rate()).prop_map(|((address, length), rate, error)| {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = IpNet::new(address, length.min(width)).expect("a length that fits");
        Heavy {
            prefix: prefix.trunc(),
            rate,
            error: error.min(rate) / 10.0,
        }
    });
    prop::collection::vec(one, 0..20)
}

fn threats() -> impl Strategy<Value = Vec<Threat>> {
    let target = prop::sample::select(vec![
        TCP,
        UDP,
        Target::Host,
        Target::Service {
            protocol: 6,
            port: 9,
        },
        Target::Prefix {
            prefix: "203.0.113.0/24".parse().expect("a prefix"),
        },
    ]);
    let phase = prop_oneof![
        5 => Just(Phase::Attack),
        1 => prop::sample::select(vec![Phase::Suspected, Phase::Recovering]),
    ];
    let spoofed = prop::sample::select(vec![
        Spoofed::Unknown,
        Spoofed::Forged,
        Spoofed::Real,
        Spoofed::Reflected,
    ]);
    let vector = prop_oneof![
        2 => Just(Vector::Connections),
        2 => Just(Vector::Ack),
        5 => prop::sample::select(Vector::ALL.to_vec()),
    ];
    let one = (
        vector,
        target,
        phase,
        spoofed,
        (rate(), rate(), rate(), rate()),
        heavies(),
    );
    let one = one.prop_map(|(vector, target, phase, spoofed, rates, heavy)| Threat {
        phase,
        rate: rates.0,
        passed: rates.1,
        usual: rates.2 / 100.0,
        threshold: rates.3 / 100.0,
        heavy,
        ..threat(vector, target, spoofed)
    });
    prop::collection::vec(one, 0..5)
}

fn observed() -> impl Strategy<Value = Vec<Observed>> {
    let class = prop::sample::select(TrafficClass::ALL.to_vec());
    let fate = prop::sample::select(vec![
        Fate::Passed,
        Fate::Stopped(Reason::LimitConnections),
        Fate::Stopped(Reason::Banned),
        Fate::Watched(Reason::LimitConnections),
        Fate::Stopped(Reason::NoSocket),
    ]);
    let one = (address(), class, fate, any::<bool>());
    let one =
        one.prop_map(|(source, class, fate, is_proven)| packet(source, class, fate, is_proven));
    let offence = address().prop_map(|source| {
        let fate = Fate::Stopped(Reason::LimitConnections);
        vec![packet(source, TrafficClass::Syn, fate, false); 4]
    });
    (
        prop::collection::vec(one, 0..20),
        prop::collection::vec(offence, 0..10),
    )
        .prop_map(|(mixed, offences)| mixed.into_iter().chain(offences.concat()).collect())
}

/// A while in which the same goes on, and how long its steps are.
#[derive(Clone, Debug)]
struct Act {
    threats: Vec<Threat>,
    observed: Vec<Observed>,
    steps: usize,
    wait: Duration,
    losses: u64,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let wait = (20..1_500_u64).prop_map(Duration::from_millis);
    let one = (threats(), observed(), 1..80_usize, wait, 0..2_000_u64);
    let one = one.prop_map(|(threats, observed, steps, wait, losses)| Act {
        threats,
        observed,
        steps,
        wait,
        losses,
    });
    prop::collection::vec(one, 1..12)
}

fn standings() -> impl Strategy<Value = BTreeMap<IpNet, Standing>> {
    let odd = prop::bool::weighted(0.1);
    let one = (address(), odd, odd, odd, odd);
    let one = one.prop_map(|(source, unproven, good, healthy, untouchable)| {
        let standing = Standing {
            source,
            is_proven: !unproven,
            is_known_good: good,
            healthy_sessions: u32::from(healthy),
            is_untouchable: untouchable,
        };
        (sources::unit(source), standing)
    });
    prop::collection::vec(one, 0..80).prop_map(|all| all.into_iter().collect())
}

fn config() -> impl Strategy<Value = Detection> {
    (0..200_u32, 0..120_u64, 1..120_u64, 1..4_000_u64).prop_map(
        |(actions, recover, ban, ban_most)| Detection {
            actions,
            recover: Duration::from_secs(recover),
            ban: Duration::from_secs(ban),
            ban_most: Duration::from_secs(ban_most),
            ..Detection::default()
        },
    )
}

/// What a host is told and does, with everything checked that must hold at any time.
struct Checked {
    host: Host,
    /// When something was last seen that cannot have been forged.
    evidence: BTreeMap<IpNet, Duration>,
    asked: BTreeSet<IpNet>,
}

impl Checked {
    fn new(config: Detection, standings: BTreeMap<IpNet, Standing>) -> Self {
        let mut host = Host::new();
        host.config = config;
        host.standings = standings;
        Self {
            host,
            evidence: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    fn play(&mut self, act: &Act) -> Vec<Decided> {
        let mut all = Vec::new();
        for _ in 0..act.steps {
            let at = self.host.elapsed + act.wait;
            let proofs = act.observed.iter().filter(|packet| {
                matches!(
                    (packet.class, packet.fate),
                    (
                        TrafficClass::Syn,
                        Fate::Stopped(Reason::LimitConnections)
                            | Fate::Watched(Reason::LimitConnections)
                    )
                )
            });
            for packet in proofs {
                self.evidence.insert(sources::unit(packet.source), at);
            }
            let banned = self.host.banned.clone();
            let bans = self.host.bans.len();
            self.host.snapshot.observed.clone_from(&act.observed);
            self.host.snapshot.stack.udp_drops += act.losses;
            self.host.snapshot.stack.listen_drops += act.losses / 2;
            let decided = self.host.step_after(act.wait, &act.threats);
            for (_, prefix, duration) in &self.host.bans[bans..] {
                self.check_ban(*prefix, *duration, &banned);
            }
            self.asked
                .extend(decided.ask.iter().map(|source| sources::unit(*source)));
            self.check_ends();
            all.push(decided);
        }
        all
    }

    fn check_ban(&self, prefix: IpNet, duration: Duration, before: &BTreeMap<IpNet, Duration>) {
        let host = &self.host;
        let config = &host.config;
        assert!(duration <= config.ban_most.max(config.ban));
        let ended = before.get(&prefix).copied();
        assert!(
            ended.is_none_or(|ended| ended <= host.elapsed),
            "lengthened"
        );
        if ended.is_none() {
            assert!(duration <= config.ban, "the first of {prefix}");
        }
        let own = sources::unit_of(&prefix);
        for unit in self.asked.iter().filter(|unit| prefix.contains(*unit)) {
            let Some(standing) = host.standings.get(unit) else {
                continue;
            };
            assert!(
                !standing.is_untouchable && !standing.is_known_good,
                "{unit}"
            );
            assert_eq!(standing.healthy_sessions, 0, "{unit}");
            assert!(standing.is_proven || own.is_none(), "{unit}");
        }
        match own {
            Some(unit) => {
                assert!(host.standings.contains_key(&unit), "nobody knows {unit}");
                let seen = self.evidence.get(&unit).copied().expect("evidence");
                assert!(ended.is_none_or(|ended| seen >= ended), "nothing new");
            }
            None => {
                let members = host.banned.iter().filter(|(member, until)| {
                    sources::unit_of(member).is_some()
                        && prefix.contains(*member)
                        && **until > host.elapsed
                });
                assert!(members.count() >= 8, "{prefix}");
            }
        }
    }

    /// Nothing that is held ends by itself, and nothing is held that nobody lets go of.
    fn check_ends(&self) {
        let host = &self.host;
        let holds = host.held.values().map(|(_, until)| *until);
        let limits = host.lowered.values().map(|(_, until)| *until);
        for until in holds.chain(limits) {
            assert!(until > host.elapsed);
        }
    }

    fn check_bound(&self) {
        let most = self.host.config.actions as usize;
        let new: Vec<Duration> = self
            .host
            .actions
            .iter()
            .filter(|(_, action)| action.until.is_some())
            .map(|(at, _)| *at)
            .collect();
        for window in new.windows(most + 1) {
            let (Some(first), Some(last)) = (window.first(), window.last()) else {
                continue;
            };
            assert!(*last - *first >= Duration::from_secs(60), "at {last:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes(config in config(), standings in standings(), acts in acts()) {
        let mut one = Checked::new(config.clone(), standings.clone());
        let mut other = Checked::new(config, standings);
        for act in &acts {
            prop_assert_eq!(one.play(act), other.play(act), "the same gives the same");
        }
        one.check_bound();
        prop_assert!(one.host.policy.sources.count() <= sources::MOST);

        // An end: at once, where everything is to be let go of.
        for command in other.host.policy.let_go() {
            if let Command::Remove { prefixes, .. } = &command {
                let host = &other.host;
                let lasts = |it| host.banned.get(it).is_some_and(|until| *until > host.elapsed);
                prop_assert!(prefixes.iter().all(lasts), "{:?}", command);
            }
            other.host.carry_out(&command);
        }
        prop_assert!(other.host.held.is_empty() && other.host.lowered.is_empty());
        let elapsed = other.host.elapsed;
        prop_assert!(other.host.banned.values().all(|until| *until <= elapsed));

        // And in time, where the attack is over: three times the recovery at most.
        let calm = (one.host.config.recover * 3).max(Duration::from_secs(5)) + STEP;
        for _ in 0..=calm.as_millis() / 500 {
            one.host.step_after(STEP * 5, &[]);
        }
        prop_assert!(one.host.held.is_empty() && one.host.lowered.is_empty());
    }
}

#[test]
fn two_hundred_thousand_sources_find_no_more_room_than_there_is() {
    let mut host = Host::new();
    let mut flood = threat(Vector::Connections, TCP, Spoofed::Real);
    for step in 0..100_u32 {
        flood.heavy.clear();
        for number in 0..2_000 {
            let source = Ipv4Addr::from(0x0a00_0000 + step * 2_000 + number);
            let source = IpAddr::from(source);
            flood.heavy.push(heavy(&format!("{source}/32"), 1_000.0));
            host.standings.insert(sources::unit(source), proven(source));
            let fate = Fate::Stopped(Reason::LimitConnections);
            let offence = packet(source, TrafficClass::Syn, fate, false);
            host.snapshot.observed.extend(vec![offence; 4]);
        }
        host.step(std::slice::from_ref(&flood));
        host.standings.clear();
    }
    assert!(host.policy.sources.count() <= sources::MOST);
    assert!(host.policy.bans.suspects().len() <= 2 * 1_024);
}
