//! Imported lists, and bans.

use std::net::IpAddr;

use filter_common::{
    abi::{
        feature::Feature,
        reason::Reason::{self, Allowed, Banned, Blocked, Clean, Listed},
    },
    logic,
};
use filter_user::dataplane::{Dataplane as _, Image};

use crate::{
    bench::Bench,
    force::Force,
    frame::{TCP, UDP, syn, udp, v4, v6},
    row::{Row, Scenario, row},
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "imported lists",
            force: lists(),
            rows: list_rows(),
        },
        Scenario {
            name: "imported lists that are only watched",
            force: lists().with(|settings| settings.enforced &= !Listed.bit()),
            rows: vec![row("a member", from("192.0.2.1"), Clean).observed(Listed)],
        },
        Scenario {
            name: "bans",
            force: bans(),
            rows: vec![
                row("a banned address", from("192.0.2.1"), Banned),
                row("its neighbour", from("192.0.2.2"), Clean),
                row("a banned prefix over IPv6", from("2001:db8:0:1::9"), Banned),
                row("behind it", from("2001:db8:0:2::"), Clean),
                row(
                    "an allowed address in a banned prefix",
                    from("203.0.113.7"),
                    Allowed,
                ),
                row("a ban before a block", from("198.51.100.1"), Banned),
                row("a ban that ended", from("203.0.112.1"), Clean),
            ],
        },
        Scenario {
            name: "bans that are only watched",
            force: bans().with(|settings| settings.enforced &= !Banned.bit()),
            rows: vec![
                row("a banned address", from("192.0.2.1"), Clean).observed(Banned),
                row("one that is blocked too", from("198.51.100.1"), Blocked),
            ],
        },
    ]
}

fn lists() -> Force {
    Force::new()
        .listed(
            5,
            &[
                "192.0.2.1/32",
                "198.51.100.64/26",
                "203.0.113.0/24",
                "11.0.0.0/8",
                "2001:db8::1/128",
                "2001:db8:1::/48",
                "2001:db8:2:8000::/49",
                "2a00::/12",
                "2001:db8:3:0:4000::/66",
                "2001:db8:3:1::2/127",
                "ffff:ffff:ffff:fff0::/60",
            ],
        )
        .listed(63, &["198.51.100.0/24", "2001:db8::/64"])
        .allow("203.0.113.9/32")
        .block("203.0.113.10/32")
}

fn list_rows() -> Vec<Row> {
    vec![
        row("a /32", from("192.0.2.1"), Listed),
        row("its neighbour", from("192.0.2.0"), Clean),
        row(
            "a /26 in a /24 of another list",
            from("198.51.100.70"),
            Listed,
        ),
        row("beside it", from("198.51.100.128"), Listed),
        row("behind the /24", from("198.51.101.0"), Clean),
        row("a /8", from("11.255.255.255"), Listed),
        row("before it", from("10.255.255.255"), Clean),
        row("an allowed member", from("203.0.113.9"), Allowed),
        row("a blocked member", from("203.0.113.10"), Blocked),
        row(
            "a /128 in a /64 of another list",
            from("2001:db8::1"),
            Listed,
        ),
        row("beside it", from("2001:db8::ffff:0:2"), Listed),
        row("behind the /64", from("2001:db8:0:1::"), Clean),
        row("a /48", from("2001:db8:1:ffff::1"), Listed),
        row("the half of a /48", from("2001:db8:2:8000::"), Listed),
        row("the other half", from("2001:db8:2:7fff::1"), Clean),
        row("a quarter of a /64", from("2001:db8:3:0:7fff::1"), Listed),
        row("the next quarter", from("2001:db8:3:0:8000::"), Clean),
        row("the second half of a /127", from("2001:db8:3:1::3"), Listed),
        row("behind the /127", from("2001:db8:3:1::4"), Clean),
        row("too short for the gate", from("2a0f:ffff::1"), Listed),
        row("behind it", from("2a10::1"), Clean),
        row(
            "with a tag",
            crate::frame::tagged(&[0x8100], 0x0800, &v4("11.1.1.1", TCP, syn(80)).packet()),
            Listed,
        ),
    ]
}

fn bans() -> Force {
    Force::new()
        .ban("192.0.2.1/32")
        .ban("2001:db8:0:1::/64")
        .ban("203.0.113.0/24")
        .ban("198.51.100.1/32")
        .list(filter_user::api::types::ListKind::Ban, "203.0.112.1/32", 1)
        .block("198.51.100.1/32")
        .allow("203.0.113.7/32")
}

fn from(source: &str) -> Vec<u8> {
    from_address(source.parse().expect("an address"))
}

