//! The maps and the program in the kernel.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, MapError, MapInfo, PerCpuArray, RingBuf},
    programs::{
        ProgramError, TestRun as _, TestRunOptions, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::XdpLink,
    },
};
use filter_common::{
    abi::{
        self,
        counter::{COUNTERS, Counter},
        entry::{EntryKey, EntryValue, Lengths, ListId, lengths_index},
        lifeline::{Lifelines, SessionKey},
        sample::Sample,
        settings::{CLASSES, Settings},
    },
    logic::{address::Family, gate::LINE_WORDS, source::WAYS},
};

use super::{
    Attachment, Counters, Dataplane, DataplaneError,
    bpffs::{self, PinFolder},
};
use crate::{
    api::types::AttachMode,
    clock,
    config::{AttachPreference, Tables},
    host::links,
};

/// The object of the filter, built from the crate `filter-ebpf`.
pub static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/floodwall.bpf.o"));

/// Every map that is pinned, by its name in the object.
const MAPS: [&str; 12] = [
    "ALLOW",
    "BLOCK",
    "CLOCK",
    "COUNTERS_BY_REASON",
    "CPU",
    "GATE",
    "LENGTHS",
    "LIFELINES",
    "SAMPLES",
    "SESSIONS",
    "SETTINGS",
    "SOURCES",
];

/// The pinned map that holds [`abi::VERSION`]; written last, so that a set without it is unfinished.
const META: &str = "META";

/// The filter in the kernel.
pub struct Kernel {
    /// New maps, until they are in force; none if they were found. They go before the lock does.
    unfinished: Option<Unfinished>,
    folder: PinFolder,
    preference: AttachPreference,
    ebpf: Ebpf,
    maps: Maps,
    hz: u64,
    /// Whether these maps were found, with what they hold.
    taken_over: bool,
    /// Messages of an object with the feature `log`.
    #[cfg(feature = "log")]
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
}

/// A set of new maps that goes when this is dropped before they are in force: a start that failed
/// leaves nothing that takes memory.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = bpffs::remove(&self.0) {
            tracing::warn!("removing {}: {error}", self.0.display());
        }
    }
}

struct Maps {
    settings: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, Counter>,
    lists: BTreeMap<ListId, HashMap<MapData, EntryKey, EntryValue>>,
    lengths: Array<MapData, Lengths>,
    gate: Array<MapData, [u64; LINE_WORDS]>,
    lifelines: Array<MapData, Lifelines>,
    sessions: HashMap<MapData, SessionKey, u8>,
    clock: Array<MapData, u64>,
    samples: RingBuf<MapData>,
    memory: u64,
}

impl Kernel {
    /// Loads the program over the maps that are pinned, if they are of this version and of these
    /// sizes, and over new ones otherwise. New ones are in force only after
    /// [`Kernel::put_in_force`].
    pub fn load(
        folder: PinFolder,
        tables: &Tables,
        preference: AttachPreference,
    ) -> Result<Self, DataplaneError> {
        let sizes = sizes(tables);
        let taken_over = is_ours(&folder.maps(), &sizes);
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
            tracing::info!("the maps will take about {} MiB", estimate(tables) >> 20);
        }
        let mut ebpf = load_object(&path, &sizes)?;
        for name in ["floodwall", "clock"] {
            program(&mut ebpf, name)?
                .load()
                .map_err(|error| load_error(name, error))?;
        }
        #[cfg(feature = "log")]
        let logger = aya_log::EbpfLogger::init(&mut ebpf)
            .inspect_err(|error| tracing::warn!("no messages from the kernel's side: {error}"))
            .ok();
        let maps = Maps::take(&mut ebpf)?;
        if !taken_over {
            pin_version(&path.join(META))?;
        }
        let mut kernel = Self {
            unfinished,
            folder,
            preference,
            ebpf,
            maps,
            hz: 0,
            taken_over,
            #[cfg(feature = "log")]
            logger,
        };
        kernel.hz = kernel.measure_hz()?;
        Ok(kernel)
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

