//! Limits in bytes, and limits of prefixes.

use filter_common::abi::{
    reason::Reason::{
        Clean, LimitAll, LimitBytes, LimitUdp, PrefixAll, PrefixBytes, PrefixIcmp, PrefixSyn,
        PrefixUdp,
    },
    settings::{Class, Settings},
};

use crate::{
    force::{Force, only, only_bytes},
    frame::{ICMP, ICMPV6, TCP, UDP, icmp, syn, udp, v4, v6},
    row::{Row, Scenario, row},
};

/// A protocol without a class of its own.
const GRE: u8 = 47;
/// Bytes of what [`datagram`] makes.
const DATAGRAM: u64 = 14 + 20 + 12;

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    vec![
        Scenario {
            name: "limits of prefixes",
            force: of_prefixes([6, 2, 2, 1], hz),
            rows: prefix_rows(),
        },
        Scenario {
            name: "limits of prefixes over IPv6",
            force: of_prefixes([6, 2, 2, 1], hz),
            rows: prefix_rows6(),
        },
        Scenario {
            name: "limits of prefixes that are only watched",
            force: of_prefixes([4, 1, 1, 1], hz).with(|settings| settings.enforced = 0),
            rows: watched_prefixes(),
        },
        Scenario {
            name: "limits of prefixes without pressure",
            force: of_prefixes([1; 4], hz).with(|settings| {
                settings.prefix.pressed = settings.prefix.always;
                settings.prefix.always = 0;
            }),
            rows: vec![
                row("the first datagram", datagram("198.19.3.1"), Clean),
                row("do not hold for the second", datagram("198.19.3.2"), Clean),
            ],
        },
        Scenario {
            name: "limits of sources and prefixes",
            force: of_prefixes([9, 9, 2, 9], hz).with(|settings| {
                settings.source.limits[Class::All as usize] = only(2, hz);
                settings.source.limits[Class::Udp as usize] = only(1, hz);
                settings.source.always = Class::All.bit() | Class::Udp.bit();
            }),
            rows: both_rows(),
        },
        Scenario {
            name: "limits in bytes",
            force: Force::new().with(|settings| bytes_of_sources(settings, 2 * DATAGRAM + 20)),
            rows: byte_rows(),
        },
        Scenario {
            name: "limits in bytes of prefixes",
            force: Force::new().with(|settings| bytes_of_prefixes(settings, 2 * DATAGRAM + 20)),
            rows: prefix_byte_rows(),
        },
        Scenario {
            name: "limits in bytes that are only watched",
            force: Force::new().with(|settings| {
                settings.enforced = 0;
                bytes_of_sources(settings, DATAGRAM);
                bytes_of_prefixes(settings, 2 * DATAGRAM);
            }),
            rows: vec![
                row("the first datagram", datagram("198.19.8.1"), Clean),
                row("the second", datagram("198.19.8.1"), Clean).observed(LimitBytes),
                row("the first of a neighbour", datagram("198.19.8.2"), Clean),
                row("the first of another", datagram("198.19.8.3"), Clean).observed(PrefixBytes),
                row("above both", datagram("198.19.8.1"), Clean).observed(LimitBytes),
            ],
        },
    ]
}

fn of_prefixes(packets: [u64; 4], hz: u64) -> Force {
    Force::new().with(|settings| {
        masks(settings);
        for (limit, packets) in settings.prefix.limits.iter_mut().zip(packets) {
            *limit = only(packets, hz);
        }
        settings.prefix.always = 0b1111;
    })
}

/// A prefix is a /24, or a /48 of IPv6.
fn masks(settings: &mut Settings) {
    settings.prefix_mask_v4 = 0xffff_ff00;
    settings.prefix_mask_v6 = 0xffff_ffff_ffff_0000;
}

fn bytes_of_sources(settings: &mut Settings, bytes: u64) {
    settings.source.limits[Class::Bytes as usize] = only_bytes(bytes);
    settings.source.always = Class::Bytes.bit();
}

fn bytes_of_prefixes(settings: &mut Settings, bytes: u64) {
    masks(settings);
    settings.prefix.limits[Class::Bytes as usize] = only_bytes(bytes);
    settings.prefix.always = Class::Bytes.bit();
}

fn open(source: &str) -> Vec<u8> {
    v4(source, TCP, syn(80)).frame()
}

fn datagram(source: &str) -> Vec<u8> {
    v4(source, UDP, udp(1024, 53)).frame()
}

fn ping(source: &str) -> Vec<u8> {
    v4(source, ICMP, icmp(8, 0)).frame()
}

fn other(source: &str) -> Vec<u8> {
    v4(source, GRE, vec![]).frame()
}

fn open6(source: &str) -> Vec<u8> {
    v6(source, TCP, syn(80)).frame()
}

fn datagram6(source: &str) -> Vec<u8> {
    v6(source, UDP, udp(1024, 53)).frame()
}

