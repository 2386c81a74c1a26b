use std::time::Duration;

use filter_common::abi::{reason::Reason, traffic::TrafficClass};
use jiff::Timestamp;

use super::*;
use crate::detect::{
    input::Fate,
    output::{Report, Spoofed},
    testing::{Flow, Senders, World, calm},
};

mod bounds;

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
    assert!(
        report.actions.len() >= 2,
        "on and off: {:?}",
        report.actions
    );
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
fn who_would_be_hit_is_told_before_anything_is_enforced() {
    let mut life = Life::new(9);
    life.pass(&calm(), seconds(20));
    assert_eq!(life.controller.view().hit, []);
    let watched = Flow {
        fate: Fate::Watched(Reason::LimitSyn),
        ..Flow::new(TrafficClass::Syn, 500.0, 443).from(Senders::Hosts(1))
    };
    life.pass(&with(watched.proven()), seconds(20));
    let [hit] = &life.controller.view().hit[..] else {
        panic!("{:?}", life.controller.view().hit);
    };
    assert_eq!((&*hit.reason, hit.stopped), ("limit_syn", false));
    assert!((5_000..15_000).contains(&hit.packets), "{hit:?}");
    // Who is answered with a cookie gets a connection.
    let mut life = Life::new(9);
    let answered = watched.proven().stopped(Reason::CookieAnswered);
    life.pass(&with(answered), seconds(20));
    let view = life.controller.view();
    assert_eq!((&*view.hit, view.good_dropped), (&[][..], 0.0));
    // Strangers are no such case.
    let mut life = Life::new(9);
    life.pass(&with(watched), seconds(20));
    assert_eq!(life.controller.view().hit, []);
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
fn an_attack_on_who_is_new_and_busy_is_over_when_it_is() {
    // A host whose everyday datagrams are above the floor, and a controller that began a minute ago.
    let mut life = Life::new(12);
    let mut busy = with(Flow::new(TrafficClass::Udp, 11_000.0, 5_060));
    life.pass(&busy, seconds(60));
    assert_eq!(life.attacks, []);
    let flood = anybody(TrafficClass::Udp, 500_000.0, 0).stopped(Reason::ClosedUdp);
    busy.push(flood);
    life.pass(&busy, seconds(10));
    assert_eq!(life.phase(Vector::Udp), Phase::Attack);
    busy.pop();
    life.pass(&busy, seconds(3));
    assert_eq!(life.phase(Vector::Udp), Phase::Recovering);
    life.pass(&busy, seconds(62));
    assert_eq!(life.reports().len(), 1);
    assert_eq!(life.controller.view().incident, None);
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
fn in_monitor_mode_everything_is_noticed_and_nothing_counts_as_stopped() {
    let mut life = Life::new(10);
    life.pass(&calm(), seconds(10));
    let watched = Flow {
        fate: Fate::Watched(Reason::NoSocket),
        ..anybody(TrafficClass::Ack, 50_000.0, 443)
    };
    life.pass(&with(watched), seconds(5));
    assert_eq!(life.phase(Vector::Ack), Phase::Attack);
    life.pass(&calm(), seconds(70));
    let reports = life.reports();
    let [report] = reports.as_slice() else {
        panic!("{:?}", life.news);
    };
    assert_eq!((report.mitigated, report.stopped), (None, 0));
    assert!(report.passed > 150_000, "{}", report.passed);
    let words = &report.vectors[0].evidence;
    assert!(words.contains("belong to nothing of this host"), "{words}");
}

#[test]
fn the_view_tells_who_is_hit_that_should_not_be() {
    let mut life = Life::new(11);
    life.pass(&calm(), seconds(5));
    assert_eq!(life.controller.view().good_dropped, 0.0);
    let hit = Flow::new(TrafficClass::Ack, 500.0, 443).proven();
    life.pass(&with(hit.stopped(Reason::LimitAll)), seconds(5));
    let view = life.controller.view();
    assert!(
        (300.0..700.0).contains(&view.good_dropped),
        "{}",
        view.good_dropped
    );
    assert_eq!(view.rates.len(), TrafficClass::ALL.len());
    assert!(view.history.len() >= 9 && view.history.len() <= 10);
    assert!(
        view.history
            .last()
            .is_some_and(|second| second.stopped > 300.0)
    );
    assert_eq!(view.bottleneck, None);
}

#[test]
fn a_backup_at_another_port_hides_no_connection_flood() {
    let mut life = Life::new(21);
    let backup = Flow::new(TrafficClass::Ack, 400_000.0, 22)
        .from(Senders::Hosts(1))
        .proven();
    let mut flows = with(backup);
    life.pass(&flows, seconds(20));
    flows.push(Flow {
        completes: 1.0,
        ..Flow::new(TrafficClass::Syn, 9_000.0, 443)
    });
    flows.push(Flow::new(TrafficClass::Ack, 9_000.0, 443));
    life.pass(&flows, seconds(2));
    assert_eq!(life.phase(Vector::Connections), Phase::Attack);
}

#[test]
fn what_belongs_to_nothing_is_unusual_however_much_data_there_is_else() {
    let mut life = Life::new(22);
    let data = |rate| Flow::new(TrafficClass::Ack, rate, 443).proven();
    life.pass(&[data(19_000.0)], seconds(700));
    let flood = anybody(TrafficClass::Ack, 22_000.0, 443).stopped(Reason::NoSocket);
    life.pass(&[data(5_000.0), flood], seconds(2));
    assert_eq!(life.phase(Vector::Ack), Phase::Attack);
}
