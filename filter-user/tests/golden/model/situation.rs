//! What is in force while random frames arrive.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use filter_common::abi::{
    defence::{Defence, ProtocolPolicy},
    reason::Reason,
    settings::{CLASSES, FragmentPolicy},
};
use filter_common::logic::sanity;
use filter_user::{config::units::parse_prefix, rules::Rule};
use ipnet::IpNet;
use proptest::{
    bool::weighted,
    collection::{btree_map, vec},
    option,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::{Index, select, subsequence},
};

use super::{
    asked::{Own, own},
    frames::{self, PORTS},
};

/// Frames in a situation.
pub const FRAMES: usize = 500;

/// A situation, and what arrives in it. Limits are numbers of packets, or bytes, that the buckets
/// hold; they fill again too slowly for that to matter.
#[derive(Clone, Debug)]
pub struct Situation {
    pub enforced: u64,
    pub unchecked: u64,
    pub lists: Lists,
    pub lifelines: Vec<Lifeline>,
    pub sessions: Vec<(IpAddr, u16, u16)>,
    pub session_ceiling: Option<u64>,
    pub control: [Option<u64>; 3],
    pub source: Limits,
    pub prefix: Limits,
    /// Lengths of prefixes, of IPv4 and IPv6.
    pub lengths: (u8, u8),
    /// Whether the CPU is under pressure.
    pub pressed: bool,
    pub fragments: Fragments,
    /// In order. The burst of a limit is all that it lets pass.
    pub rules: Vec<Rule>,
    pub state: State,
    pub own: Own,
    pub frames: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub struct Lists {
    pub allow: Vec<Entry>,
    pub ban: Vec<Entry>,
    pub block: Vec<Entry>,
    /// Imported lists, by their numbers.
    pub imported: BTreeMap<u8, Vec<IpNet>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub prefix: IpNet,
    pub has_ended: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Lifeline {
    /// From where; without it, from anywhere, and only what opens a connection.
    pub from: Option<IpNet>,
    pub protocol: u8,
    pub port: u16,
    pub ceiling: Option<u64>,
}

/// Limits of sources or prefixes, by class.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub room: [Option<u64>; CLASSES],
    /// The classes whose limit holds in calm.
    pub always: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Fragments {
    pub policy: FragmentPolicy,
    pub limit: Option<u64>,
    /// Whether fates are remembered.
    pub remembers: bool,
}

/// What asks for state.
#[derive(Clone, Debug)]
pub struct State {
    /// The sets of defences that hold in calm, and under pressure.
    pub always: u32,
    pub pressed: u32,
    pub icmp_errors: Option<u64>,
    pub echo: Option<u64>,
    pub protocols: Option<u64>,
    /// Whether sources, and prefixes, may open no connection.
    pub connections: [bool; 2],
    /// Of protocols that have one.
    pub policies: BTreeMap<u8, ProtocolPolicy>,
}

/// Any situation.
pub fn situation() -> impl Strategy<Value = Situation> {
    pool().prop_flat_map(|pool| {
        let frames = vec(frames::frame(&pool), FRAMES);
        (
            (
                enforced(),
                unchecked(),
                lists(&pool),
                lifelines(&pool),
                sessions(&pool),
            ),
            (
                ceiling(),
                [ceiling(), ceiling(), ceiling()],
                limits(),
                limits(),
            ),
            (
                8..=32_u8,
                20..=64_u8,
                any::<bool>(),
                fragments(),
                rules(&pool),
                (state(), own(&pool)),
                frames,
            ),
        )
            .prop_map(|(one, two, three)| {
                let (enforced, unchecked, lists, lifelines, sessions) = one;
                let (session_ceiling, control, source, prefix) = two;
                let (v4, v6, pressed, fragments, rules, (state, own), frames) = three;
                Situation {
                    enforced,
                    unchecked,
                    lists,
                    lifelines,
                    sessions,
                    session_ceiling,
                    control,
                    source,
                    prefix,
                    lengths: (v4, v6),
                    pressed,
                    fragments,
                    rules,
                    state,
                    own,
                    frames,
                }
            })
    })
}

/// Sources, some of them neighbours.
fn pool() -> impl Strategy<Value = Vec<IpAddr>> {
    let v4 = vec(
        (0x0100_0000..0x7f00_0000_u32, vec(0..0x1_0400_u32, 1..4)),
        5,
    )
    .prop_map(|areas| {
        let addresses = areas.into_iter().flat_map(|(start, offsets)| {
            let address = move |offset| IpAddr::from(Ipv4Addr::from(start.wrapping_add(offset)));
            offsets.into_iter().map(address)
        });
        addresses.collect::<Vec<_>>()
    });
    let near = vec((any::<u128>(), 16..112_u32), 1..4);
    let v6 = vec((any::<u128>(), near), 5).prop_map(|areas| {
        let addresses = areas.into_iter().flat_map(|(start, offsets)| {
            // In 2000::/3, and some bits differ at the end.
            let start = start >> 3 | 1 << 125;
            let address =
                move |(offset, bits)| IpAddr::from(Ipv6Addr::from(start ^ (offset >> bits) >> 3));
            offsets.into_iter().map(address)
        });
        addresses.collect::<Vec<_>>()
    });
    (v4, v6).prop_map(|(v4, v6)| [v4, v6].concat())
}

/// Prefixes around the pool's addresses, of any length that lists hold.
fn prefix(pool: &[IpAddr]) -> impl Strategy<Value = IpNet> + use<> {
    let pool = pool.to_vec();
    let lengths = (
        prop_oneof![Just(32), Just(24), 8..=32_u8],
        prop_oneof![Just(64), Just(128), 16..=128_u8],
    );
    (any::<Index>(), lengths).prop_map(move |(at, (v4, v6))| {
        let address = *at.get(&pool);
        let length = if address.is_ipv4() { v4 } else { v6 };
        parse_prefix(&format!("{address}/{length}"))
            .expect("a prefix")
            .trunc()
    })
}

fn enforced() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => Just(Reason::all_drops()),
        1 => Just(0),
        2 => any::<u64>().prop_map(|set| set & Reason::all_drops()),
    ]
}

