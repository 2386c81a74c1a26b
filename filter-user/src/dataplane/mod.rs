//! The kernel side, behind a small trait.
//!
//! Nothing outside imports aya: [`kernel`] holds the program and its maps, [`probe`] finds out what
//! the kernel can, and [`fake`] keeps the same maps in memory for every
//! test that does not test the kernel.

pub mod bpffs;
mod companions;
pub mod fake;
pub mod kernel;
pub mod pins;
pub mod probe;

use filter_common::{
    abi::{
        counter::{COUNTERS, Counter},
        defence::{CookiePort, LOCAL_LINES, LocalLine, PORT_WORDS, PortSet},
        entry::{EntryKey, EntryValue, Lengths, ListId},
        lifeline::{Lifelines, SessionKey},
        rules::RuleEntry,
        sample::Sample,
        service::{SERVICES, Service, ServiceCounter, ServiceState},
        settings::Settings,
        traffic::TRAFFIC_CLASSES,
    },
    logic::{address::Family, gate::LINE_WORDS, lines::Line, set4::LISTS},
};

pub use self::companions::{Companions, EgressAttachment, EgressHook};
use crate::{api::types::AttachMode, config::protocols::Policies, sets::Sets};

/// All counters, summed over the CPUs, as in [`filter_common::abi::counter`].
pub type Counters = [Counter; COUNTERS as usize];

/// What came in at one place of interfaces, or at all, by
/// [`TrafficClass`](filter_common::abi::traffic::TrafficClass), summed over the CPUs.
pub type Traffic = [Counter; TRAFFIC_CLASSES];

/// Rules and services as the kernel reads them: what lies in one bank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompiledRules {
    /// The table that packets are classified by, from its first line on.
    pub table: Vec<Line>,
    /// The rules, in order.
    pub entries: Vec<RuleEntry>,
}

/// The ceilings of all services, by place.
pub type Ceilings = [Service; SERVICES as usize];

/// This host's own addresses, each in the line of [`LocalLine::index`].
pub type LocalLines = [LocalLine; LOCAL_LINES as usize];

/// A set of ports: port p is bit `p % 64` of word `p / 64`.
pub type Ports = [u64; PORT_WORDS as usize];

/// The policy before a change that nobody has confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// The operator's settings.
    pub settings: Settings,
    /// The same with what the controller holds; the same if that is nothing.
    pub held: Settings,
    /// Lifelines.
    pub lifelines: Lifelines,
    /// Policies of IP protocols.
    pub protocols: Policies,
    /// Ceilings of services.
    pub ceilings: Ceilings,
}

/// A loaded program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramReport {
    /// The set of features that it has.
    pub features: u64,
    /// Instructions that the verifier walked, where the kernel tells (Linux 5.16).
    pub verified: Option<u32>,
    /// Bytes of its instructions after the verifier's translation, where the kernel tells.
    pub translated: Option<u32>,
    /// Bytes of machine code.
    pub jited: u32,
}

/// A map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapReport {
    /// Its name in the object.
    pub name: String,
    /// Memory that it takes, as the kernel counts it.
    pub bytes: u64,
}

/// How a service fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceReading {
    /// Its state.
    pub state: ServiceState,
    /// What it was sent, summed over the CPUs.
    pub counter: ServiceCounter,
}

/// The counters of all imported lists by number, summed over the CPUs.
pub type ListHits = [Counter; LISTS as usize];

/// What is loaded as a whole: a program, and what is built into it.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// The set of [`Feature`]s that the program has.
    ///
    /// [`Feature`]: filter_common::abi::feature::Feature
    pub features: u64,
    /// The big sets; those in force if `None`.
    pub sets: Option<&'a Sets>,
}

/// Something the kernel did not do. Says what, and what mends it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DataplaneError(pub String);