fn prefix_rows() -> Vec<Row> {
    vec![
        row("a SYN", open("198.19.1.1"), Clean),
        row(
            "one of another source in the /24",
            open("198.19.1.2"),
            Clean,
        ),
        row(
            "a third source is above the limit",
            open("198.19.1.3"),
            PrefixSyn,
        ),
        row("the next /24 is another", open("198.19.2.1"), Clean),
        row("a datagram", datagram("198.19.1.1"), Clean),
        row("one of a neighbour", datagram("198.19.1.255"), Clean),
        row("one above the limit", datagram("198.19.1.0"), PrefixUdp),
        row("a ping", ping("198.19.1.1"), Clean),
        row("a ping of a neighbour", ping("198.19.1.2"), PrefixIcmp),
        row("the last packet of all", other("198.19.1.4"), Clean),
        row("one above the limit of all", other("198.19.1.5"), PrefixAll),
        row(
            "above both it is told by its class",
            open("198.19.1.6"),
            PrefixSyn,
        ),
        row(
            "the next /24 is within all limits",
            other("198.19.2.2"),
            Clean,
        ),
    ]
}

fn prefix_rows6() -> Vec<Row> {
    let ping = |source| v6(source, ICMPV6, icmp(128, 0)).frame();
    let other = |source| v6(source, GRE, vec![]).frame();
    vec![
        row("a SYN", open6("2001:db8:191:1::1"), Clean),
        row(
            "one of another /64 in the /48",
            open6("2001:db8:191:2::1"),
            Clean,
        ),
        row(
            "a third is above the limit",
            open6("2001:db8:191:3::1"),
            PrefixSyn,
        ),
        row("the next /48 is another", open6("2001:db8:192:1::1"), Clean),
        row("a datagram", datagram6("2001:db8:191::1"), Clean),
        row(
            "one of another /64",
            datagram6("2001:db8:191:ffff::1"),
            Clean,
        ),
        row("a third", datagram6("2001:db8:191:f::1"), PrefixUdp),
        row("a ping", ping("2001:db8:191::1"), Clean),
        row(
            "a ping of another /64",
            ping("2001:db8:191:1::1"),
            PrefixIcmp,
        ),
        row("the last packet of all", other("2001:db8:191:4::1"), Clean),
        row(
            "one above the limit of all",
            other("2001:db8:191:5::1"),
            PrefixAll,
        ),
        row(
            "a ping over IPv4",
            v4("32.1.0.1", ICMP, icmp(8, 0)).frame(),
            Clean,
        ),
        row(
            "a neighbour's",
            v4("32.1.0.2", ICMP, icmp(8, 0)).frame(),
            PrefixIcmp,
        ),
        row(
            "an IPv6 prefix of the same number is another",
            ping("0:0:2001::1"),
            Clean,
        ),
    ]
}

fn watched_prefixes() -> Vec<Row> {
    vec![
        row("the only SYN", open("198.19.9.1"), Clean),
        row("another", open("198.19.9.2"), Clean).observed(PrefixSyn),
        row("the only datagram", datagram("198.19.9.1"), Clean),
        row("another", datagram("198.19.9.2"), Clean).observed(PrefixUdp),
        row("the only ping", ping("198.19.9.1"), Clean),
        row("another", ping("198.19.9.2"), Clean).observed(PrefixIcmp),
        row("the last packet of all", other("198.19.9.1"), Clean),
        row("another", other("198.19.9.2"), Clean).observed(PrefixAll),
    ]
}

fn both_rows() -> Vec<Row> {
    vec![
        row(
            "the only datagram of a source",
            datagram("198.19.4.1"),
            Clean,
        ),
        row(
            "its second is above its own limit",
            datagram("198.19.4.1"),
            LimitUdp,
        ),
        row(
            "and is not charged to the prefix",
            datagram("198.19.4.2"),
            Clean,
        ),
        row(
            "a third source is above the prefix's",
            datagram("198.19.4.3"),
            PrefixUdp,
        ),
        row(
            "and is not charged for it: two others",
            other("198.19.4.3"),
            Clean,
        ),
        row("and", other("198.19.4.3"), Clean),
        row("no third", other("198.19.4.3"), LimitAll),
    ]
}

fn byte_rows() -> Vec<Row> {
    let long = v4("198.19.5.2", UDP, [udp(1, 2), vec![0; 60]].concat()).frame();
    vec![
        row("a datagram", datagram("198.19.5.1"), Clean),
        row("a second", datagram("198.19.5.1"), Clean),
        row(
            "a third is above the limit",
            datagram("198.19.5.1"),
            LimitBytes,
        ),
        row(
            "so is what is longer than what is left",
            open("198.19.5.1"),
            LimitBytes,
        ),
        row("another source", open("198.19.5.2"), Clean),
        row("a frame that is too long for it", long, LimitBytes),
        row("a shorter one", datagram("198.19.5.2"), Clean),
        row("a datagram over IPv6", datagram6("2001:db8:195::1"), Clean),
        row(
            "another of the same /64",
            datagram6("2001:db8:195::ffff"),
            LimitBytes,
        ),
        row("one of another /64", datagram6("2001:db8:195:1::1"), Clean),
    ]
}

fn prefix_byte_rows() -> Vec<Row> {
    vec![
        row("a datagram", datagram("198.19.6.1"), Clean),
        row(
            "one of another source in the /24",
            datagram("198.19.6.2"),
            Clean,
        ),
        row("a third", datagram("198.19.6.3"), PrefixBytes),
        row("one of the next /24", datagram("198.19.7.1"), Clean),
        row(
            "a datagram over IPv6",
            datagram6("2001:db8:196:1::1"),
            Clean,
        ),
        row(
            "another of the same /48",
            datagram6("2001:db8:196:2::1"),
            PrefixBytes,
        ),
        row("one of the next /48", datagram6("2001:db8:197:1::1"), Clean),
    ]
}
