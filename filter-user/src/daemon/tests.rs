//! The daemon over maps in memory, on a host of which nothing is known.

mod controller;
mod defences;
mod faults;
mod rules;

use std::{collections::BTreeMap, fs, path::Path};

use filter_common::{
    abi::{
        entry::{EntryKey, EntryValue, ListId},
        reason::Reason,
        settings::{Class, policy},
    },
    logic::{
        self,
        address::{Address, Family},
        gate::Bit,
    },
};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{handle::Service as _, *};
use crate::{
    api::types::{ListKind, Mode, Outcome, WhyQuery},
    config::{
        limit::{LimitName, LimitRate},
        units::Rate,
    },
    core::{
        facts::Facts,
        lists::{self, key},
        refusal::Refusal,
        state::{Change, State},
        trial::Standing,
    },
    dataplane::{Dataplane as _, fake::Fake},
    host::surroundings::made_up::MadeUp,
};

mod imports;
mod known;
mod shape;
mod trial;
mod uplinks;

const OPERATOR: Actor = Actor::Operator {
    uid: 1000,
    name: None,
};

use ListKind::{Allow, Ban, Block};

/// A folder with a configuration file and the daemon's state.
pub(super) struct Host {
    folder: tempfile::TempDir,
    surroundings: MadeUp,
}

impl Host {
    pub(super) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = Self {
            folder,
            surroundings: MadeUp::default(),
        };
        host.configure(config);
        host
    }

    fn configure(&self, config: &str) {
        let state = self.state().display().to_string();
        let text = format!("{config}\n[paths]\nstate = {state:?}\n");
        fs::write(self.file(), text).expect("a configuration");
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("floodwall.toml")
    }

    pub(super) fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn start(&self, fake: Fake, taken_over: bool) -> Daemon<Fake> {
        let source = Source {
            file: Some(self.file()),
            interfaces: Vec::new(),
            mode: None,
            socket: None,
            bpf: None,
        };
        let config = source.load().expect("a good configuration");
        let kept = Store::open(&self.state(), clock::now()).expect("the state");
        let (handle, _) = Handle::new(1);
        Daemon::prepare(
            fake,
            taken_over,
            kept,
            config,
            source,
            Box::new(self.surroundings.clone()),
            handle,
        )
        .expect("the daemon starts")
    }

    /// A daemon that starts for the first time.
    pub(super) fn first(&self) -> Daemon<Fake> {
        self.start(fake(), false)
    }

    /// Stops the daemon, by force or not, and starts another over the same maps.
    pub(super) fn again(&self, daemon: Daemon<Fake>) -> Daemon<Fake> {
        let mut fake = stop(daemon);
        fake.gate_writes.clear();
        self.start(fake, true)
    }
}

pub(super) fn fake() -> Fake {
    Fake {
        tick: 1_000_000,
        ..Fake::default()
    }
}

pub(super) fn stop(daemon: Daemon<Fake>) -> Fake {
    let Daemon { plane, .. } = daemon;
    plane
}

fn prefix(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn prefixes(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| prefix(text)).collect()
}

impl Daemon<Fake> {
    fn run(&mut self, command: Command) -> Result<Outcome, Refusal> {
        self.execute(&OPERATOR, command, false)
    }

    fn add(&mut self, list: ListKind, texts: &[&str]) -> Result<Outcome, Refusal> {
        self.add_for(list, texts, None)
    }

    fn add_for(
        &mut self,
        list: ListKind,
        texts: &[&str],
        duration: Option<Duration>,
    ) -> Result<Outcome, Refusal> {
        self.run(Command::Add {
            list,
            prefixes: prefixes(texts),
            duration,
            reason: "a test".to_owned(),
            force: false,
        })
    }

    fn remove(&mut self, list: ListKind, texts: &[&str]) -> Result<Outcome, Refusal> {
        self.run(Command::Remove {
            list,
            prefixes: prefixes(texts),
        })
    }

    fn import(&mut self, name: &str, texts: &[&str]) -> Result<Outcome, Refusal> {
        self.import_to(Block, name, texts)
    }

    fn import_to(
        &mut self,
        list: ListKind,
        name: &str,
        texts: &[&str],
    ) -> Result<Outcome, Refusal> {
        let mut members = prefixes(texts);
        members.sort_unstable();
        self.run(Command::Import {
            list,
            name: name.to_owned(),
            prefixes: members.into(),
            duration: None,
            reason: String::new(),
            force: false,
        })
    }

