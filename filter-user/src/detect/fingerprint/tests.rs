//! What is found, what is not, and what it may harm.

use std::{sync::LazyLock, time::Duration};

use filter_common::abi::traffic::TrafficClass;
use proptest::{option, prelude::*};

use super::{
    scenery::{Scenery, udp},
    *,
};
use crate::{
    config::detection::Detection,
    detect::input::{Observed, Payload},
    rules::rule::{Action, Rule},
};

fn aim() -> Aim {
    Aim {
        least: 0.3,
        most_collateral: Detection::default().max_collateral,
    }
}

/// Five minutes of calm.
fn calm(scenery: &mut Scenery, mut give: impl FnMut(&mut Scenery) -> Vec<Observed>) -> Calm {
    let mut calm = Calm::new(7);
    for tenth in 0..4_000 {
        calm.observe(Duration::from_millis(tenth * 100), &give(scenery));
    }
    calm
}

/// A site with a name server and a game, all of whose visitors come again.
fn day(scenery: &mut Scenery) -> Vec<Observed> {
    let mut all = scenery.web(4);
    all.extend(scenery.questions(1));
    all.extend(scenery.players(1));
    all
}

fn found(flood: &[Observed], calm: &Calm) -> Option<Fingerprint> {
    let flood: Vec<&Observed> = flood.iter().collect();
    let found = find(&flood, calm, aim());
    assert_eq!(found, find(&flood, calm, aim()), "not the same twice");
    if let Some(found) = &found {
        let rule = Rule {
            shadow: false,
            action: Action::Drop,
            matches: found.matches.clone(),
        };
        assert_eq!(rule.to_string().parse(), Ok(rule), "no rule");
    }
    found
}

/// What is found is to be installed, catches most of a flood of its kind, and nearly nothing of
/// calm traffic of which it knows nothing.
fn check(found: &Fingerprint, more: &[Observed], other: &[Observed]) {
    let share = |of: &[Observed]| {
        let caught = of.iter().filter(|seen| fits(&found.matches, seen)).count();
        caught as f64 / of.len() as f64
    };
    assert_eq!(found.doubt, None, "{found:?}");
    assert!(share(more) > 0.9, "{found:?} catches {}", share(more));
    assert!(
        share(other) <= aim().most_collateral,
        "{found:?} hits {}",
        share(other)
    );
}

fn floods(
    scenery: &mut Scenery,
    mut one: impl FnMut(&mut Scenery) -> Observed,
) -> [Vec<Observed>; 2] {
    [400, 2_000].map(|packets| (0..packets).map(|_| one(scenery)).collect())
}