fn unchecked() -> impl Strategy<Value = u64> {
    let some = subsequence(sanity::SWITCHABLE.to_vec(), 0..=8);
    let some = some.prop_map(|reasons| reasons.iter().fold(0, |set, it| set | it.bit()));
    prop_oneof![2 => Just(0), 1 => some]
}

fn lists(pool: &[IpAddr]) -> impl Strategy<Value = Lists> + use<> {
    let entry = |pool| {
        let ended = prop_oneof![4 => Just(false), 1 => Just(true)];
        (prefix(pool), ended).prop_map(|(prefix, has_ended)| Entry { prefix, has_ended })
    };
    let imported = btree_map(0..64_u8, vec(prefix(pool), 1..12), 0..4);
    (
        vec(entry(pool), 0..4),
        vec(entry(pool), 0..4),
        vec(entry(pool), 0..4),
        prop_oneof![1 => Just(BTreeMap::new()), 2 => imported],
    )
        .prop_map(|(allow, ban, block, imported)| Lists {
            allow: unique(allow),
            ban: unique(ban),
            block: unique(block),
            imported,
        })
}

fn unique(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_key(|entry| entry.prefix);
    entries.dedup_by_key(|entry| entry.prefix);
    entries
}

fn lifelines(pool: &[IpAddr]) -> impl Strategy<Value = Vec<Lifeline>> + use<> {
    let one = (
        option::of(prefix(pool)),
        select(vec![6_u8, 17]),
        port(),
        ceiling(),
    );
    let one = one.prop_map(|(from, protocol, port, ceiling)| Lifeline {
        from,
        protocol,
        port,
        ceiling,
    });
    vec(one, 0..3)
}

fn sessions(pool: &[IpAddr]) -> impl Strategy<Value = Vec<(IpAddr, u16, u16)>> + use<> {
    vec((select(pool.to_vec()), port(), port()), 0..3)
}

fn port() -> impl Strategy<Value = u16> {
    select(PORTS.to_vec())
}

fn ceiling() -> impl Strategy<Value = Option<u64>> {
    option::of(0..20_u64)
}

fn limits() -> impl Strategy<Value = Limits> {
    let packets = || option::weighted(0.7, 1..10_u64);
    let all = option::weighted(0.3, 10..30_u64);
    let bytes = option::weighted(0.3, 100..1000_u64);
    let room = (all, packets(), packets(), packets(), bytes);
    let some =
        (room, 0..1_u32 << CLASSES).prop_map(|((all, syn, udp, icmp, bytes), always)| Limits {
            room: [all, syn, udp, icmp, bytes],
            always,
        });
    let none = Just(Limits {
        room: [None; CLASSES],
        always: 0,
    });
    prop_oneof![2 => some, 1 => none]
}