    /// What the kernel would do first with a packet from there.
    fn meets(&self, list: ListKind, address: &str) -> bool {
        let address = Address::from(address.parse::<std::net::IpAddr>().expect("an address"));
        let (list, family) = (list.id(), address.family());
        let lengths = self.plane.lengths.get(&(list, family));
        let lengths = lengths.copied().unwrap_or_default();
        let covers = |length: &u8| {
            let key = EntryKey::covering(&address, *length);
            let entry = self.plane.lists.get(&list).and_then(|list| list.get(&key));
            let policy = policy(self.plane.settings.row_at(self.plane.tick));
            entry.is_some_and(|entry| {
                EntryValue::is_in_force(entry.until, entry.absent, self.plane.tick, policy)
            })
        };
        let is_listed = list == ListId::Block && self.list_of(&address).is_some();
        let is_entry = lengths.as_slice().iter().any(covers);
        self.is_gate_open(&address, Bit::line)
            && (is_listed || is_entry && self.is_gate_open(&address, Bit::inner_line))
    }

    /// The number of the imported list that the kernel would find an address on.
    fn list_of(&self, address: &Address) -> Option<u8> {
        let [high, low] = address.numbers();
        let sets = &self.plane.sets;
        match address.family() {
            Family::V4 => logic::set4::find(sets.v4.lines.as_slice(), high as u32),
            Family::V6 => logic::set6::find(sets.v6.as_slice(), high, low),
        }
    }

    fn is_gate_open(&self, address: &Address, line: fn(Bit) -> u32) -> bool {
        let key = &self.plane.settings.key;
        let is_set = |bit: Bit| {
            let line = self.plane.gate.get(&line(bit));
            line.is_some_and(|line| line[bit.word()] & bit.mask() != 0)
        };
        let is_wide =
            |address| is_set(Bit::wide(address, key)) || self.plane.settings.open_gate_v6 != 0;
        is_set(Bit::of(address, key)) || address.family() == Family::V6 && is_wide(address)
    }

    fn entries_of(&mut self, list: ListKind) -> Vec<IpNet> {
        let entries = self.plane.entries(list.id()).expect("a list");
        let mut prefixes: Vec<IpNet> = entries
            .iter()
            .filter_map(|(key, _)| lists::prefix(key))
            .collect();
        prefixes.sort_unstable();
        prefixes
    }

    fn value(&self, list: ListId, text: &str) -> EntryValue {
        self.plane.lists[&list][&key(&prefix(text))]
    }

    /// Everything that a failed command must leave as it was.
    fn snapshot(&mut self) -> impl PartialEq + std::fmt::Debug + use<> {
        let lists: Vec<Vec<IpNet>> = ListKind::ALL.map(|kind| self.entries_of(kind)).into();
        let counts = ListKind::ALL.map(|kind| self.tables.entries(kind));
        (
            self.state.clone(),
            lists,
            counts,
            self.plane.gate.clone(),
            self.plane.settings,
            self.plane.lifelines,
            self.store.events(None, 1).expect("events").1,
        )
    }
}

#[test]
fn an_entry_reaches_the_kernel_and_its_gate_and_leaves_both() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/40"])
        .expect("added");
    daemon.add(Allow, &["203.0.113.9/32"]).expect("added");
    for address in ["192.0.2.255", "198.51.100.7", "2001:db8:ff::1"] {
        assert!(daemon.meets(Block, address), "{address}");
    }
    assert!(!daemon.meets(Block, "198.51.100.8"));
    assert!(!daemon.meets(Block, "2001:db8:100::1"));
    assert!(daemon.meets(Allow, "203.0.113.9"));

    daemon
        .remove(Block, &["192.0.2.0/24", "2001:db8::/40"])
        .expect("removed");
    assert!(!daemon.meets(Block, "192.0.2.255"));
    assert!(daemon.meets(Block, "198.51.100.7"));
    daemon.remove(Block, &["198.51.100.7/32"]).expect("removed");
    daemon.remove(Allow, &["203.0.113.9/32"]).expect("removed");
    assert!(daemon.plane.gate.is_empty(), "a closed gate");
    assert_eq!(daemon.entries_of(Block), vec![]);
}

#[test]
fn a_short_ipv6_prefix_opens_the_gate_and_closes_it_again() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Block, &["3ff0::/19"]).expect("added");
    assert_eq!(daemon.plane.settings.open_gate_v6, 1);
    assert!(daemon.meets(Block, "3ff0:fff::1"));
    daemon.remove(Block, &["3ff0::/19"]).expect("removed");
    assert_eq!(daemon.plane.settings.open_gate_v6, 0);
}

#[test]
fn the_kernel_ends_an_entry_no_earlier_than_it_was_told_to() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add_for(Block, &["192.0.2.1/32"], Some(Duration::from_secs(60)))
        .expect("added");
    let left = daemon.value(ListId::Block, "192.0.2.1/32").until - daemon.plane.tick;
    assert!(
        (59 * 250..=60 * 250 + 1).contains(&left),
        "{left} ticks of 4 ms"
    );
    daemon.add(Block, &["192.0.2.1/32"]).expect("updated");
    assert_eq!(
        daemon.value(ListId::Block, "192.0.2.1/32").until,
        EntryValue::NEVER
    );
}

