use std::time::Duration;

use filter_common::abi::{reason::Reason, traffic::TrafficClass};
use proptest::prelude::*;

use super::*;
use crate::detect::testing::{Flow, World};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn uneven_steps_give_even_rates() {
    let (mut world, mut rates) = (World::new(1), Rates::default());
    let flow = [Flow::new(TrafficClass::Udp, 10_000.0, 0)];
    for step in [100, 100, 350, 20, 100, 1_500, 100, 40, 100, 100] {
        world.step = millis(step);
        rates.read(world.pass(&flow));
    }
    for window in [FAST, BRISK, STEADY, LONG] {
        let rate = rates.over(window).rate(Vector::Udp);
        assert!(
            (8_500.0..11_500.0).contains(&rate.packets),
            "{window:?}: {rate:?}"
        );
        assert_eq!(rate.packets, rate.passed);
        assert!((rate.bits / rate.packets - 800.0).abs() < 1.0);
    }
}

#[test]
fn what_is_stopped_does_not_pass_and_is_told_by_ground() {
    let (mut world, mut rates) = (World::new(2), Rates::default());
    let flows = [
        Flow::new(TrafficClass::Ack, 1_000.0, 443),
        Flow::new(TrafficClass::Ack, 9_000.0, 443).stopped(Reason::NoSocket),
        Flow::new(TrafficClass::Syn, 5_000.0, 443).stopped(Reason::LimitSyn),
        Flow::new(TrafficClass::Udp, 2_000.0, 53).stopped(Reason::Banned),
    ];
    for _ in 0..20 {
        rates.read(world.pass(&flows));
    }
    let window = rates.over(STEADY);
    let near = |value: f64, wanted: f64| {
        assert!(
            (value / wanted - 1.0).abs() < 0.1,
            "{value} is not near {wanted}"
        );
    };
    near(window.rate(Vector::Ack).packets, 10_000.0);
    near(window.rate(Vector::Ack).passed, 1_000.0);
    assert_eq!(window.rate(Vector::Syn).passed, 0.0);
    let of = |by_class: &ByClass, class: TrafficClass| window.per_second(by_class[class as usize]);
    near(of(&window.fates.alien, TrafficClass::Ack), 9_000.0);
    near(of(&window.fates.limited, TrafficClass::Syn), 5_000.0);
    near(of(&window.fates.refused, TrafficClass::Udp), 2_000.0);
    near(window.total().stopped, 16_000.0);
}

#[test]
fn a_port_that_is_read_first_completed_nothing_since_the_reading_before() {
    let (mut world, mut rates) = (World::new(4), Rates::default());
    let mut read = |world: &mut World, ports: &[(u16, u64)]| {
        let ports = ports.iter().map(|(port, completed)| {
            let handshakes = Handshakes {
                accepted: 0,
                completed: *completed,
            };
            (*port, handshakes)
        });
        world.snapshot.handshakes = ports.collect();
        rates.read(world.pass(&[]));
        let fast = rates.over(FAST);
        fast.per_second(fast.handshakes).round()
    };
    // The maps are a day old, and the daemon starts; it finds out which ports are open a moment later.
    assert_eq!(read(&mut world, &[]), 0.0);
    assert_eq!(read(&mut world, &[(443, 90_000_000)]), 0.0);
    assert_eq!(read(&mut world, &[(443, 90_000_020), (80, 7)]), 200.0);
    assert_eq!(read(&mut world, &[(443, 90_000_020), (80, 8)]), 10.0);
}

#[test]
fn new_maps_are_no_traffic() {
    let (mut world, mut rates) = (World::new(3), Rates::default());
    let flow = [Flow::new(TrafficClass::Udp, 50_000.0, 0)];
    for _ in 0..10 {
        rates.read(world.pass(&flow));
    }
    for counter in world
        .snapshot
        .traffic
        .iter_mut()
        .chain(world.snapshot.counters.iter_mut())
    {
        *counter = Counter::default();
    }
    assert!(!rates.read(world.pass(&flow)));
    assert!(rates.read(world.pass(&flow)));
    let rate = rates.over(FAST).rate(Vector::Udp).packets;
    assert!((44_000.0..56_000.0).contains(&rate), "{rate}");
}

#[test]
fn ten_minutes_are_kept_and_the_beginning_is_found() {
    let (mut world, mut rates) = (World::new(4), Rates::default());
    let quiet = [Flow::new(TrafficClass::Udp, 100.0, 0)];
    for _ in 0..7_000 {
        rates.read(world.pass(&quiet));
    }
    assert_eq!(rates.history().count(), SECONDS);
    assert_eq!(rates.since_above(Vector::Udp, 5_000.0), Duration::ZERO);
    let loud = [Flow::new(TrafficClass::Udp, 20_000.0, 0)];
    for _ in 0..300 {
        rates.read(world.pass(&loud));
    }
    let since = rates.since_above(Vector::Udp, 5_000.0).as_secs_f64();
    assert!((29.0..31.5).contains(&since), "{since}");
}

proptest! {
    #[test]
    fn any_readings_give_finite_rates_in_bounded_room(
        readings in prop::collection::vec(
            (0..20_000_u64, any::<u32>(), any::<u32>(), 0..64_usize, any::<bool>()), 1..60),
    ) {
        let mut rates = Rates::default();
        let mut world = World::new(0);
        for (step, packets, stopped, reason, is_reset) in readings {
            let snapshot = &mut world.snapshot;
            snapshot.elapsed += millis(step);
            if is_reset {
                snapshot.traffic[4] = Counter::default();
            }
            snapshot.traffic[4].packets += u64::from(packets);
            snapshot.traffic[4].bytes += u64::from(packets) * 60;
            snapshot.counters[reason].packets += u64::from(stopped);
            rates.read(snapshot);
            for window in [FAST, BRISK, STEADY, LONG] {
                let rate = rates.over(window).rate(Vector::Udp);
                prop_assert!(rate.packets.is_finite() && rate.packets >= 0.0);
                prop_assert!(rate.passed >= 0.0 && rate.passed <= rate.packets);
            }
            prop_assert!(rates.ticks.len() <= TICKS && rates.totals.len() <= SECONDS);
        }
    }
}
