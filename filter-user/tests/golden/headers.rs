//! What the parser and sanity say, everything enforced and nothing listed.

use filter_common::abi::reason::Reason::{
    Clean, ExtensionDepth, FragmentOffset, FragmentOverrun, HeaderSpan, Land, Malformed,
    MartianSource, NotIp, PortZero, TcpFlags, TinyFragment, Truncated, VlanDepth,
};

use crate::{
    force::Force,
    frame::{
        ACK, AUTHENTICATION, DESTINATION, FIN, HIP, HOP_BY_HOP, ICMP, ICMPV6, MOBILITY, PSH,
        ROUTING, RST, SHIM6, SYN, TCP, UDP, URG, ethernet, icmp, syn, tagged, tcp, udp, v4, v6,
    },
    row::{Row, Scenario, row},
};

const HOST: &str = "192.0.2.7";
const HOST6: &str = "2001:db8::7";

pub fn scenarios() -> Vec<Scenario> {
    [
        ("plain packets", plain()),
        ("VLAN tags", vlan()),
        ("lengths that lie", lengths()),
        ("IPv6 extension headers", chains()),
        ("fragments", fragments()),
        ("martians", martians()),
        ("flags and ports", flags()),
    ]
    .into_iter()
    .map(|(name, rows)| Scenario {
        name,
        force: Force::new(),
        rows,
    })
    .collect()
}

fn plain() -> Vec<Row> {
    let other4 = |protocol| v4(HOST, protocol, vec![0; 40]).frame();
    vec![
        row("a SYN passes", v4(HOST, TCP, syn(80)).frame(), Clean),
        row(
            "so it does over IPv6",
            v6(HOST6, TCP, syn(80)).frame(),
            Clean,
        ),
        row(
            "a datagram passes",
            v4(HOST, UDP, udp(5353, 53)).frame(),
            Clean,
        ),
        row(
            "an empty datagram passes",
            {
                let mut datagram = udp(5353, 53);
                datagram.truncate(8);
                datagram[5] = 8;
                v4(HOST, UDP, datagram).frame()
            },
            Clean,
        ),
        row("a ping passes", v4(HOST, ICMP, icmp(8, 0)).frame(), Clean),
        row(
            "a ping passes over IPv6",
            v6(HOST6, ICMPV6, icmp(128, 0)).frame(),
            Clean,
        ),
        row(
            "packet too big passes",
            v6(HOST6, ICMPV6, icmp(2, 0)).frame(),
            Clean,
        ),
        row(
            "four bytes of IPv4 options are stepped over",
            v4(HOST, TCP, syn(80)).options(4).frame(),
            Clean,
        ),
        row(
            "40 bytes of IPv4 options are stepped over",
            v4(HOST, TCP, syn(80)).options(40).frame(),
            Clean,
        ),
        row(
            "flags behind 40 bytes of options are seen",
            v4(HOST, TCP, tcp(1, 2, SYN | FIN)).options(40).frame(),
            TcpFlags,
        ),
        row("GRE passes", other4(47), Clean),
        row("ESP passes", other4(50), Clean),
        row("AH over IPv4 passes", other4(51), Clean),
        row("OSPF passes", other4(89), Clean),
        row("SCTP passes", other4(132), Clean),
        row(
            "ESP over IPv6 passes",
            v6(HOST6, 50, vec![0; 40]).frame(),
            Clean,
        ),
        row("ARP is not IP", ethernet(0x0806, &[0; 46]), NotIp),
        row("LLDP is not IP", ethernet(0x88cc, &[0; 46]), NotIp),
        row(
            "spanning tree, whose type is a length, is not IP",
            ethernet(38, &[0x42; 46]),
            NotIp,
        ),
        row("PPPoE is not IP", ethernet(0x8864, &[0x45; 46]), NotIp),
        row(
            "a frame of nothing but its header is not IP",
            ethernet(0x0806, &[]),
            NotIp,
        ),
    ]
}

