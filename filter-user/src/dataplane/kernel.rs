//! The program and its maps in the kernel.

mod companions;
mod cpus;
pub mod effort;
pub(super) mod egress;
mod grace;
pub(super) mod link;
mod maps;
mod memory;
mod object;
mod others;
mod own;
pub(super) mod pinned;
mod place;
pub(super) mod raw;
mod report;
mod rows;
mod rules;
mod senders;
mod services;
mod set;
pub(super) mod sockets;
mod specimen;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use aya::{
    maps::{HashMap, MapData, MapError, PerCpuValues},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use filter_common::{
    abi::{
        counter::Counter,
        defence::{CookiePort, PortSet},
        entry::{EntryKey, EntryValue, Lengths, ListId, lengths_index},
        lifeline::{Lifelines, SessionKey},
        sample::Sample,
        settings::{BEFORE_ROW, OPERATOR_ROW, Settings, policy},
    },
    logic::{address::Family, gate::LINE_WORDS, set4::LISTS},
};

pub use self::specimen::{Plain, Specimen};
use self::{
    companions::Companions,
    maps::{Maps, each_sample, map_error, read_counter, read_counters, read_traffic},
    object::Abilities,
    place::Loaded,
    set::Unfinished,
};
use super::{
    Attachment, Before, Ceilings, CompiledRules, Counters, Dataplane, DataplaneError, Image,
    ListHits, LocalLines, MapReport, Ports, ProgramReport, ServiceReading, Traffic,
    bpffs::{self, PinFolder},
};
use crate::{
    clock,
    config::{AttachPreference, Tables, protocols::Policies},
    sets::Sets,
};

/// The filter in the kernel.
pub struct Kernel {
    /// New maps, until they are in force; none if they were found. They go before the lock does.
    unfinished: Option<Unfinished>,
    folder: PinFolder,
    preference: AttachPreference,
    tables: Tables,
    sizes: BTreeMap<&'static str, u32>,
    loaded: Loaded,
    /// The programs beside the filter, once one is wanted.
    companions: Option<Companions>,
    /// Interfaces that this has attached to.
    linked: BTreeSet<String>,
    maps: Maps,
    hz: u64,
    /// Whether these maps were found, with what they hold.
    taken_over: bool,
    /// Messages of an object with the feature `log`.
    #[cfg(feature = "log")]
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
}

impl Kernel {
    /// Loads the program with all features that work here over the maps that are pinned, if they are of this version and of these
    /// sizes, and over new ones otherwise. New ones are in force only after
    /// [`Kernel::put_in_force`].
    pub fn load(
        folder: PinFolder,
        tables: &Tables,
        preference: AttachPreference,
    ) -> Result<Self, DataplaneError> {
        Self::load_with(folder, tables, preference, u64::MAX)
    }

    /// Likewise, with some features only.
    pub fn load_with(
        folder: PinFolder,
        tables: &Tables,
        preference: AttachPreference,
        features: u64,
    ) -> Result<Self, DataplaneError> {
        raw::unlock_memory();
        let features = features & Abilities::get().features;
        let sizes = set::sizes(tables);
        let taken_over = set::is_ours(&folder.maps(), &sizes);
        let path = if taken_over {
            folder.maps()
        } else {
            folder.new_maps()
        };
        if !taken_over {
            let wrap = |error| DataplaneError::new(format!("preparing {}", path.display()), error);
            bpffs::remove(&path).map_err(wrap)?;
            fs::create_dir(&path).map_err(wrap)?;
        }
        let unfinished = (!taken_over).then(|| Unfinished(path.clone()));
        if !taken_over {
            tracing::info!(
                "the maps will take about {} MiB",
                set::estimate(tables, features)? >> 20
            );
        }
        let mut loaded = Loaded::new(&path, &sizes, features, &Sets::default())?;
        #[cfg(feature = "log")]
        let logger = aya_log::EbpfLogger::init(&mut loaded.ebpf)
            .inspect_err(|error| tracing::warn!("no messages from the kernel's side: {error}"))
            .ok();
        let maps = Maps::take(&mut loaded.ebpf)?;
        if !taken_over {
            set::pin_version(&path.join(set::META))?;
        }
        Ok(Self {
            unfinished,
            folder,
            preference,
            tables: *tables,
            sizes,
            loaded,
            companions: None,
            linked: BTreeSet::new(),
            maps,
            hz: hz()?,
            taken_over,
            #[cfg(feature = "log")]
            logger,
        })
    }

