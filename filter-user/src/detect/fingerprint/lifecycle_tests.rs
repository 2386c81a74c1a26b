//! A flood and what becomes of it, in steps of a tenth of a second.

use std::time::Duration;

use filter_common::abi::reason::Reason;
use jiff::Timestamp;

use super::{
    lifecycle::{Fingerprints, MOST},
    scenery::{Scenery, udp},
    *,
};
use crate::{
    config::detection::{Act, Detection},
    core::command::Command,
    detect::{
        input::{Fate, Observed, Snapshot, Stack},
        output::{Deed, Spoofed},
        scene::{Decided, Scene},
        threat::Threat,
        vector::{Phase, Target, Vector},
    },
    rules::Rule,
};

/// A host with the machine and a filter that does what it is told.
struct World {
    scenery: Scenery,
    prints: Fingerprints,
    config: Detection,
    step: u64,
    /// Rules and when they end.
    rules: Vec<(Rule, u64)>,
    /// Whether commands are refused.
    refuses: bool,
    hurts: bool,
    /// Whether the minute has room for another action.
    may_act: bool,
    said: Decided,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            scenery: Scenery::new(seed),
            prints: Fingerprints::new(seed, Vec::new()),
            config: Detection::default(),
            step: 0,
            rules: Vec::new(),
            refuses: false,
            hurts: false,
            may_act: true,
            said: Decided::default(),
        }
    }

    /// Another daemon after a while, with what outlives the first. The kernel has none of its rules.
    fn restart(&mut self, seconds: u64) {
        let stored = self.prints.stored(Duration::from_millis(self.step * 100));
        let written = serde_json::to_string(&stored).expect("written");
        self.prints = Fingerprints::new(99, serde_json::from_str(&written).expect("read"));
        self.rules.clear();
        self.step += seconds * 10;
    }

    fn day(&mut self) -> Vec<Observed> {
        let mut all = self.scenery.web(4);
        all.extend(self.scenery.players(2));
        all
    }

    /// What becomes of a packet by the rules that are in force.
    fn judged(&self, seen: Observed) -> Observed {
        let mut rules = self.rules.iter().filter(|(_, until)| *until > self.step);
        let is_dropped = rules.any(|(rule, _)| !rule.shadow && fits(&rule.matches, &seen));
        let fate = if is_dropped {
            Fate::Stopped(Reason::RuleDrop)
        } else {
            Fate::Passed
        };
        Observed { fate, ..seen }
    }

    fn tenth(&mut self, observed: Vec<Observed>, threats: &[Threat]) -> Decided {
        let observed: Vec<Observed> = observed.into_iter().map(|seen| self.judged(seen)).collect();
        self.step += 1;
        let snapshot = Snapshot {
            now: Timestamp::UNIX_EPOCH + Duration::from_millis(self.step * 100),
            elapsed: Duration::from_millis(self.step * 100),
            observed,
            traffic: Default::default(),
            interfaces: Vec::new(),
            counters: Box::new([Default::default(); _]),
            handshakes: Default::default(),
            stack: Stack::default(),
            standings: Vec::new(),
            listening: Vec::new(),
        };
        let scene = Scene {
            now: snapshot.now,
            elapsed: snapshot.elapsed,
            threats,
            standings: &[],
            snapshot: &snapshot,
            config: &self.config,
            calm: threats.is_empty(),
            incident: None,
        };
        let decided = self.prints.consider(&scene, self.hurts, || self.may_act);
        for command in &decided.commands {
            let Command::AddRule {
                rule,
                duration,
                reason,
                force,
                before,
            } = command
            else {
                panic!("{command:?}");
            };
            assert!(
                !force && before.is_none() && reason.len() <= 200,
                "{command:?}"
            );
            assert_eq!(rule.to_string().parse().as_ref(), Ok(&**rule));
            let tenths = duration.expect("an end").as_millis() as u64 / 100;
            if !self.refuses {
                self.rules.retain(|(other, _)| *other != **rule);
                self.rules.push(((**rule).clone(), self.step + tenths));
            }
        }
        self.said.commands.extend(decided.commands.clone());
        self.said.deeds.extend(decided.deeds.clone());
        self.said.notices.extend(decided.notices.clone());
        decided
    }

    fn calm(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            let day = self.day();
            self.tenth(day, &[]);
        }
    }

    /// A flood of what a function gives; how many of a hundred of its packets passed at last.
    fn flood(&mut self, seconds: u64, give: fn(&mut Scenery) -> Observed) -> usize {
        let mut passed = 100;
        for _ in 0..seconds * 10 {
            let threat = self.threat(passed as f64 * 100.0);
            let flood: Vec<Observed> = (0..100).map(|_| give(&mut self.scenery)).collect();
            passed = flood
                .iter()
                .filter(|seen| self.judged((*seen).clone()).fate == Fate::Passed)
                .count();
            let mut observed = self.day();
            observed.extend(flood);
            self.tenth(observed, &[threat]);
        }
        passed
    }

    fn threat(&self, passed: f64) -> Threat {
        Threat {
            vector: Vector::Udp,
            target: Target::Service {
                protocol: 17,
                port: 27_015,
            },
            phase: Phase::Attack,
            rate: 10_000.0,
            passed,
            usual: 1_500.0,
            threshold: 3_000.0,
            spoofed: Spoofed::Forged,
            heavy: Vec::new(),
            evidence: String::new(),
        }
    }

    /// Rules that were asked for, in order.
    fn asked(&self) -> impl Iterator<Item = &Rule> {
        self.said.commands.iter().map(|command| {
            let Command::AddRule { rule, .. } = command else {
                panic!("{command:?}");
            };
            &**rule
        })
    }

    fn in_force(&self) -> Vec<String> {
        let rules = self.rules.iter().filter(|(_, until)| *until > self.step);
        rules.map(|(rule, _)| rule.to_string()).collect()
    }
}

