//! Ceilings of services: who goes first when a service is sent more than it can take.

use std::net::IpAddr;

use filter_common::{
    abi::{
        reason::Reason::{
            Allowed, Blocked, CeilingFull, CeilingHeavy, CeilingNew, Clean, LimitUdp, RuleDrop,
            RulePass,
        },
        service::{Service, ServiceCounter},
        settings::Class,
    },
    logic::bucket::{FRACTION_BITS, HALF_RANGE, Limit},
};
use filter_user::dataplane::Dataplane as _;

use crate::{
    bench::Bench,
    force::{Force, only},
    frame::{TCP, UDP, syn, udp, v4, v6},
    row::{Row, Scenario, row},
};

/// The protected host of IPv4 frames, and that of IPv6 frames.
const HERE: &str = "203.0.113.1/32";
const HERE6: &str = "2001:db8:ffff::1/128";

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a ceiling in packets",
            force: calm().service(HERE, TCP, 443, packets(4, hz)),
            rows: packet_rows(),
        },
        Scenario {
            name: "a ceiling in bytes",
            force: calm().service(HERE6, UDP, 443, bytes(4000, hz)),
            rows: byte_rows(),
        },
        Scenario {
            name: "shares of a ceiling",
            force: calm().service(HERE, UDP, 444, both(60, 16_000, hz)),
            rows: share_rows(),
        },
        Scenario {
            name: "ceilings hold for what limits spare",
            force: calm()
                .rule("pass udp dport 445 from 198.51.100.32/28")
                .rule("drop udp dport 445 from 198.51.100.48")
                .service(HERE, UDP, 445, packets(4, hz))
                .allow("198.51.100.16/28")
                .block("198.51.100.64/32")
                .with(|settings| {
                    settings.source.limits[Class::Udp as usize] = only(1, hz);
                    settings.source.always = Class::Udp.bit();
                }),
            rows: spared_rows(),
        },
        Scenario {
            name: "services that share packets",
            force: calm().service(HERE, UDP, 446, packets(1, hz)).service(
                "203.0.113.0/24",
                UDP,
                446,
                packets(4, hz),
            ),
            rows: vec![
                row("a packet of both", to("192.0.2.151", 446), CeilingNew),
                row(
                    "one of the second alone",
                    v4("192.0.2.151", UDP, udp(1024, 446))
                        .to("203.0.113.2")
                        .frame(),
                    Clean,
                ),
            ],
        },
        Scenario {
            name: "a service without a ceiling",
            force: calm().service(HERE, UDP, 447, Service::default()),
            rows: (0..5)
                .map(|_| row("has room for any packet", to("192.0.2.152", 447), Clean))
                .collect(),
        },
        Scenario {
            name: "ceilings that are only watched",
            force: calm()
                .service(HERE, UDP, 448, both(60, 16_000, hz))
                .allow("198.51.100.97/32")
                .with(|settings| settings.enforced = 0),
            rows: watched_rows(),
        },
    ]
}

/// Sources are known for the time of the test.
fn calm() -> Force {
    Force::new().with(|settings| settings.seen_log2 = 40)
}

/// Room for so many packets; one comes back in four seconds.
fn packets(most: u64, hz: u64) -> Service {
    Service {
        packets: slow(most, hz),
        bytes: Limit::default(),
    }
}

/// Room for so many bytes; 256 come back in four seconds.
fn bytes(most: u64, hz: u64) -> Service {
    let limit = slow(most, hz);
    let depth = limit.interval * most / 256 + (1 << FRACTION_BITS);
    Service {
        packets: Limit::default(),
        bytes: Limit { depth, ..limit },
    }
}

fn both(most: u64, most_bytes: u64, hz: u64) -> Service {
    Service {
        packets: packets(most, hz).packets,
        bytes: bytes(most_bytes, hz).bytes,
    }
}

fn slow(most: u64, hz: u64) -> Limit {
    let interval = (4 * hz) << FRACTION_BITS;
    Limit {
        interval,
        depth: interval * most + (1 << FRACTION_BITS),
        horizon: HALF_RANGE,
    }
}

fn to(source: &str, port: u16) -> Vec<u8> {
    v4(source, UDP, udp(1024, port)).frame()
}

