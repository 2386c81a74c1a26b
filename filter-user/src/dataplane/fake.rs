//! The maps in memory, for tests of everything above the kernel.

mod companions;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use filter_common::{
    abi::{
        counter::{COUNTERS, Counter},
        defence::{CookiePort, PortSet},
        entry::{EntryKey, EntryValue, Lengths, ListId},
        lifeline::{Lifelines, SessionKey},
        rules::{BANKS, SLOTS},
        sample::Sample,
        service::ServiceState,
        settings::Settings,
        traffic::TRAFFIC_PLACES,
    },
    logic::{address::Family, gate::LINE_WORDS, set4::LISTS},
};

pub use self::companions::FakeCompanions;
use super::{
    Attachment, Before, Ceilings, CompiledRules, Counters, Dataplane, DataplaneError, Image,
    ListHits, LocalLines, MapReport, Ports, ProgramReport, ServiceReading, Traffic,
};
use crate::{api::types::AttachMode, config::protocols::Policies, sets::Sets};

/// The maps in memory.
#[derive(Debug, Default)]
pub struct Fake {
    /// The tick of the moment; 250 a second.
    pub tick: u64,
    /// The operator's settings.
    pub settings: Settings,
    /// What the controller holds, once it was written.
    pub held: Option<Settings>,
    /// The policy before a change on trial, once it was written.
    pub before: Option<Before>,
    /// Single entries, by list.
    pub lists: BTreeMap<ListId, HashMap<EntryKey, EntryValue>>,
    /// Lengths of entries, by list and family.
    pub lengths: HashMap<(ListId, Family), Lengths>,
    /// Lines of the gate that are not zero.
    pub gate: BTreeMap<u32, [u64; LINE_WORDS]>,
    /// Every line of the gate that was written, in order.
    pub gate_writes: Vec<(u32, [u64; LINE_WORDS])>,
    /// Ceilings of services.
    pub ceilings: Option<Ceilings>,
    /// Every ceiling that was written, in order.
    pub ceiling_writes: Vec<Ceilings>,
    /// How services fare, by index.
    pub services: BTreeMap<u32, ServiceReading>,
    /// The big sets.
    pub sets: Sets,
    /// The features of each program that was loaded.
    pub features: Vec<u64>,
    /// Counters of imported lists.
    pub list_hits: BTreeMap<u8, Counter>,
    /// This host's own addresses, once they were written.
    pub local: Option<Box<LocalLines>>,
    /// Sets of ports that were written.
    pub ports: BTreeMap<PortSet, Box<Ports>>,
    /// Every set of ports that was written, in order.
    pub port_writes: Vec<PortSet>,
    /// How often stamps of listeners were forgotten.
    pub stamps_cleared: usize,
    /// Ports whose windows were forgotten, in order.
    pub windows_forgotten: Vec<u16>,
    /// What became of cookies, by port, where anything did.
    pub cookie_ports: BTreeMap<u16, CookiePort>,
    /// CPUs under pressure.
    pub pressed: usize,
    /// Lifelines.
    pub lifelines: Lifelines,
    /// Sessions.
    pub sessions: HashSet<SessionKey>,
    /// Policies of IP protocols; none were written if `None`.
    pub protocols: Option<Policies>,
    /// Counters.
    pub counters: Option<Counters>,
    /// What came in, by place; all zero if none was put here.
    pub traffic: Vec<Traffic>,
    /// Samples that wait.
    pub samples: Vec<Sample>,
    /// The banks of rules.
    pub rules: [CompiledRules; BANKS as usize],
    /// What rules met, by slot, where anything was.
    pub rule_hits: BTreeMap<u32, Counter>,
    /// Interfaces it is attached to.
    pub attached: BTreeSet<String>,
    /// Interfaces that there are not.
    pub missing: BTreeSet<String>,
    /// What is wrong with pins.
    pub lone_pins: Option<String>,
    /// The programs beside the filter.
    pub companions: FakeCompanions,
    /// Entries that a list has room for; any number if `None`.
    pub capacity: Option<usize>,
    /// Writes until one fails; none does if `None`.
    pub fails_in: Option<usize>,
}

impl Fake {
    /// Counts a write; says whether it may happen.
    fn write(&mut self) -> Result<(), DataplaneError> {
        match self.fails_in {
            Some(0) => {
                self.fails_in = None;
                Err(DataplaneError("the kernel refused a write".to_owned()))
            }
            left => {
                self.fails_in = left.map(|left| left - 1);
                Ok(())
            }
        }
    }
}

impl Dataplane for Fake {
    fn lone_pins(&self) -> Option<String> {
        self.lone_pins.clone()
    }