fn noise(scenery: &mut Scenery) -> Observed {
    let payload = scenery.noise(48);
    Observed {
        hops: scenery.within(30, 110) as u8,
        length: 540,
        ..udp(
            scenery.anybody(),
            scenery.within(1_024, 65_535) as u16,
            27_015,
            &payload,
        )
    }
}

fn other_noise(scenery: &mut Scenery) -> Observed {
    Observed {
        length: 1_300,
        ..noise(scenery)
    }
}

#[test]
fn what_is_in_force_is_not_renewed_once_it_is_only_to_be_suggested() {
    let mut world = World::new(1);
    world.calm(300);
    world.flood(15, noise);
    assert_eq!(world.in_force().len(), 1);
    let asked = world.said.commands.len();
    world.config.act = Act::Suggest;
    world.flood(90, noise);
    assert_eq!(world.said.commands.len(), asked);
    assert!(world.in_force().is_empty());
}

#[test]
fn what_a_minute_has_no_room_for_waits() {
    let mut world = World::new(1);
    world.calm(300);
    world.may_act = false;
    assert_eq!(world.flood(3, noise), 100);
    assert_eq!(
        world.said,
        Decided::default(),
        "neither tried nor installed"
    );
    world.may_act = true;
    world.flood(1, noise);
    assert_eq!(world.in_force().len(), 1, "tried");
    world.may_act = false;
    assert_eq!(world.flood(4, noise), 100);
    assert!(world.said.deeds.is_empty());
    world.may_act = true;
    assert_eq!(world.flood(2, noise), 0);
    assert_eq!(world.said.deeds.len(), 1);
}

#[test]
fn a_fingerprint_is_tried_then_installed_and_kept_while_the_flood_lasts() {
    let mut world = World::new(1);
    world.calm(300);
    assert_eq!(world.said, Decided::default());
    world.flood(1, noise);
    let tried = world.in_force();
    assert!(
        matches!(&tried[..], [rule] if rule.starts_with("shadow drop udp dport 27015 length 540")),
        "{tried:?}"
    );
    assert!(world.said.deeds.is_empty());
    assert_eq!(world.flood(2, noise), 0);
    let [Deed { action, .. }] = &world.said.deeds[..] else {
        panic!("{:?}", world.said.deeds);
    };
    assert!(
        action
            .what
            .starts_with("added the rule `drop udp dport 27015 length 540")
    );
    assert!(
        action
            .why
            .starts_with("UDP flood at udp/27015: catches 100.0 % of the attack"),
        "{}",
        action.why
    );
    assert!(action.why.contains("at most 0.") && action.why.contains("of calm traffic (n=2,048)"));
    // It is renewed, not added anew, and nobody is told of that.
    assert_eq!(world.flood(120, noise), 0);
    assert_eq!(world.in_force().len(), 1);
    assert_eq!(world.said.deeds.len(), 1);
    assert!(world.said.notices.is_empty(), "{:?}", world.said.notices);
    // When the flood is over, it ends, and not before the time.
    world.calm(55);
    assert_eq!(world.in_force().len(), 1);
    world.calm(5);
    assert!(world.in_force().is_empty());
}