/// A datagram whose frame has so many bytes.
fn long(source: &str, port: u16, length: usize) -> Vec<u8> {
    let source: IpAddr = source.parse().expect("an address");
    let headers = if source.is_ipv4() { 14 + 20 } else { 14 + 40 };
    let mut datagram = udp(1024, port);
    datagram.resize(length - headers, 0);
    match source {
        IpAddr::V4(source) => v4(&source.to_string(), UDP, datagram).frame(),
        IpAddr::V6(source) => v6(&source.to_string(), UDP, datagram).frame(),
    }
}

fn packet_rows() -> Vec<Row> {
    let (known, new) = ("192.0.2.141", "192.0.2.142");
    let open = |source: &str| v4(source, TCP, syn(443)).frame();
    vec![
        row("in calm a source becomes known", open(known), Clean),
        row("and may send more", open(known), Clean),
        row(
            "while newcomers have half of the room",
            open(new),
            CeilingNew,
        ),
        row("and the known all of it", open(known), Clean),
        row("up to the last packet", open(known), Clean),
        row("and no further", open(known), CeilingFull),
        row("nor a newcomer", open(new), CeilingNew),
        row(
            "another port is no service",
            v4(new, TCP, syn(80)).frame(),
            Clean,
        ),
        row(
            "nor another host",
            v4(new, TCP, syn(443)).to("203.0.113.2").frame(),
            Clean,
        ),
        row(
            "nor IPv6, of a service with one address of IPv4",
            v6("2001:db8:141::1", TCP, syn(443)).frame(),
            Clean,
        ),
    ]
}

fn byte_rows() -> Vec<Row> {
    let (known, new) = ("2001:db8:143::1", "2001:db8:144::1");
    vec![
        row("a short datagram in calm", long(known, 443, 100), Clean),
        row(
            "a long one of a known source",
            long(known, 443, 1500),
            Clean,
        ),
        row(
            "one of a newcomer that would be above the half",
            long(new, 443, 1000),
            CeilingNew,
        ),
        row(
            "one of a source in the /64 of the known",
            long("2001:db8:143::2", 443, 1500),
            Clean,
        ),
        row(
            "one for which no room is left",
            long(known, 443, 1500),
            CeilingFull,
        ),
        row("one for which there is", long(known, 443, 100), Clean),
    ]
}

/// A source may send 32 packets beyond its share, which is the whole ceiling at most.
fn share_rows() -> Vec<Row> {
    let (heavy, light) = ("192.0.2.145", "192.0.2.146");
    let mut rows = vec![
        row("a known source", to(heavy, 444), Clean),
        row("another", to(light, 444), Clean),
        row("a long datagram takes half", long(heavy, 444, 8200), Clean),
    ];
    rows.extend((0..31).map(|_| row("within the burst of a share", to(heavy, 444), Clean)));
    rows.extend([
        row("above its share", to(heavy, 444), CeilingHeavy),
        row("the light has its own", to(light, 444), Clean),
        row("the heavy is still above", to(heavy, 444), CeilingHeavy),
    ]);
    rows
}

fn spared_rows() -> Vec<Row> {
    let (allowed, passed) = ("198.51.100.17", "198.51.100.33");
    vec![
        row("the allowed in calm", to(allowed, 445), Allowed),
        row(
            "and again, for no limit is theirs",
            to(allowed, 445),
            Allowed,
        ),
        row(
            "one that is allowed goes before other newcomers",
            to("198.51.100.18", 445),
            Allowed,
        ),
        row("one that a rule passes", to(passed, 445), CeilingNew),
        row("the rest of the room", to(allowed, 445), Allowed),
        row("the allowed without room", to(allowed, 445), CeilingFull),
        row(
            "what is dropped before has its own reason",
            to("198.51.100.48", 445),
            RuleDrop,
        ),
        row("so have the blocked", to("198.51.100.64", 445), Blocked),
        row("elsewhere the rule passes", to(passed, 80), Clean),
        row("what the rule says, not all", to(passed, 80), LimitUdp),
        row("and the allow of all", to("198.51.100.18", 80), Allowed),
    ]
}

fn watched_rows() -> Vec<Row> {
    let (known, new) = ("192.0.2.147", "192.0.2.148");
    let mut rows = vec![
        row("a known source", to(known, 448), Clean),
        row("a long datagram takes half", long(known, 448, 8200), Clean),
        row("a newcomer", to(new, 448), Clean).observed(CeilingNew),
        row("one that is allowed", to("198.51.100.97", 448), Allowed),
    ];
    rows.extend((0..31).map(|_| row("within the burst of a share", to(known, 448), Clean)));
    rows.extend([
        row("above its share", to(known, 448), Clean).observed(CeilingHeavy),
        row("without room", long(known, 448, 9000), Clean).observed(CeilingFull),
    ]);
    rows
}

