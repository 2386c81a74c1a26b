//! What is enforced, what is only watched, and what is not looked at; limits; samples.

use filter_common::{
    abi::{
        lifeline::LifelineRule,
        reason::Reason::{
            self, Allowed, Blocked, Clean, Control, ExtensionDepth, ForgedDiscovery,
            FragmentOffset, FragmentOverrun, HeaderSpan, Land, Lifeline, LimitAll, LimitIcmp,
            LimitSyn, LimitUdp, Malformed, MartianSource, NotIp, PortZero, TcpFlags, TinyFragment,
            Truncated, VlanDepth,
        },
        settings::{Class, PACKET_CLASSES, Settings},
    },
    logic::{bucket::Limit, sanity::SWITCHABLE},
};

use crate::{
    force::{Force, address, only},
    frame::{
        ACK, DESTINATION, FIN, ICMP, ICMPV6, SYN, TCP, UDP, ethernet, icmp, syn, tagged, tcp, udp,
        v4, v6,
    },
    icmp as messages, protocols,
    row::{Row, Scenario, row},
};

const HOST: &str = "192.0.2.7";
const BLOCKED: &str = "198.51.100.1";
const BLOCKED_V6: &str = "2001:db8::bad";

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    vec![
        Scenario {
            name: "monitor mode",
            force: monitor(hz),
            rows: monitor_rows(),
        },
        Scenario {
            name: "all checks switched off",
            force: Force::new().with(|settings| settings.unchecked = set(&SWITCHABLE)),
            rows: unchecked_rows(),
        },
        Scenario {
            name: "one check switched off",
            force: Force::new().with(|settings| settings.unchecked = TcpFlags.bit()),
            rows: vec![
                row(
                    "is not made",
                    v4(HOST, TCP, tcp(1, 2, SYN | FIN)).frame(),
                    Clean,
                ),
                row(
                    "and hides no other",
                    v4(HOST, TCP, tcp(0, 2, SYN | FIN)).frame(),
                    PortZero,
                ),
            ],
        },
        Scenario {
            name: "only the blocklist enforced",
            force: Force::new()
                .block(BLOCKED)
                .block(BLOCKED_V6)
                .allow("198.51.100.2/32")
                .with(|settings| settings.enforced = Blocked.bit()),
            rows: vec![
                row(
                    "what is blocked is dropped",
                    v4(BLOCKED, TCP, syn(80)).frame(),
                    Blocked,
                ),
                row(
                    "a watched reason before it does not hide it, and is not counted beside it",
                    v4(BLOCKED, TCP, tcp(1, 2, SYN | FIN)).frame(),
                    Blocked,
                ),
                row(
                    "a watched reason alone passes",
                    v4(HOST, TCP, tcp(1, 2, SYN | FIN)).frame(),
                    Clean,
                )
                .observed(TcpFlags),
                row(
                    "what is watched and allowed passes as allowed",
                    v4("198.51.100.2", TCP, tcp(1, 2, SYN | FIN)).frame(),
                    Allowed,
                )
                .observed(TcpFlags),
                row(
                    "a blocked source does not slip past by a length that lies",
                    v4(BLOCKED, TCP, syn(80)).total_length(41).frame(),
                    Blocked,
                ),
                row(
                    "nor by a header that is cut short",
                    v4(BLOCKED, TCP, vec![0; 8]).frame(),
                    Blocked,
                ),
                row(
                    "nor by seven extension headers",
                    (0..7)
                        .fold(v6(BLOCKED_V6, TCP, syn(80)), |packet, _| {
                            packet.header(DESTINATION, 0)
                        })
                        .frame(),
                    Blocked,
                ),
                row(
                    "another source with a length that lies passes, watched",
                    v4(HOST, TCP, syn(80)).total_length(41).frame(),
                    Clean,
                )
                .observed(Truncated),
            ],
        },
        Scenario {
            name: "limits of sources by hand",
            force: Force::new()
                .with(|settings| limits(settings, [5, 3, 2, 1], hz).source.always = 0b1111)
                .allow("192.0.2.200/32")
                .lifeline(
                    LifelineRule::from_prefix(&address("192.0.2.201"), 32, TCP, 22),
                    22,
                ),
            rows: limit_rows(),
        },
        Scenario {
            name: "a limit of one class alone",
            force: Force::new().with(|settings| {
                limits(settings, [1, 1, 2, 1], hz).source.always = Class::Udp.bit()
            }),
            rows: vec![
                row("the first datagram", datagram("192.0.2.20"), Clean),
                row(
                    "a SYN has no limit",
                    v4("192.0.2.20", TCP, syn(80)).frame(),
                    Clean,
                ),
                row(
                    "nor has another",
                    v4("192.0.2.20", TCP, syn(80)).frame(),
                    Clean,
                ),
                row("the second datagram", datagram("192.0.2.20"), Clean),
                row(
                    "the third is above the limit",
                    datagram("192.0.2.20"),
                    LimitUdp,
                ),
            ],
        },
        Scenario {
            name: "limits without pressure",
            force: Force::new()
                .with(|settings| limits(settings, [1, 1, 1, 1], hz).source.pressed = 0b1111),
            rows: vec![
                row("the first datagram", datagram("192.0.2.30"), Clean),
                row("do not hold for the second", datagram("192.0.2.30"), Clean),
                row("nor the third", datagram("192.0.2.30"), Clean),
            ],
        },
        Scenario {
            name: "limits under pressure",
            force: Force::new().with(|settings| {
                limits(settings, [9, 9, 2, 9], hz).source.pressed = 0b1111;
                settings.pressure = only(3, hz);
                settings.pressure_hold = hz * 3600;
            }),
            rows: vec![
                row("the first packet of the CPU", datagram("192.0.2.40"), Clean),
                row("the second", datagram("192.0.2.40"), Clean),
                row(
                    "the third is the last below the floor",
                    datagram("192.0.2.40"),
                    Clean,
                ),
                row(
                    "the fourth is the first that its source is charged",
                    datagram("192.0.2.40"),
                    Clean,
                ),
                row(
                    "the fifth is the second, and the burst is two",
                    datagram("192.0.2.40"),
                    Clean,
                ),
                row(
                    "the sixth is above the limit",
                    datagram("192.0.2.40"),
                    LimitUdp,
                ),
                row("another source is not", datagram("192.0.2.41"), Clean),
            ],
        },
        messages::under_pressure(hz),
        protocols::under_pressure(hz),
        Scenario {
            name: "a budget of samples",
            force: Force::new().block(BLOCKED).with(|settings| {
                settings.sample_passed = only(2, hz);
                settings.sample_dropped = only(1, hz);
            }),
            rows: vec![
                row("the first passed packet is sampled", datagram(HOST), Clean),
                row("so is the second", datagram(HOST), Clean),
                row("the third is not", datagram(HOST), Clean).unsampled(),
                row(
                    "dropped ones have a budget of their own",
                    datagram(BLOCKED),
                    Blocked,
                ),
                row("which ends too", datagram(BLOCKED), Blocked).unsampled(),
            ],
        },
    ]
}