fn vlan() -> Vec<Row> {
    let packet = v4(HOST, TCP, syn(80)).packet();
    let bad = v4(HOST, TCP, tcp(1, 2, 0)).packet();
    let packet6 = v6(HOST6, TCP, syn(80)).packet();
    vec![
        row(
            "one tag is stepped over",
            tagged(&[0x8100], 0x0800, &packet),
            Clean,
        ),
        row(
            "flags behind one tag are seen",
            tagged(&[0x8100], 0x0800, &bad),
            TcpFlags,
        ),
        row(
            "a provider's tag alone is stepped over",
            tagged(&[0x88a8], 0x86dd, &packet6),
            Clean,
        ),
        row(
            "two tags are stepped over",
            tagged(&[0x88a8, 0x8100], 0x0800, &packet),
            Clean,
        ),
        row(
            "flags behind two tags are seen",
            tagged(&[0x88a8, 0x8100], 0x0800, &bad),
            TcpFlags,
        ),
        row(
            "two tags as old switches write them are stepped over",
            tagged(&[0x9100, 0x8100], 0x86dd, &packet6),
            Clean,
        ),
        row(
            "flags behind old tags are seen",
            tagged(&[0x9100, 0x9100], 0x0800, &bad),
            TcpFlags,
        ),
        row(
            "three tags are too many",
            tagged(&[0x88a8, 0x8100, 0x8100], 0x0800, &packet),
            VlanDepth,
        ),
        row(
            "three old tags are too many",
            tagged(&[0x9100; 3], 0x0800, &packet),
            VlanDepth,
        ),
        row(
            "ARP behind a tag is not IP",
            tagged(&[0x8100], 0x0806, &[0; 46]),
            NotIp,
        ),
        row(
            "a tag that the frame's end cuts off",
            ethernet(0x8100, &[0, 1, 8]),
            Truncated,
        ),
        row(
            "a second tag that the frame's end cuts off",
            tagged(&[0x8100], 0x8100, &[0]),
            Truncated,
        ),
    ]
}

fn lengths() -> Vec<Row> {
    let cut = |mut frame: Vec<u8>, length| {
        frame.truncate(length);
        frame
    };
    let long = |protocol, mut payload: Vec<u8>, more: usize| {
        payload.extend(vec![0; more]);
        v4(HOST, protocol, payload)
    };
    let with = |mut payload: Vec<u8>, at: usize, value: u8| {
        payload[at] = value;
        payload
    };
    vec![
        row(
            "an IPv4 header that the frame's end cuts off",
            cut(v4(HOST, TCP, syn(80)).frame(), 33),
            Truncated,
        ),
        row(
            "an IPv6 header that the frame's end cuts off",
            cut(v6(HOST6, TCP, syn(80)).frame(), 53),
            Truncated,
        ),
        row(
            "IPv4 that says it is longer than its frame",
            v4(HOST, TCP, syn(80)).total_length(41).frame(),
            Truncated,
        ),
        row(
            "IPv6 that says it is longer than its frame",
            v6(HOST6, TCP, syn(80)).payload_length(21).frame(),
            Truncated,
        ),
        row(
            "padding behind IPv4 is no lie",
            long(TCP, syn(80), 6).total_length(40).frame(),
            Clean,
        ),
        row(
            "padding behind IPv6 is no lie",
            v6(HOST6, TCP, [syn(80), vec![0; 9]].concat())
                .payload_length(20)
                .frame(),
            Clean,
        ),
        row(
            "a TCP header that lies in the padding",
            long(TCP, syn(80), 6).total_length(39).frame(),
            Truncated,
        ),
        row(
            "a UDP header that lies in the padding",
            long(UDP, udp(1, 2), 6).total_length(27).frame(),
            Truncated,
        ),
        row(
            "an ICMP header that is cut short",
            v4(HOST, ICMP, vec![8; 7]).frame(),
            Truncated,
        ),
        row(
            "a TCP header that is cut short over IPv6",
            v6(HOST6, TCP, vec![1; 19]).frame(),
            Truncated,
        ),
        row(
            "an empty TCP packet",
            v4(HOST, TCP, vec![]).frame(),
            Truncated,
        ),
        row(
            "an IPv4 header of 16 bytes",
            v4(HOST, TCP, syn(80)).version_and_length(0x44).frame(),
            Malformed,
        ),
        row(
            "IPv6 in a frame that says IPv4",
            v4(HOST, TCP, syn(80)).version_and_length(0x65).frame(),
            Malformed,
        ),
        row(
            "IPv4 in a frame that says IPv6",
            v6(HOST6, TCP, syn(80)).version(4).frame(),
            Malformed,
        ),
        row(
            "IPv4 that says it has no bytes at all",
            v4(HOST, TCP, syn(80)).total_length(0).frame(),
            Malformed,
        ),
        row(
            "IPv4 that is shorter than its own header",
            v4(HOST, TCP, syn(80)).options(40).total_length(59).frame(),
            Malformed,
        ),
        row(
            "options that swallow the whole packet",
            v4(HOST, TCP, syn(80)).version_and_length(0x4b).frame(),
            Malformed,
        ),
        row(
            "a TCP header of 16 bytes",
            v4(HOST, TCP, with(syn(80), 12, 0x40)).frame(),
            Malformed,
        ),
        row(
            "a TCP header longer than its packet",
            v4(HOST, TCP, with(syn(80), 12, 0x60)).frame(),
            Malformed,
        ),
        row(
            "a TCP header with all its options",
            long(TCP, with(syn(80), 12, 0xf0), 40).frame(),
            Clean,
        ),
        row(
            "a datagram of 7 bytes",
            v4(HOST, UDP, with(udp(1, 2), 5, 7)).frame(),
            Malformed,
        ),
        row(
            "a datagram longer than its packet",
            v4(HOST, UDP, with(udp(1, 2), 5, 13)).frame(),
            Malformed,
        ),
        row(
            "a datagram shorter than its packet",
            v4(HOST, UDP, with(udp(1, 2), 5, 11)).frame(),
            Clean,
        ),
        row(
            "a jumbo frame in several buffers",
            v4(HOST, UDP, {
                let mut datagram = vec![0; 8_900];
                datagram[..8].copy_from_slice(&[0, 53, 0, 53, 0x22, 0xc4, 0, 0]);
                datagram
            })
            .frame(),
            Clean,
        ),
        row(
            "a jumbo frame that is one byte short",
            cut(v4(HOST, UDP, vec![1; 8_900]).frame(), 8_933),
            Truncated,
        ),
    ]
}