#[test]
fn changing_an_entry_keeps_its_count_of_packets() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    let entries = daemon
        .plane
        .lists
        .get_mut(&ListId::Block)
        .expect("the list");
    entries
        .get_mut(&key(&prefix("192.0.2.1/32")))
        .expect("the entry")
        .packets = 77;
    daemon
        .add_for(Block, &["192.0.2.1/32"], Some(Duration::from_secs(9)))
        .expect("updated");
    assert_eq!(daemon.value(ListId::Block, "192.0.2.1/32").packets, 77);
    let daemon = host.again(daemon);
    assert_eq!(
        daemon.value(ListId::Block, "192.0.2.1/32").packets,
        77,
        "over a restart too"
    );
}

#[test]
fn a_full_table_leaves_everything_as_it_was() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.1/32", "198.51.100.0/24"])
        .expect("added");
    daemon.plane.capacity = Some(3);
    let before = daemon.snapshot();
    let refusal = daemon
        .add(Block, &["192.0.2.2/32", "203.0.113.0/25", "2001:db8::/48"])
        .expect_err("there is room for one");
    assert!(refusal.message.contains("full"), "{refusal}");
    assert_eq!(daemon.snapshot(), before);
    daemon
        .import_to(
            Allow,
            "feed",
            &[
                "192.0.2.2/32",
                "203.0.113.0/25",
                "10.0.0.0/8",
                "2001:db8::/48",
            ],
        )
        .expect_err("likewise");
    assert_eq!(daemon.snapshot(), before);

    let mut daemon = host.again(daemon);
    assert_eq!(
        daemon.entries_of(Block),
        prefixes(&["192.0.2.1/32", "198.51.100.0/24"])
    );
    daemon
        .add(Block, &["203.0.113.0/25"])
        .expect("there is room for one");
    assert!(daemon.meets(Block, "203.0.113.1"));
}

#[test]
fn settings_that_cannot_be_counted_leave_everything_as_it_was() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    let before = daemon.snapshot();
    daemon
        .run(Command::SetLimit {
            name: LimitName::Source(Class::Syn),
            rate: Some(LimitRate::Packets(Rate::per_second(u64::MAX / 4))),
            duration: None,
        })
        .expect_err("no bucket holds that");
    assert_eq!(daemon.snapshot(), before);
    let mut daemon = host.again(daemon);
    assert!(daemon.state.limits.is_empty());
    assert_eq!(daemon.entries_of(Block).len(), 1);
}

#[test]
fn a_command_that_fails_at_any_write_leaves_everything_as_it_was() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .import("feed", &["192.0.2.0/24", "198.51.100.7/32"])
        .expect("imported");
    daemon
        .add(Block, &["198.51.100.200/32", "2001:db8:8::/48"])
        .expect("added");
    type Try = fn(&mut Daemon<Fake>) -> Result<Outcome, Refusal>;
    let commands: [Try; 5] = [
        // New lengths, an open gate, one prefix that stays and one that goes.
        |daemon| daemon.import("feed", &["192.0.2.0/24", "203.0.113.0/25", "3ff0::/19"]),
        |daemon| daemon.add(Allow, &["203.0.113.9/32", "2001:db8::/47"]),
        |daemon| daemon.add(Ban, &["203.0.113.200/32", "2001:db8:7::/47"]),
        |daemon| daemon.import_to(Allow, "partners", &["10.9.8.0/24", "2001:db8:9::/48"]),
        |daemon| daemon.run(Command::Flush { list: Block }),
    ];
    for command in commands {
        let before = daemon.snapshot();
        let mut failures = 0;
        loop {
            daemon.plane.fails_in = Some(failures);
            if command(&mut daemon).is_ok() {
                break;
            }
            assert_eq!(daemon.snapshot(), before, "write {failures} failed");
            failures += 1;
        }
        daemon.plane.fails_in = None;
        assert!(failures > 2, "settings, an entry and its bits are written");
        daemon.work();
        let gate = daemon.plane.gate.clone();
        daemon = host.again(daemon);
        assert_eq!(daemon.plane.gate, gate, "nothing was forgotten on the way");
    }
    assert!(!daemon.meets(Block, "203.0.113.1"), "the sets are empty");
    assert!(daemon.meets(Allow, "203.0.113.9") && daemon.meets(Allow, "2001:db8:1::1"));
    assert_eq!(daemon.entries_of(Block), vec![]);
}

#[test]
fn trying_changes_nothing() {
    let host = Host::new("");
    let mut daemon = host.first();
    let before = daemon.snapshot();
    let command = Command::Add {
        list: Block,
        prefixes: prefixes(&["192.0.2.1/32"]),
        duration: None,
        reason: String::new(),
        force: false,
    };
    let outcome = daemon.execute(&OPERATOR, command, true).expect("tried");
    assert_eq!((outcome.dry_run, outcome.added), (true, 1));
    assert_eq!(daemon.snapshot(), before);
}

