use std::net::IpAddr;

use filter_common::{
    abi::rules::{MOST_CANDIDATES, RULES},
    logic::{
        classify::{Candidates, Classes, MOST_STEPS, Numbers, Step, form},
        lines::{Line, WORDS},
        packet::{Packet, Transport},
    },
};
use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::rules::{matches::header_matches, strategy};

fn members(rules: &[Rule]) -> Vec<Member<'_>> {
    rules
        .iter()
        .map(|rule| Member { rule, ends: false })
        .collect()
}

/// The rules that a packet meets, and the services it is sent to, as the kernel finds them.
fn meets(table: &[Line], bank: u32, packet: &Packet) -> (Vec<usize>, u64) {
    let mut classes = Classes::default();
    classes
        .find(table, bank, &Numbers::of(packet))
        .expect("the table is whole");
    let mut candidates = Candidates::new(table, &classes);
    let services = candidates.services();
    let mut found = Vec::new();
    while let Some(step) = candidates.step(table, &classes) {
        if let Step::Rule(rule) = step {
            found.push(rule as usize);
        }
    }
    (found, services)
}

/// The same, found one by one. A rule with a payload counts as met where there could be one.
fn met_naively(rules: &[Rule], packet: &Packet) -> Vec<usize> {
    let can_have_payload = form(packet) & 4 != 0;
    rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| header_matches(&rule.matches, packet))
        .filter(|(_, rule)| rule.matches.payload.is_none() || can_have_payload)
        .map(|(index, _)| index)
        .collect()
}

/// Any set of rules that decide, so that there is no crowd; patterns only count as conditions.
fn build(rules: &[Rule], services: &[ServiceMatch]) -> Vec<Line> {
    let regions: Vec<Region> = rules.iter().map(|rule| Region::of(&rule.matches)).collect();
    let services: Vec<Region> = services.iter().map(Region::of_service).collect();
    Layout::build(&regions, &services).expect("it fits")
}

fn service() -> impl Strategy<Value = ServiceMatch> {
    let v4 = (strategy::v4_address(), 8..=32_u8)
        .prop_map(|(a, length)| net(IpAddr::V4(a.into()), length));
    let v6 = (strategy::v6_address(), 16..=128_u8)
        .prop_map(|(a, length)| net(IpAddr::V6(a.into()), length));
    let to = prop::collection::vec(prop_oneof![2 => v4, 1 => v6], 1..4);
    let port = prop::option::of(strategy::ports());
    (to, prop::sample::select(vec![6_u8, 17, 1]), port)
        .prop_map(|(to, protocol, port)| ServiceMatch { to, protocol, port })
        .prop_filter("one that can be told", |service| {
            Region::of_service(service).destination.is_product()
        })
}

fn net(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length)
        .expect("a length that fits")
        .trunc()
}

/// Whether a packet is sent to a service.
fn is_sent_to(service: &ServiceMatch, packet: &Packet) -> bool {
    let to_port = match packet.transport() {
        Transport::Tcp {
            destination_port, ..
        }
        | Transport::Udp {
            destination_port, ..
        } => Some(destination_port),
        Transport::Icmp { .. } | Transport::Opaque => None,
    };
    let has_ports = matches!(service.protocol, 6 | 17);
    let destination = IpAddr::from(packet.destination);
    service.protocol == packet.protocol
        && service.to.iter().any(|net| net.contains(&destination))
        && (service.port.is_none() || !has_ports || service.port == to_port)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// 120 tables, 60 packets each.
    #[test]
    fn the_table_finds_what_is_found_one_by_one(
        rules in prop::collection::vec(strategy::rule(), 0..150),
        services in prop::collection::vec(service(), 0..64),
        packets in prop::collection::vec(strategy::packet(), 60),
    ) {
        let table = build(&rules, &services);
        for packet in &packets {
            let (found, to) = meets(&table, 0, packet);
            prop_assert_eq!(&found, &met_naively(&rules, packet), "{:?}", packet);
            let expected = services.iter().zip(0..).fold(0, |set, (service, place)| {
                set | u64::from(is_sent_to(service, packet)) << place
            });
            prop_assert_eq!(to, expected);
        }
    }

    /// What is installed is never seen only in part.
    #[test]
    fn the_kernels_steps_suffice_for_every_set_that_is_taken(
        rules in prop::collection::vec(strategy::rule(), 0..60),
        packets in prop::collection::vec(strategy::packet(), 40),
    ) {
        let all = members(&rules);
        let Ok(table) = compile(&all, &[]) else {
            return Ok(());
        };
        for packet in &packets {
            let mut classes = Classes::default();
            classes.find(table.as_slice(), 0, &Numbers::of(packet)).expect("the table is whole");
            let mut candidates = Candidates::new(table.as_slice(), &classes);
            let mut steps = 0;
            let decided = loop {
                match candidates.step(table.as_slice(), &classes) {
                    None => break None,
                    Some(Step::Rule(rule)) if all[rule as usize].decides() => break Some(rule),
                    Some(_) => {}
                }
                steps += 1;
            };
            prop_assert!(steps < MOST_STEPS);
            let first = met_naively(&rules, packet)
                .into_iter()
                .find(|rule| all[*rule].decides());
            prop_assert_eq!(decided.map(|rule| rule as usize), first);
        }
    }

    #[test]
    fn a_table_means_the_same_in_either_bank(
        rules in prop::collection::vec(strategy::rule(), 1..30),
        packet in strategy::packet(),
    ) {
        let table = build(&rules, &[]);
        let mut both = vec![[u64::MAX; WORDS]; 70];
        both.extend_from_slice(&table);
        prop_assert_eq!(meets(&both, 70, &packet), meets(&table, 0, &packet));
    }
}

