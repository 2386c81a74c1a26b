//! Features of the program, and ceilings of services.

use filter_common::abi::{
    feature::Feature,
    service::{Service, ServiceCounter},
};

use super::*;
use crate::{
    api::types::ServiceStatus,
    config::{bytes::ByteRate, limit::Measure},
    dataplane::ServiceReading,
};

impl Daemon<Fake> {
    fn has(&self, feature: Feature) -> bool {
        let loaded = self.plane.features.last().expect("a program");
        loaded & feature.bit() != 0
    }

    fn programs(&self) -> usize {
        self.plane.features.len()
    }

    fn set_limit(&mut self, name: &str, rate: &str) -> Result<Outcome, Refusal> {
        let name: LimitName = name.parse().expect("a limit");
        let rate = name.measure().parse(rate).expect("a rate");
        self.run(Command::SetLimit {
            name,
            rate,
            duration: None,
        })
    }

    fn services_of(&mut self) -> Vec<ServiceStatus> {
        self.service_list().expect("services").services
    }
}

#[test]
fn a_program_is_placed_before_the_first_entry_and_not_for_the_next() {
    let host = Host::new("");
    let mut daemon = host.first();
    let before = daemon.programs();
    assert!(!daemon.has(Feature::Block));
    // The write that fails is the program's: no entry is there without it.
    daemon.plane.fails_in = Some(0);
    daemon
        .add(Block, &["192.0.2.1/32"])
        .expect_err("no program, no entry");
    assert!(!daemon.meets(Block, "192.0.2.1"));
    assert_eq!(daemon.programs(), before);

    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    assert!(daemon.has(Feature::Block));
    assert_eq!(daemon.programs(), before + 1);
    for _ in 0..3 {
        daemon.remove(Block, &["192.0.2.1/32"]).expect("removed");
        daemon.shrink_program();
        daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    }
    assert_eq!(daemon.programs(), before + 1, "single entries come and go");
}

#[test]
fn the_program_loses_what_nothing_needs_later_and_not_at_once() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.set_limit("prefix.bytes", "1Gbit/s").expect("set");
    assert!(daemon.has(Feature::PrefixBytes));
    daemon.set_limit("prefix.bytes", "off").expect("off");
    assert!(daemon.has(Feature::PrefixBytes));
    daemon.shrink_program();
    assert!(!daemon.has(Feature::PrefixBytes));
    let programs = daemon.programs();
    daemon.shrink_program();
    assert_eq!(daemon.programs(), programs, "nothing more to lose");
}

#[test]
fn imported_lists_bring_their_own_code() {
    let host = Host::new("");
    let mut daemon = host.first();
    let before = daemon.programs();
    daemon.import("feed", &["192.0.2.0/24"]).expect("imported");
    assert!(daemon.has(Feature::Set4) && !daemon.has(Feature::Set6));
    assert_eq!(daemon.programs(), before + 1, "sets and code at once");
    daemon.import("feed", &["2001:db8::/32"]).expect("imported");
    assert!(daemon.has(Feature::Set6));
}

#[test]
fn what_a_file_says_is_there_after_a_reload() {
    let host = Host::new("");
    let mut daemon = host.first();
    host.configure("[limits.source]\nbytes = \"1Gbit/s\"\n[limits.prefix]\nsyn = \"1k/s\"\n");
    daemon.run(Command::Reload).expect("read again");
    assert!(daemon.has(Feature::SourceBytes) && daemon.has(Feature::PrefixPackets));
    let settings = &daemon.plane.settings;
    assert_eq!(settings.prefix.always, Class::Syn.bit());
    assert_eq!(settings.source.always, Class::Bytes.bit());
    assert_ne!(settings.source.limits[Class::Bytes as usize].interval, 0);
    assert_eq!(settings.prefix_mask_v4, 0xffff_ff00);
    assert_eq!(settings.prefix_mask_v6, 0xffff_ffff_ffff_0000);
}

#[test]
fn policies_of_protocols_are_in_force_from_the_start_and_after_a_reload() {
    let host = Host::new("protocols.gre = \"drop\"");
    let mut daemon = host.first();
    assert!(daemon.has(Feature::Protocols));
    let policies = daemon.plane.protocols.expect("policies");
    assert_eq!([policies[47], policies[50]], [3, 0]);
    assert!(!daemon.plane.settings.protocols.is_none());

    host.configure("[limits]\nprotocols = \"off\"\n[protocols]\nesp = \"limit\"");
    daemon.run(Command::Reload).expect("read again");
    let policies = daemon.plane.protocols.expect("policies");
    assert_eq!([policies[47], policies[50]], [0, 2]);
    assert!(daemon.plane.settings.protocols.is_none());

    host.configure("protocols.sctp = \"drop\"");
    daemon.plane.fails_in = Some(2);
    daemon.run(Command::Reload).expect_err("a write fails");
    assert_eq!(daemon.plane.protocols, Some(policies), "as before");
}

