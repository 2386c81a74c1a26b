//! The program with chosen features over maps of its own that are pinned nowhere: what benchmarks
//! and model tests run, so that no second implementation is measured or tested.

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf},
    programs::{ProgramFd, TestRun as _, TestRunOptions, XdpMode},
    util::nr_cpus,
};
use filter_common::abi::{counter::Counter, sample::Sample};

use super::{
    companions::{self, EGRESS},
    maps::{each_sample, map_error, read_counter, read_counters},
    object::{self, Abilities, OBJECT},
    set,
};
use crate::dataplane::{Counters, DataplaneError};

/// What `BPF_MAP_UPDATE_ELEM` takes: the beginning of the kernel's `union bpf_attr`.
#[repr(C)]
struct UpdateElement {
    map: i32,
    reserved: u32,
    key: *const u32,
    value: *const u64,
    flags: u64,
}

/// What `BPF_MAP_UPDATE_BATCH` takes, likewise.
#[repr(C)]
struct UpdateBatch<V> {
    in_batch: u64,
    out_batch: u64,
    keys: *const u32,
    values: *const V,
    count: u32,
    map: i32,
    element_flags: u64,
    flags: u64,
}

/// The commands' numbers (`enum bpf_cmd`).
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_MAP_UPDATE_BATCH: libc::c_int = 26;

/// What can lie in a map.
pub use aya::Pod as Plain;

/// A loaded program and its maps, which go when it does.
pub struct Specimen {
    ebpf: Ebpf,
    samples: RingBuf<MapData>,
}

impl Specimen {
    /// Loads the program with a set of [features](filter_common::abi::feature::Feature), its maps
    /// as large as told, the others as large as in the object.
    pub fn load(features: u64, sizes: &[(&'static str, u32)]) -> Result<Self, DataplaneError> {
        let mut loader = EbpfLoader::new();
        let features = features & Abilities::get().features;
        object::tell(&mut loader, &features);
        let mut shifts = Vec::new();
        for (map, size) in sizes {
            loader.map_max_entries(map, *size);
            shifts.extend(shift(map, *size));
        }
        for (name, shift) in &shifts {
            loader.override_global(name, shift, false);
        }
        let mut ebpf = loader
            .load(&Abilities::get().fit(OBJECT))
            .map_err(|error| DataplaneError::new("making maps for a specimen", error))?;
        for name in ["floodwall", "clock"] {
            set::program(&mut ebpf, name)?
                .load()
                .map_err(|error| set::load_error(name, error))?;
        }
        companions::at_egress(&mut ebpf)?
            .load()
            .map_err(|error| set::load_error(EGRESS, error))?;
        let samples = ebpf
            .take_map("SAMPLES")
            .ok_or_else(|| DataplaneError("the embedded object has no map SAMPLES".to_owned()))?;
        let samples = RingBuf::try_from(samples)
            .map_err(|error| map_error("opening the map SAMPLES", error))?;
        Ok(Self { ebpf, samples })
    }

    /// The program, to be run by another.
    pub fn program(&mut self) -> Result<ProgramFd, DataplaneError> {
        let wrap = |error| DataplaneError::new("opening the program", error);
        let fd = set::program(&mut self.ebpf, "floodwall")?
            .fd()
            .map_err(wrap)?;
        fd.try_clone()
            .map_err(|error| DataplaneError::new("opening the program", error))
    }

    /// Attaches the program natively to an interface of the calling thread's network namespace,
    /// until this is dropped.
    pub fn attach(&mut self, interface: &str) -> Result<(), DataplaneError> {
        set::program(&mut self.ebpf, "floodwall")?
            .attach(interface, XdpMode::Driver)
            .map(drop)
            .map_err(|error| DataplaneError::new(format!("attaching to {interface}"), error))
    }

    /// Runs the program on one frame; gives the XDP verdict.
    pub fn run(&mut self, frame: &[u8]) -> Result<u32, DataplaneError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        let result = set::program(&mut self.ebpf, "floodwall")?
            .test_run(options)
            .map_err(|error| DataplaneError::new("running the program", error))?;
        Ok(result.return_value)
    }

    /// Runs the program at the egress on one frame.
    pub fn run_egress(&mut self, frame: &[u8]) -> Result<(), DataplaneError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        companions::at_egress(&mut self.ebpf)?
            .test_run(options)
            .map(drop)
            .map_err(|error| DataplaneError::new("running the program at the egress", error))
    }

    /// Writes an element of an array.
    pub fn set<V: Pod>(&mut self, map: &str, index: u32, value: &V) -> Result<(), DataplaneError> {
        let mut array: Array<&mut MapData, V> = self.opened(map)?;
        array
            .set(index, value, 0)
            .map_err(|error| map_error(&format!("writing to {map}"), error))
    }

    /// Reads an element of an array.
    pub fn get<V: Pod>(&mut self, map: &str, index: u32) -> Result<V, DataplaneError> {
        let array: Array<&mut MapData, V> = self.opened(map)?;
        array
            .get(&index, 0)
            .map_err(|error| map_error(&format!("reading {map}"), error))
    }

    /// Puts an entry into a hash.
    pub fn insert<K: Pod, V: Pod>(
        &mut self,
        map: &str,
        key: &K,
        value: &V,
    ) -> Result<(), DataplaneError> {
        let mut hash: HashMap<&mut MapData, K, V> = self.opened(map)?;
        hash.insert(key, value, 0)
            .map_err(|error| map_error(&format!("writing to {map}"), error))
    }