#[test]
fn a_list_that_fills_the_table_can_be_replaced() {
    let host = Host::new("[tables]\nallow = 1024");
    let mut daemon = host.first();
    daemon.plane.capacity = Some(1024);
    let full = |third: u8| -> Vec<String> {
        let addresses = (0..1024_u32).map(|number| (u32::from(third) << 16) + number);
        addresses
            .map(|number| format!("{}/32", std::net::Ipv4Addr::from(0xc612_0000 + number)))
            .collect()
    };
    let (one, other) = (full(0), full(1));
    let one: Vec<&str> = one.iter().map(String::as_str).collect();
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    daemon.import_to(Allow, "feed", &other).expect("imported");
    let outcome = daemon
        .import_to(Allow, "feed", &one)
        .expect("what goes makes room for what comes");
    assert_eq!((outcome.added, outcome.removed), (1024, 1024));
    assert!(daemon.meets(Allow, "198.18.0.0") && !daemon.meets(Allow, "198.19.0.0"));
    assert_eq!(daemon.tables.entries(Allow), 1024);
}

#[test]
fn an_entry_of_two_lists_stays_until_both_are_gone() {
    let host = Host::new("");
    let mut daemon = host.first();
    for list in [Allow, Block] {
        let feed = &["192.0.2.0/24"];
        daemon.import_to(list, "feed", feed).expect("imported");
        daemon.add(list, feed).expect("added");
        assert_eq!(daemon.tables.entries(list), 1);
        daemon.import_to(list, "feed", &[]).expect("taken away");
        assert!(daemon.meets(list, "192.0.2.1"));
        daemon.remove(list, feed).expect("removed");
        assert!(!daemon.meets(list, "192.0.2.1"));
    }
}

/// Two changes of one command may speak of one prefix: it leaves the gate once.
#[test]
fn flushing_what_two_lists_hold_leaves_the_gate_open_for_others() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.import("feed", &["192.0.2.0/25"]).expect("imported");
    daemon.add(Block, &["192.0.2.0/25"]).expect("added");
    daemon.add(Allow, &["192.0.2.200/32"]).expect("added");
    daemon.run(Command::Flush { list: Block }).expect("flushed");
    assert!(!daemon.meets(Block, "192.0.2.1"));
    assert!(
        daemon.meets(Allow, "192.0.2.200"),
        "it is behind the same bit"
    );
    assert_eq!(daemon.tables.entries(Block), 0);
}

#[test]
fn what_has_ended_is_forgotten_by_memory_store_and_kernel() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.import("feed", &["192.0.2.0/25"]).expect("imported");
    daemon
        .add(Block, &["192.0.2.0/25", "192.0.2.200/32"])
        .expect("added");
    // Their ends pass.
    let past = Some(Timestamp::UNIX_EPOCH);
    let list = daemon.state.list(Block).clone();
    let (prefix, note) = list.manual.iter().next().expect("an entry");
    let mut note = note.clone();
    note.until = past;
    let _ = daemon
        .state
        .apply(Change::Manual(Block, *prefix, Some(note)));
    let mut feed = list.imports["feed"].clone();
    feed.note.until = past;
    let _ = daemon
        .state
        .apply(Change::Import(Block, "feed".to_owned(), Some(feed)));

    daemon.work();
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.200/32"]));
    assert!(
        daemon.meets(Block, "192.0.2.200"),
        "it is behind the same bit"
    );
    let (events, _) = daemon.store.events(None, 1).expect("events");
    assert_eq!(events[0].kind, "ended");
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.200/32"]));
}

#[test]
fn a_look_at_the_host_that_fails_takes_no_session_away() {
    use crate::core::facts::{Part, Session};

    fn seen() -> Facts {
        Facts {
            sessions: vec![Session {
                peer: "198.51.100.7:50000".parse().expect("an address"),
                local_port: 2222,
            }],
            ssh_ports: vec![22, 2222],
            ..Facts::default()
        }
    }
    fn failed() -> Facts {
        Facts {
            ssh_ports: vec![22],
            unknown: [Part::Sessions].into(),
            warnings: vec!["SSH sessions cannot be read (no luck)".to_owned()],
            ..Facts::default()
        }
    }
    let host = Host::new("");
    let mut daemon = host.first();
    host.surroundings.scene().facts = seen();
    daemon.refresh_facts();
    assert_eq!(daemon.plane.sessions.len(), 1);
    host.surroundings.scene().facts = failed();
    daemon.refresh_facts();
    assert_eq!(daemon.plane.sessions.len(), 1);
    assert_eq!(daemon.facts.ssh_ports, [22, 2222]);
    assert!(daemon.troubles["facts"].contains("no luck"));
    daemon
        .add(Block, &["192.0.2.1/32"])
        .expect("what was known before is enough");

    // Nor do those go that an earlier daemon found, if this one never saw any; but nothing more is
    // blocked.
    daemon.facts = Facts::default();
    daemon.facts.unknown = [Part::Sessions].into();
    daemon.refresh_facts();
    assert_eq!(daemon.plane.sessions.len(), 1);
    let refusal = daemon.add(Block, &["192.0.2.2/32"]).expect_err("refused");
    assert!(refusal.message.contains("no luck"), "{refusal:?}");

    host.surroundings.scene().facts = Facts::default();
    daemon.refresh_facts();
    assert!(daemon.plane.sessions.is_empty());
    assert!(!daemon.troubles.contains_key("facts"));
}

