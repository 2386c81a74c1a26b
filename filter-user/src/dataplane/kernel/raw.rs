//! System calls that the library does not offer.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use crate::dataplane::DataplaneError;

/// Commands of bpf(2) (`enum bpf_cmd`).
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_UPDATE: libc::c_int = 29;
const LINK_DETACH: libc::c_int = 34;

/// A link of ours that is pinned.
pub(super) struct Link(OwnedFd);

/// What the kernel tells of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// The kernel's id of the program.
    pub(super) program_id: u32,
    /// Where it sits: the index of an interface, or the id of a control group; 0 once that is gone.
    pub(super) target: u64,
}

/// The beginning of `struct bpf_link_info`.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    reserved: u32,
    /// A control group's id, or an interface's index and what follows it.
    target: [u32; 2],
    more: [u64; 8],
}

/// `BPF_LINK_TYPE_CGROUP`.
const CGROUP: u32 = 3;

impl Link {
    /// Opens a pin; none if there is none.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        match get(path) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the kernel tells.
    pub(super) fn info(&self) -> io::Result<Info> {
        #[repr(C)]
        struct Attributes {
            fd: u32,
            length: u32,
            info: u64,
        }
        let mut info = LinkInfo::default();
        let attributes = Attributes {
            fd: self.number(),
            length: size_of::<LinkInfo>() as u32,
            info: (&raw mut info) as u64,
        };
        bpf(OBJ_GET_INFO_BY_FD, &attributes)?;
        let [low, high] = info.target;
        let target = if info.kind == CGROUP {
            u64::from_ne_bytes(pair(low, high))
        } else {
            u64::from(low)
        };
        Ok(Info {
            program_id: info.program,
            target,
        })
    }

    /// Replaces the program.
    pub(super) fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let attributes = [
            self.number(),
            program.as_raw_fd().unsigned_abs(),
            0_u32,
            0_u32,
        ];
        bpf(LINK_UPDATE, &attributes).map(drop)
    }

    /// Takes the program off at once. Where only the pin is removed, the kernel does so some time
    /// later.
    fn detach(&self) -> io::Result<()> {
        bpf(LINK_DETACH, &[self.number()]).map(drop)
    }

    fn number(&self) -> u32 {
        self.0.as_raw_fd().unsigned_abs()
    }
}

/// A path for bpf(2), and what lies there or is to.
#[repr(C)]
struct Place {
    path: u64,
    fd: u32,
    flags: u32,
}

fn get(path: &Path) -> io::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let place = Place {
        path: name.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    let fd = bpf(OBJ_GET, &place)?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins what is pinned at a path at another, too.
pub(in crate::dataplane) fn pin_again(from: &Path, to: &Path) -> io::Result<()> {
    let fd = get(from)?;
    let name = CString::new(to.as_os_str().as_bytes())?;
    let place = Place {
        path: name.as_ptr() as u64,
        fd: fd.as_raw_fd().unsigned_abs(),
        flags: 0,
    };
    bpf(OBJ_PIN, &place).map(drop)
}

/// Takes the program of a pinned link off, and removes the pin; nothing happens if there is none.
pub(super) fn remove(path: &Path) -> Result<(), DataplaneError> {
    if let Ok(Some(link)) = Link::open(path) {
        // What is gone already needs no detaching, and without its pin the rest goes, too.
        let _ = link.detach();
    }
    super::link::remove(path)
}

/// Before Linux 5.11 maps count against the limit of locked memory, which is for users: it is lifted
/// where this may be done; elsewhere it is up to whoever starts the daemon.
pub(super) fn unlock_memory() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the kernel reads the limit, which outlives the call.
    // A refusal is told by the map that does not fit.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// Loads a program of a kind that may be licensed as it likes, for a trial.
pub(super) fn load_program(kind: u32, instructions: &[[u8; 8]]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
    }
    const PROG_LOAD: libc::c_int = 5;
    let attributes = Attributes {
        kind,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    let fd = bpf(PROG_LOAD, &attributes)?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn pair(first: u32, second: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    let words = first.to_ne_bytes().into_iter().chain(second.to_ne_bytes());
    for (to, from) in bytes.iter_mut().zip(words) {
        *to = from;
    }
    bytes
}

/// Reads the element of an array under a key into words; there must be room for those of every CPU.
pub(super) fn look_up(map: BorrowedFd<'_>, key: u32, value: &mut [u64]) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        map: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let attributes = Attributes {
        map: map.as_raw_fd().unsigned_abs(),
        padding: 0,
        key: (&raw const key) as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    bpf(MAP_LOOKUP_ELEM, &attributes).map(drop)
}

/// Calls bpf(2) with the beginning of its `union bpf_attr`; what follows it is zero.
pub(super) fn bpf<A>(command: libc::c_int, attributes: &A) -> io::Result<i32> {
    // SAFETY: the kernel reads as many bytes as it is told, all of them of the attributes, and
    // writes only where these point to, which the caller owns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<A>(),
        )
    };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}
