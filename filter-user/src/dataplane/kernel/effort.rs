//! What the kernel's verifier spends on each program: it says so in its log, which is only to be had
//! by loading by hand.

use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use aya::{Ebpf, EbpfLoader};
use aya_obj::{
    Object, ProgramSection,
    btf::BtfFeatures,
    generated::{bpf_attach_type, bpf_prog_type},
};

use super::{
    maps::map_data,
    object::{self, Abilities, OBJECT},
    raw,
};
use crate::dataplane::DataplaneError;

/// Commands of bpf(2) (`enum bpf_cmd`).
const PROG_LOAD: libc::c_int = 5;
const BTF_LOAD: libc::c_int = 18;
/// `BPF_LOG_STATS`.
const STATISTICS: u32 = 4;
/// `BPF_F_XDP_HAS_FRAGS`.
const HAS_FRAGS: u32 = 1 << 5;

/// A program that was loaded, or was to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The program's name.
    pub program: String,
    /// What it cost, or what the verifier said last.
    pub effort: Result<Effort, String>,
}

/// What the verifier spent on a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Instructions walked, of a million that it walks at most.
    pub instructions: u64,
    /// How long it took.
    pub time: Duration,
    /// Bytes of stack of the greediest function.
    pub stack: u64,
}

/// Loads each program of the object with all features that work here, and drops it again; in the order of names.
pub fn efforts() -> Result<Vec<Trial>, DataplaneError> {
    let features = Abilities::get().features;
    let wrap = |error: aya::EbpfError| DataplaneError::new("making maps for a trial", error);
    let mut loader = EbpfLoader::new();
    object::tell(&mut loader, &features);
    let maps = loader.load(&Abilities::get().fit(OBJECT)).map_err(wrap)?;
    let (object, btf) = relocated(&maps, features)?;
    let mut programs: Vec<_> = object.programs.iter().collect();
    programs.sort_by_key(|(name, _)| name.as_str());
    let tried = programs.into_iter().map(|(name, program)| {
        let function = object.functions.get(&program.function_key());
        let effort = match function {
            Some(function) => load(program, function, &btf),
            None => Err("the embedded object lacks its code".to_owned()),
        };
        Trial {
            program: name.clone(),
            effort,
        }
    });
    Ok(tried.collect())
}

/// The object over the maps of another, as the loader does it.
fn relocated(maps: &Ebpf, features: u64) -> Result<(Object, OwnedFd), DataplaneError> {
    let tried = "reading the embedded object";
    let abilities = Abilities::get();
    let mut object =
        Object::parse(&abilities.fit(OBJECT)).map_err(|error| DataplaneError::new(tried, error))?;
    let (features, atomics) = (features.to_ne_bytes(), abilities.atomics.to_ne_bytes());
    let kernel_reads = abilities.kernel_reads.to_ne_bytes();
    object
        .patch_map_data(HashMap::from([
            ("FEATURES", (features.as_slice(), true)),
            ("ATOMICS", (atomics.as_slice(), true)),
            ("KERNEL_READS", (kernel_reads.as_slice(), true)),
        ]))
        .map_err(|error| DataplaneError::new(tried, error))?;
    // All of them are older than links of XDP programs, but the last three, which the object needs not.
    let known = BtfFeatures::new(true, true, true, true, false, false, false, false);
    let btf = object
        .fixup_and_sanitize_btf(&known)
        .map_err(|error| DataplaneError::new(tried, error))?
        .map(|btf| btf.to_bytes())
        .ok_or_else(|| DataplaneError("the embedded object has no BTF".to_owned()))?;
    let btf = load_btf(&btf)
        .map_err(|error| DataplaneError::new("giving the kernel the object's BTF", error))?;
    let text: HashSet<usize> = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    let definitions = object.maps.clone();
    let there = maps.maps().filter_map(|(name, map)| {
        let fd = map_data(map)?.fd().as_fd().as_raw_fd();
        Some((name, fd, definitions.get(name)?))
    });
    object
        .relocate_maps(there, &text)
        .map_err(|error| DataplaneError::new(tried, error))?;
    object
        .relocate_calls(&text)
        .map_err(|error| DataplaneError::new(tried, error))?;
    Ok((object, btf))
}

/// The beginning of `union bpf_attr` for `BPF_BTF_LOAD`.
#[repr(C)]
struct BtfLoad {
    btf: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    padding: u32,
}