fn set(reasons: &[Reason]) -> u64 {
    reasons.iter().fold(0, |set, reason| set | reason.bit())
}

fn limits(settings: &mut Settings, bursts: [u64; PACKET_CLASSES], hz: u64) -> &mut Settings {
    for (limit, burst) in settings.source.limits.iter_mut().zip(bursts) {
        *limit = only(burst, hz);
    }
    settings
}

fn datagram(source: &str) -> Vec<u8> {
    v4(source, UDP, udp(1024, 53)).frame()
}

fn monitor(hz: u64) -> Force {
    Force::new()
        .block(BLOCKED)
        .allow("198.51.100.2/32")
        .lifeline(
            LifelineRule::from_prefix(&address("198.51.100.3"), 32, TCP, 22)
                .with_ceiling(Limit::default()),
            22,
        )
        .with(|settings| {
            settings.enforced = 0;
            limits(settings, [4, 1, 1, 1], hz).source.always = 0b1111;
        })
}

fn monitor_rows() -> Vec<Row> {
    let seen = |says, frame, reason| row(says, frame, Clean).observed(reason);
    let from = "192.0.2.50";
    let neighbour = |hops| v6("fe80::50", ICMPV6, icmp(135, 0)).hops(hops).frame();
    let headers = |count, more| {
        let packet = v6("2001:db8:50::1", TCP, tcp(1, 2, ACK));
        (0..count)
            .fold(packet, |packet, _| packet.header(DESTINATION, more))
            .frame()
    };
    vec![
        row(
            "a clean packet passes",
            v4(from, TCP, tcp(1, 2, ACK)).frame(),
            Clean,
        ),
        row("what is not IP passes", ethernet(0x0806, &[0; 46]), NotIp),
        row("a neighbour passes", neighbour(255), Control),
        row(
            "the allowed pass",
            v4("198.51.100.2", TCP, syn(80)).frame(),
            Allowed,
        ),
        row(
            "a lifeline passes",
            v4("198.51.100.3", TCP, syn(22)).frame(),
            Lifeline,
        ),
        row(
            "an insane packet of a lifeline passes, and is noted",
            v4("198.51.100.3", TCP, tcp(1, 22, SYN | FIN)).frame(),
            Lifeline,
        )
        .observed(TcpFlags),
        seen(
            "a truncated packet",
            v4(from, TCP, vec![]).frame(),
            Truncated,
        ),
        seen(
            "a malformed packet",
            v4(from, TCP, syn(80)).version_and_length(0x44).frame(),
            Malformed,
        ),
        seen(
            "three tags",
            tagged(&[0x8100; 3], 0x0800, &[0; 40]),
            VlanDepth,
        ),
        seen("seven extension headers", headers(7, 0), ExtensionDepth),
        seen(
            "headers beyond the first buffer",
            headers(2, 255),
            HeaderSpan,
        ),
        seen(
            "a martian",
            v4("127.0.0.1", TCP, tcp(1, 2, ACK)).frame(),
            MartianSource,
        ),
        seen(
            "a land packet",
            v4("192.0.2.51", TCP, tcp(1, 2, ACK))
                .to("192.0.2.51")
                .frame(),
            Land,
        ),
        seen(
            "flags",
            v4("192.0.2.52", TCP, tcp(1, 2, FIN | SYN | ACK)).frame(),
            TcpFlags,
        ),
        seen(
            "port 0",
            v4("192.0.2.53", TCP, tcp(0, 2, ACK)).frame(),
            PortZero,
        ),
        seen(
            "of flags and port 0 the first is noted",
            v4("192.0.2.53", TCP, tcp(0, 2, 0)).frame(),
            TcpFlags,
        ),
        seen(
            "a tiny fragment",
            v4("192.0.2.54", TCP, vec![0; 8]).piece(0, true).frame(),
            TinyFragment,
        ),
        seen(
            "a fragment over the flags",
            v4("192.0.2.54", TCP, vec![0; 8]).piece(1, true).frame(),
            FragmentOffset,
        ),
        seen(
            "a fragment beyond the end",
            v4("192.0.2.54", UDP, vec![0; 80])
                .piece(8191, false)
                .frame(),
            FragmentOverrun,
        ),
        seen("forged discovery", neighbour(64), ForgedDiscovery),
        seen(
            "a blocked source",
            v4(BLOCKED, TCP, tcp(1, 2, ACK)).frame(),
            Blocked,
        ),
        row(
            "the only SYN within the limit",
            v4("192.0.2.55", TCP, syn(80)).frame(),
            Clean,
        ),
        seen(
            "a SYN above the limit",
            v4("192.0.2.55", TCP, syn(80)).frame(),
            LimitSyn,
        ),
        row(
            "the only datagram within the limit",
            v4("192.0.2.55", UDP, udp(1, 2)).frame(),
            Clean,
        ),
        seen(
            "a datagram above the limit",
            v4("192.0.2.55", UDP, udp(1, 2)).frame(),
            LimitUdp,
        ),
        row(
            "the only ping within the limit",
            v4("192.0.2.55", ICMP, icmp(8, 0)).frame(),
            Clean,
        ),
        seen(
            "a ping above the limit",
            v4("192.0.2.55", ICMP, icmp(8, 0)).frame(),
            LimitIcmp,
        ),
        row(
            "the last packet within the limit of all",
            v4("192.0.2.55", 47, vec![]).frame(),
            Clean,
        ),
        seen(
            "a packet above the limit of all",
            v4("192.0.2.55", 47, vec![]).frame(),
            LimitAll,
        ),
        seen(
            "a SYN above both is noted once",
            v4("192.0.2.55", TCP, syn(80)).frame(),
            LimitSyn,
        ),
    ]
}