    /// The program's object, for tests and benchmarks that run it by hand.
    pub fn program(&mut self) -> Result<&mut Xdp, DataplaneError> {
        program(&mut self.ebpf, "floodwall")
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

    /// Measures the rate of jiffies from one tick's edge to another's.
    fn measure_hz(&mut self) -> Result<u64, DataplaneError> {
        const TICKS: u64 = 10;
        let (first, start) = self.edge()?;
        std::thread::sleep(Duration::from_millis(30));
        let (mut last, mut end) = self.edge()?;
        while last.wrapping_sub(first) < TICKS {
            (last, end) = self.edge()?;
        }
        let nanoseconds = end.duration_since(start).as_nanos().max(1);
        let ticks = u128::from(last.wrapping_sub(first));
        let measured = (ticks * 1_000_000_000 + nanoseconds / 2) / nanoseconds;
        // What kernels are built with (kernel/Kconfig.hz, and 1024 on Alpha).
        let known = [100, 250, 300, 1000, 1024, 1200];
        let nearest = known
            .into_iter()
            .min_by_key(|hz: &u64| measured.abs_diff(u128::from(*hz)));
        nearest.ok_or_else(|| DataplaneError("the kernel's clock stands still".to_owned()))
    }

    /// Waits for the next tick.
    fn edge(&mut self) -> Result<(u64, Instant), DataplaneError> {
        let before = self.tick()?;
        loop {
            let tick = self.tick()?;
            if tick != before {
                return Ok((tick, clock::monotonic()));
            }
        }
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

    /// Brings the program of a pinned link up to date, if the link still sits on the interface.
    fn update_link(&mut self, interface: &str) -> Result<bool, DataplaneError> {
        let path = self.folder.link(interface);
        if !path.exists() {
            return Ok(false);
        }
        let link: FdLink = PinnedLink::from_pin(&path)
            .map_err(|error| DataplaneError::new(format!("opening {}", path.display()), error))?
            .into();
        let info = link.info().map_err(|error| {
            DataplaneError::new(format!("asking the kernel about {}", path.display()), error)
        })?;
        let found = links::find(interface).map_err(|error| link_error(interface, error))?;
        let id = info.program_id();
        if !found.is_some_and(|link| link.xdp.iter().any(|xdp| xdp.id == id)) {
            // The device went, and another of its name may have come.
            fs::remove_file(&path).map_err(|error| {
                DataplaneError::new(format!("removing the stale {}", path.display()), error)
            })?;
            return Ok(false);
        }
        let link = XdpLink::try_from(link).map_err(|error| {
            DataplaneError::new(
                format!("{} is no link of an XDP program", path.display()),
                error,
            )
        })?;
        let program = self.program()?;
        if program.info().is_ok_and(|info| info.id() == id) {
            return Ok(true);
        }
        let id = program.attach_to_link(link).map_err(|error| {
            DataplaneError::new(format!("replacing the program on {interface}"), error)
        })?;
        // The pin keeps the link; this lets go of our descriptor only.
        let link = program.take_link(id);
        drop(link);
        Ok(true)
    }

    /// Attaches by a new link, and pins it.
    fn create_link(
        &mut self,
        interface: &str,
        index: u32,
        mode: XdpMode,
    ) -> Result<(), ProgramError> {
        let path = self.folder.link(interface);
        let program = match self.ebpf.program_mut("floodwall") {
            Some(program) => <&mut Xdp>::try_from(program)?,
            None => return Err(ProgramError::NotLoaded),
        };
        let id = program.attach_to_if_index(index, mode)?;
        let link = program.take_link(id)?;
        // An attachment by netlink would be replaced by anyone without a word; dropping it
        // detaches it.
        let link = FdLink::try_from(link).map_err(|_| ProgramError::NotAttached)?;
        link.pin(&path)
            .map_err(|error| ProgramError::IOError(std::io::Error::other(error)))?;
        Ok(())
    }
}

impl Dataplane for Kernel {
    fn hz(&self) -> u64 {
        self.hz
    }

    fn tick(&mut self) -> Result<u64, DataplaneError> {
        let mut options = TestRunOptions::new();
        let frame = [0; 14];
        options.data_in = Some(&frame);
        program(&mut self.ebpf, "clock")?
            .test_run(options)
            .map_err(|error| DataplaneError::new("reading the kernel's clock", error))?;
        self.maps
            .clock
            .get(&0, 0)
            .map_err(|error| DataplaneError::new("reading the kernel's clock", error))
    }

    fn settings(&mut self) -> Result<Settings, DataplaneError> {
        self.maps
            .settings
            .get(&0, 0)
            .map_err(|error| map_error("reading the settings", error))
    }

    fn set_settings(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.maps
            .settings
            .set(0, settings, 0)
            .map_err(|error| map_error("writing the settings", error))
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
            .map_err(|error| map_error("writing to a list", error))
    }

    fn remove_entry(&mut self, list: ListId, key: &EntryKey) -> Result<(), DataplaneError> {
        match self.list(list)?.remove(key) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
            {
                Ok(())
            }
            Err(error) => Err(map_error("removing from a list", error)),
        }
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
        self.maps
            .gate
            .set(line, words, 0)
            .map_err(|error| map_error("writing the gate of the lists", error))
    }

    fn set_lifelines(&mut self, lifelines: &Lifelines) -> Result<(), DataplaneError> {
        self.maps
            .lifelines
            .set(0, lifelines, 0)
            .map_err(|error| map_error("writing the lifelines", error))
    }

    fn set_session(&mut self, key: &SessionKey, present: bool) -> Result<(), DataplaneError> {
        let sessions = &mut self.maps.sessions;
        match if present {
            sessions.insert(key, 1, 0)
        } else {
            sessions.remove(key)
        } {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(map_error("writing administrators' sessions", error)),
        }
    }

    fn sessions(&mut self) -> Result<Vec<SessionKey>, DataplaneError> {
        self.maps
            .sessions
            .keys()
            .collect::<Result<_, _>>()
            .map_err(|error| map_error("reading administrators' sessions", error))
    }

    fn counters(&mut self) -> Result<Counters, DataplaneError> {
        read_counters(&self.maps.counters)
    }

    fn samples(&mut self, take: &mut dyn FnMut(&Sample)) {
        #[cfg(feature = "log")]
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        while let Some(item) = self.maps.samples.next() {
            if item.len() >= size_of::<Sample>() {
                // SAFETY: the kernel wrote a whole `Sample` there, of integers only, and the
                // length was checked; `read_unaligned` asks for no alignment.
                let sample = unsafe { item.as_ptr().cast::<Sample>().read_unaligned() };
                take(&sample);
            }
        }
    }

    fn map_memory(&mut self) -> u64 {
        self.maps.memory
    }

    fn attach(&mut self, interface: &str) -> Result<Attachment, DataplaneError> {
        let found = links::find(interface)
            .map_err(|error| link_error(interface, error))?
            .ok_or_else(|| unknown_interface(interface))?;
        if !self.update_link(interface)? {
            if let Some(xdp) = found.xdp.first() {
                return Err(occupied(interface, xdp.id));
            }
            let result = match self.preference {
                AttachPreference::Native => {
                    self.create_link(interface, found.index, XdpMode::Driver)
                }
                AttachPreference::Generic => self.create_link(interface, found.index, XdpMode::Skb),
                AttachPreference::Auto => self
                    .create_link(interface, found.index, XdpMode::Driver)
                    .or_else(|error| {
                        let tried = format!("{interface} cannot do native mode");
                        tracing::warn!("{}", DataplaneError::new(tried, error));
                        self.create_link(interface, found.index, XdpMode::Skb)
                    }),
            };
            result.map_err(|error| attach_error(interface, self.preference, error))?;
        }
        self.attachment(interface)?.ok_or_else(|| {
            DataplaneError(format!(
                "the program was attached to {interface} and is gone again: somebody else \
                 changes programs there; look with `ip link show {interface}`"
            ))
        })
    }

    fn detach(&mut self, interface: &str) -> Result<(), DataplaneError> {
        remove_link(&self.folder.link(interface))
    }

    fn attachment(&mut self, interface: &str) -> Result<Option<Attachment>, DataplaneError> {
        attachment(&self.folder.link(interface), interface)
    }

    fn pinned(&mut self) -> Result<Vec<String>, DataplaneError> {
        self.folder.links()
    }
}

/// How the program of a pinned link sits on an interface, if it does.
pub(super) fn attachment(
    path: &Path,
    interface: &str,
) -> Result<Option<Attachment>, DataplaneError> {
    if !path.exists() {
        return Ok(None);
    }
    let wrap = |error| DataplaneError::new(format!("opening {}", path.display()), error);
    let link: FdLink = PinnedLink::from_pin(path).map_err(wrap)?.into();
    let program_id = link.info().map_err(wrap)?.program_id();
    let found = links::find(interface).map_err(|error| link_error(interface, error))?;
    let programs = found.map(|link| link.xdp).unwrap_or_default();
    Ok(programs
        .into_iter()
        .find(|xdp| xdp.id == program_id)
        .map(|xdp| Attachment {
            mode: match xdp.mode {
                links::XdpMode::Generic => AttachMode::Generic,
                links::XdpMode::Native | links::XdpMode::Hardware => AttachMode::Native,
            },
            program_id,
        }))
}

/// Removes a pinned link, and with it the attachment.
pub(super) fn remove_link(path: &Path) -> Result<(), DataplaneError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DataplaneError::new(
            format!("removing {}", path.display()),
            error,
        )),
        _ => Ok(()),
    }
}

