//! Rules: the first that matches decides.

use filter_common::abi::{
    reason::Reason::{
        Allowed, Blocked, Clean, LimitUdp, Listed, RuleDrop, RuleLimit, RulePass, TcpFlags,
    },
    settings::Class,
};
use filter_user::dataplane::Dataplane as _;

use crate::{
    bench::Bench,
    force::{Force, only},
    frame::{ACK, FIN, SYN, TCP, UDP, icmp, syn, tagged, tcp, udp, v4, v6},
    row::{Row, Scenario, row},
};

/// A tick long ago: jiffies start five minutes before 2³².
const ENDED: u64 = 1;

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    vec![
        Scenario {
            name: "rules that drop and pass",
            force: decisive(hz),
            rows: decisive_rows(),
        },
        Scenario {
            name: "rules that limit",
            force: Force::new()
                .rule("limit 1/s burst 2 udp dport 7000")
                .rule("limit 1/s burst 1 per source udp dport 7001")
                .rule("drop udp dport 7000-7001 from 198.51.100.0/24"),
            rows: limit_rows(),
        },
        Scenario {
            name: "rules that do nothing",
            force: Force::new()
                .rule("shadow drop udp dport 7100")
                .rule("shadow pass udp dport 7100")
                .rule("shadow limit 1/s burst 1 udp dport 7101")
                .rule_until("drop udp dport 7100-7199", ENDED)
                .rule_until("pass udp dport 7150", ENDED)
                .rule("drop udp dport 7150"),
            rows: idle_rows(),
        },
        Scenario {
            name: "rules about fragments",
            force: Force::new()
                .rule("drop udp dport 7200")
                .rule("drop udp sport < 65000 to 203.0.113.0/24")
                .rule("drop ip fragment later from 192.0.2.77"),
            rows: fragment_rows(),
        },
        Scenario {
            name: "rules about payloads",
            force: Force::new()
                .rule("drop udp payload 0x64617461 at 0")
                .rule("drop udp payload 0x0505 at 4")
                .rule("drop tcp payload 0xaa00/0xff00 at 0"),
            rows: payload_rows(),
        },
        Scenario {
            name: "monitor mode",
            force: watched().with(|settings| settings.enforced = 0),
            rows: watched_rows(),
        },
    ]
}

fn to(port: u16) -> Vec<u8> {
    from("192.0.2.70", port)
}

fn from(source: &str, port: u16) -> Vec<u8> {
    v4(source, UDP, udp(1024, port)).frame()
}

fn from6(source: &str, port: u16) -> Vec<u8> {
    v6(source, UDP, udp(1024, port)).frame()
}

fn decisive(hz: u64) -> Force {
    Force::new()
        .rule("pass udp dport 53 from 192.0.2.0/28")
        .rule("drop udp dport 53 from 192.0.2.0/24")
        .rule("drop ip6 tcp dport 80 from 2001:db8:7::/48")
        .rule("drop tcp flags ACK/SYN,ACK ttl < 32")
        .rule("drop proto 47 length > 30")
        .rule("drop icmp")
        .allow("192.0.2.99/32")
        .block("192.0.2.5/32")
        .listed(7, &["192.0.2.6/32"])
        .with(|settings| {
            settings.source.limits[Class::Udp as usize] = only(1, hz);
            settings.source.always = Class::Udp.bit();
        })
}