#[test]
fn a_restart_restores_everything_and_no_bit_is_missing_meanwhile() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.1/32", "2001:db8::/48", "3ff0::/19"])
        .expect("added");
    daemon
        .import("feed", &["198.51.100.0/24", "203.0.113.0/24"])
        .expect("imported");
    daemon.add(Allow, &["203.0.113.9/32"]).expect("added");
    let key_before = daemon.plane.settings.key;
    let gate_before = daemon.plane.gate.clone();
    let before = daemon.snapshot_of_lists();

    let mut daemon = host.again(daemon);
    assert_eq!(daemon.snapshot_of_lists(), before);
    assert_eq!(daemon.plane.gate, gate_before);
    assert!(
        daemon.plane.settings.key == key_before,
        "the secret belongs to the maps"
    );
    for (line, words) in &daemon.plane.gate_writes {
        let wanted = gate_before.get(line).copied().unwrap_or_default();
        let kept = words
            .iter()
            .zip(wanted)
            .all(|(word, wanted)| word & wanted == wanted);
        assert!(kept, "line {line} had no bits for a moment");
    }
}

impl Daemon<Fake> {
    fn snapshot_of_lists(&mut self) -> (State, Vec<Vec<IpNet>>, [u64; 3]) {
        let lists = ListKind::ALL.map(|kind| self.entries_of(kind)).into();
        let counts = ListKind::ALL.map(|kind| self.tables.entries(kind));
        (self.state.clone(), lists, counts)
    }
}

#[test]
fn new_maps_are_filled_with_what_is_kept() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    daemon
        .import("feed", &["198.51.100.0/24"])
        .expect("imported");
    drop(stop(daemon));
    let mut daemon = host.start(fake(), false);
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.1/32"]));
    assert!(daemon.meets(Block, "198.51.100.7"));
}

#[test]
fn what_the_kernel_has_and_nobody_knows_is_taken_out() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.1/32", "192.0.2.2/32"])
        .expect("added");
    let mut fake = stop(daemon);
    let stranger = EntryValue {
        until: EntryValue::NEVER,
        ..EntryValue::default()
    };
    fake.set_entry(ListId::Block, &key(&prefix("192.0.2.3/32")), &stranger)
        .expect("room");
    let mut daemon = host.start(fake, true);
    assert_eq!(
        daemon.entries_of(Block),
        prefixes(&["192.0.2.1/32", "192.0.2.2/32"])
    );
    assert!(daemon.meets(Block, "192.0.2.1"));
}

#[test]
fn after_damage_to_the_state_the_kernel_is_asked_what_it_has() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Allow, &["203.0.113.9/32"]).expect("added");
    daemon
        .add_for(Block, &["192.0.2.1/32"], Some(Duration::from_secs(600)))
        .expect("added");
    daemon
        .import_to(Allow, "feed", &["198.51.100.0/24"])
        .expect("imported");
    let fake = stop(daemon);
    fs::write(host.state().join("floodwall.db"), b"what is this").expect("damage");

    let mut daemon = host.start(fake, true);
    assert!(
        daemon.meets(Allow, "203.0.113.9"),
        "never an empty allowlist in silence"
    );
    assert!(daemon.meets(Block, "192.0.2.1") && daemon.meets(Allow, "198.51.100.7"));
    let status = daemon.status().expect("a status");
    let told = |part: &str| status.warnings.iter().any(|warning| warning.contains(part));
    assert!(
        told("set aside") && told("recovered"),
        "{:?}",
        status.warnings
    );
    let note = &daemon.state.list(Block).manual[&prefix("192.0.2.1/32")];
    let left = note
        .until
        .expect("an end")
        .duration_since(clock::now())
        .as_secs();
    assert!((500..=600).contains(&left), "its end was kept: {left} s");

    // What was recovered is kept.
    let mut daemon = host.again(daemon);
    assert!(daemon.losses.is_empty());
    assert_eq!(
        daemon.entries_of(Allow),
        prefixes(&["198.51.100.0/24", "203.0.113.9/32"])
    );
}

