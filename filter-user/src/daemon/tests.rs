//! The daemon over maps in memory, on a host of which nothing is known.

mod controller;
mod defences;
mod entries;
mod faults;
mod interfaces;
mod restarts;
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