fn decisive_rows() -> Vec<Row> {
    let ack = |hops| v4("192.0.2.70", TCP, tcp(1024, 80, ACK)).hops(hops).frame();
    let gre = |bytes| v4("192.0.2.70", 47, vec![0; bytes]).frame();
    vec![
        row(
            "the first that matches passes",
            from("192.0.2.1", 53),
            RulePass,
        ),
        row("and spares from limits", from("192.0.2.1", 53), RulePass),
        row("without a charge", from("192.0.2.1", 54), Clean),
        row(
            "what no rule passes is charged",
            from("192.0.2.1", 54),
            LimitUdp,
        ),
        row("the second drops", from("192.0.2.16", 53), RuleDrop),
        row("another port goes on", from("192.0.2.16", 54), Clean),
        row("so does another source", from("192.0.3.16", 53), Clean),
        row(
            "a rule of IPv6",
            v6("2001:db8:7:1::1", TCP, syn(80)).frame(),
            RuleDrop,
        ),
        row(
            "is none of the next prefix",
            v6("2001:db8:8:1::1", TCP, syn(80)).frame(),
            Clean,
        ),
        row(
            "a rule without addresses is one of IPv6 too",
            v6("2001:db8:8:1::1", TCP, tcp(1, 2, ACK)).hops(31).frame(),
            RuleDrop,
        ),
        row("a time to live below 32", ack(31), RuleDrop),
        row("one of 32", ack(32), Clean),
        row("a packet of 31 bytes", gre(11), RuleDrop),
        row("one of 30", gre(10), Clean),
        row(
            "a ping, behind a tag",
            tagged(&[0x8100], 0x0800, &v4("192.0.2.70", 1, icmp(8, 0)).packet()),
            RuleDrop,
        ),
        row("the allowed meet no rule", from("192.0.2.99", 53), Allowed),
        row("the blocked are not passed", from("192.0.2.5", 53), Blocked),
        row("nor are members of lists", from("192.0.2.6", 53), Listed),
        row(
            "nor is what is insane",
            v4("192.0.2.1", TCP, tcp(1, 2, SYN | FIN)).frame(),
            TcpFlags,
        ),
    ]
}

fn limit_rows() -> Vec<Row> {
    vec![
        row("the first of all", from("192.0.2.71", 7000), Clean),
        row("the second, of another", from("192.0.2.72", 7000), Clean),
        row("the third of all", from("192.0.2.73", 7000), RuleLimit),
        row("one over IPv6", from6("2001:db8:71::1", 7000), RuleLimit),
        row("the first of a source", from("192.0.2.71", 7001), Clean),
        row("its second", from("192.0.2.71", 7001), RuleLimit),
        row("the first of another", from("192.0.2.72", 7001), Clean),
        row("the first of a /64", from6("2001:db8:71::1", 7001), Clean),
        row("its second", from6("2001:db8:71::2", 7001), RuleLimit),
        row("one of another /64", from6("2001:db8:71:1::1", 7001), Clean),
        row(
            "what is within a limit goes on to the next rule",
            from("198.51.100.1", 7001),
            RuleDrop,
        ),
        row("and was charged", from("198.51.100.1", 7001), RuleLimit),
    ]
}

fn idle_rows() -> Vec<Row> {
    vec![
        row(
            "a rule in shadow drops nothing, and passes nothing",
            to(7100),
            Clean,
        ),
        row("a limit in shadow", to(7101), Clean),
        row("nor when it is reached", to(7101), Clean),
        row("a rule that ended", to(7199), Clean),
        row("leaves it to the rules behind it", to(7150), RuleDrop),
    ]
}

fn fragment_rows() -> Vec<Row> {
    let first = |source| v4(source, UDP, udp(1024, 7200)).piece(0, true).frame();
    let later = |source| v4(source, UDP, vec![0; 8]).piece(9, false).frame();
    vec![
        row("a first fragment has ports", first("192.0.2.74"), RuleDrop),
        row(
            "a later one meets no rule with ports",
            later("192.0.2.74"),
            Clean,
        ),
        row("but rules without", later("192.0.2.77"), RuleDrop),
        row(
            "a first over IPv6",
            v6("2001:db8:74::1", UDP, udp(1024, 7200))
                .piece(0, true)
                .frame(),
            RuleDrop,
        ),
        row(
            "a later one",
            v6("2001:db8:74::1", UDP, vec![0; 8])
                .piece(9, false)
                .frame(),
            Clean,
        ),
    ]
}

