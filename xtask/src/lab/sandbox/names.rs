//! Names that say whose they are, so that leftovers of dead runs can be told from living ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::mount::{MntFlags, umount2};

const PREFIX: &str = "floodwall-lab-";

/// Where iproute2 keeps named network namespaces.
pub const NAMESPACES: &str = "/run/netns";

/// A stem no other living sandbox has: `floodwall-lab-PID-NUMBER`.
pub fn fresh() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}", process::id())
}

/// The folder of a sandbox.
pub fn folder(stem: &str) -> PathBuf {
    std::env::temp_dir().join(stem)
}

/// Removes what runs that were killed left behind; living runs are not touched.
pub fn sweep() {
    for path in leftovers(Path::new(NAMESPACES)) {
        remove_namespace(&path);
    }
    for path in leftovers(&std::env::temp_dir()) {
        remove_folder(&path);
    }
}

/// Takes a named namespace away; the kernel frees it with the last process in it.
pub fn remove_namespace(path: &Path) {
    // Best effort on the way out: a name that is gone already is what was wanted.
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(path);
}

/// Takes a sandbox's folder away, with the file systems mounted in it.
pub fn remove_folder(path: &Path) {
    for mounted in ["bpf", "state"] {
        let _ = umount2(&path.join(mounted), MntFlags::MNT_DETACH);
    }
    let _ = fs::remove_dir_all(path);
}

fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            owner(name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
        })
        .collect()
}

/// The process that a name belongs to.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner() {
        assert_eq!(owner(&fresh()), Some(process::id()));
        assert_eq!(owner("floodwall-lab-12-0-client"), Some(12));
        assert_eq!(owner("floodwall-lab-x-0"), None);
        assert_eq!(owner("somebody-12-0"), None);
    }
}