    /// Whether the maps were found pinned, with what they hold.
    pub fn taken_over(&self) -> bool {
        self.taken_over
    }

    /// Makes new maps the ones that the next start finds. To be called once they are filled and
    /// the program is attached.
    pub fn put_in_force(&mut self) -> Result<(), DataplaneError> {
        if self.unfinished.is_some() {
            self.folder.put_in_force()?;
            self.unfinished = None;
        }
        Ok(())
    }

    /// Where the maps of this program are pinned.
    fn maps_path(&self) -> PathBuf {
        if self.unfinished.is_some() {
            self.folder.new_maps()
        } else {
            self.folder.maps()
        }
    }

    /// The program's object, for tests and benchmarks that run it by hand.
    pub fn program(&mut self) -> Result<&mut Xdp, DataplaneError> {
        set::program(&mut self.loaded.ebpf, "floodwall")
    }

    /// Has SYNs compared with completed handshakes until that tick, whoever is over a limit.
    pub fn compare_handshakes_until(&mut self, tick: u64) -> Result<(), DataplaneError> {
        self.maps
            .overdrawn
            .set(0, tick, 0)
            .map_err(|error| map_error("having SYNs compared with handshakes", error))
    }

    /// Runs the program on a frame, without any traffic; gives the XDP verdict.
    pub fn run(&mut self, frame: &[u8]) -> Result<u32, DataplaneError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        let result = self
            .program()?
            .test_run(options)
            .map_err(|error| DataplaneError::new("running the program", error))?;
        Ok(result.return_value)
    }

    /// Has SYNs compared with completed handshakes for a while, if limits of those become lower: who
    /// was within one may be over the next.
    fn expect_lower(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        if let Some(ticks) = self.maps.rows.lowered(settings)? {
            let until = self.tick()?.saturating_add(ticks);
            self.compare_handshakes_until(until)?;
        }
        Ok(())
    }

    fn list(
        &mut self,
        list: ListId,
    ) -> Result<&mut HashMap<MapData, EntryKey, EntryValue>, DataplaneError> {
        self.maps
            .lists
            .get_mut(&list)
            .ok_or_else(|| DataplaneError(format!("the object has no map for {list:?}")))
    }
}

/// The policy in force while a change waits for confirmation.
const CHANGED: u32 = policy(OPERATOR_ROW);
/// The policy in force once it was not confirmed in time.
const BEFORE: u32 = policy(BEFORE_ROW);

/// How many jiffies the kernel counts in a second.
fn hz() -> Result<u64, DataplaneError> {
    let tick = clock::tick().map_err(|error| DataplaneError::new("asking for the tick", error))?;
    let hz = (1.0 / tick.as_secs_f64()).round() as u64;
    // Kernels are built with 100 to 1,200 (kernel/Kconfig.hz).
    if !(10..=10_000).contains(&hz) {
        return Err(DataplaneError(format!(
            "the kernel says that its clock ticks every {tick:?}: limits and ends cannot be \
             counted in that; use a kernel whose CONFIG_HZ is between 10 and 10,000"
        )));
    }
    Ok(hz)
}

impl Dataplane for Kernel {
    fn able(&self) -> u64 {
        Abilities::get().features
    }

    fn shortcomings(&self) -> Vec<String> {
        Abilities::get().shortcomings()
    }

    fn keep_pins(&mut self) -> Result<bool, DataplaneError> {
        self.folder.keep()
    }

    fn lone_pins(&self) -> Option<String> {
        self.folder.lone()
    }

    fn hz(&self) -> u64 {
        self.hz
    }

    fn tick(&mut self) -> Result<u64, DataplaneError> {
        let mut options = TestRunOptions::new();
        let frame = [0; 14];
        options.data_in = Some(&frame);
        set::program(&mut self.loaded.ebpf, "clock")?
            .test_run(options)
            .map_err(|error| DataplaneError::new("reading the kernel's clock", error))?;
        self.maps
            .clock
            .get(&0, 0)
            .map_err(|error| DataplaneError::new("reading the kernel's clock", error))
    }

    fn settings(&mut self) -> Result<Settings, DataplaneError> {
        self.maps.rows.operators()
    }

