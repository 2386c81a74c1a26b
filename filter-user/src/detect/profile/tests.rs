use filter_common::abi::{reason::Reason, traffic::TrafficClass};

use super::*;
use crate::detect::{
    crowd::{Crowd, carpet, heavy},
    epoch::{DESTINATIONS, SOURCES},
    testing::{Flow, Senders, World},
};

fn profile(flows: &[Flow], steps: u32) -> (Profile, World) {
    let (mut world, mut rates) = (World::new(11), Rates::default());
    let mut profile = Profile::default();
    for _ in 0..steps {
        let snapshot = world.pass(flows);
        if rates.read(snapshot) {
            profile.read(snapshot, &rates, false);
        }
    }
    (profile, world)
}

#[test]
fn what_passed_and_what_was_stopped_is_weighed_apart() {
    // A hundredth of it passes, and gets as many observed packets as there is budget for.
    let flows = [
        Flow::new(TrafficClass::Udp, 1_000.0, 5_060),
        Flow::new(TrafficClass::Udp, 99_000.0, 123).stopped(Reason::LimitUdp),
    ];
    let (profile, _) = profile(&flows, 20);
    let services = profile.seen(Vector::Udp).unwrap().services();
    let share = services[&(17, 123)];
    assert!((0.985..0.995).contains(&share.share), "{share:?}");
    assert!(share.least <= 0.99 && share.most >= 0.99);
    assert!(services[&(17, 5_060)].most < 0.15);
}

#[test]
fn what_passes_is_shared_out_apart_from_what_comes() {
    // Nearly all that comes is for one port, and nearly all that passes for another.
    let flows = [
        Flow::new(TrafficClass::Udp, 9_000.0, 5_060),
        Flow::new(TrafficClass::Udp, 1_000.0, 123),
        Flow::new(TrafficClass::Udp, 990_000.0, 123).stopped(Reason::RuleDrop),
    ];
    let (profile, _) = profile(&flows, 20);
    let seen = profile.seen(Vector::Udp).unwrap();
    assert!(seen.services()[&(17, 123)].share > 0.95);
    let passed = seen.passed().unwrap();
    assert!(
        passed[&(17, 5_060)] > 0.6 && passed[&(17, 123)] < 0.4,
        "{passed:?}"
    );
    let none = Flow::new(TrafficClass::Udp, 990_000.0, 123).stopped(Reason::RuleDrop);
    let (profile, _) = self::profile(&[none], 20);
    assert_eq!(profile.seen(Vector::Udp).unwrap().passed(), None);
}

#[test]
fn ports_that_nobody_listens_on_are_no_service() {
    let (profile, _) = profile(&[Flow::new(TrafficClass::Udp, 1_000.0, 7_777)], 10);
    let seen = profile.seen(Vector::Udp).unwrap();
    assert!(seen.services().is_empty());
    assert!(seen.unseen().unwrap().most < 0.2);
}

#[test]
fn heavy_sources_are_told_with_their_error() {
    let flows = [
        Flow::new(TrafficClass::Udp, 20_000.0, 123).from(Senders::Anybody),
        Flow {
            network: 0x0B00_0000,
            ..Flow::new(TrafficClass::Udp, 20_000.0, 123).from(Senders::Hosts(1))
        },
        Flow {
            network: 0x0C00_0000,
            ..Flow::new(TrafficClass::Udp, 20_000.0, 123).from(Senders::Hosts(10))
        },
    ];
    let (profile, world) = profile(&flows, 80);
    let seen = profile.seen(Vector::Udp).unwrap();
    let heavy = heavy(seen, world.snapshot.elapsed);
    for wanted in ["11.0.0.1/32", "12.0.0.0/24"] {
        let net = wanted.parse().unwrap();
        let found = heavy.iter().find(|heavy| heavy.prefix == net);
        let Some(found) = found else {
            panic!("{wanted} is not in {heavy:?}");
        };
        let off = (found.rate - 20_000.0).abs();
        assert!(off <= 1.5 * found.error, "{found:?}");
        assert!(found.error < 8_000.0, "{found:?}");
    }
    let first = heavy.first().map(|heavy| heavy.prefix.to_string());
    assert!(matches!(
        first.as_deref(),
        Some("11.0.0.1/32" | "12.0.0.0/24")
    ));
}