#[test]
fn forty_seconds_of_calm_are_enough() {
    for seed in 1..=5 {
        let mut world = World::new(seed);
        world.calm(40);
        assert_eq!(world.flood(5, noise), 0, "{:?}", world.said.notices);
        assert_eq!(world.said.deeds.len(), 1, "{:?}", world.said.notices);
    }
}

#[test]
fn where_the_flood_hurts_there_is_no_trial() {
    let mut world = World::new(2);
    world.calm(300);
    world.hurts = true;
    assert_eq!(world.flood(1, noise), 0);
    assert!(world.in_force().iter().all(|rule| rule.starts_with("drop")));
}

#[test]
fn a_flood_that_changes_is_met_again_and_what_was_known_needs_no_trial() {
    let mut world = World::new(3);
    world.calm(300);
    assert_eq!(world.flood(5, noise), 0);
    assert_eq!(world.flood(60, other_noise), 0);
    // The first is not renewed.
    assert_eq!(world.flood(30, other_noise), 0);
    assert_eq!(world.in_force().len(), 1);
    assert_eq!(world.flood(2, noise), 0);
    let shadows = world.asked().filter(|rule| rule.shadow).count();
    assert_eq!(shadows, 2);
    assert!(world.in_force().len() <= MOST);
}

#[test]
fn who_only_wants_suggestions_gets_one() {
    for (act, fingerprints) in [(Act::Suggest, Act::Apply), (Act::Apply, Act::Suggest)] {
        let mut world = World::new(4);
        (world.config.act, world.config.fingerprints) = (act, fingerprints);
        world.calm(300);
        assert_eq!(world.flood(60, noise), 100);
        assert!(world.said.commands.is_empty() && world.said.deeds.is_empty());
        let [notice, ..] = &world.said.notices[..] else {
            panic!("nothing suggested");
        };
        assert!(
            notice.contains("`floodwall rule add \"drop udp dport 27015 length 540"),
            "{notice}"
        );
        assert!(world.said.notices.len() <= 8, "{:?}", world.said.notices);
    }
}

#[test]
fn without_calm_traffic_nothing_is_installed() {
    let mut world = World::new(5);
    world.hurts = true;
    assert_eq!(world.flood(60, noise), 100);
    assert!(world.said.commands.is_empty());
    assert!(
        world
            .said
            .notices
            .iter()
            .all(|notice| notice.contains("; not added, for at most"))
    );
    assert!(!world.said.notices.is_empty());
}

#[test]
fn a_flood_that_others_meet_needs_no_fingerprint() {
    let mut world = World::new(6);
    world.calm(300);
    for _ in 0..100 {
        let threat = world.threat(2_000.0);
        let flood = (0..100).map(|_| noise(&mut world.scenery)).collect();
        world.tenth(flood, &[threat]);
    }
    assert_eq!(world.said, Decided::default());
}

#[test]
fn what_is_refused_or_removed_is_not_added_again_and_again() {
    let mut world = World::new(7);
    world.calm(300);
    world.hurts = true;
    world.refuses = true;
    assert_eq!(world.flood(60, noise), 100);
    assert!(!world.said.notices.is_empty());
    let mut rules: Vec<String> = world.asked().map(|rule| rule.to_string()).collect();
    let all = rules.len();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules.len(), all, "{rules:?}");
    assert!(all <= 20, "{rules:?}");
}

#[test]
fn a_match_that_meets_proven_sources_in_its_trial_is_given_up() {
    let mut world = World::new(8);
    world.calm(300);
    world.flood(1, noise);
    assert_eq!(world.in_force().len(), 1);
    // Players get an update, and send what the flood sends.
    let threat = world.threat(10_000.0);
    for _ in 0..15 {
        let flood = (0..100).map(|number| Observed {
            is_proven: number % 2 == 0,
            ..noise(&mut world.scenery)
        });
        let flood = flood.collect();
        world.tenth(flood, std::slice::from_ref(&threat));
    }
    assert!(world.said.deeds.is_empty());
    assert!(
        world
            .said
            .notices
            .iter()
            .any(|notice| notice.contains("proved their address"))
    );
}

#[test]
fn sources_of_a_flood_that_prove_their_addresses_are_no_harm() {
    let mut world = World::new(10);
    world.calm(300);
    for _ in 0..30 {
        let threat = Threat {
            spoofed: Spoofed::Real,
            ..world.threat(10_000.0)
        };
        let mut observed = world.day();
        observed.extend((0..100).map(|_| Observed {
            is_proven: true,
            ..noise(&mut world.scenery)
        }));
        world.tenth(observed, &[threat]);
    }
    assert_eq!(world.said.deeds.len(), 1, "{:?}", world.said.notices);
}