fn payload_rows() -> Vec<Row> {
    let padded = |mut frame: Vec<u8>, padding: &[u8]| {
        frame.extend(padding);
        frame
    };
    let datagram = |data: &[u8]| {
        let mut datagram = udp(1024, 53)[..8].to_vec();
        datagram[5] = 8 + data.len() as u8;
        datagram.extend(data);
        datagram
    };
    let here = |data: &[u8]| v4("192.0.2.75", UDP, datagram(data)).frame();
    let here6 = |data: &[u8]| v6("2001:db8:75::1", UDP, datagram(data)).frame();
    let segment = |data: &[u8]| [tcp(1024, 80, ACK), data.to_vec()].concat();
    let over = |data: &[u8]| v4("192.0.2.75", TCP, segment(data)).frame();
    let with_options = v4("192.0.2.75", TCP, segment(&[])).options(8).frame();
    let mut with_long_header = segment(&[0xaa; 4]);
    with_long_header[12] = 6 << 4;
    vec![
        row("the bytes", here(b"data"), RuleDrop),
        row("the bytes, and more", here(b"data and more"), RuleDrop),
        row("the bytes over IPv6", here6(b"data"), RuleDrop),
        row("the bytes elsewhere", here(b" data"), Clean),
        row("some of the bytes", here(b"dat"), Clean),
        row(
            "the rest of them in the padding",
            padded(here(b"dat"), b"a data"),
            Clean,
        ),
        row(
            "all of them in the padding",
            padded(here(b""), b"data"),
            Clean,
        ),
        row(
            "in the padding over IPv6",
            padded(here6(b"da"), b"ta data"),
            Clean,
        ),
        row("other bytes", here(b"beta\x05\x05"), RuleDrop),
        row("half of them", padded(here(b"beta\x05"), &[5; 8]), Clean),
        row("bytes under a mask", over(&[0xaa, 0x55]), RuleDrop),
        row("what the mask looks at differs", over(&[0xab, 0]), Clean),
        row("a segment without data", over(&[]), Clean),
        row(
            "a segment without data that is padded with it",
            padded(over(&[]), &[0xaa; 6]),
            Clean,
        ),
        row(
            "the same with options",
            padded(with_options, &[0xaa; 6]),
            Clean,
        ),
        row(
            "the same behind a tag",
            tagged(
                &[0x8100],
                0x0800,
                &padded(v4("192.0.2.75", TCP, segment(&[])).packet(), &[0xaa; 6]),
            ),
            Clean,
        ),
        row(
            "an option of TCP is no payload",
            v4("192.0.2.75", TCP, with_long_header).frame(),
            Clean,
        ),
    ]
}

fn watched() -> Force {
    Force::new()
        .rule("drop udp dport 7300")
        .rule("limit 1/s burst 1 udp dport 7301")
        .rule("pass udp dport 7302")
}

fn watched_rows() -> Vec<Row> {
    vec![
        row("a rule that drops", to(7300), Clean).observed(RuleDrop),
        row("the only one within a limit", to(7301), Clean),
        row("one above", to(7301), Clean).observed(RuleLimit),
        row("a rule that passes", to(7302), RulePass),
    ]
}

#[test]
fn a_rule_counts_the_packets_that_it_decides_or_would() {
    let mut bench = Bench::new();
    let force = Force::new()
        .rule("shadow drop udp dport 9")
        .rule("shadow limit 1/s burst 2 udp dport 9")
        .rule_until("drop udp dport 9", ENDED)
        .rule("pass udp dport 9 from 192.0.2.8")
        .rule("drop udp dport 9");
    bench.put(&force);
    let frame = to(9);
    for _ in 0..3 {
        bench.run(&frame);
    }
    bench.run(&from("192.0.2.8", 9));
    bench.run(&to(10));
    let hits = bench.kernel.rule_hits().expect("hits are read");
    let packets: Vec<u64> = hits.iter().take(6).map(|hit| hit.packets).collect();
    assert_eq!(
        packets,
        [4, 2, 0, 1, 3, 0],
        "in shadow, above a limit in shadow, ended, passed, dropped, none"
    );
    assert_eq!(hits[4].bytes, 3 * frame.len() as u64);

    bench.put(&force);
    let hits = bench.kernel.rule_hits().expect("hits are read");
    assert!(hits.iter().take(5).all(|hit| hit.packets == 0));
}