fn load_btf(btf: &[u8]) -> io::Result<OwnedFd> {
    let attributes = BtfLoad {
        btf: btf.as_ptr() as u64,
        log: 0,
        size: btf.len() as u32,
        log_size: 0,
        log_level: 0,
        padding: 0,
    };
    let fd = raw::bpf(BTF_LOAD, &attributes)?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
    btf: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    line_size: u32,
    lines: u64,
    line_count: u32,
    padding: u32,
}

fn load(
    program: &aya_obj::Program,
    function: &aya_obj::Function,
    btf: &OwnedFd,
) -> Result<Effort, String> {
    let (kind, attach_type, flags) = kind(&program.section)
        .ok_or_else(|| format!("no program of this project is a {:?}", program.section))?;
    let license: &CString = &program.license;
    let functions = function.func_info.func_info_bytes();
    // The statistics alone are some lines; what a refusal adds are the last words.
    let mut log = vec![0_u8; 64 << 10];
    let attributes = ProgLoad {
        kind,
        count: function.instructions.len() as u32,
        instructions: function.instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: STATISTICS,
        log_size: log.len() as u32,
        log: log.as_mut_ptr() as u64,
        kernel_version: 0,
        flags,
        name: [0; 16],
        interface: 0,
        attach_type,
        btf: btf.as_raw_fd().unsigned_abs(),
        function_size: function.func_info_rec_size as u32,
        functions: functions.as_ptr() as u64,
        function_count: function.func_info.func_info.len() as u32,
        line_size: 0,
        lines: 0,
        line_count: 0,
        padding: 0,
    };
    let result = raw::bpf(PROG_LOAD, &attributes);
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let said = String::from_utf8_lossy(log.get(..end).unwrap_or_default());
    match result {
        Ok(fd) => {
            // SAFETY: the kernel has just given this descriptor to us alone.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            read(&said).ok_or_else(|| format!("the verifier's log has no statistics: {said}"))
        }
        Err(error) => {
            let statistics = ["verification time", "stack depth", "processed", "subprog"];
            let words: Vec<&str> = said
                .lines()
                .filter(|line| !statistics.iter().any(|start| line.starts_with(start)))
                .collect();
            let last = words
                .get(words.len().saturating_sub(4)..)
                .unwrap_or_default();
            Err(format!("{error}: {}", last.join(" / ")))
        }
    }
}

/// Kind of program, kind of attachment, and flags.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the object has no other kinds"
)]
fn kind(section: &ProgramSection) -> Option<(u32, u32, u32)> {
    let (kind, attach, flags) = match section {
        ProgramSection::Xdp { frags, .. } => (
            bpf_prog_type::BPF_PROG_TYPE_XDP,
            bpf_attach_type::BPF_XDP as u32,
            if *frags { HAS_FRAGS } else { 0 },
        ),
        ProgramSection::SchedClassifier => (bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS, 0, 0),
        ProgramSection::SockOps => (
            bpf_prog_type::BPF_PROG_TYPE_SOCK_OPS,
            bpf_attach_type::BPF_CGROUP_SOCK_OPS as u32,
            0,
        ),
        _ => return None,
    };
    Some((kind as u32, attach, flags))
}

/// Reads the statistics (`print_verification_stats`).
fn read(log: &str) -> Option<Effort> {
    let after = |start: &str| log.lines().find_map(|line| line.strip_prefix(start));
    let first = |text: &str| text.split_whitespace().next()?.parse::<u64>().ok();
    // `stack depth 176+72+64`, by function, or `stack depth max 304`.
    let stack = after("stack depth ")?;
    let stack = match stack.strip_prefix("max ") {
        Some(max) => first(max)?,
        None => {
            let each = stack.trim().split('+').map(str::parse::<u64>);
            each.filter_map(Result::ok).max()?
        }
    };
    Some(Effort {
        instructions: first(after("processed ")?)?,
        time: Duration::from_micros(first(after("verification time ")?)?),
        stack,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_old_and_new_kernels_are_read() {
        for (log, stack) in [
            (
                "verification time 40 usec\nstack depth 176+72+0\nprocessed 14 insns (limit 1000000) \
                 max_states_per_insn 0 total_states 1 peak_states 1 mark_read 1\n",
                176,
            ),
            (
                "verification time 40 usec\nstack depth max 304\nsubprog 0 (<unknown>) main \
                 insns_self 14 insns_total 14 stack 304\nprocessed 14 insns (limit 1000000)\n",
                304,
            ),
        ] {
            let effort = Effort {
                instructions: 14,
                time: Duration::from_micros(40),
                stack,
            };
            assert_eq!(read(log), Some(effort), "{log}");
        }
        assert_eq!(read("last insn is not an exit or jmp"), None);
    }
}