#[test]
fn the_same_scenes_give_the_same_decided() {
    let run = || {
        let mut world = World::new(9);
        world.calm(120);
        world.flood(10, noise);
        world.flood(10, other_noise);
        world.said
    };
    assert_eq!(run(), run());
}

#[test]
fn who_starts_in_the_midst_of_a_flood_goes_on_with_what_was_in_force() {
    let mut world = World::new(11);
    world.calm(300);
    assert_eq!(world.flood(5, noise), 0);
    for _ in 0..2 {
        world.restart(5);
        assert_eq!(world.flood(90, noise), 0);
    }
    assert_eq!(world.in_force().len(), 1);
    assert_eq!(world.said.deeds.len(), 1, "it was added once");
    assert!(world.said.notices.is_empty(), "{:?}", world.said.notices);
    world.calm(60);
    assert!(world.in_force().is_empty());
}

#[test]
fn what_ended_before_a_restart_is_known_without_calm_for_ten_minutes() {
    let mut world = World::new(12);
    world.calm(300);
    assert_eq!(world.flood(5, noise), 0);
    world.restart(120);
    assert_eq!(world.flood(2, noise), 0);
    let shadows = world.asked().filter(|rule| rule.shadow).count();
    assert_eq!(shadows, 1, "only when it was new");
    world.restart(3_600);
    assert_eq!(world.flood(60, noise), 100);
    assert_eq!(world.in_force(), [""; 0]);
}

#[test]
fn what_calm_became_has_the_last_word_on_what_was_found_earlier() {
    let mut world = World::new(13);
    world.calm(300);
    assert_eq!(world.flood(5, noise), 0);
    world.restart(120);
    let asked = world.said.commands.len();
    for _ in 0..300 {
        let mut observed = world.day();
        observed.extend((0..4).map(|_| noise(&mut world.scenery)));
        world.tenth(observed, &[]);
    }
    assert_eq!(world.flood(60, noise), 100);
    assert_eq!(world.said.commands.len(), asked);
}

#[test]
fn what_was_tried_or_is_only_to_be_suggested_is_not_restored() {
    let mut world = World::new(14);
    world.calm(300);
    world.flood(1, noise);
    assert_eq!(world.in_force().len(), 1, "tried");
    assert_eq!(world.prints.stored(Duration::ZERO), []);
    assert_eq!(world.flood(2, noise), 0);
    world.restart(5);
    world.config.act = Act::Suggest;
    assert_eq!(world.flood(60, noise), 100);
    assert_eq!(world.in_force(), [""; 0]);
}

/// One of eight who play all the time, and prove nothing by it.
fn regular(number: u32) -> Observed {
    let seat = number % 8;
    Observed {
        length: 76,
        ..udp(
            (0xcb00_7101 + seat).into(),
            40_000 + seat as u16,
            27_015,
            &number.to_be_bytes().repeat(12),
        )
    }
}

/// As the packets of players but for length and payload.
fn bot(scenery: &mut Scenery) -> Observed {
    let port = scenery.within(32_768, 60_999) as u16;
    Observed {
        length: 60,
        ..udp(scenery.anybody(), port, 27_015, &[0x5a; 32])
    }
}

#[test]
fn a_match_is_not_made_to_fit_who_came_in_calm_too() {
    let mut world = World::new(15);
    let mut number = 0;
    for _ in 0..1_200 {
        number += 1;
        // Of few sources, so that what players are among them is hardly known.
        let mut observed = world.scenery.web(60);
        for seen in &mut observed {
            seen.source = [198, 51, 100, (seen.hops % 4) + 1].into();
        }
        observed.push(regular(number));
        world.tenth(observed, &[]);
    }
    world.hurts = true;
    for tenth in 0..20 {
        let passed = if world.in_force().is_empty() {
            10_000.0
        } else {
            30.0
        };
        let threat = world.threat(passed);
        let mut observed: Vec<Observed> = (0..17).map(|_| bot(&mut world.scenery)).collect();
        if tenth % 3 == 1 {
            number += 1;
            observed.push(regular(number));
        }
        world.tenth(observed, &[threat]);
    }
    assert_eq!(world.said.deeds.len(), 1, "{:?}", world.said.notices);
    let bot = bot(&mut world.scenery);
    assert_ne!(world.judged(bot).fate, Fate::Passed);
    assert_eq!(world.judged(regular(number)).fate, Fate::Passed);
}