const WEB: &str = "[[service]]\nname = \"web\"\nto = [\"203.0.113.10\"]\nprotocol = \"tcp\"\n\
                   port = 443\npackets = \"1k/s\"\n";
const DNS: &str = "[[service]]\nname = \"dns\"\nto = [\"203.0.113.10\"]\nprotocol = \"udp\"\n\
                   port = 53\npackets = \"2k/s\"\n";

#[test]
fn a_ceiling_can_be_set_and_given_back_and_outlives_a_restart() {
    let host = Host::new(WEB);
    let mut daemon = host.first();
    assert!(daemon.has(Feature::Services));
    let file = daemon.plane.ceilings.expect("ceilings")[0];
    assert!(!file.packets.is_none() && file.bytes.is_none());

    daemon.set_limit("service.web.bytes", "1MB/s").expect("set");
    let set = daemon.plane.ceilings.expect("ceilings")[0];
    assert_eq!(set.packets, file.packets);
    let rate = ByteRate::per_second(1_000_000);
    let limit = filter_common::logic::bucket::Limit::of_bytes(rate.bytes, rate.burst, 250, 1);
    assert_eq!(set.bytes.interval, limit.expect("a limit").interval);

    let mut daemon = host.again(daemon);
    assert_eq!(daemon.plane.ceilings.expect("ceilings")[0], set);
    let name = LimitName::Service("web".to_owned(), Measure::Bytes);
    daemon.run(Command::AutoLimit { name }).expect("given back");
    assert_eq!(daemon.plane.ceilings.expect("ceilings")[0], file);
}

#[test]
fn a_command_that_fails_takes_ceilings_back() {
    let host = Host::new(WEB);
    let mut daemon = host.first();
    let file = daemon.plane.ceilings;
    for failing in 0.. {
        daemon.plane.fails_in = Some(failing);
        if daemon.set_limit("service.web", "5/s").is_ok() {
            assert!(failing > 0, "settings and ceilings are written");
            break;
        }
        assert_eq!(daemon.plane.ceilings, file, "write {failing} failed");
    }
    assert_ne!(daemon.plane.ceilings, file);
}

#[test]
fn a_service_that_comes_to_stand_elsewhere_begins_anew() {
    let host = Host::new(&format!("{WEB}{DNS}"));
    let mut daemon = host.first();
    let [web, dns] = daemon.plane.ceilings.expect("ceilings")[..2] else {
        panic!("two services");
    };
    let reading = ServiceReading {
        counter: ServiceCounter {
            passed: 7,
            dropped_new: 5,
            dropped_heavy: 3,
            dropped_known: 1,
        },
        ..ServiceReading::default()
    };
    daemon.plane.services.insert(0, reading);
    assert_eq!(daemon.services_of()[0].dropped_new, 5);

    daemon.plane.ceiling_writes.clear();
    host.configure(&format!("{DNS}{WEB}"));
    daemon.run(Command::Reload).expect("read again");
    let none = Service::default();
    let [hushed, last] = daemon.plane.ceiling_writes[..] else {
        panic!("none in between, then the new ones");
    };
    assert_eq!(hushed[..2], [none, none], "nobody meets another's ceiling");
    assert_eq!(last[..2], [dns, web]);
    let services = daemon.services_of();
    assert_eq!((services[0].name.as_str(), services[0].passed), ("dns", 0));
}

#[test]
fn a_ceiling_that_leaves_the_file_is_off_after_a_restart() {
    let host = Host::new(WEB);
    let daemon = host.first();
    let mine = daemon.plane.ceilings.expect("ceilings")[0];
    assert_ne!(mine, Service::default());
    host.configure(&WEB.replace("packets = \"1k/s\"\n", ""));
    let daemon = host.again(daemon);
    assert_eq!(
        daemon.plane.ceilings.expect("ceilings")[0],
        Service::default()
    );
}

#[test]
fn services_that_change_places_over_a_restart_meet_only_their_own_ceilings() {
    let host = Host::new(&format!("{WEB}{DNS}"));
    let mut daemon = host.first();
    let [web, dns] = daemon.plane.ceilings.expect("ceilings")[..2] else {
        panic!("two services");
    };
    daemon.plane.ceiling_writes.clear();
    host.configure(&format!("{DNS}{WEB}"));
    let daemon = host.again(daemon);
    let [hushed, last] = daemon.plane.ceiling_writes[..] else {
        panic!("none in between, then the new ones");
    };
    let none = Service::default();
    assert_eq!(hushed[..2], [none, none], "rules lead elsewhere meanwhile");
    assert_eq!(last[..2], [dns, web]);
}

#[test]
fn an_overloaded_service_says_so() {
    let host = Host::new(WEB);
    let mut daemon = host.first();
    assert!(!daemon.services_of()[0].overloaded);
    let mut reading = ServiceReading::default();
    reading.state.overloaded_until = daemon.plane.tick + 1;
    daemon.plane.services.insert(0, reading);
    let web = &daemon.services_of()[0];
    assert!(web.overloaded);
    assert_eq!(web.fair_share, Some(1_000), "at first, all of the ceiling");
}