fn fragments() -> impl Strategy<Value = Fragments> {
    let policy = select(vec![
        FragmentPolicy::Pass,
        FragmentPolicy::Limit,
        FragmentPolicy::Drop,
    ]);
    (policy, option::of(1..40_u64), any::<bool>()).prop_map(|(policy, limit, remembers)| {
        Fragments {
            policy,
            limit,
            remembers,
        }
    })
}

/// Defences that the model knows.
const MODELLED: [Defence; 6] = [
    Defence::Sockets,
    Defence::ClosedPorts,
    Defence::Solicited,
    Defence::Connections,
    Defence::Icmp,
    Defence::Protocols,
];

fn state() -> impl Strategy<Value = State> {
    let defences = || {
        let some = subsequence(MODELLED.to_vec(), 0..=MODELLED.len());
        some.prop_map(|some| some.iter().fold(0, |set, it| set | it.bit()))
    };
    let room = || option::weighted(0.8, 0..10_u64);
    let number = prop_oneof![select(vec![2_u8, 6, 17, 47, 59]), any::<u8>()];
    let policy = select(vec![
        ProtocolPolicy::Default,
        ProtocolPolicy::Pass,
        ProtocolPolicy::Limit,
        ProtocolPolicy::Drop,
    ]);
    let policies = btree_map(number, policy, 0..40);
    let connections = [weighted(0.2), weighted(0.2)];
    let rooms = (room(), room(), room());
    (defences(), defences(), rooms, connections, policies).prop_map(
        |(always, pressed, (icmp_errors, echo, protocols), connections, policies)| State {
            always,
            pressed,
            icmp_errors,
            echo,
            protocols,
            connections,
            policies,
        },
    )
}

/// Rules as operators write them. What contradicts itself is left out.
fn rules(pool: &[IpAddr]) -> impl Strategy<Value = Vec<Rule>> + use<> {
    let action = prop_oneof![
        3 => Just("drop".to_owned()),
        1 => Just("pass".to_owned()),
        1 => (1..20_u32).prop_map(|burst| format!("limit 1/s burst {burst}")),
        1 => (1..6_u32).prop_map(|burst| format!("limit 1/s burst {burst} per source")),
    ];
    let shadow = prop_oneof![4 => Just(""), 1 => Just("shadow ")];
    let protocol = select(vec![
        "",
        "ip",
        "ip6",
        "tcp",
        "udp",
        "icmp",
        "ip6 proto 47",
        "ip udp",
        "ip6 tcp",
        "ip6 udp",
    ]);
    let from = option::of(prefix(pool).prop_map(|prefix| format!("from {prefix}")));
    let to = option::weighted(
        0.2,
        select(vec!["203.0.113.0/24", "2001:db8:ffff::/48", "198.51.100.1"])
            .prop_map(|prefix| format!("to {prefix}")),
    );
    let one = || option::weighted(0.25, clause());
    let rule = (shadow, action, protocol, from, to, [one(), one(), one()]).prop_map(
        |(shadow, action, protocol, from, to, clauses)| {
            let clauses: Vec<String> = [from, to].into_iter().chain(clauses).flatten().collect();
            let what = [&[protocol.to_owned()], clauses.as_slice()]
                .concat()
                .join(" ");
            let what = if what.trim().is_empty() { "any" } else { &what };
            format!("{shadow}{action} {what}").parse().ok()
        },
    );
    vec(rule, 0..16).prop_map(|rules| rules.into_iter().flatten().collect())
}

/// A condition beside addresses and protocol.
fn clause() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => port().prop_map(|port| format!("dport {port}")),
        1 => port().prop_map(|port| format!("sport {port}")),
        1 => port().prop_map(|port| format!("dport > {port}")),
        1 => (20..200_u16).prop_map(|length| format!("length > {length}")),
        1 => (20..200_u16).prop_map(|length| format!("length < {length}")),
        1 => select(vec![2_u8, 100, 254]).prop_map(|ttl| format!("ttl < {ttl}")),
        1 => select(vec!["whole", "first", "later", "any"]).prop_map(|it| format!("fragment {it}")),
        1 => select(vec!["SYN/SYN,ACK", "ACK", "FIN,PSH,URG"]).prop_map(|it| format!("flags {it}")),
        1 => select(vec!["0x64617461 at 0", "0x6174/0xffff at 1", "0x00 at 12", "0x00000000 at 20"])
            .prop_map(|it| format!("payload {it}")),
    ]
}
