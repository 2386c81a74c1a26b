use nix::{
    mount::{MntFlags, umount2},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

use super::*;

#[test]
fn a_whole_file_system_is_found_among_mounts() {
    let mounts = "23 28 0:21 / /sys rw - sysfs sysfs rw\n\
        31 23 0:29 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw,mode=700\n\
        90 28 0:29 /floodwall /run/floodwall/pins rw - bpf bpf rw,mode=700\n\
        91 28 0:33 / /with\\040space rw - bpf bpf rw\n";
    assert_eq!(whole(mounts, 29), Some(PathBuf::from("/sys/fs/bpf")));
    assert_eq!(whole(mounts, 33), None);
    assert_eq!(whole(mounts, 30), None);
}

/// As under systemd's `BindPaths`.
#[test]
fn pins_that_only_this_daemon_has_are_told() {
    if !geteuid().is_root() {
        println!("only root mounts");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // In a mount namespace of this thread, so that it goes whatever happens.
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let nothing = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(nothing, "/", nothing, private, nothing).expect("private mounts");
    let [all, pins] = ["all", "pins"].map(|name| folder.path().join(name));
    fs::create_dir(&pins).expect("a folder");
    mount_at(&all).expect("a BPF file system");
    let in_all = all.join("floodwall");
    fs::create_dir(&in_all).expect("a folder");
    mount(Some(&in_all), &pins, nothing, MsFlags::MS_BIND, nothing).expect("bound");

    let mut bound = PinFolder::open(&pins).expect("the folder");
    assert_eq!(bound.lone(), None);
    umount2(&all, MntFlags::MNT_DETACH).expect("it is unmounted");
    let text = bound.lone().expect("it is told");
    for word in [&pins, &all].map(|path| path.display().to_string()) {
        assert!(text.contains(&word), "{text}");
    }
    assert!(text.contains("restart floodwall"), "{text}");
    assert_eq!(
        bound.keep().ok(),
        Some(false),
        "the pins are where they were"
    );

    // Another one there has none of the pins.
    mount_at(&all).expect("a BPF file system");
    assert!(bound.lone().is_some());
    let direct = PinFolder::open(&in_all).expect("the folder");
    assert_eq!(direct.lone(), None);
}