fn chains() -> Vec<Row> {
    let base = || v6(HOST6, TCP, syn(80));
    let bad = || v6(HOST6, TCP, tcp(1, 2, SYN | FIN));
    vec![
        row(
            "one extension header",
            base().header(HOP_BY_HOP, 0).frame(),
            Clean,
        ),
        row(
            "two extension headers",
            base().header(HOP_BY_HOP, 0).header(DESTINATION, 1).frame(),
            Clean,
        ),
        row(
            "three extension headers",
            base()
                .header(HOP_BY_HOP, 0)
                .header(ROUTING, 2)
                .header(DESTINATION, 0)
                .frame(),
            Clean,
        ),
        row(
            "four, with an authentication header, whose length counts in fours",
            bad()
                .header(HOP_BY_HOP, 0)
                .header(ROUTING, 2)
                .header(AUTHENTICATION, 4)
                .header(DESTINATION, 0)
                .frame(),
            TcpFlags,
        ),
        row(
            "five, with mobility, HIP and shim6",
            bad()
                .header(HOP_BY_HOP, 0)
                .header(MOBILITY, 0)
                .header(HIP, 4)
                .header(SHIM6, 0)
                .header(DESTINATION, 0)
                .frame(),
            TcpFlags,
        ),
        row(
            "flags behind one header are seen",
            bad().header(DESTINATION, 0).frame(),
            TcpFlags,
        ),
        row(
            "six extension headers",
            (0..6).fold(base(), |p, _| p.header(DESTINATION, 0)).frame(),
            Clean,
        ),
        row(
            "flags behind six headers are seen",
            (0..6).fold(bad(), |p, _| p.header(DESTINATION, 3)).frame(),
            TcpFlags,
        ),
        row(
            "seven extension headers are too many",
            (0..7).fold(base(), |p, _| p.header(DESTINATION, 0)).frame(),
            ExtensionDepth,
        ),
        row(
            "a fragment header counts among the seven",
            (0..6)
                .fold(base(), |p, _| p.header(DESTINATION, 0))
                .piece(0, false)
                .frame(),
            ExtensionDepth,
        ),
        row(
            "no next header passes",
            v6(HOST6, 59, vec![]).header(DESTINATION, 0).frame(),
            Clean,
        ),
        row(
            "an extension header longer than its packet",
            base().header(DESTINATION, 0).payload_length(7).frame(),
            Malformed,
        ),
        row(
            "an extension header that the frame's end cuts off",
            v6(HOST6, DESTINATION, vec![6, 0, 0]).frame(),
            Truncated,
        ),
        row(
            "a TCP header that extension headers leave no room for",
            v6(HOST6, TCP, vec![]).header(DESTINATION, 0).frame(),
            Truncated,
        ),
        row(
            "headers of 4 KiB reach beyond the first buffer",
            base()
                .header(DESTINATION, 255)
                .header(DESTINATION, 255)
                .frame(),
            HeaderSpan,
        ),
        row(
            "headers of 2 KiB do not",
            bad().header(DESTINATION, 255).frame(),
            TcpFlags,
        ),
    ]
}