#[test]
fn forged_sources_look_forged_and_people_do_not() {
    let look = |flow: Flow| {
        let (profile, _) = profile(&[flow], 60);
        let seen = profile.seen(Vector::Udp).unwrap();
        Crowd::of(seen, flow.rate, false)
    };
    let forged = look(Flow::new(TrafficClass::Udp, 100_000.0, 123).from(Senders::Anybody));
    assert!(forged.is_many() && !forged.is_few());
    assert!(forged.forgery(false).0 >= 0.99, "{forged:?}");
    let people = look(Flow::new(TrafficClass::Udp, 20_000.0, 123).from(Senders::Hosts(500)));
    assert!(people.is_many());
    assert_eq!(people.forgery(false), (0.0, Vec::new()), "{people:?}");
    let tunnel = look(Flow::new(TrafficClass::Udp, 20_000.0, 123).from(Senders::Hosts(2)));
    assert!(tunnel.is_few() && !tunnel.is_many());
    let proven = look(Flow::new(TrafficClass::Udp, 20_000.0, 123).proven());
    assert!(proven.is_proven());
    assert_eq!(Crowd::default().forgery(false), (0.0, Vec::new()));
}

#[test]
fn a_carpet_is_many_addresses_of_one_prefix() {
    let of = |destinations| {
        let flow = Flow {
            destinations,
            ..Flow::new(TrafficClass::Udp, 50_000.0, 0)
        };
        let (profile, _) = profile(&[flow], 30);
        carpet(profile.seen(Vector::Udp).unwrap())
    };
    assert_eq!(of(1), None);
    assert_eq!(of(4), None);
    assert_eq!(of(250), Some("203.0.113.0/24".parse().unwrap()));
}

#[test]
fn a_million_sources_take_bounded_room() {
    let (mut world, mut rates) = (World::new(12), Rates::default());
    let mut profile = Profile::default();
    let flow = [Flow::new(TrafficClass::Udp, 1e6, 0).from(Senders::Anybody)];
    let mut packets = Vec::new();
    for _ in 0..200 {
        packets.extend(world.pass(&flow).observed.iter().cloned());
    }
    for step in 0..40_u8 {
        let mut snapshot = world.pass(&flow).clone();
        snapshot.observed = std::iter::repeat_n(packets.iter(), 5)
            .flatten()
            .cloned()
            .collect();
        for (index, packet) in snapshot.observed.iter_mut().enumerate() {
            let word = (index as u32).wrapping_mul(2_654_435_761) ^ u32::from(step) << 24;
            packet.source = std::net::Ipv4Addr::from(word).into();
            packet.destination = std::net::Ipv4Addr::from(!word).into();
        }
        if rates.read(&snapshot) {
            profile.read(&snapshot, &rates, true);
        }
    }
    let seen = profile.seen(Vector::Udp).unwrap();
    for epoch in seen.epochs() {
        assert!(epoch.sources.len() <= SOURCES);
        assert!(epoch.destinations.len() <= DESTINATIONS);
        assert!(epoch.hosts.len() <= 256 && epoch.prefixes.len() <= 256);
    }
    assert!(seen.steps.len() <= STEPS);
}

#[test]
fn wilson_bounds_hold_the_share() {
    for number in [1.0, 5.0, 30.0, 1_000.0] {
        for share in [0.0, 0.01, 0.5, 0.99, 1.0] {
            let found = Share::of(share, number);
            assert!(found.least <= share && share <= found.most, "{found:?}");
            assert!(found.least >= 0.0 && found.most <= 1.0);
        }
    }
    assert_eq!(Share::of(0.0, 0.0).most, 1.0);
    assert!(Share::of(1.0, 30.0).least > 0.85);
}
