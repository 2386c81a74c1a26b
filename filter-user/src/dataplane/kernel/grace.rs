//! Waits until every packet that is under way is done.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::maps::{ArrayOfMaps, Map, MapData, MapError};

use super::maps::map_error;
use crate::dataplane::DataplaneError;

const TRIED: &str = "waiting for packets that read the rules";

/// Returns when every packet that was under way is done: after an RCU grace period, for XDP programs
/// run within one.
pub(super) fn wait_for_packets() -> Result<(), DataplaneError> {
    if membarrier().is_ok() {
        return Ok(());
    }
    // A kernel with `nohz_full` knows no global barrier (EINVAL), one without membarrier(2) neither
    // (ENOSYS), and a sandbox may forbid it.
    swap_a_map()
}

/// `MEMBARRIER_CMD_GLOBAL` waits for a grace period (`kernel/sched/membarrier.c`).
fn membarrier() -> io::Result<()> {
    const GLOBAL: libc::c_int = 1;
    // SAFETY: membarrier(2) takes integers and touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whoever writes to a map of maps gets back once no program uses the old map any more
/// (`maybe_wait_bpf_programs` in `kernel/bpf/syscall.c`).
fn swap_a_map() -> Result<(), DataplaneError> {
    let wrap = |error: MapError| map_error(TRIED, error);
    let create = |kind, inner| {
        let made = create_map(kind, inner)
            .map_err(|error| DataplaneError::new(format!("{TRIED}: making a map"), error))?;
        MapData::from_fd(made).map_err(wrap)
    };
    let inner = create(ARRAY, 0)?;
    let number = inner.fd().as_fd().as_raw_fd().unsigned_abs();
    let outer = Map::from_map_data(create(ARRAY_OF_MAPS, number)?).map_err(wrap)?;
    let mut outer = ArrayOfMaps::<MapData>::try_from(outer).map_err(wrap)?;
    outer.set(0, &inner, 0).map_err(wrap)
}

const ARRAY: u32 = 2;
const ARRAY_OF_MAPS: u32 = 12;

/// Makes a map of one element; the library makes maps of maps from an object only.
fn create_map(kind: u32, inner: u32) -> io::Result<OwnedFd> {
    const MAP_CREATE: libc::c_int = 0;
    const WORD: u32 = size_of::<u32>() as u32;
    // Size of keys and of values, number of elements, flags: see `union bpf_attr`.
    let attributes = [kind, WORD, WORD, 1, 0, inner];
    // SAFETY: bpf(2) reads as many bytes as it is told, all of them of the array.
    let made = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_CREATE,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    match libc::c_int::try_from(made) {
        // SAFETY: the kernel has just given this descriptor to us alone.
        Ok(made) if made >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(made) }),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_end() {
        // Without the right to make maps there is nothing to try.
        if create_map(ARRAY, 0).is_err() {
            return;
        }
        assert!(swap_a_map().is_ok());
        assert!(wait_for_packets().is_ok());
    }
}