fn fragments() -> Vec<Row> {
    let base = |protocol, length| v4(HOST, protocol, vec![1; length]);
    let base6 = |protocol, length| v6(HOST6, protocol, vec![1; length]);
    let first = [tcp(1, 80, ACK), vec![0; 4]].concat();
    let opening = [syn(80), vec![0; 4]].concat();
    let options_cut_off = {
        let mut segment = first.clone();
        segment[12] = 0xf0;
        segment
    };
    let big_datagram = {
        let mut datagram = [udp(53, 53), vec![0; 4]].concat();
        datagram[4] = 9;
        datagram
    };
    vec![
        row(
            "a first fragment with its TCP header",
            v4(HOST, TCP, first.clone()).piece(0, true).frame(),
            Clean,
        ),
        row(
            "a SYN in pieces",
            v4(HOST, TCP, opening.clone()).piece(0, true).frame(),
            TcpFlags,
        ),
        row(
            "flags in a first fragment are seen",
            v4(HOST, TCP, tcp(1, 2, 0)).piece(0, true).frame(),
            TcpFlags,
        ),
        row(
            "a first fragment of a datagram longer than itself",
            v4(HOST, UDP, big_datagram).piece(0, true).frame(),
            Clean,
        ),
        row(
            "a later fragment has no ports",
            base(UDP, 24).piece(3, true).frame(),
            Clean,
        ),
        row(
            "the last fragment",
            base(TCP, 5).piece(185, false).frame(),
            Clean,
        ),
        row(
            "a UDP fragment at offset 1 overwrites no flags",
            base(UDP, 8).piece(1, true).frame(),
            Clean,
        ),
        row(
            "a TCP fragment at offset 1 overwrites flags",
            base(TCP, 8).piece(1, true).frame(),
            FragmentOffset,
        ),
        row(
            "a first fragment of TCP too small for its ports",
            base(TCP, 16).piece(0, true).frame(),
            TinyFragment,
        ),
        row(
            "a first fragment of TCP too small for its options",
            v4(HOST, TCP, options_cut_off).piece(0, true).frame(),
            TinyFragment,
        ),
        row(
            "a first fragment of UDP without a byte",
            base(UDP, 0).piece(0, true).frame(),
            TinyFragment,
        ),
        row(
            "a fragment that ends at 65,535",
            base(UDP, 11).piece(8188, false).frame(),
            Clean,
        ),
        row(
            "a fragment that ends at 65,536: the ping of death",
            base(ICMP, 12).piece(8188, false).frame(),
            FragmentOverrun,
        ),
        row(
            "a first fragment over IPv6",
            v6(HOST6, TCP, first.clone()).piece(0, true).frame(),
            Clean,
        ),
        row(
            "a SYN in pieces over IPv6",
            v6(HOST6, TCP, opening.clone()).piece(0, true).frame(),
            TcpFlags,
        ),
        row(
            "an atomic fragment over IPv6",
            v6(HOST6, TCP, syn(80)).piece(0, false).frame(),
            Clean,
        ),
        row(
            "an atomic fragment too small for its header",
            base6(TCP, 16).piece(0, false).frame(),
            Truncated,
        ),
        row(
            "flags in an atomic fragment are seen",
            v6(HOST6, TCP, tcp(1, 2, 0)).piece(0, false).frame(),
            TcpFlags,
        ),
        row(
            "a later fragment over IPv6",
            base6(UDP, 24).piece(3, true).frame(),
            Clean,
        ),
        row(
            "a later fragment behind a header",
            base6(UDP, 24).header(DESTINATION, 0).piece(3, true).frame(),
            Clean,
        ),
        row(
            "a TCP fragment at offset 1 over IPv6",
            base6(TCP, 8).piece(1, true).frame(),
            FragmentOffset,
        ),
        row(
            "a tiny first fragment over IPv6",
            base6(TCP, 8).piece(0, true).frame(),
            TinyFragment,
        ),
        row(
            "a fragment that ends at 65,535 over IPv6",
            base6(UDP, 7).piece(8191, false).frame(),
            Clean,
        ),
        row(
            "a fragment that ends at 65,536 over IPv6",
            base6(UDP, 8).piece(8191, false).frame(),
            FragmentOverrun,
        ),
        row(
            "a fragment of a fragment",
            v6(HOST6, TCP, first).piece(0, true).piece(0, true).frame(),
            Malformed,
        ),
        row(
            "a first fragment whose chain of headers is cut off",
            base6(DESTINATION, 0).piece(0, true).frame(),
            Truncated,
        ),
    ]
}