/// The settings and counters of a pinned set of maps, without a daemon.
pub(super) struct Pinned {
    settings: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, Counter>,
}

impl Pinned {
    /// Opens them.
    pub(super) fn open(maps: &Path) -> Result<Self, DataplaneError> {
        if read_version(&maps.join(META)) != Some(abi::VERSION) {
            return Err(DataplaneError(format!(
                "{} holds no maps of this version of floodwall; `bpftool link` shows what is \
                 attached, and removing the files under {} detaches it",
                maps.display(),
                maps.parent().unwrap_or(maps).join("links").display()
            )));
        }
        let open = |name: &str| {
            MapData::from_pin(maps.join(name))
                .and_then(Map::from_map_data)
                .map_err(|error| {
                    map_error(&format!("opening {}", maps.join(name).display()), error)
                })
        };
        let wrap = |error| map_error(&format!("opening the maps in {}", maps.display()), error);
        Ok(Self {
            settings: open("SETTINGS")?.try_into().map_err(wrap)?,
            counters: open("COUNTERS_BY_REASON")?.try_into().map_err(wrap)?,
        })
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Result<Settings, DataplaneError> {
        self.settings
            .get(&0, 0)
            .map_err(|error| map_error("reading the settings", error))
    }

    /// Puts settings in force.
    pub(super) fn set_settings(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.settings
            .set(0, settings, 0)
            .map_err(|error| map_error("writing the settings", error))
    }

    /// All counters.
    pub(super) fn counters(&self) -> Result<Counters, DataplaneError> {
        read_counters(&self.counters)
    }
}

fn read_counters(map: &PerCpuArray<MapData, Counter>) -> Result<Counters, DataplaneError> {
    let mut counters = [Counter::default(); COUNTERS as usize];
    for (index, sum) in (0..COUNTERS).zip(counters.iter_mut()) {
        let values = map
            .get(&index, 0)
            .map_err(|error| map_error("reading counters", error))?;
        for value in values.iter() {
            sum.packets = sum.packets.wrapping_add(value.packets);
            sum.bytes = sum.bytes.wrapping_add(value.bytes);
        }
    }
    Ok(counters)
}

impl Maps {
    fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        let memory = ebpf.maps().filter_map(|(_, map)| memory(map)).sum();
        let lists = BTreeMap::from([
            (ListId::Allow, take(ebpf, "ALLOW")?),
            (ListId::Block, take(ebpf, "BLOCK")?),
        ]);
        Ok(Self {
            settings: take(ebpf, "SETTINGS")?,
            counters: take(ebpf, "COUNTERS_BY_REASON")?,
            lists,
            lengths: take(ebpf, "LENGTHS")?,
            gate: take(ebpf, "GATE")?,
            lifelines: take(ebpf, "LIFELINES")?,
            sessions: take(ebpf, "SESSIONS")?,
            clock: take(ebpf, "CLOCK")?,
            samples: take(ebpf, "SAMPLES")?,
            memory,
        })
    }
}