impl DataplaneError {
    /// From what was tried and what the kernel said.
    pub fn new(tried: impl std::fmt::Display, error: impl std::error::Error) -> Self {
        let mut text = format!("{tried}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

/// What the daemon asks of the kernel. One writer; readers are packets.
pub trait Dataplane: Companions + Send {
    /// Features that work here.
    fn able(&self) -> u64 {
        u64::MAX
    }

    /// What is missed here beside defences, each in a sentence for operators.
    fn shortcomings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Looks whether what outlives this daemon is still where the next one looks for it, and puts it
    /// there again if not; tells whether that had to be done.
    fn keep_pins(&mut self) -> Result<bool, DataplaneError> {
        Ok(false)
    }

    /// In words, if what outlives daemons is where it was, and would end with this one all the same.
    fn lone_pins(&self) -> Option<String> {
        None
    }

    /// Ticks a second.
    fn hz(&self) -> u64;

    /// The tick of this moment.
    fn tick(&mut self) -> Result<u64, DataplaneError>;

    /// The operator's settings: in force, unless the controller holds others.
    fn settings(&mut self) -> Result<Settings, DataplaneError>;

    /// Puts the operator's settings in force. Until the tick [`Settings::held_until`], those that
    /// [`Dataplane::set_held`] wrote before are in force instead, with the same bank of rules.
    fn set_settings(&mut self, settings: &Settings) -> Result<(), DataplaneError>;

    /// Writes the settings that the controller holds.
    fn set_held(&mut self, settings: &Settings) -> Result<(), DataplaneError>;

    /// The operator's settings before a change that is not confirmed; of no meaning unless
    /// [`Settings::is_on_trial`].
    fn settings_before(&mut self) -> Result<Settings, DataplaneError>;

    /// Writes the policy that is in force from the tick [`Settings::confirm_by`] on. Entries of lists
    /// say themselves whether they are of it.
    fn set_before(&mut self, before: &Before) -> Result<(), DataplaneError>;

    /// What the list holds under a key.
    fn entry(&mut self, list: ListId, key: &EntryKey)
    -> Result<Option<EntryValue>, DataplaneError>;

    /// Puts an entry into a list, or overwrites it.
    fn set_entry(
        &mut self,
        list: ListId,
        key: &EntryKey,
        value: &EntryValue,
    ) -> Result<(), DataplaneError>;

    /// Takes an entry out of a list; nothing happens if it is not there.
    fn remove_entry(&mut self, list: ListId, key: &EntryKey) -> Result<(), DataplaneError>;

    /// Every entry of a list.
    fn entries(&mut self, list: ListId) -> Result<Vec<(EntryKey, EntryValue)>, DataplaneError>;

    /// Which lengths a list holds.
    fn lengths(&mut self, list: ListId, family: Family) -> Result<Lengths, DataplaneError>;

    /// Says which lengths a list holds.
    fn set_lengths(
        &mut self,
        list: ListId,
        family: Family,
        lengths: &Lengths,
    ) -> Result<(), DataplaneError>;

    /// Writes a line of the gate.
    fn set_gate(&mut self, line: u32, words: &[u64; LINE_WORDS]) -> Result<(), DataplaneError>;

    /// Puts ceilings of services in force.
    fn set_services(&mut self, ceilings: &Ceilings) -> Result<(), DataplaneError>;

    /// Forgets the state of a service, but not its counter.
    fn clear_service(&mut self, index: u32) -> Result<(), DataplaneError>;

    /// How the first so many services fare.
    fn services(&mut self, count: u32) -> Result<Vec<ServiceReading>, DataplaneError>;

    /// Loads the program anew over the same maps and over new big sets, and replaces it wherever
    /// it is attached: each packet meets the old program with the old sets, or the new with the
    /// new. After a failure the old one is in force everywhere.
    fn place(&mut self, image: Image<'_>) -> Result<(), DataplaneError>;

    /// What the members of each imported list met.
    fn list_hits(&mut self) -> Result<Box<ListHits>, DataplaneError>;

    /// Sets the counter of a list to zero whose number no program in force uses.
    fn clear_list_hits(&mut self, number: u8) -> Result<(), DataplaneError>;

    /// Puts the table of this host's own addresses in force.
    fn set_local(&mut self, lines: &LocalLines) -> Result<(), DataplaneError>;

    /// Puts a set of ports in force, word by word.
    fn set_ports(&mut self, set: PortSet, ports: &Ports) -> Result<(), DataplaneError>;

    /// Forgets which listeners take cookies: for when others may listen. The next SYN finds out.
    fn clear_stamps(&mut self) -> Result<(), DataplaneError>;

    /// Forgets which windows the SYN-ACKs of these ports told: for when others listen there.
    fn forget_windows(&mut self, ports: &[u16]) -> Result<(), DataplaneError>;

    /// What became of cookies at each of these ports, since the maps were made.
    fn cookie_ports(&mut self, ports: &[u16]) -> Result<Vec<CookiePort>, DataplaneError>;

    /// How many CPUs are under pressure.
    fn pressed(&mut self) -> Result<usize, DataplaneError>;

    /// Puts lifelines in force.
    fn set_lifelines(&mut self, lifelines: &Lifelines) -> Result<(), DataplaneError>;

    /// Adds an administrator's session, or takes it away.
    fn set_session(&mut self, key: &SessionKey, present: bool) -> Result<(), DataplaneError>;

    /// The administrators' sessions there are.
    fn sessions(&mut self) -> Result<Vec<SessionKey>, DataplaneError>;

    /// Puts policies of IP protocols in force.
    fn set_protocols(&mut self, policies: &Policies) -> Result<(), DataplaneError>;

    /// Writes rules into a bank that is neither in force nor that of the policy before; waits until no
    /// packet that met them when it was is under way. [`Settings::rule_bank`] puts them in force.
    fn set_rules(&mut self, bank: u32, rules: &CompiledRules) -> Result<(), DataplaneError>;

    /// What each rule met, by slot.
    fn rule_hits(&mut self) -> Result<Vec<Counter>, DataplaneError>;

    /// Sets the counter and the bucket of a slot to nothing.
    fn clear_rule(&mut self, slot: u32) -> Result<(), DataplaneError>;

    /// All counters.
    fn counters(&mut self) -> Result<Counters, DataplaneError>;

    /// What came in at each [place](filter_common::abi::traffic::place) of interfaces, since the
    /// maps were made.
    fn traffic(&mut self) -> Result<Vec<Traffic>, DataplaneError>;

    /// Gives every waiting sample to `take`.
    fn samples(&mut self, take: &mut dyn FnMut(&Sample));

    /// The program in force.
    fn program(&mut self) -> Result<ProgramReport, DataplaneError>;

    /// Every map, and the memory that it takes.
    fn maps(&mut self) -> Vec<MapReport>;

    /// Attaches the program to an interface, or brings an attachment of ours up to date.
    fn attach(&mut self, interface: &str) -> Result<Attachment, DataplaneError>;

    /// Takes the program off an interface; nothing happens if it is not there.
    fn detach(&mut self, interface: &str) -> Result<(), DataplaneError>;

    /// How the program sits on an interface, if it does.
    fn attachment(&mut self, interface: &str) -> Result<Option<Attachment>, DataplaneError>;

    /// Interfaces that a pinned link is left over for.
    fn pinned(&mut self) -> Result<Vec<String>, DataplaneError>;
}

/// How the program sits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Native or generic.
    pub mode: AttachMode,
    /// The kernel's id of the program.
    pub program_id: u32,
}