    fn hz(&self) -> u64 {
        250
    }

    fn tick(&mut self) -> Result<u64, DataplaneError> {
        Ok(self.tick)
    }

    fn settings(&mut self) -> Result<Settings, DataplaneError> {
        Ok(self.settings)
    }

    fn set_settings(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.write()?;
        if let Some(held) = &mut self.held
            && settings.held_until != 0
        {
            held.rule_bank = settings.rule_bank;
        }
        self.settings = *settings;
        Ok(())
    }

    fn set_held(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.write()?;
        self.held = Some(*settings);
        Ok(())
    }

    fn settings_before(&mut self) -> Result<Settings, DataplaneError> {
        let before = self.before.as_ref();
        Ok(before.map_or_else(Settings::default, |before| before.settings))
    }

    fn set_before(&mut self, before: &Before) -> Result<(), DataplaneError> {
        self.write()?;
        self.before = Some(before.clone());
        Ok(())
    }

    fn entry(
        &mut self,
        list: ListId,
        key: &EntryKey,
    ) -> Result<Option<EntryValue>, DataplaneError> {
        Ok(self.lists.entry(list).or_default().get(key).copied())
    }

    fn set_entry(
        &mut self,
        list: ListId,
        key: &EntryKey,
        value: &EntryValue,
    ) -> Result<(), DataplaneError> {
        self.write()?;
        let entries = self.lists.entry(list).or_default();
        let full = self
            .capacity
            .is_some_and(|capacity| entries.len() >= capacity);
        if full && !entries.contains_key(key) {
            return Err(DataplaneError("the table is full".to_owned()));
        }
        entries.insert(*key, *value);
        Ok(())
    }

    fn remove_entry(&mut self, list: ListId, key: &EntryKey) -> Result<(), DataplaneError> {
        self.write()?;
        self.lists.entry(list).or_default().remove(key);
        Ok(())
    }

    fn entries(&mut self, list: ListId) -> Result<Vec<(EntryKey, EntryValue)>, DataplaneError> {
        let entries = self.lists.entry(list).or_default();
        Ok(entries.iter().map(|(key, value)| (*key, *value)).collect())
    }

    fn lengths(&mut self, list: ListId, family: Family) -> Result<Lengths, DataplaneError> {
        Ok(self
            .lengths
            .get(&(list, family))
            .copied()
            .unwrap_or_default())
    }

    fn set_lengths(
        &mut self,
        list: ListId,
        family: Family,
        lengths: &Lengths,
    ) -> Result<(), DataplaneError> {
        self.write()?;
        self.lengths.insert((list, family), *lengths);
        Ok(())
    }

    fn set_gate(&mut self, line: u32, words: &[u64; LINE_WORDS]) -> Result<(), DataplaneError> {
        self.write()?;
        self.gate_writes.push((line, *words));
        if words.iter().all(|word| *word == 0) {
            self.gate.remove(&line);
        } else {
            self.gate.insert(line, *words);
        }
        Ok(())
    }

    fn set_services(&mut self, ceilings: &Ceilings) -> Result<(), DataplaneError> {
        self.write()?;
        self.ceilings = Some(*ceilings);
        self.ceiling_writes.push(*ceilings);
        Ok(())
    }

    fn clear_service(&mut self, index: u32) -> Result<(), DataplaneError> {
        self.write()?;
        let reading = self.services.entry(index).or_default();
        reading.state = ServiceState::default();
        Ok(())
    }

    fn services(&mut self, count: u32) -> Result<Vec<ServiceReading>, DataplaneError> {
        let read = |index| self.services.get(&index).copied().unwrap_or_default();
        Ok((0..count).map(read).collect())
    }

    fn place(&mut self, image: Image<'_>) -> Result<(), DataplaneError> {
        self.write()?;
        self.features.push(image.features);
        if let Some(sets) = image.sets {
            self.sets.clone_from(sets);
        }
        Ok(())
    }

    fn list_hits(&mut self) -> Result<Box<ListHits>, DataplaneError> {
        let mut all = Box::new([Counter::default(); LISTS as usize]);
        for (number, hits) in &self.list_hits {
            all[usize::from(*number)] = *hits;
        }
        Ok(all)
    }

    fn clear_list_hits(&mut self, number: u8) -> Result<(), DataplaneError> {
        self.write()?;
        self.list_hits.remove(&number);
        Ok(())
    }

    fn set_local(&mut self, lines: &LocalLines) -> Result<(), DataplaneError> {
        self.write()?;
        self.local = Some(Box::new(*lines));
        Ok(())
    }