#[test]
fn monitor_mode_that_was_set_without_a_daemon_is_an_override() {
    let host = Host::new("mode = \"enforce\"");
    let daemon = host.first();
    assert_eq!(daemon.plane.settings.enforced, Reason::all_drops());
    let mut fake = stop(daemon);
    fake.settings.enforced = 0;
    fake.settings.emergency = 1_764_320_400;

    let daemon = host.start(fake, true);
    let set = daemon.state.mode.clone().expect("an override");
    assert_eq!(set.value.mode, Mode::Monitor);
    assert_eq!(set.since.as_second(), 1_764_320_400);
    assert_eq!(
        (
            daemon.plane.settings.enforced,
            daemon.plane.settings.emergency
        ),
        (0, 0)
    );
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.plane.settings.enforced, 0, "and outlives a restart");
    daemon
        .run(Command::SetMode {
            mode: Mode::Enforce,
            reasons: Vec::new(),
            duration: None,
        })
        .expect("set");
    assert_eq!(daemon.plane.settings.enforced, Reason::all_drops());
}

#[test]
fn a_reload_takes_all_of_a_good_file() {
    let host = Host::new("");
    let mut daemon = host.first();
    assert_eq!(daemon.plane.settings.enforced, 0);
    host.configure("mode = \"enforce\"\n[[lifeline]]\nfrom = [\"192.0.2.0/24\"]\nprotocol = \"tcp\"\nport = 22\n");
    daemon.run(Command::Reload).expect("read again");
    assert_eq!(daemon.plane.settings.enforced, Reason::all_drops());
    assert_eq!(daemon.plane.lifelines.count, 1);
}

#[test]
fn a_reload_takes_nothing_of_a_bad_file() {
    let host = Host::new("");
    let mut daemon = host.first();
    let before = daemon.snapshot();
    let many: Vec<String> = (0..17)
        .map(|number| format!("\"192.0.2.{number}\""))
        .collect();
    let many = format!(
        "mode = \"enforce\"\n[[lifeline]]\nfrom = [{}]\nprotocol = \"tcp\"\nport = 22\n",
        many.join(", ")
    );
    let bad = [
        ("mode = \"enforce\"\nmoed = 1", "moed"),
        ("mode = \"enforce\"\n[limits.source]\nsyn = \"0/s\"", "syn"),
        ("mode = \"enforce\"\n[tables]\nblock = 4096", "tables"),
        ("mode = \"enforce\"\nattach = \"generic\"", "attach"),
        (many.as_str(), "lifeline"),
    ];
    for (config, says) in bad {
        host.configure(config);
        let refusal = daemon.run(Command::Reload).expect_err(config);
        assert!(
            refusal.message.contains(says),
            "{says:?} is missing in {refusal}"
        );
        assert_eq!(daemon.snapshot(), before, "{config}");
    }
    fs::remove_file(host.file()).expect("the file");
    daemon.run(Command::Reload).expect_err("there is no file");
    assert_eq!(daemon.snapshot(), before);
}