fn take<M: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M, DataplaneError> {
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| DataplaneError(format!("the embedded object has no map {name}")))?;
    M::try_from(map).map_err(|error| map_error(&format!("opening the map {name}"), error))
}

/// Memory of a map, as the kernel counts it.
fn memory(map: &Map) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", fd_number(map_data(map)?.fd()));
    let text = fs::read_to_string(path).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}

/// The data of a map of one of the kinds that the object has.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the object has no other kinds"
)]
fn map_data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::PerCpuArray(data) | Map::HashMap(data) | Map::RingBuf(data) => {
            Some(data)
        }
        _ => None,
    }
}

fn fd_number(fd: &aya::maps::MapFd) -> i32 {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    fd.as_fd().as_raw_fd()
}

fn load_object(path: &Path, sizes: &BTreeMap<&'static str, u32>) -> Result<Ebpf, DataplaneError> {
    let mut loader = EbpfLoader::new();
    for name in MAPS {
        loader.map_pin_path(name, path.join(name));
    }
    for (name, size) in sizes {
        loader.map_max_entries(name, *size);
    }
    loader.load(OBJECT).map_err(|error| {
        DataplaneError::new(
            "making the maps (they need CAP_BPF and CAP_NET_ADMIN, and memory; smaller ones are \
             set under [tables])",
            error,
        )
    })
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, DataplaneError> {
    ebpf.program_mut(name)
        .ok_or_else(|| DataplaneError(format!("the embedded object has no program {name}")))?
        .try_into()
        .map_err(|error| DataplaneError::new(format!("the program {name}"), error as ProgramError))
}

fn sizes(tables: &Tables) -> BTreeMap<&'static str, u32> {
    BTreeMap::from([
        ("ALLOW", tables.allow),
        ("BLOCK", tables.block),
        ("SOURCES", tables.sources / WAYS as u32),
    ])
}