fn rules(texts: impl IntoIterator<Item = String>) -> Vec<Rule> {
    texts
        .into_iter()
        .map(|text| text.parse().unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

#[test]
fn the_most_rules_with_nothing_in_common_fit_beside_the_most_services() {
    // Ranges that overlap in another order in each dimension.
    let place = |n: u32, step: u32| n * step % RULES;
    let all = rules((0..RULES).map(|n| {
        let range = |from: u32, to: u32| {
            let (first, last) = (place(n, from) * 30, 32_768 + place(n, to) * 30);
            format!("{first}-{last}")
        };
        let [high, low] = [n >> 8, n & 255];
        let ends = if n % 2 == 0 {
            format!("from 10.{high}.{low}.0/25 to 10.{high}.{low}.128/25")
        } else {
            format!("from 2001:db8:{n:x}::1 to 2001:db8:{n:x}::8000:0:0:1")
        };
        let (sport, dport, length) = (range(1, 601), range(333, 77), range(805, 411));
        let ttl = n % 128;
        format!(
            "drop tcp {ends} sport {sport} dport {dport} length {length} ttl {ttl}-{}",
            128 + place(n, 101) % 127
        )
    }));
    let services: Vec<ServiceMatch> = (0..SERVICES as u16)
        .map(|n| ServiceMatch {
            to: vec![net(IpAddr::from([192, 0, 2, n as u8]), 32)],
            protocol: 17,
            port: Some(n),
        })
        .collect();
    let table = compile(&members(&all), &services).expect("the most there can be");
    assert!(table.len() > 25_000, "{} lines are no test", table.len());
}

#[test]
fn a_rule_without_conditions_is_met_by_every_packet() {
    let all = rules(["drop any".to_owned()]);
    let table = compile(&members(&all), &[]).expect("one rule");
    assert_eq!(meets(&table, 0, &strategy::plain_packet()), (vec![0], 0));
}

#[test]
fn no_rules_are_met_by_no_packet() {
    let table = compile(&[], &[]).expect("none");
    assert_eq!(meets(&table, 0, &strategy::plain_packet()), (vec![], 0));
}

#[test]
fn what_is_too_much_is_refused() {
    let all = rules((0..=RULES).map(|_| "drop udp".to_owned()));
    assert_eq!(
        compile(&members(&all), &[]),
        Err(CompileError::TooMany { rules: 1025 })
    );
    let service = ServiceMatch {
        to: vec![net(IpAddr::from([192, 0, 2, 1]), 32)],
        protocol: 6,
        port: Some(443),
    };
    assert_eq!(
        compile(&[], &vec![service; 65]),
        Err(CompileError::TooManyServices { services: 65 })
    );
}

#[test]
fn a_crowd_is_refused_and_named() {
    let crowd = MOST_CANDIDATES as usize;
    let limit = |n: usize| format!("limit 10/s udp dport {n}-99");
    // Those that decide, and those beside, are in nobody's way.
    let mut texts = vec!["drop udp".to_owned(), "shadow drop tcp".to_owned()];
    texts.extend((0..crowd).map(limit));
    let full = rules(texts.clone());
    assert!(compile(&members(&full), &[]).is_ok());
    texts.push(limit(99));
    let above = rules(texts);
    let named: Vec<usize> = (2..above.len()).collect();
    assert_eq!(
        compile(&members(&above), &[]),
        Err(CompileError::Crowded { rules: named })
    );
}

#[test]
fn a_wide_rule_over_many_narrow_ones_is_no_crowd() {
    let all = rules(
        (0..500)
            .map(|n| format!("limit 10/s udp dport {n}"))
            .chain(["limit 1k/s udp".to_owned(), "shadow drop any".to_owned()]),
    );
    assert!(compile(&members(&all), &[]).is_ok());
}

#[test]
fn what_ends_some_day_does_not_decide() {
    let all = rules((0..17).map(|_| "drop udp".to_owned()));
    let ending: Vec<Member<'_>> = all.iter().map(|rule| Member { rule, ends: true }).collect();
    assert!(compile(&members(&all), &[]).is_ok());
    assert!(matches!(
        compile(&ending, &[]),
        Err(CompileError::Crowded { .. })
    ));
}

#[test]
fn a_service_whose_addresses_cannot_be_told_apart_from_others_is_refused() {
    let service = |texts: &[&str]| ServiceMatch {
        to: texts
            .iter()
            .map(|text| text.parse().expect("a prefix"))
            .collect(),
        protocol: 6,
        port: Some(443),
    };
    let build = |texts: &[&str]| compile(&[], &[service(texts)]).map(drop);
    let apart = Err(CompileError::ServiceAddresses { service: 0 });
    assert_eq!(
        build(&["2001:db8:0:1::1/128", "2001:db8:0:2::2/128"]),
        apart
    );
    assert_eq!(build(&["2001:db8:0:1::1/128", "2001:db8:0:2::/64"]), apart);
    assert_eq!(
        build(&["2001:db8:0:1::1/128", "2001:db8:0:1::2/128"]),
        Ok(())
    );
    assert_eq!(
        build(&["2001:db8:0:1::1/128", "2001:db8:0:2::1/128", "192.0.2.0/24"]),
        Ok(())
    );
    assert_eq!(build(&["2001:db8:0:1::/64", "2001:db8:2::/48"]), Ok(()));
}
