use std::time::Duration;

use filter_common::abi::{counter::Counter, reason::Reason, traffic::TrafficClass};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::detect::{
    input::Fate,
    output::{Report, Spoofed},
    testing::{Flow, Senders, World, calm},
};

/// A controller in a world, and what it told.
struct Life {
    world: World,
    controller: Controller,
    news: Vec<News>,
    /// The first time each vector was under attack.
    attacks: Vec<(Duration, Vector, Target)>,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            controller: Controller::new(Detection::default(), Memory::default()),
            news: Vec::new(),
            attacks: Vec::new(),
        }
    }

    fn pass(&mut self, flows: &[Flow], time: Duration) {
        let end = self.world.snapshot.elapsed + time;
        while self.world.snapshot.elapsed < end {
            let snapshot = self.world.pass(flows);
            let output = self.controller.step(snapshot);
            self.news.extend(output.news);
            for vector in &self.controller.view().vectors {
                let is_told = |(_, known, target): &(Duration, Vector, Target)| {
                    *known == vector.vector && *target == vector.target
                };
                if vector.phase == Phase::Attack && !self.attacks.iter().any(is_told) {
                    let attack = (snapshot.elapsed, vector.vector, vector.target.clone());
                    self.attacks.push(attack);
                }
            }
        }
    }

    fn reports(&self) -> Vec<&Report> {
        let of = |news: &'_ News| matches!(news, News::Closed(_));
        let closed = self.news.iter().filter(|news| of(news));
        closed
            .filter_map(|news| match news {
                News::Closed(report) => Some(report.as_ref()),
                News::Opened(_) | News::Updated(_) | News::Notice(_) => None,
            })
            .collect()
    }

    fn phase(&self, vector: Vector) -> Phase {
        let view = self.controller.view();
        let found = view.vectors.iter().find(|found| found.vector == vector);
        found.map_or(Phase::Calm, |found| found.phase)
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn with(flow: Flow) -> Vec<Flow> {
    let mut flows = calm();
    flows.push(flow);
    flows
}

fn anybody(class: TrafficClass, rate: f64, port: u16) -> Flow {
    Flow::new(class, rate, port).from(Senders::Anybody)
}

/// Every row of the catalogue that is a class of its own.
fn floods() -> Vec<(Vector, Flow)> {
    use TrafficClass as Class;
    let few = |class, port| Flow::new(class, 200_000.0, port).from(Senders::Hosts(3));
    vec![
        (Vector::Syn, anybody(Class::Syn, 300_000.0, 443)),
        (Vector::Syn, few(Class::Syn, 443)),
        (Vector::Syn, anybody(Class::Syn, 8_000.0, 9_999)),
        (
            Vector::SynAck,
            Flow::new(Class::SynAck, 200_000.0, 0).from(Senders::Hosts(5_000)),
        ),
        (Vector::Ack, anybody(Class::Ack, 200_000.0, 443)),
        (Vector::Ack, few(Class::Ack, 443).stopped(Reason::NoSocket)),
        (Vector::Close, anybody(Class::Close, 100_000.0, 443)),
        (Vector::Udp, anybody(Class::Udp, 200_000.0, 0)),
        (Vector::Udp, anybody(Class::Udp, 200_000.0, 5_060)),
        (
            Vector::Udp,
            Flow::new(Class::Udp, 500_000.0, 0).from(Senders::Hosts(10_000)),
        ),
        (
            Vector::Reflection,
            Flow {
                length: 1_200,
                ..Flow::new(Class::Reflected, 100_000.0, 0).from(Senders::Hosts(4_000))
            },
        ),
        (Vector::Icmp, anybody(Class::Icmp, 50_000.0, 0)),
        (Vector::Icmp, few(Class::Icmp, 0).stopped(Reason::LimitEcho)),
        (Vector::Fragments, anybody(Class::Fragment, 100_000.0, 0)),
        (Vector::Protocols, anybody(Class::Protocol, 100_000.0, 0)),
        (
            Vector::Malformed,
            anybody(Class::Malformed, 50_000.0, 0).stopped(Reason::Malformed),
        ),
    ]
}

#[test]
fn every_flood_is_noticed_within_half_a_second() {
    for (index, (vector, flow)) in floods().into_iter().enumerate() {
        let mut life = Life::new(index as u64);
        life.pass(&calm(), seconds(20));
        assert_eq!(life.attacks, [], "{vector}: calm is no attack");
        let began = life.world.snapshot.elapsed;
        life.pass(&with(flow), seconds(1));
        let found = life.attacks.iter().find(|(_, found, _)| *found == vector);
        let Some((at, ..)) = found else {
            panic!("{flow:?}: {:?}", life.controller.view().vectors);
        };
        let after = *at - began;
        assert!(after <= Duration::from_millis(500), "{vector}: {after:?}");
        let others: Vec<_> = life
            .attacks
            .iter()
            .filter(|(_, o, _)| *o != vector)
            .collect();
        assert!(others.is_empty(), "{vector}: besides {others:?}");
    }
}

#[test]
fn a_syn_flood_is_one_incident_from_its_first_packet_to_its_last() {
    let mut life = Life::new(1);
    life.pass(&calm(), seconds(30));
    let before = life.world.snapshot.now;
    life.pass(
        &with(anybody(TrafficClass::Syn, 100_000.0, 443)),
        seconds(2),
    );
    let met = anybody(TrafficClass::Syn, 100_000.0, 443).stopped(Reason::CookieAnswered);
    life.pass(&with(met), seconds(8));
    let service = Target::Service {
        protocol: 6,
        port: 443,
    };
    assert_eq!(life.controller.view().incident, Some(1));
    let ended = life.world.snapshot.now;
    life.pass(&calm(), seconds(70));

    assert_eq!(life.attacks.len(), 1, "{:?}", life.attacks);
    let reports = life.reports();
    let [report] = reports.as_slice() else {
        panic!("{:?}", life.news);
    };
    let near = |time: Timestamp, wanted: Timestamp, millis: i64| {
        let apart = (time.as_millisecond() - wanted.as_millisecond()).abs();
        assert!(apart <= millis, "{time} is not near {wanted}");
    };
    assert_eq!(report.id, 1);
    near(report.first, before, 200);
    near(report.detected, before, 500);
    near(report.mitigated.unwrap(), before + seconds(2), 500);
    near(report.end.unwrap(), ended, 2_500);
    let [vector] = report.vectors.as_slice() else {
        panic!("{:?}", report.vectors);
    };
    assert_eq!((vector.vector, &vector.target), (Vector::Syn, &service));
    assert_eq!(vector.spoofed, Spoofed::Forged);
    assert!((90_000.0..115_000.0).contains(&vector.peak_packets));
    assert!((80_000.0..110_000.0).contains(&vector.mean_packets));
    assert!(
        (0.75e6..0.85e6).contains(&(report.stopped as f64)),
        "{}",
        report.stopped
    );
    assert!(
        (0.1e6..0.25e6).contains(&(report.passed as f64)),
        "{}",
        report.passed
    );
    assert_eq!(report.good_stopped, 0);
    assert!(!report.sources.iter().any(|source| !source.may_be_forged));
    let updates = life
        .news
        .iter()
        .filter(|news| matches!(news, News::Updated(_)));
    assert!(updates.count() < 40, "{:?}", life.news.len());
    assert_eq!(life.controller.view().incident, None);
    assert_eq!(life.controller.memory().next_incident, 2);
}

#[test]
fn a_crowd_that_completes_its_handshakes_is_never_attacked() {
    let mut life = Life::new(7);
    life.pass(&calm(), seconds(60));
    // Fifty times as many in two minutes.
    for second in 0..180_u32 {
        let times = 1.0 + 49.0 * f64::from(second.min(120)) / 120.0;
        let crowd: Vec<Flow> = calm()
            .into_iter()
            .map(|flow| Flow {
                rate: flow.rate * times,
                senders: Senders::Hosts(300 + 60 * second),
                ..flow
            })
            .collect();
        life.pass(&crowd, seconds(1));
    }
    assert_eq!(life.attacks, []);
    assert!(life.reports().is_empty());
}

#[test]
fn backups_and_tunnels_are_no_attack_and_become_usual() {
    let mut life = Life::new(3);
    life.pass(&calm(), seconds(20));
    let one = Senders::Hosts(1);
    let mut busy = calm();
    busy.push(
        Flow::new(TrafficClass::Ack, 400_000.0, 22)
            .from(one)
            .proven(),
    );
    busy.push(Flow::new(TrafficClass::Udp, 60_000.0, 5_060).from(one));
    life.pass(&busy, seconds(5));
    assert_eq!(life.phase(Vector::Udp), Phase::Suspected);
    life.world.step = Duration::from_millis(500);
    life.pass(&busy, seconds(620));
    assert_eq!(life.attacks, []);
    assert_eq!(
        life.phase(Vector::Udp),
        Phase::Calm,
        "tolerated after ten minutes: {:?}",
        life.controller.view().vectors
    );
    assert_eq!(life.phase(Vector::Ack), Phase::Calm);
    // And a flood beside them still is one.
    busy.push(anybody(TrafficClass::Udp, 300_000.0, 0));
    life.world.step = Duration::from_millis(100);
    life.pass(&busy, seconds(1));
    assert_eq!(life.phase(Vector::Udp), Phase::Attack);
}

#[test]
fn pulses_are_remembered() {
    let mut life = Life::new(4);
    life.pass(&calm(), seconds(10));
    let flood = with(anybody(TrafficClass::Udp, 200_000.0, 0));
    for pulse in 0..4 {
        life.pass(
            &flood,
            Duration::from_millis(if pulse == 0 { 500 } else { 200 }),
        );
        assert_eq!(life.phase(Vector::Udp), Phase::Attack, "pulse {pulse}");
        life.pass(&flood, seconds(9));
        life.pass(&calm(), seconds(20));
        assert_eq!(life.phase(Vector::Udp), Phase::Recovering, "pulse {pulse}");
    }
    // The fourth return doubled 60 s three times.
    life.pass(&calm(), seconds(400));
    assert_eq!(life.phase(Vector::Udp), Phase::Recovering);
    life.pass(&calm(), seconds(100));
    assert_eq!(life.phase(Vector::Udp), Phase::Calm);
    assert_eq!(life.reports().len(), 1, "one incident");
}

#[test]
fn a_carpet_is_one_attack_on_a_prefix() {
    let mut life = Life::new(5);
    life.pass(&calm(), seconds(10));
    let carpet = Flow {
        destinations: 200,
        ..anybody(TrafficClass::Udp, 150_000.0, 0)
    };
    life.pass(&with(carpet), seconds(3));
    let prefix = "203.0.113.0/24".parse().unwrap();
    let view = life.controller.view();
    let targets: Vec<_> = view.vectors.iter().map(|vector| &vector.target).collect();
    assert_eq!(targets, [&Target::Prefix { prefix }]);
}

#[test]
fn a_day_without_calm_is_told_and_learned() {
    let mut life = Life::new(6);
    life.pass(&calm(), seconds(20));
    let flood = with(anybody(TrafficClass::Udp, 30_000.0, 0));
    life.pass(&flood, seconds(5));
    let usual = |life: &Life| {
        let memory = life.controller.memory();
        let (now, config) = (life.world.snapshot.now, Detection::default());
        memory
            .baselines
            .normal(Vector::Udp, &Target::Host, now, &config)
    };
    let before = usual(&life);
    life.world.step = seconds(20);
    life.pass(&flood, seconds(23 * 3_600));
    assert_eq!(usual(&life), before, "frozen");
    life.pass(&flood, seconds(3 * 3_600));
    let notices = life
        .news
        .iter()
        .filter(|news| matches!(news, News::Notice(text) if text.contains("24 hours")));
    assert_eq!(notices.count(), 1);
    assert!(usual(&life).usual > before.usual, "learns again");
}

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
        prop_assert!(one.memory().baselines.len() <= 11 + crate::detect::baseline::SERVICES);
        prop_assert!(one.watch.len() <= 11 * 17);
        prop_assert!(one.view().sources.len() <= SOURCES);
    }
}

#[test]
#[ignore = "a measurement, not a test: run it in a release build"]
fn cost_of_a_step() {
    let mut life = Life::new(1);
    life.pass(&calm(), seconds(20));
    let flows: Vec<Flow> = TrafficClass::ALL
        .iter()
        .map(|class| anybody(*class, 2e6, 0))
        .chain(calm())
        .collect();
    let mut most = Duration::ZERO;
    let mut sum = Duration::ZERO;
    for step in 0..200_u32 {
        let mut snapshot = life.world.pass(&flows).clone();
        let seen = snapshot.observed.clone();
        for round in 0..100_u32 {
            snapshot
                .observed
                .extend(seen.iter().cloned().map(|mut packet| {
                    let word = rand(step * 100_000 + round * 50 + packet.hops as u32);
                    packet.source = std::net::Ipv4Addr::from(word).into();
                    packet
                }));
        }
        #[allow(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        life.controller.step(&snapshot);
        let took = start.elapsed();
        most = most.max(took);
        sum += took;
    }
    println!("{:?} at most, {:?} on average", most, sum / 200);
}
#[cfg(test)]
fn rand(x: u32) -> u32 {
    crate::detect::sketch::mix(x as u64) as u32
}