#[test]
fn a_service_counts_what_it_was_sent() {
    let mut bench = Bench::new();
    let hz = bench.hz();
    let force = calm()
        .rule("pass udp dport 449 from 192.0.2.149")
        .service(HERE, UDP, 450, packets(4, hz))
        .service(HERE, UDP, 449, packets(4, hz));
    bench.put(&force);
    for (frame, reason) in [
        (to("192.0.2.149", 449), RulePass),
        (to("192.0.2.149", 449), RulePass),
        (to("192.0.2.150", 449), CeilingNew),
        (to("192.0.2.149", 449), RulePass),
        (to("192.0.2.149", 449), RulePass),
        (to("192.0.2.149", 449), CeilingFull),
    ] {
        bench.run(&frame).assert(&frame, reason, None, true);
    }
    let fares = bench.kernel.services(2).expect("services are read");
    assert_eq!(fares[0].counter, Default::default());
    let counter = fares[1].counter;
    assert_eq!(
        (
            counter.passed,
            counter.dropped_new,
            counter.dropped_heavy,
            counter.dropped_known
        ),
        (4, 1, 0, 1)
    );
}

/// They are known for two days of data, and not for having been seen a moment ago.
#[test]
fn who_is_known_good_goes_before_newcomers_and_no_further_than_the_ceiling() {
    let mut bench = Bench::new();
    let hz = bench.hz();
    bench.put(&calm().service(HERE, UDP, 452, packets(4, hz)));
    bench.know(&[
        ("192.0.2.161", 20_000..20_002),
        ("192.0.2.162", 20_000..20_001),
    ]);
    for (source, reason) in [
        ("192.0.2.160", Clean),
        ("192.0.2.160", Clean),
        ("192.0.2.163", CeilingNew),
        ("192.0.2.162", CeilingNew),
        ("192.0.2.161", Clean),
        ("192.0.2.161", Clean),
        ("192.0.2.161", CeilingFull),
    ] {
        let frame = to(source, 452);
        bench.run(&frame).assert(&frame, reason, None, true);
    }
}

/// Known sources offer eight times what the bucket of a ceiling holds, of which little comes back
/// meanwhile: no more passes than the bucket held and that.
#[test]
fn a_ceiling_holds_for_sources_that_are_known() {
    const BURST: u64 = 400;
    const RATE: u64 = 40;
    const LENGTH: u64 = 1000;
    let mut bench = Bench::new();
    let hz = bench.hz();
    let packets = Limit::new(RATE, BURST, hz, 1).expect("the bucket holds it");
    let bytes = Limit::of_bytes(RATE * LENGTH, BURST * LENGTH, hz, 1).expect("likewise");
    let none = Limit::default();
    let mut network = 0;
    for (what, packets, bytes) in [
        ("packets", packets, none),
        ("bytes", none, bytes),
        ("both", packets, bytes),
    ] {
        for sources in [1, 8, 64] {
            let case = format!("a ceiling in {what}, {sources} sources");
            bench.put(&calm().service(HERE, UDP, 451, Service { packets, bytes }));
            network += 1;
            let frames: Vec<Vec<u8>> = (1..=sources)
                .map(|host| long(&format!("10.0.{network}.{host}"), 451, LENGTH as usize))
                .collect();
            let before = counter(&mut bench);
            let begun = bench.kernel.tick().expect("the clock runs");
            for frame in frames.iter().cycle().take(8 * BURST as usize) {
                bench.kernel.run(frame).expect("the program runs");
            }
            let took = bench.kernel.tick().expect("the clock runs") - begun;
            let after = counter(&mut bench);
            let passed = after.passed - before.passed;
            let known = after.dropped_heavy + after.dropped_known
                - before.dropped_heavy
                - before.dropped_known;
            assert_eq!(
                (passed + known, after.dropped_new),
                (8 * BURST, 0),
                "{case}: all are known"
            );
            // A bucket has a tick beyond its room; the first and the last tick are not whole.
            let most = BURST + (took + 3) * RATE / hz + 1;
            assert!(
                passed <= most,
                "{case}: {passed} passed, and {most} may in {took} ticks"
            );
            assert!(
                sources < 64 || passed >= BURST,
                "{case}: so many use all of it, not {passed}"
            );
        }
    }
}

fn counter(bench: &mut Bench) -> ServiceCounter {
    bench.kernel.services(1).expect("services are read")[0].counter
}
