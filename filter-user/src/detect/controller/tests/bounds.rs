use filter_common::abi::counter::Counter;
use proptest::prelude::*;

use super::*;
use crate::detect::baseline::SERVICES;

#[test]
fn readings_without_packets_resets_and_wild_clocks_are_survived() {
    let mut life = Life::new(8);
    life.pass(&calm(), seconds(10));
    // New maps begin with nothing.
    life.world.snapshot.traffic = [Counter::default(); 11];
    for counter in life.world.snapshot.counters.iter_mut() {
        *counter = Counter::default();
    }
    life.pass(&calm(), seconds(5));
    for year in ["1970-01-02", "2190-06-01", "2025-11-24"] {
        life.world.snapshot.now = format!("{year}T00:00:00Z").parse().unwrap();
        life.pass(&calm(), seconds(5));
    }
    // The clock of the world stands still.
    let snapshot = life.world.snapshot.clone();
    let quiet = life.controller.step(&snapshot);
    assert_eq!(quiet.news, []);
    assert_eq!(life.attacks, []);
    life.pass(&[], seconds(30));
    let total: f64 = life
        .controller
        .view()
        .rates
        .iter()
        .map(|rate| rate.packets)
        .sum();
    assert!(total < 1e-9);
    // Without a single observed packet, and with the clock set while it lasts.
    let flood = with(anybody(TrafficClass::Syn, 100_000.0, 443));
    for step in 0..100 {
        let mut blind = life.world.pass(&flood).clone();
        blind.observed.clear();
        if step == 50 {
            life.world.snapshot.now = "2031-01-01T00:00:00Z".parse().unwrap();
        }
        life.news.extend(life.controller.step(&blind).news);
    }
    assert_eq!(life.phase(Vector::Syn), Phase::Attack);
    life.pass(&calm(), seconds(65));
    let reports = life.reports();
    let [report] = reports.as_slice() else {
        panic!("{:?}", life.news);
    };
    let lasted = report.end.unwrap().as_second() - report.first.as_second();
    assert!((9..13).contains(&lasted), "{lasted} s");
}

#[test]
fn a_restart_keeps_what_was_learned() {
    let mut life = Life::new(9);
    life.world.step = seconds(1);
    life.pass(&calm(), seconds(1_000));
    let text = serde_json::to_string(life.controller.memory()).unwrap();
    let memory: Memory = serde_json::from_str(&text).unwrap();
    assert_eq!(memory.baselines, life.controller.memory().baselines);
    let other = Controller::new(Detection::default(), memory);
    let config = Detection::default();
    let normal = other.memory().baselines.normal(
        Vector::Ack,
        &Target::Host,
        life.world.snapshot.now,
        &config,
    );
    assert!((1_500.0..2_500.0).contains(&normal.usual.unwrap()));
    let empty: Memory = serde_json::from_str(r#"{"next_incident":7}"#).unwrap();
    assert_eq!(empty.next_incident, 7);
}

fn any_flow() -> impl Strategy<Value = Flow> {
    (
        0..11_usize,
        0.0..400_000.0_f64,
        prop_oneof![Just(0_u16), Just(443), Just(5_060), Just(7_777)],
        prop_oneof![
            (1..20_000_u32).prop_map(Senders::Hosts),
            Just(Senders::Anybody)
        ],
        0..4_usize,
        any::<bool>(),
    )
        .prop_map(|(class, rate, port, senders, fate, is_proven)| Flow {
            fate: [
                Fate::Passed,
                Fate::Stopped(Reason::NoSocket),
                Fate::Stopped(Reason::LimitAll),
                Fate::Watched(Reason::Banned),
            ][fate],
            is_proven,
            completes: 0.3,
            ..Flow::new(TrafficClass::ALL[class], rate, port).from(senders)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_input_gives_the_same_output_within_bounds(
        seed in any::<u64>(),
        scenes in prop::collection::vec((prop::collection::vec(any_flow(), 0..4), 1..20_u64), 1..6),
    ) {
        let mut one = Controller::new(Detection::default(), Memory::default());
        let mut two = Controller::new(Detection::default(), Memory::default());
        let mut world = World::new(seed);
        for (flows, steps) in scenes {
            for _ in 0..steps {
                let mut flows = flows.clone();
                flows.extend(calm());
                let snapshot = world.pass(&flows);
                prop_assert_eq!(one.step(snapshot), two.step(snapshot));
                prop_assert_eq!(one.view(), two.view());
            }
        }
        prop_assert_eq!(one.memory(), two.memory());
        prop_assert!(one.memory().baselines.len() <= 11 + SERVICES);
        prop_assert!(one.watch.len() <= 11 * 17);
        prop_assert!(one.view().sources.len() <= SOURCES);
    }
}
