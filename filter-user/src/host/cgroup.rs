//! Where the control groups of version 2 are mounted.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The inode of the root of the hierarchy (`kernfs_create_root`), which is its id, too.
const ROOT: u64 = 1;

/// Whether a folder is the root that every process of this host is below. In a namespace of control
/// groups, as containers have, what looks like it is the container's own group.
pub fn is_whole(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|about| about.ino() == ROOT)
}

/// The root of the hierarchy, as far as this process may see it.
pub fn root() -> Option<PathBuf> {
    find(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// Looks for it among mounts (proc_pid_mountinfo(5)): `36 35 0:30 / /sys/fs/cgroup rw - cgroup2 …`.
fn find(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let kind = after.split(' ').next()?;
        (kind == "cgroup2" && root == "/").then(|| PathBuf::from(plain(point)))
    })
}

/// White space is written as octal numbers.
fn plain(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_below_the_root_is_not_all() {
        let root = root().filter(|root| is_whole(root));
        let below = root.iter().flat_map(|root| {
            let entries = fs::read_dir(root).into_iter().flatten().flatten();
            entries.map(|entry| entry.path())
        });
        assert!(below.into_iter().all(|path| !is_whole(&path)));
        assert!(!is_whole(Path::new("/no/such/group")));
    }

    #[test]
    fn the_root_is_found_among_mounts() {
        let mounts = "\
24 30 0:22 / /proc rw,nosuid - proc proc rw
35 24 0:31 / /sys/fs/cgroup ro - tmpfs tmpfs ro
36 35 0:29 /user /sys/fs/cgroup/mine rw shared:9 - cgroup2 cgroup2 rw
37 35 0:29 / /sys/fs/cgroup/uni\\040fied rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
38 35 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
";
        assert_eq!(find(mounts), Some(PathBuf::from("/sys/fs/cgroup/uni fied")));
        assert_eq!(find("24 30 0:22 / /proc rw - proc proc rw\n"), None);
    }
}