#[test]
fn a_detached_interface_stays_detached_until_it_is_attached() {
    let host = Host::new("interfaces = [\"eth0\", \"eth1\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    let attached =
        |daemon: &Daemon<Fake>| daemon.plane.attached.iter().cloned().collect::<Vec<_>>();
    assert_eq!(attached(&daemon), ["eth0", "eth1"]);
    let detach = Command::Detach {
        interface: Some("eth0".to_owned()),
        duration: None,
    };
    daemon.run(detach).expect("detached");
    daemon.work();
    assert_eq!(attached(&daemon), ["eth1"]);
    let mut daemon = host.again(daemon);
    daemon.protect().expect("attached");
    assert_eq!(attached(&daemon), ["eth1"], "over a restart too");
    let attach = Command::Attach {
        interface: "eth0".to_owned(),
    };
    daemon.run(attach).expect("attached");
    assert_eq!(attached(&daemon), ["eth0", "eth1"]);
}

#[test]
fn an_interface_that_comes_back_is_protected_again() {
    let host = Host::new("interfaces = [\"eth0\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    daemon.plane.attached.clear();
    daemon.work();
    assert!(daemon.plane.attached.contains("eth0"));
}

#[test]
fn pins_that_end_with_this_daemon_are_told_and_interfaces_are_kept_all_the_same() {
    let host = Host::new("interfaces = [\"eth0\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    daemon.plane.lone_pins = Some("unmounted: restart floodwall".to_owned());
    daemon.plane.attached.clear();
    daemon.keep_protected();
    assert!(daemon.troubles["pins"].contains("restart floodwall"));
    assert!(daemon.plane.attached.contains("eth0"));
    daemon.plane.lone_pins = None;
    daemon.keep_protected();
    assert!(!daemon.troubles.contains_key("pins"));
}

#[test]
fn an_interface_that_is_no_longer_configured_is_released() {
    let host = Host::new("interfaces = [\"eth0\", \"eth1\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    host.configure("interfaces = [\"eth1\"]");
    daemon.run(Command::Reload).expect("read again");
    assert_eq!(daemon.plane.attached.iter().collect::<Vec<_>>(), ["eth1"]);
}

#[test]
fn why_names_the_entry_that_the_kernel_would_meet() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.0/24"]).expect("added");
    daemon.add(Allow, &["192.0.2.7/32"]).expect("added");
    let mut why = |address: &str| {
        let query = WhyQuery {
            address: address.parse().expect("an address"),
            protocol: None,
            port: None,
        };
        let answer = daemon.why(&query).expect("an answer");
        (
            answer.reason,
            answer.entries.first().map(|entry| entry.prefix.to_string()),
        )
    };
    let entry = |text: &str| Some(text.to_owned());
    assert_eq!(
        why("192.0.2.1"),
        ("blocked".to_owned(), entry("192.0.2.0/24"))
    );
    assert_eq!(
        why("192.0.2.7"),
        ("allowed".to_owned(), entry("192.0.2.7/32"))
    );
    assert_eq!(
        why("::ffff:192.0.2.1").0,
        "blocked",
        "IPv4 in IPv6 clothing is IPv4"
    );
    assert_eq!(why("198.51.100.1"), ("clean".to_owned(), None));
    assert_eq!(why("127.0.0.1").0, "martian_source");
}

#[test]
fn entries_come_in_pages_with_their_packets() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.1/32", "192.0.2.2/32"])
        .expect("added");
    daemon
        .import("feed", &["198.51.100.0/24", "203.0.113.0/24"])
        .expect("imported");
    let mut cursor: Option<String> = None;
    let mut seen = Vec::new();
    loop {
        let page = daemon
            .entries(Block, None, cursor.as_deref(), 3)
            .expect("a page");
        assert_eq!(page.total, 4);
        for entry in page.entries {
            assert_eq!(entry.packets.is_some(), entry.list == "manual");
            seen.push(entry.prefix.to_string());
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            "192.0.2.1/32",
            "192.0.2.2/32",
            "198.51.100.0/24",
            "203.0.113.0/24"
        ]
    );
}

#[test]
fn a_second_daemon_on_the_state_is_refused() {
    let host = Host::new("");
    let daemon = host.first();
    let error = Store::open(Path::new(&host.state()), clock::now()).expect_err("it is taken");
    assert!(error.to_string().contains("another floodwall"), "{error}");
    drop(daemon);
}

#[test]
fn only_interfaces_that_are_protected_are_said_to_be() {
    let host = Host::new("interfaces = [\"eth0\", \"eth1\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    assert!(daemon.greeting().ends_with("protects eth0, eth1"));
    daemon
        .run(Command::Detach {
            interface: Some("eth0".to_owned()),
            duration: None,
        })
        .expect("detached");
    let mut daemon = host.again(daemon);
    daemon.protect().expect("attached");
    assert!(daemon.greeting().ends_with("protects eth1"));
    daemon
        .run(Command::Detach {
            interface: None,
            duration: None,
        })
        .expect("detached");
    assert!(daemon.greeting().ends_with("no interface is protected yet"));
}

#[test]
fn what_comes_is_there_before_what_goes_where_there_is_room_for_both() {
    let host = Host::new("[tables]\nblock = 1024");
    let daemon = host.first();
    let step = |number: u32, before, after| tables::Move {
        kind: Block,
        prefix: IpNet::from(std::net::IpAddr::from((0x0a00_0000 + number).to_be_bytes())),
        before,
        after,
    };
    let moves = |new: u32| -> Vec<tables::Move> {
        let firm = Some(Standing::firm(None));
        let goes = [step(9999, firm, None)];
        let comes = (0..new).map(|number| step(number, None, firm));
        goes.into_iter().chain(comes).collect()
    };
    let mut few = moves(1024);
    daemon.order(&mut few);
    assert!(few[1024].after.is_none(), "what goes goes last");
    let mut many = moves(1025);
    daemon.order(&mut many);
    assert!(many[0].after.is_none(), "what goes makes room");
}

#[test]
fn a_detach_without_a_daemon_hides_no_loss() {
    let detached = ["eth0".to_owned()];
    let damages: [fn(&Path); 2] = [
        |state| fs::write(state.join("floodwall.db"), b"what is this").expect("damage"),
        |state| fs::remove_dir_all(state).expect("it is gone"),
    ];
    for damage in damages {
        let host = Host::new("");
        let mut daemon = host.first();
        daemon.add(Allow, &["203.0.113.9/32"]).expect("added");
        let fake = stop(daemon);
        damage(&host.state());
        let told = crate::dataplane::pins::remember(&host.state(), &detached).expect("kept");
        assert_eq!(told.len(), 1, "{told:?}");

        let mut daemon = host.start(fake, true);
        assert!(
            daemon.meets(Allow, "203.0.113.9"),
            "never an empty allowlist in silence"
        );
        assert!(daemon.state.detached.contains_key("eth0"));
        let warnings = daemon.status().expect("a status").warnings;
        assert!(
            warnings.iter().any(|warning| warning.contains("recovered")),
            "{warnings:?}"
        );
        // It is the daemon's again: what it does not know goes.
        let mut daemon = host.again(daemon);
        assert!(daemon.losses.is_empty());
        assert_eq!(daemon.entries_of(Allow), prefixes(&["203.0.113.9/32"]));
        drop(stop(daemon));
        let told = crate::dataplane::pins::remember(&host.state(), &detached).expect("kept");
        assert_eq!(told, Vec::<String>::new());
    }
}

/// What `floodwall mode monitor` does when no daemon answers.
fn emergency(fake: &mut Fake) {
    fake.settings.enforced = 0;
    fake.settings.emergency = 1_764_320_400;
}

impl Daemon<Fake> {
    fn is_monitoring_by_emergency(&self) -> bool {
        let set = self.state.mode.as_ref();
        let settings = self.plane.settings;
        set.is_some_and(|set| {
            set.value.mode == Mode::Monitor && set.by.contains("without a daemon")
        }) && (settings.enforced, settings.emergency) == (0, 0)
            && self.settings.enforced == 0
    }

    fn enforce(&mut self) {
        self.run(Command::SetMode {
            mode: Mode::Enforce,
            reasons: Vec::new(),
            duration: None,
        })
        .expect("set");
        assert_eq!(self.plane.settings.enforced, Reason::all_drops());
    }
}

#[test]
fn monitor_mode_that_was_set_while_the_daemon_hung_is_an_override() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    emergency(&mut daemon.plane);
    daemon.work();
    assert!(daemon.is_monitoring_by_emergency());
    let (events, _) = daemon.store.events(None, 9).expect("events");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].kind, "mode.set");
    assert_eq!(daemon.status().expect("a status").mode, Mode::Monitor);
    daemon.enforce();

    // Once more, at the same moment, and noticed by a command.
    emergency(&mut daemon.plane);
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    assert!(daemon.is_monitoring_by_emergency());
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.plane.settings.enforced, 0, "it outlives a restart");
    emergency(&mut daemon.plane);
    daemon.enforce();
}