    /// Takes an entry out of a hash.
    pub fn remove<K: Pod, V: Pod>(&mut self, map: &str, key: &K) -> Result<(), DataplaneError> {
        let mut hash: HashMap<&mut MapData, K, V> = self.opened(map)?;
        hash.remove(key)
            .map_err(|error| map_error(&format!("removing from {map}"), error))
    }

    /// What a hash holds under a key.
    pub fn entry<K: Pod, V: Pod>(&mut self, map: &str, key: &K) -> Result<V, DataplaneError> {
        let hash: HashMap<&mut MapData, K, V> = self.opened(map)?;
        hash.get(key, 0)
            .map_err(|error| map_error(&format!("reading {map}"), error))
    }

    /// Zeroes the first element of an array that every CPU has, whatever lies in it.
    pub fn clear_each(&mut self, map: &str) -> Result<(), DataplaneError> {
        let Some(Map::PerCpuArray(data)) = self.ebpf.map(map) else {
            return Err(DataplaneError(format!("{map} is no array of each CPU")));
        };
        let size = data
            .info()
            .map_err(|error| map_error(&format!("asking about {map}"), error))?
            .value_size();
        let cpus = nr_cpus()
            .map_err(|(path, error)| DataplaneError::new(format!("reading {path}"), error))?;
        let zeros = vec![0_u64; (size as usize).div_ceil(size_of::<u64>()) * cpus];
        let key = 0_u32;
        let update = UpdateElement {
            map: data.fd().as_fd().as_raw_fd(),
            reserved: 0,
            key: &raw const key,
            value: zeros.as_ptr(),
            flags: 0,
        };
        // SAFETY: the kernel reads a key of four bytes, and a value of `size` bytes, rounded up to
        // words, for each CPU; both outlive the call.
        unsafe { command(BPF_MAP_UPDATE_ELEM, &update) }
            .map_err(|error| DataplaneError::new(format!("clearing {map}"), error))
    }

    /// The sum over all CPUs of a counter.
    pub fn counter(&mut self, map: &str, index: u32) -> Result<Counter, DataplaneError> {
        let array: PerCpuArray<&mut MapData, Counter> = self.opened(map)?;
        read_counter(&array, index)
    }

    /// Writes elements of an array, from the index `first` on, in one call.
    pub fn fill<V: Pod>(
        &mut self,
        map: &str,
        first: u32,
        values: &[V],
    ) -> Result<(), DataplaneError> {
        // That elements are as large as `V`.
        let _: Array<&mut MapData, V> = self.opened(map)?;
        let Some(Map::Array(data)) = self.ebpf.map(map) else {
            return Err(DataplaneError(format!("{map} is no array")));
        };
        let keys: Vec<u32> = (first..).take(values.len()).collect();
        let update = UpdateBatch {
            in_batch: 0,
            out_batch: 0,
            keys: keys.as_ptr(),
            values: values.as_ptr(),
            count: keys.len() as u32,
            map: data.fd().as_fd().as_raw_fd(),
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel reads `count` keys of four bytes and as many values, which are as long as
        // the map's; both outlive the call.
        unsafe { command(BPF_MAP_UPDATE_BATCH, &update) }
            .map_err(|error| DataplaneError::new(format!("writing to {map}"), error))
    }

    /// The tick of this moment.
    pub fn tick(&mut self) -> Result<u64, DataplaneError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(&[0; 14]);
        set::program(&mut self.ebpf, "clock")?
            .test_run(options)
            .map_err(|error| DataplaneError::new("reading the kernel's clock", error))?;
        self.get("CLOCK", 0)
    }

    /// Gives every waiting sample to `take`.
    pub fn samples(&mut self, take: &mut dyn FnMut(&Sample)) {
        each_sample(&mut self.samples, take);
    }

    /// All counters.
    pub fn counters(&mut self) -> Result<Counters, DataplaneError> {
        let map: PerCpuArray<&mut MapData, Counter> = self.opened("COUNTERS_BY_REASON")?;
        read_counters(&map)
    }

    fn opened<'a, M>(&'a mut self, name: &str) -> Result<M, DataplaneError>
    where
        M: TryFrom<&'a mut Map, Error = MapError>,
    {
        let map = self
            .ebpf
            .map_mut(name)
            .ok_or_else(|| DataplaneError(format!("the embedded object has no map {name}")))?;
        M::try_from(map).map_err(|error| map_error(&format!("opening the map {name}"), error))
    }
}

/// Gives the kernel a command.
///
/// # Safety
/// `attributes` is what the command takes, and what it points to may be read.
unsafe fn command<A>(number: libc::c_int, attributes: &A) -> std::io::Result<()> {
    // SAFETY: the caller's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            number,
            std::ptr::from_ref(attributes),
            size_of::<A>(),
        )
    };
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// The read-only global that speaks of a map's size, and its value.
fn shift(map: &str, size: u32) -> Option<(&'static str, u32)> {
    /// Sets of two ways in a line.
    const SETS: u32 = 4;
    let (name, sets) = match map {
        "SOURCES" => ("SOURCE_SHIFT", size),
        "PREFIXES" => ("PREFIX_SHIFT", size),
        "SOURCE_BYTES" => ("SOURCE_BYTES_SHIFT", size.saturating_mul(SETS)),
        "PREFIX_BYTES" => ("PREFIX_BYTES_SHIFT", size.saturating_mul(SETS)),
        _ => return None,
    };
    Some((name, 64 - sets.max(2).trailing_zeros()))
}
