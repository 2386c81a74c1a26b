//! The file system of pins.

use std::{
    fs, io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    mount::{MsFlags, mount},
    sys::{
        stat::{major, minor},
        statfs::{BPF_FS_MAGIC, statfs},
    },
};

use super::{DataplaneError, kernel::raw};

#[cfg(test)]
mod tests;

/// The folder of pins, ours alone as long as this lives.
#[derive(Debug)]
pub struct PinFolder {
    path: PathBuf,
    lock: Flock<fs::File>,
    /// Where the file system is mounted for others, if `path` is a mount of this folder alone.
    whole: Option<PathBuf>,
}

impl PinFolder {
    /// Makes the folder, mounting a bpffs where there is none, and locks it. What is contested
    /// between two daemons is this folder, so it carries the lock.
    pub fn open(path: &Path) -> Result<Self, DataplaneError> {
        if !is_bpffs(path) {
            mount_at(path.parent().unwrap_or(path))?;
        }
        create(path)?;
        create(&path.join(LINKS))?;
        create(&path.join(EGRESS))?;
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, DataplaneError> {
        let folder = fs::File::open(path)
            .map_err(|error| DataplaneError::new(format!("opening {}", path.display()), error))?;
        let lock = Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
            if error == Errno::EWOULDBLOCK {
                DataplaneError(format!(
                    "another floodwall holds {}: stop it first, or give this one a folder of \
                         its own with [paths] bpf",
                    path.display()
                ))
            } else {
                DataplaneError::new(format!("locking {}", path.display()), error)
            }
        })?;
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let whole = lock.metadata().ok().and_then(|folder| {
            let place = whole(&mounts, folder.dev())?;
            (!path.starts_with(&place)).then_some(place)
        });
        Ok(Self {
            path: path.to_owned(),
            lock,
            whole,
        })
    }

    /// Pins all anew, if somebody unmounted the file system; tells whether that was so. The old one
    /// lives on as long as the lock is held, and is reached through that.
    pub fn keep(&mut self) -> Result<bool, DataplaneError> {
        let here = fs::metadata(&self.path).ok();
        let ours = self.lock.metadata().map_err(|error| self.gone(error))?;
        if here.is_some_and(|here| (here.dev(), here.ino()) == (ours.dev(), ours.ino())) {
            return Ok(false);
        }
        let old = PathBuf::from(format!("/proc/self/fd/{}", self.lock.as_raw_fd()));
        let new = Self::open(&self.path).map_err(|error| self.gone(error))?;
        copy_pins(&old, &self.path).map_err(|error| self.gone(error))?;
        *self = new;
        Ok(true)
    }

    /// In words, if nobody but this daemon has the file system any more: what is mounted for it alone goes
    /// with it.
    pub fn lone(&self) -> Option<String> {
        let whole = self.whole.as_deref()?;
        let ours = self.lock.metadata().ok()?;
        if fs::metadata(whole).is_ok_and(|there| there.dev() == ours.dev()) {
            return None;
        }
        Some(format!(
            "the BPF file system of {} was unmounted from {}: the filter stays as long as this floodwall \
             runs, and ends with it; restart floodwall, which filters nothing for that moment, or leave \
             it running until that may be",
            self.path.display(),
            whole.display()
        ))
    }

    fn gone(&self, error: impl std::error::Error) -> DataplaneError {
        DataplaneError::new(
            format!(
                "the pins in {path} are gone, for its file system was unmounted: the filter stays as \
                 long as this floodwall runs, and ends with it; mount one with `mount -t bpf bpf {}`, \
                 and they are made anew",
                self.path.parent().unwrap_or(&self.path).display(),
                path = self.path.display()
            ),
            error,
        )
    }

    /// Where the maps in force are pinned.
    pub fn maps(&self) -> PathBuf {
        self.path.join(MAPS)
    }

    /// Where a set of maps is built before it is put in force.
    pub fn new_maps(&self) -> PathBuf {
        self.path.join("maps-new")
    }

    /// Where the link of an interface is pinned.
    pub fn link(&self, interface: &str) -> PathBuf {
        link(&self.path, interface)
    }

    /// Names of interfaces with a pinned link.
    pub fn links(&self) -> Result<Vec<String>, DataplaneError> {
        links(&self.path)
    }

    /// Where the link at the egress of an interface is pinned.
    pub fn egress(&self, interface: &str) -> PathBuf {
        egress(&self.path, interface)
    }

    /// Names of interfaces with a pinned link at their egress.
    pub fn egresses(&self) -> Result<Vec<String>, DataplaneError> {
        egresses(&self.path)
    }

    /// Where the link to a control group is pinned.
    pub fn sockets(&self) -> PathBuf {
        sockets(&self.path)
    }

    /// Makes the new set of maps the one in force.
    pub fn put_in_force(&self) -> Result<(), DataplaneError> {
        let (maps, new, old) = (self.maps(), self.new_maps(), self.path.join("maps-old"));
        let step = |what: &str, result: io::Result<()>| {
            result.map_err(|error| {
                DataplaneError::new(format!("{what} in {}", self.path.display()), error)
            })
        };
        step("removing old maps", remove(&old))?;
        if maps.exists() {
            step("setting old maps aside", fs::rename(&maps, &old))?;
        }
        step("putting new maps in force", fs::rename(&new, &maps))?;
        step("removing old maps", remove(&old))
    }
}