fn unchecked_rows() -> Vec<Row> {
    let neighbour = v6("2001:db8::7", ICMPV6, icmp(134, 0)).hops(3).frame();
    vec![
        row("a martian", v4("127.0.0.1", TCP, syn(80)).frame(), Clean),
        row(
            "a land packet",
            v4(HOST, TCP, syn(80)).to(HOST).frame(),
            Clean,
        ),
        row("flags", v4(HOST, TCP, tcp(1, 2, 0)).frame(), Clean),
        row("port 0", v4(HOST, UDP, udp(0, 0)).frame(), Clean),
        row(
            "a tiny fragment",
            v4(HOST, TCP, vec![0; 8]).piece(0, true).frame(),
            Clean,
        ),
        row(
            "a fragment over the flags",
            v4(HOST, TCP, vec![0; 8]).piece(1, true).frame(),
            Clean,
        ),
        row(
            "a fragment beyond the end",
            v4(HOST, UDP, vec![0; 80]).piece(8191, false).frame(),
            Clean,
        ),
        row("forged discovery", neighbour, Clean),
        row(
            "but a malformed packet is none of these",
            v4(HOST, TCP, syn(80)).version_and_length(0x44).frame(),
            Malformed,
        ),
    ]
}

fn limit_rows() -> Vec<Row> {
    let open = |source| v4(source, TCP, syn(80)).frame();
    let ping = |source| v4(source, ICMP, icmp(8, 0)).frame();
    let datagram6 = |source| v6(source, UDP, udp(1024, 53)).frame();
    vec![
        row("the first SYN", open("192.0.2.10"), Clean),
        row("the second", open("192.0.2.10"), Clean),
        row(
            "the third is the last of the burst",
            open("192.0.2.10"),
            Clean,
        ),
        row(
            "the fourth is above the limit",
            open("192.0.2.10"),
            LimitSyn,
        ),
        row("another source is not", open("192.0.2.11"), Clean),
        row(
            "the limit of SYNs is none of datagrams",
            datagram("192.0.2.10"),
            Clean,
        ),
        row(
            "and a refused packet was not charged to all",
            datagram("192.0.2.10"),
            Clean,
        ),
        row(
            "a datagram above both limits is told by its class",
            datagram("192.0.2.10"),
            LimitUdp,
        ),
        row(
            "a ping within its class is above the limit of all",
            ping("192.0.2.10"),
            LimitAll,
        ),
        row(
            "so is any other packet",
            v4("192.0.2.10", 47, vec![]).frame(),
            LimitAll,
        ),
        row(
            "so is an acknowledgement",
            v4("192.0.2.10", TCP, tcp(1, 2, ACK)).frame(),
            LimitAll,
        ),
        row("the only ping of another source", ping("192.0.2.12"), Clean),
        row(
            "its second is above the limit",
            ping("192.0.2.12"),
            LimitIcmp,
        ),
        row("a datagram over IPv6", datagram6("2001:db8:0:7::1"), Clean),
        row("one from the same /64", datagram6("2001:db8:0:7::2"), Clean),
        row(
            "a third from the /64 is above the limit",
            datagram6("2001:db8:0:7:ffff::3"),
            LimitUdp,
        ),
        row(
            "another /64 is another source",
            datagram6("2001:db8:0:8::1"),
            Clean,
        ),
        row(
            "IPv6 of the same number as IPv4 is another source",
            v6("0:0:c000:20a::", TCP, syn(80)).frame(),
            Clean,
        ),
        row("the allowed have no limit", ping("192.0.2.200"), Allowed),
        row("not the second time either", ping("192.0.2.200"), Allowed),
        row(
            "the first acknowledgement to a lifeline",
            v4("192.0.2.201", TCP, tcp(1, 22, ACK)).frame(),
            Lifeline,
        ),
        row(
            "a lifeline charges nobody: five packets beside it",
            datagram("192.0.2.201"),
            Clean,
        ),
        row("four", datagram("192.0.2.201"), Clean),
        row("three", open("192.0.2.201"), Clean),
        row("two", open("192.0.2.201"), Clean),
        row("one", open("192.0.2.201"), Clean),
        row(
            "none",
            v4("192.0.2.201", TCP, tcp(1, 23, ACK)).frame(),
            LimitAll,
        ),
        row(
            "and the lifeline is still there",
            v4("192.0.2.201", TCP, syn(22)).frame(),
            Lifeline,
        ),
        row(
            "a later fragment is charged to all",
            v4("192.0.2.13", UDP, vec![0; 8]).piece(9, true).frame(),
            Clean,
        ),
    ]
}