fn from_address(source: IpAddr) -> Vec<u8> {
    let text = source.to_string();
    match source {
        IpAddr::V4(_) => v4(&text, UDP, udp(1024, 53)).frame(),
        IpAddr::V6(_) => v6(&text, UDP, udp(1024, 53)).frame(),
    }
}

fn reason(bench: &mut Bench, source: IpAddr) -> Reason {
    let before = bench.kernel.counters().expect("counters are read");
    bench.kernel.run(&from_address(source)).expect("it runs");
    let after = bench.kernel.counters().expect("counters are read");
    let moved = |reason: &&Reason| {
        let index = filter_common::abi::counter::happened(**reason) as usize;
        after[index].packets != before[index].packets
    };
    *Reason::ALL.iter().find(moved).expect("a reason")
}

#[test]
fn each_list_counts_what_its_members_met() {
    let mut bench = Bench::new();
    bench.put(&lists());
    let mut hits = |source: &str| {
        let before = bench.kernel.list_hits().expect("hits are read");
        let frame = from(source);
        bench.kernel.run(&frame).expect("it runs");
        let after = bench.kernel.list_hits().expect("hits are read");
        let moved = after.iter().zip(before.iter()).enumerate();
        let moved = moved.filter(|(_, (after, before))| after != before);
        let moved: Vec<(usize, u64, bool)> = moved
            .map(|(list, (after, before))| {
                let bytes = after.bytes - before.bytes;
                (
                    list,
                    after.packets - before.packets,
                    bytes == frame.len() as u64,
                )
            })
            .collect();
        moved
    };
    assert_eq!(
        hits("198.51.100.70"),
        [(5, 1, true)],
        "the lowest number counts"
    );
    assert_eq!(hits("198.51.100.1"), [(63, 1, true)]);
    assert_eq!(hits("2001:db8::2"), [(63, 1, true)]);
    assert_eq!(hits("2001:db8::1"), [(5, 1, true)], "a part of a /64");
    assert_eq!(hits("192.0.2.2"), []);
    bench.kernel.clear_list_hits(63).expect("it is cleared");
    let all = bench.kernel.list_hits().expect("hits are read");
    assert_eq!((all[5].packets, all[63].packets), (2, 0));
}

#[test]
fn the_kernel_finds_in_the_sets_what_the_host_does() {
    let mut bench = Bench::new();
    let force = lists();
    bench.put(&force);
    let lists: Vec<_> = force
        .lists
        .iter()
        .map(|(number, prefixes)| filter_user::sets::List {
            number: *number,
            prefixes,
        })
        .collect();
    let sets = filter_user::sets::build(&lists, 1024).expect("sets that fit");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut found = 0;
    for round in 0..4_000_u32 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(round.into());
        let base = [0x0b00_0000_u32, 0xc633_6400, 0xc000_0200][round as usize % 3];
        let v4 = base ^ (random >> 40) as u32 & [0x1ff_ffff, 0x1ff, 0x1ff][round as usize % 3];
        let expected = logic::set4::find(sets.v4.lines.as_slice(), v4);
        let address = IpAddr::V4(v4.into());
        assert_eq!(
            reason(&mut bench, address) == Listed,
            expected.is_some(),
            "{address}"
        );
        let high = 0x2001_0db8_0000_0000_u64 ^ random >> (29 + round % 20) & 0x3_ffff_ffff;
        let low = random >> 60 & 3;
        let expected6 = logic::set6::find(sets.v6.as_slice(), high, low);
        let address = IpAddr::V6((u128::from(high) << 64 | u128::from(low)).into());
        assert_eq!(
            reason(&mut bench, address) == Listed,
            expected6.is_some(),
            "{address}"
        );
        found += usize::from(expected.is_some()) + usize::from(expected6.is_some());
    }
    assert!(found > 1_000, "{found} of 8,000 are listed");
}

#[test]
fn a_program_with_other_features_keeps_the_sets_and_what_maps_hold() {
    let mut bench = Bench::new();
    bench.put(&lists());
    let listed = "11.1.2.3".parse().expect("an address");
    assert_eq!(reason(&mut bench, listed), Listed);
    let features = |features| Image {
        features,
        sets: None,
    };
    let without = features(!Feature::Set4.bit());
    bench.kernel.place(without).expect("it is placed");
    assert_eq!(reason(&mut bench, listed), Clean, "the program cannot look");
    bench
        .kernel
        .place(features(u64::MAX))
        .expect("it is placed");
    assert_eq!(
        reason(&mut bench, listed),
        Listed,
        "the sets are there still"
    );
    let blocked = "203.0.113.10".parse().expect("an address");
    assert_eq!(reason(&mut bench, blocked), Blocked);
    bench.place(&[]);
    assert_eq!(reason(&mut bench, listed), Clean);
}