const MAPS: &str = "maps";
const LINKS: &str = "links";
const EGRESS: &str = "egress";
const SOCKETS: &str = "sockets";

/// Where the maps in force are pinned under the folder of pins.
pub fn maps(folder: &Path) -> PathBuf {
    folder.join(MAPS)
}

/// Where the link of an interface is pinned under the folder of pins. A bpffs knows no names with
/// dots, and VLAN interfaces have them.
pub fn link(folder: &Path, interface: &str) -> PathBuf {
    folder.join(LINKS).join(spelled(interface))
}

/// Where the link at the egress of an interface is pinned under the folder of pins.
pub fn egress(folder: &Path, interface: &str) -> PathBuf {
    folder.join(EGRESS).join(spelled(interface))
}

/// Where the link to a control group is pinned under the folder of pins.
pub fn sockets(folder: &Path) -> PathBuf {
    folder.join(SOCKETS)
}

fn spelled(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2e")
}

/// Names of interfaces with a pinned link under the folder of pins, in order.
pub fn links(folder: &Path) -> Result<Vec<String>, DataplaneError> {
    interfaces(&folder.join(LINKS))
}

/// Names of interfaces with a pinned link at their egress under the folder of pins, in order; none
/// if an older floodwall made it.
pub fn egresses(folder: &Path) -> Result<Vec<String>, DataplaneError> {
    let folder = folder.join(EGRESS);
    if folder.exists() {
        interfaces(&folder)
    } else {
        Ok(Vec::new())
    }
}

fn interfaces(folder: &Path) -> Result<Vec<String>, DataplaneError> {
    let wrap = |error| DataplaneError::new(format!("reading {}", folder.display()), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrap)? {
        names.push(
            entry
                .map_err(wrap)?
                .file_name()
                .to_string_lossy()
                .replace("%2e", ".")
                .replace("%25", "%"),
        );
    }
    names.sort();
    Ok(names)
}

/// Removes a folder of pins with its files; nothing happens if it is not there.
pub fn remove(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        fs::remove_file(entry?.path())?;
    }
    fs::remove_dir(folder)
}

/// Whether a path, or its nearest ancestor that exists, lies in a bpffs.
pub fn is_bpffs(path: &Path) -> bool {
    path.ancestors()
        .find_map(|ancestor| statfs(ancestor).ok())
        .is_some_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

/// Where a whole file system is mounted, of the mounts that a process sees (proc_pid_mountinfo(5)); a place
/// that is written with escapes is none.
fn whole(mounts: &str, device: u64) -> Option<PathBuf> {
    let device = format!("{}:{}", major(device), minor(device));
    let mut places = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(2);
        let is_it = words.next() == Some(&device) && words.next() == Some("/");
        words.next().filter(|place| is_it && !place.contains('\\'))
    });
    places.next_back().map(PathBuf::from)
}

fn mount_at(path: &Path) -> Result<(), DataplaneError> {
    let remedy = format!("mount one with `mount -t bpf bpf {}`", path.display());
    fs::create_dir_all(path).map_err(|error| {
        DataplaneError::new(
            format!("making {} for a bpffs (or {remedy})", path.display()),
            error,
        )
    })?;
    mount(
        Some("bpf"),
        path,
        Some("bpf"),
        MsFlags::empty(),
        Some("mode=0700"),
    )
    .map_err(|error| {
        DataplaneError::new(
            format!(
                "{} is in no bpffs, and mounting one failed; {remedy}",
                path.display()
            ),
            error,
        )
    })
}

/// Pins what is pinned below a folder below another.
fn copy_pins(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let new = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            create_plainly(&new)?;
            copy_pins(&entry.path(), &new)?;
        } else if !new.exists() {
            raw::pin_again(&entry.path(), &new)?;
        }
    }
    Ok(())
}

fn create_plainly(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn create(path: &Path) -> Result<(), DataplaneError> {
    create_plainly(path)
        .map_err(|error| DataplaneError::new(format!("making {}", path.display()), error))
}