/// Random payload of one length to the port of the game, from random sources of random distance.
fn noise_to_game(scenery: &mut Scenery) -> Observed {
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

fn others(scenery: &mut Scenery) -> Vec<Observed> {
    (0..1_000).flat_map(|_| day(scenery)).collect()
}

#[test]
fn noise_of_one_length_to_an_open_port_is_found() {
    let scenery = &mut Scenery::new(1);
    let calm = calm(scenery, day);
    let [flood, more] = floods(scenery, noise_to_game);
    let found = found(&flood, &calm).expect("a fingerprint");
    check(&found, &more, &others(scenery));
    assert_eq!(
        found.matches.to_string(),
        "udp dport 27015 length 540 ttl 29-111"
    );
}

#[test]
fn what_belongs_here_and_comes_with_the_flood_does_not_hide_it() {
    let scenery = &mut Scenery::new(12);
    let calm = calm(scenery, day);
    let [mut flood, more] = floods(scenery, noise_to_game);
    flood.truncate(360);
    flood.extend((0..20).flat_map(|_| scenery.players(2)));
    let found = found(&flood, &calm).expect("a fingerprint");
    check(&found, &more, &others(scenery));
    assert!(
        found.matches.to_string().contains("length 540"),
        "{found:?}"
    );
}

#[test]
fn reflection_from_a_port_that_is_in_no_table_is_found() {
    let scenery = &mut Scenery::new(2);
    let calm = calm(scenery, day);
    let [flood, more] = floods(scenery, |scenery| {
        let payload = scenery.noise(48);
        Observed {
            length: scenery.within(900, 1_400) as u16,
            hops: scenery.hops(),
            ..udp(
                scenery.visitor(3_000),
                32_414,
                scenery.within(1_024, 65_535) as u16,
                &payload,
            )
        }
    });
    let found = found(&flood, &calm).expect("a fingerprint");
    check(&found, &more, &others(scenery));
    assert!(
        found.matches.to_string().contains("sport 32414"),
        "{found:?}"
    );
}

#[test]
fn a_flood_of_questions_of_one_form_is_found() {
    let scenery = &mut Scenery::new(3);
    let calm = calm(scenery, day);
    // Twelve random letters in front of a victim's zone.
    let [flood, more] = floods(scenery, |scenery| {
        let label: Vec<u8> = (0..12).map(|_| scenery.within(97, 122) as u8).collect();
        let payload = scenery.question(&label, b"\x06victim\x03net\0\0\x01\0\x01");
        Observed {
            hops: scenery.hops(),
            ..udp(
                scenery.anybody(),
                scenery.within(1_024, 65_535) as u16,
                53,
                &payload,
            )
        }
    });
    let found = found(&flood, &calm).expect("a fingerprint");
    check(&found, &more, &others(scenery));
    assert!(found.matches.payload.is_some(), "{found:?}");
}

#[test]
fn part_of_a_flood_of_two_kinds_is_found_and_then_the_other() {
    let scenery = &mut Scenery::new(4);
    let calm = calm(scenery, day);
    let [flood, _] = floods(scenery, |scenery| {
        let mut payload = match scenery.random.below(2) {
            0 => b"\xff\xff\xff\xffgetstatus".to_vec(),
            _ => b"\x00\x01\x5c\x5cABCDEFGH".to_vec(),
        };
        let length = scenery.within(8, 300) as usize;
        payload.extend(scenery.noise(length));
        Observed {
            hops: scenery.hops(),
            ..udp(
                scenery.anybody(),
                scenery.within(1_024, 65_535) as u16,
                27_015,
                &payload,
            )
        }
    });
    let first = found(&flood, &calm).expect("a fingerprint");
    assert_eq!(first.doubt, None);
    let left: Vec<Observed> = flood
        .into_iter()
        .filter(|seen| !fits(&first.matches, seen))
        .collect();
    assert!(left.len() < 240, "{first:?} leaves {}", left.len());
    if left.len() > 100 {
        let second = found(&left, &calm).expect("another");
        assert_eq!(second.doubt, None);
    }
}

#[test]
fn a_flood_that_looks_like_calm_traffic_is_not_found() {
    let scenery = &mut Scenery::new(5);
    let calm = calm(scenery, day);
    for kind in [Scenery::web, Scenery::questions, Scenery::players] {
        let flood = kind(scenery, 2_000);
        let found = found(&flood, &calm);
        assert!(
            found.as_ref().is_none_or(|found| found.doubt.is_some()),
            "{found:?}"
        );
    }
}

#[test]
fn without_calm_traffic_to_go_by_nothing_is_harmless() {
    let scenery = &mut Scenery::new(6);
    let [flood, _] = floods(scenery, noise_to_game);
    for seconds in [0, 10, 20] {
        let mut calm = Calm::new(7);
        for tenth in 0..seconds * 10 {
            calm.observe(Duration::from_millis(tenth * 100), &day(scenery));
        }
        let found = found(&flood, &calm).expect("something to suggest");
        assert!(found.doubt.is_some(), "{seconds}: {found:?}");
    }
}

#[test]
fn decoys_in_calm_do_not_hide_a_flood() {
    let scenery = &mut Scenery::new(7);
    // Three in ten calm packets are of the flood to come.
    let calm = calm(scenery, |scenery| {
        let mut all = scenery.web(5);
        all.extend(scenery.players(2));
        all.extend((0..3).map(|_| noise_to_game(scenery)));
        all
    });
    let [flood, more] = floods(scenery, noise_to_game);
    let found = found(&flood, &calm).expect("a fingerprint");
    check(&found, &more, &others(scenery));
}

#[test]
fn decoys_of_those_who_proved_their_addresses_do() {
    let scenery = &mut Scenery::new(8);
    let calm = calm(scenery, |scenery| {
        let mut all = day(scenery);
        all.push(Observed {
            is_proven: true,
            ..noise_to_game(scenery)
        });
        all
    });
    let [flood, _] = floods(scenery, noise_to_game);
    let found = found(&flood, &calm);
    assert!(found.is_none_or(|found| found.doubt.is_some()));
}

#[test]
fn no_small_service_is_silenced() {
    let scenery = &mut Scenery::new(9);
    // One packet in 1,200 is a monitoring probe, far below the bound.
    let probe = |scenery: &mut Scenery| Observed {
        is_proven: true,
        ..udp(scenery.visitor(2_000), 5_000, 9_100, b"\x01probe")
    };
    let mut number = 0_u32;
    let calm = calm(scenery, |scenery| {
        number += 1;
        let mut all = scenery.web(30);
        if number.is_multiple_of(40) {
            all.push(probe(scenery));
        }
        all
    });
    let [flood, _] = floods(scenery, probe);
    let found = found(&flood, &calm).expect("something to suggest");
    let doubt = found.doubt.expect("a doubt");
    assert!(doubt.contains("udp to port 9100"), "{doubt}");
}

#[test]
fn floods_of_other_protocols_and_fragments_are_found() {
    let scenery = &mut Scenery::new(10);
    let calm = calm(scenery, day);
    let [gre, more] = floods(scenery, |scenery| Observed {
        class: TrafficClass::Protocol,
        protocol: 47,
        ports: None,
        length: scenery.within(60, 1_400) as u16,
        payload: Payload::new(&[]),
        ..udp(scenery.anybody(), 0, 0, &[])
    });
    let found_gre = found(&gre, &calm).expect("a fingerprint");
    check(&found_gre, &more, &others(scenery));
    let [later, more] = floods(scenery, |scenery| Observed {
        class: TrafficClass::Fragment,
        ports: None,
        is_fragment: true,
        length: 1_500,
        payload: Payload::new(&[]),
        ..udp(scenery.anybody(), 0, 0, &[])
    });
    let found_later = found(&later, &calm).expect("a fingerprint");
    check(&found_later, &more, &others(scenery));
}

#[test]
fn a_syn_flood_of_one_maker_is_found_among_real_syns() {
    let scenery = &mut Scenery::new(11);
    let calm = calm(scenery, day);
    let syn = |scenery: &mut Scenery| {
        let mut all = scenery.web(1);
        while all[0].class != TrafficClass::Syn {
            all = scenery.web(1);
        }
        all.remove(0)
    };
    let [flood, more] = floods(scenery, |scenery| Observed {
        hops: scenery.within(200, 250) as u8,
        length: 40,
        source: scenery.anybody().into(),
        is_proven: false,
        ..syn(scenery)
    });
    let found = found(&flood, &calm).expect("a fingerprint");
    check(&found, &more, &others(scenery));
}

#[test]
fn who_opens_connections_like_visitors_do_is_not_met_however_much_these_send() {
    let scenery = &mut Scenery::new(13);
    let syn = |scenery: &mut Scenery, length| Observed {
        class: TrafficClass::Syn,
        protocol: 6,
        flags: filter_common::logic::packet::TcpFlags(2),
        length,
        hops: scenery.hops(),
        ..udp(
            scenery.visitor(5_000),
            scenery.within(1_024, 65_535) as u16,
            443,
            &[],
        )
    };
    // One packet in 400 opens a connection.
    let calm = calm(scenery, |scenery| {
        let mut all = scenery.web(399);
        all.retain(|seen| seen.class != TrafficClass::Syn);
        all.push(syn(scenery, 60));
        all
    });
    let [flood, _] = floods(scenery, |scenery| syn(scenery, 60));
    let like_visitors = found(&flood, &calm);
    assert!(
        like_visitors
            .as_ref()
            .is_none_or(|found| found.doubt.is_some()),
        "{like_visitors:?}"
    );
    let [flood, _] = floods(scenery, |scenery| syn(scenery, 40));
    let unlike = found(&flood, &calm).expect("a fingerprint");
    assert_eq!(unlike.doubt, None);
    assert!(unlike.connections.is_some());
}

/// Calm traffic of five minutes, made once.
static DAY: LazyLock<Calm> = LazyLock::new(|| calm(&mut Scenery::new(20), day));

/// What a flood has that calm traffic has not: any of these, or none.
#[derive(Clone, Copy, Debug)]
struct Flood {
    port: u16,
    length: Option<u16>,
    hops: Option<u8>,
    payload: Option<u8>,
    /// Of a hundred packets, so many belong here.
    real: u64,
}

impl Flood {
    fn packet(self, scenery: &mut Scenery) -> Observed {
        if scenery.random.below(100) < self.real {
            return scenery.players(1).remove(0);
        }
        let mut seen = scenery.players(1).remove(0);
        let mut payload = seen.payload.as_slice().to_vec();
        if let (Some(byte), Some(place)) = (self.payload, payload.get_mut(3)) {
            *place = byte;
        }
        seen.source = scenery.anybody().into();
        seen.is_proven = false;
        seen.ports = Some((scenery.within(1_024, 65_535) as u16, self.port));
        seen.length = self.length.unwrap_or(seen.length);
        seen.hops = self.hops.unwrap_or(seen.hops);
        seen.payload = Payload::new(&payload);
        seen
    }
}

fn flood() -> impl Strategy<Value = Flood> {
    let port = prop_oneof![3 => Just(27_015_u16), 1 => Just(53), 1 => any::<u16>()];
    let fields = (
        port,
        option::of(30..1_500_u16),
        option::of(any::<u8>()),
        option::of(any::<u8>()),
        0..50_u64,
    );
    fields.prop_map(|(port, length, hops, payload, real)| Flood {
        port,
        length,
        hops,
        payload,
        real,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_installed_meets_no_more_of_other_calm_traffic_than_allowed(
        flood in flood(), seed in any::<u64>(), packets in 0..800_u32,
    ) {
        let scenery = &mut Scenery::new(seed);
        let flood: Vec<Observed> = (0..packets).map(|_| flood.packet(scenery)).collect();
        if let Some(found) = found(&flood, &DAY) {
            prop_assert!(found.caught >= aim().least);
            prop_assert!(found.doubt.is_some() || found.calm.most <= aim().most_collateral);
            if found.doubt.is_none() {
                let other = others(scenery);
                let met = other.iter().filter(|seen| fits(&found.matches, seen)).count();
                let met = met as f64 / other.len() as f64;
                prop_assert!(met <= aim().most_collateral, "{} meets {met}", found.matches);
            }
        }
    }

    #[test]
    fn conditions_hold_where_their_rule_matches(
        flood in flood(), seed in any::<u64>(), kind in 0..4_u64,
    ) {
        let scenery = &mut Scenery::new(seed);
        let packets: Vec<Observed> = (0..40).map(|_| match kind {
            0 => flood.packet(scenery),
            1 => scenery.web(1).remove(0),
            2 => Observed { ports: None, is_fragment: true, ..flood.packet(scenery) },
            _ => Observed {
                protocol: 1,
                ports: None,
                icmp: Some((8, 0)),
                ..flood.packet(scenery)
            },
        }).collect();
        let packets: Vec<&Observed> = packets.iter().collect();
        let mut conditions = candidates::headers(&packets, 0.05);
        let bytes = pattern::Bytes::of_attack(&packets);
        conditions.extend(pattern::single(&bytes, &pattern::Bytes::of_calm(&[]), 0.3));
        conditions.extend(pattern::constant(&packets, &bits::Bits::of(&packets, |_| true), &bytes));
        let day = day(scenery);
        for condition in conditions {
            for seen in packets.iter().copied().chain(&day) {
                let wanted = condition::matches(seen.protocol, [&condition]);
                // Flags are said of TCP alone.
                if seen.protocol == 6 || condition.dimension() != condition::Dimension::Flags {
                    prop_assert_eq!(condition.holds(seen), fits(&wanted, seen), "{:?}", condition);
                }
            }
        }
    }
}