/// Bytes that the maps will take, before they are made: an element of a hash is its key, its value
/// and 48 bytes (`struct htab_elem`), and each has one bucket of 16 bytes or two.
fn estimate(tables: &Tables) -> u64 {
    const ELEMENT: u64 = 48 + 24 + 16;
    const BUCKET: u64 = 16;
    /// The gate, the samples, and what is small.
    const FIXED: u64 = (2 << 20) + (1 << 20) + (1 << 20);
    let hash = |entries: u32| {
        let entries = u64::from(entries);
        entries * ELEMENT + entries.next_power_of_two() * BUCKET
    };
    let sources = u64::from(tables.sources) * size_of::<u64>() as u64 * CLASSES as u64;
    hash(tables.allow) + hash(tables.block) + sources + FIXED
}

/// Whether a folder holds a whole set of maps of this version and of these sizes.
fn is_ours(path: &Path, sizes: &BTreeMap<&'static str, u32>) -> bool {
    read_version(&path.join(META)) == Some(abi::VERSION)
        && MAPS.iter().all(|name| {
            MapInfo::from_pin(path.join(name)).is_ok_and(|info| {
                sizes
                    .get(name)
                    .is_none_or(|size| *size == info.max_entries())
            })
        })
}

fn read_version(path: &Path) -> Option<u32> {
    let map = MapData::from_pin(path).and_then(Map::from_map_data).ok()?;
    let version: Array<MapData, u32> = map.try_into().ok()?;
    version.get(&0, 0).ok()
}

fn pin_version(path: &Path) -> Result<(), DataplaneError> {
    let wrap = |error| map_error(&format!("writing {}", path.display()), error);
    let mut version = Array::<MapData, u32>::create(1, 0).map_err(wrap)?;
    version.set(0, abi::VERSION, 0).map_err(wrap)?;
    version
        .pin(path)
        .map_err(|error| DataplaneError::new(format!("pinning {}", path.display()), error))
}

fn map_error(tried: &str, error: MapError) -> DataplaneError {
    if let MapError::SyscallError(syscall) = &error
        && syscall.io_error.raw_os_error() == Some(libc::E2BIG)
    {
        return DataplaneError(format!(
            "{tried}: the table is full; enlarge it under [tables]"
        ));
    }
    DataplaneError::new(tried, error)
}

fn load_error(name: &str, error: ProgramError) -> DataplaneError {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = &error
    {
        let log = verifier_log.to_string();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        return DataplaneError(format!(
            "the kernel refuses the program {name}: {io_error}; `floodwall doctor` tells what it \
             lacks; the verifier's last words: {}",
            tail.into_iter().rev().collect::<Vec<_>>().join(" / ")
        ));
    }
    DataplaneError::new(format!("loading the program {name}"), error)
}

fn link_error(interface: &str, error: impl std::error::Error) -> DataplaneError {
    DataplaneError::new(format!("asking the kernel about {interface}"), error)
}

fn unknown_interface(interface: &str) -> DataplaneError {
    let names = links::list()
        .map(|links| {
            links
                .into_iter()
                .map(|link| link.name)
                .collect::<Vec<_>>()
                .join(", ")
        })
        .unwrap_or_default();
    DataplaneError(format!(
        "there is no interface {interface}; there are: {names}"
    ))
}

fn occupied(interface: &str, program_id: u32) -> DataplaneError {
    let name = aya::programs::loaded_programs()
        .flatten()
        .find(|info| info.id() == program_id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
        .unwrap_or_else(|| "without a name".to_owned());
    DataplaneError(format!(
        "{interface} already has an XDP program: {name}, id {program_id}. It is not floodwall's \
         and stays; look at it with `bpftool prog show id {program_id}`, and detach it with the \
         tool that attached it, or with `ip link set dev {interface} xdp off`"
    ))
}

fn attach_error(
    interface: &str,
    preference: AttachPreference,
    error: ProgramError,
) -> DataplaneError {
    let remedy = match preference {
        AttachPreference::Native => {
            "its driver may not do native XDP at this MTU; `floodwall doctor` tells more, and \
             attach = \"auto\" falls back to generic mode"
        }
        AttachPreference::Auto | AttachPreference::Generic => "`floodwall doctor` tells more",
    };
    DataplaneError::new(format!("attaching to {interface} failed ({remedy})"), error)
}