fn martians() -> Vec<Row> {
    let from = |source| v4(source, UDP, udp(1024, 53)).frame();
    let from6 = |source| v6(source, UDP, udp(1024, 53)).frame();
    vec![
        row("this network", from("0.1.2.3"), MartianSource),
        row("no address at all", from("0.0.0.0"), MartianSource),
        row("loopback", from("127.0.0.1"), MartianSource),
        row("multicast", from("224.0.0.251"), MartianSource),
        row("reserved", from("240.0.0.1"), MartianSource),
        row("broadcast", from("255.255.255.255"), MartianSource),
        row("loopback over IPv6", from6("::1"), MartianSource),
        row("no address at all over IPv6", from6("::"), MartianSource),
        row("multicast over IPv6", from6("ff02::1"), MartianSource),
        row(
            "IPv4 in IPv6 clothing",
            from6("::ffff:192.0.2.1"),
            MartianSource,
        ),
        row("a private source is a host", from("10.1.2.3"), Clean),
        row("a shared source is a host", from("100.64.0.1"), Clean),
        row("a link-local source is a host", from("169.254.1.1"), Clean),
        row(
            "the last address below multicast",
            from("223.255.255.255"),
            Clean,
        ),
        row(
            "the last address below loopback",
            from("126.255.255.255"),
            Clean,
        ),
        row("the first address above loopback", from("128.0.0.0"), Clean),
        row("the address behind loopback over IPv6", from6("::2"), Clean),
        row("a unique local source is a host", from6("fd00::1"), Clean),
        row(
            "a link-local source over IPv6 is a host",
            from6("fe80::1"),
            Clean,
        ),
        row(
            "a NAT64 source is a host",
            from6("64:ff9b::192.0.2.1"),
            Clean,
        ),
        row(
            "source and destination are the same",
            v4("203.0.113.1", TCP, syn(80)).to("203.0.113.1").frame(),
            Land,
        ),
        row(
            "source and destination are the same over IPv6",
            v6(HOST6, UDP, udp(7, 7)).to(HOST6).frame(),
            Land,
        ),
        row(
            "source and destination differ in the last bit",
            v6(HOST6, UDP, udp(7, 7)).to("2001:db8::6").frame(),
            Clean,
        ),
    ]
}

fn flags() -> Vec<Row> {
    const ECE_CWR: u8 = 0xc0;
    let with = |flags| v4(HOST, TCP, tcp(40_000, 80, flags)).frame();
    vec![
        row("SYN with FIN", with(SYN | FIN), TcpFlags),
        row("SYN with FIN and ACK", with(SYN | FIN | ACK), TcpFlags),
        row("SYN with RST", with(SYN | RST), TcpFlags),
        row("no flag", with(0), TcpFlags),
        row(
            "no flag but those of congestion control",
            with(ECE_CWR),
            TcpFlags,
        ),
        row("a Xmas tree", with(FIN | PSH | URG), TcpFlags),
        row("all flags", with(0xff), TcpFlags),
        row(
            "flags over IPv6",
            v6(HOST6, TCP, tcp(1, 2, SYN | RST)).frame(),
            TcpFlags,
        ),
        row(
            "a SYN that offers congestion notification",
            with(SYN | ECE_CWR),
            Clean,
        ),
        row("SYN with ACK", with(SYN | ACK), Clean),
        row("FIN with ACK", with(FIN | ACK), Clean),
        row("a reset", with(RST), Clean),
        row("a push", with(PSH | ACK), Clean),
        row(
            "TCP from port 0",
            v4(HOST, TCP, tcp(0, 80, SYN)).frame(),
            PortZero,
        ),
        row(
            "TCP to port 0",
            v4(HOST, TCP, tcp(80, 0, SYN)).frame(),
            PortZero,
        ),
        row(
            "UDP from port 0",
            v4(HOST, UDP, udp(0, 53)).frame(),
            PortZero,
        ),
        row(
            "UDP to port 0 over IPv6",
            v6(HOST6, UDP, udp(53, 0)).frame(),
            PortZero,
        ),
    ]
}