    fn set_settings(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.expect_lower(settings)?;
        self.maps.rows.set_operators(settings)
    }

    fn set_held(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.expect_lower(settings)?;
        self.maps.rows.set_held(settings)
    }

    fn settings_before(&mut self) -> Result<Settings, DataplaneError> {
        self.maps.rows.before()
    }

    fn set_before(&mut self, before: &Before) -> Result<(), DataplaneError> {
        self.expect_lower(&before.settings)?;
        self.expect_lower(&before.held)?;
        self.maps.set_lifelines(BEFORE, &before.lifelines)?;
        self.maps.set_protocols(BEFORE, &before.protocols)?;
        self.maps.services.set(BEFORE, &before.ceilings)?;
        self.maps.rows.set_before(&before.settings, &before.held)
    }

    fn entry(
        &mut self,
        list: ListId,
        key: &EntryKey,
    ) -> Result<Option<EntryValue>, DataplaneError> {
        match self.list(list)?.get(key, 0) {
            Ok(value) => Ok(Some(value)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(map_error("reading a list", error)),
        }
    }

    fn set_entry(
        &mut self,
        list: ListId,
        key: &EntryKey,
        value: &EntryValue,
    ) -> Result<(), DataplaneError> {
        self.list(list)?
            .insert(key, value, 0)
            .map_err(|error| map_error(&format!("writing to the {}", table(list)), error))
    }

    fn remove_entry(&mut self, list: ListId, key: &EntryKey) -> Result<(), DataplaneError> {
        removed(self.list(list)?.remove(key))
            .map_err(|error| map_error("removing from a list", error))
    }

    fn entries(&mut self, list: ListId) -> Result<Vec<(EntryKey, EntryValue)>, DataplaneError> {
        self.list(list)?
            .iter()
            .collect::<Result<_, _>>()
            .map_err(|error| map_error("reading a list", error))
    }

    fn lengths(&mut self, list: ListId, family: Family) -> Result<Lengths, DataplaneError> {
        self.maps
            .lengths
            .get(&lengths_index(list, family), 0)
            .map_err(|error| map_error("reading the lengths of a list", error))
    }

    fn set_lengths(
        &mut self,
        list: ListId,
        family: Family,
        lengths: &Lengths,
    ) -> Result<(), DataplaneError> {
        self.maps
            .lengths
            .set(lengths_index(list, family), lengths, 0)
            .map_err(|error| map_error("writing the lengths of a list", error))
    }

    fn set_gate(&mut self, line: u32, words: &[u64; LINE_WORDS]) -> Result<(), DataplaneError> {
        self.maps.gate.set(line as usize, words);
        Ok(())
    }

    fn place(&mut self, image: Image<'_>) -> Result<(), DataplaneError> {
        self.replace(image)
    }

    fn list_hits(&mut self) -> Result<Box<ListHits>, DataplaneError> {
        let mut all = Box::new([Counter::default(); LISTS as usize]);
        for (number, hits) in (0..LISTS).zip(all.iter_mut()) {
            *hits = read_counter(&self.maps.list_hits, number)?;
        }
        Ok(all)
    }

    fn clear_list_hits(&mut self, number: u8) -> Result<(), DataplaneError> {
        let wrap = |error| map_error("clearing the counter of a list", error);
        let cpus = aya::util::nr_cpus()
            .map_err(|(path, error)| DataplaneError::new(format!("reading {path}"), error))?;
        let zeros = PerCpuValues::try_from(vec![Counter::default(); cpus])
            .map_err(|error| DataplaneError::new("clearing the counter of a list", error))?;
        self.maps
            .list_hits
            .set(number.into(), zeros, 0)
            .map_err(wrap)
    }

    fn set_services(&mut self, ceilings: &Ceilings) -> Result<(), DataplaneError> {
        self.maps.services.set(CHANGED, ceilings)
    }

    fn clear_service(&mut self, index: u32) -> Result<(), DataplaneError> {
        self.maps.services.clear(index)
    }

    fn services(&mut self, count: u32) -> Result<Vec<ServiceReading>, DataplaneError> {
        self.maps.services.read(count)
    }

    fn set_local(&mut self, lines: &LocalLines) -> Result<(), DataplaneError> {
        self.maps.own.set_local(lines)
    }

    fn set_ports(&mut self, set: PortSet, ports: &Ports) -> Result<(), DataplaneError> {
        self.maps.own.set_ports(set, ports);
        Ok(())
    }

    fn clear_stamps(&mut self) -> Result<(), DataplaneError> {
        self.maps.own.clear_stamps();
        Ok(())
    }

    fn forget_windows(&mut self, ports: &[u16]) -> Result<(), DataplaneError> {
        self.maps.own.forget_windows(ports)
    }

    fn cookie_ports(&mut self, ports: &[u16]) -> Result<Vec<CookiePort>, DataplaneError> {
        self.maps.own.cookie_ports(ports)
    }

    fn pressed(&mut self) -> Result<usize, DataplaneError> {
        let now = self.tick()?;
        self.maps.cpus.pressed(now)
    }

    fn set_lifelines(&mut self, lifelines: &Lifelines) -> Result<(), DataplaneError> {
        self.maps.set_lifelines(CHANGED, lifelines)
    }

    fn set_session(&mut self, key: &SessionKey, present: bool) -> Result<(), DataplaneError> {
        let sessions = &mut self.maps.sessions;
        let done = if present {
            sessions.insert(key, 1, 0)
        } else {
            removed(sessions.remove(key))
        };
        done.map_err(|error| map_error("writing administrators' sessions", error))
    }

    fn sessions(&mut self) -> Result<Vec<SessionKey>, DataplaneError> {
        self.maps
            .sessions
            .keys()
            .collect::<Result<_, _>>()
            .map_err(|error| map_error("reading administrators' sessions", error))
    }

    fn set_protocols(&mut self, policies: &Policies) -> Result<(), DataplaneError> {
        self.maps.set_protocols(CHANGED, policies)
    }

    fn set_rules(&mut self, bank: u32, rules: &CompiledRules) -> Result<(), DataplaneError> {
        self.maps.rows.release(bank)?;
        self.maps.rules.set(bank, rules)
    }

    fn rule_hits(&mut self) -> Result<Vec<Counter>, DataplaneError> {
        self.maps.rules.hits()
    }

    fn clear_rule(&mut self, slot: u32) -> Result<(), DataplaneError> {
        self.maps.rules.clear(slot)
    }

    fn counters(&mut self) -> Result<Counters, DataplaneError> {
        read_counters(&self.maps.counters)
    }

    fn traffic(&mut self) -> Result<Vec<Traffic>, DataplaneError> {
        read_traffic(&self.maps.traffic)
    }

    fn samples(&mut self, take: &mut dyn FnMut(&Sample)) {
        #[cfg(feature = "log")]
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        each_sample(&mut self.maps.samples, take);
    }

    fn program(&mut self) -> Result<ProgramReport, DataplaneError> {
        self.report()
    }

    fn maps(&mut self) -> Vec<MapReport> {
        self.map_reports()
    }

    fn attach(&mut self, interface: &str) -> Result<Attachment, DataplaneError> {
        let attachment = self.link_to(interface)?;
        self.linked.insert(interface.to_owned());
        Ok(attachment)
    }

    fn detach(&mut self, interface: &str) -> Result<(), DataplaneError> {
        self.linked.remove(interface);
        link::remove(&self.folder.link(interface))
    }

    fn attachment(&mut self, interface: &str) -> Result<Option<Attachment>, DataplaneError> {
        link::attachment(&self.folder.link(interface), interface)
    }

    fn pinned(&mut self) -> Result<Vec<String>, DataplaneError> {
        self.folder.links()
    }
}

/// A list by its key in the configuration.
fn table(list: ListId) -> &'static str {
    match list {
        ListId::Allow => "allowlist ([tables] allow)",
        ListId::Block => "blocklist ([tables] block)",
        ListId::Ban => "bans ([tables] bans)",
    }
}

/// What is gone already is as good as removed.
fn removed(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use aya::sys::SyscallError;

    use super::*;

    #[test]
    fn only_what_is_gone_counts_as_removed() {
        let refused = |number| {
            Err(MapError::SyscallError(SyscallError {
                call: "bpf_map_delete_elem",
                io_error: io::Error::from_raw_os_error(number),
            }))
        };
        assert!(removed(Ok(())).is_ok());
        assert!(removed(Err(MapError::KeyNotFound)).is_ok());
        assert!(removed(refused(libc::ENOENT)).is_ok());
        assert!(removed(refused(libc::EPERM)).is_err());
    }
}