    fn set_ports(&mut self, set: PortSet, ports: &Ports) -> Result<(), DataplaneError> {
        self.write()?;
        self.ports.insert(set, Box::new(*ports));
        self.port_writes.push(set);
        Ok(())
    }

    fn clear_stamps(&mut self) -> Result<(), DataplaneError> {
        self.write()?;
        self.stamps_cleared += 1;
        Ok(())
    }

    fn forget_windows(&mut self, ports: &[u16]) -> Result<(), DataplaneError> {
        self.windows_forgotten.extend(ports);
        Ok(())
    }

    fn cookie_ports(&mut self, ports: &[u16]) -> Result<Vec<CookiePort>, DataplaneError> {
        let read = |port: &u16| self.cookie_ports.get(port).copied().unwrap_or_default();
        Ok(ports.iter().map(read).collect())
    }

    fn pressed(&mut self) -> Result<usize, DataplaneError> {
        Ok(self.pressed)
    }

    fn set_lifelines(&mut self, lifelines: &Lifelines) -> Result<(), DataplaneError> {
        self.write()?;
        self.lifelines = *lifelines;
        Ok(())
    }

    fn set_session(&mut self, key: &SessionKey, present: bool) -> Result<(), DataplaneError> {
        self.write()?;
        if present {
            self.sessions.insert(*key);
        } else {
            self.sessions.remove(key);
        }
        Ok(())
    }

    fn sessions(&mut self) -> Result<Vec<SessionKey>, DataplaneError> {
        Ok(self.sessions.iter().copied().collect())
    }

    fn set_protocols(&mut self, policies: &Policies) -> Result<(), DataplaneError> {
        self.write()?;
        self.protocols = Some(*policies);
        Ok(())
    }

    fn set_rules(&mut self, bank: u32, rules: &CompiledRules) -> Result<(), DataplaneError> {
        self.write()?;
        if let Some(held) = &mut self.held {
            held.rule_bank = self.settings.rule_bank;
        }
        let before = self.before.as_ref();
        let before = before.filter(|_| self.settings.is_on_trial());
        let is_of_before = before.is_some_and(|before| before.settings.bank() == bank);
        match self.rules.get_mut(bank as usize) {
            Some(slot) if bank != self.settings.bank() && !is_of_before => {
                slot.clone_from(rules);
                Ok(())
            }
            _ => Err(DataplaneError(format!("bank {bank} is in force"))),
        }
    }

    fn rule_hits(&mut self) -> Result<Vec<Counter>, DataplaneError> {
        let hits = |slot| self.rule_hits.get(&slot).copied().unwrap_or_default();
        Ok((0..SLOTS).map(hits).collect())
    }

    fn clear_rule(&mut self, slot: u32) -> Result<(), DataplaneError> {
        self.write()?;
        self.rule_hits.remove(&slot);
        Ok(())
    }

    fn counters(&mut self) -> Result<Counters, DataplaneError> {
        Ok(self
            .counters
            .unwrap_or([Counter::default(); COUNTERS as usize]))
    }

    fn traffic(&mut self) -> Result<Vec<Traffic>, DataplaneError> {
        let mut traffic = self.traffic.clone();
        traffic.resize(TRAFFIC_PLACES as usize, Traffic::default());
        Ok(traffic)
    }

    fn samples(&mut self, take: &mut dyn FnMut(&Sample)) {
        for sample in self.samples.drain(..) {
            take(&sample);
        }
    }

    fn program(&mut self) -> Result<ProgramReport, DataplaneError> {
        let features = self.features.last().copied().unwrap_or_default();
        Ok(ProgramReport {
            features,
            ..ProgramReport::default()
        })
    }

    fn maps(&mut self) -> Vec<MapReport> {
        Vec::new()
    }

    fn attach(&mut self, interface: &str) -> Result<Attachment, DataplaneError> {
        if self.missing.contains(interface) {
            return Err(DataplaneError(format!("there is no interface {interface}")));
        }
        self.attached.insert(interface.to_owned());
        Ok(Attachment {
            mode: AttachMode::Native,
            program_id: 1,
        })
    }

    fn detach(&mut self, interface: &str) -> Result<(), DataplaneError> {
        self.attached.remove(interface);
        Ok(())
    }

    fn attachment(&mut self, interface: &str) -> Result<Option<Attachment>, DataplaneError> {
        let attached = self.attached.contains(interface);
        Ok(attached.then_some(Attachment {
            mode: AttachMode::Native,
            program_id: 1,
        }))
    }

    fn pinned(&mut self) -> Result<Vec<String>, DataplaneError> {
        Ok(self.attached.iter().cloned().collect())
    }
}