#[test]
fn settings_that_are_written_meanwhile_end_no_emergency() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    emergency(&mut daemon.plane);
    daemon.put_settings().expect("written");
    assert_eq!(daemon.plane.settings.enforced, 0);
    assert!(daemon.plane.settings.emergency > 0, "it is still to heed");
    daemon.plane.fails_in = Some(0);
    daemon.heed_emergency();
    assert!(daemon.troubles.contains_key("emergency"));
    assert_eq!(daemon.plane.settings.enforced, 0);
    daemon.heed_emergency();
    assert!(daemon.is_monitoring_by_emergency());
    assert!(!daemon.troubles.contains_key("emergency"));
    let (events, _) = daemon.store.events(None, 9).expect("events");
    assert_eq!(events.len(), 1, "it is told once: {events:?}");
}

#[test]
fn after_damage_to_the_state_what_the_kernel_enforced_stays_enforced() {
    let choices = [
        ("enforce", Mode::Monitor, vec![]),
        ("monitor", Mode::Enforce, vec![]),
        ("enforce", Mode::Enforce, vec![Reason::Blocked]),
    ];
    for (file, mode, reasons) in choices {
        let host = Host::new(&format!("mode = \"{file}\""));
        let mut daemon = host.first();
        daemon
            .run(Command::SetMode {
                mode,
                reasons,
                duration: None,
            })
            .expect("set");
        let before = daemon.state.mode.clone().expect("an override").value;
        let enforced = daemon.plane.settings.enforced;
        let fake = stop(daemon);
        fs::write(host.state().join("floodwall.db"), b"what is this").expect("damage");

        let mut daemon = host.start(fake, true);
        let set = daemon.state.mode.clone().expect("an override");
        assert_eq!(set.value, before);
        assert_eq!(set.by, "recovered from the kernel");
        assert_eq!(daemon.plane.settings.enforced, enforced);
        let warnings = daemon.status().expect("a status").warnings;
        let told = |warning: &String| warning.contains(&format!("the file says {file}"));
        assert!(warnings.iter().any(told), "{warnings:?}");
        let daemon = host.again(daemon);
        assert_eq!(daemon.plane.settings.enforced, enforced, "and is kept");
    }
}

#[test]
fn a_mode_that_is_the_files_is_no_override_after_damage() {
    let host = Host::new("mode = \"enforce\"");
    let fake = stop(host.first());
    fs::write(host.state().join("floodwall.db"), b"what is this").expect("damage");
    let daemon = host.start(fake, true);
    assert_eq!(daemon.state.mode, None);
    assert_eq!(daemon.plane.settings.enforced, Reason::all_drops());
}
