//! What is kept on disk, when it is damaged or there is no room for more.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::common::{Config, Protected, wait_until};

/// A daemon that has stopped after some entries were made: by hand with and without an end,
/// allowed ones, and an imported list.
fn stopped() -> Protected {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66 --reason flood").ends(0);
    p.cli("block add 2001:db8:c1::/64 --for 1h").ends(0);
    p.cli("allow add 2001:db8:c1::10").ends(0);
    p.cli_fed("block import - --list feed", b"198.18.0.0/24\n")
        .ends(0);
    p.terminate();
    p
}

fn database(p: &Protected) -> PathBuf {
    p.state().join("floodwall.db")
}

fn names(folder: PathBuf) -> Vec<OsString> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

/// Whatever happened to the file: it lies aside, that is told, and nobody was let in or out.
#[track_caller]
fn assert_recovered(p: &Protected) {
    let aside = names(p.state());
    let is_aside = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with("floodwall.db.corrupt-") && !name.ends_with("-wal")
    };
    assert!(aside.iter().any(is_aside), "{aside:?}");
    p.cli("status")
        .ends(0)
        .says("is set aside as")
        .says("recovered from the kernel's tables");
    assert!(p.log().contains("is set aside as"));
    let lists = aside
        .iter()
        .find(|name| name.to_string_lossy().starts_with("lists.corrupt-"));
    let kept = names(p.state().join(lists.unwrap()));
    assert_eq!(kept.len(), 1, "the imported list itself is whole: {kept:?}");
    assert_eq!(
        p.listed("block"),
        ["198.51.100.66/32", "2001:db8:c1::/64", "198.18.0.0/24"]
    );
    assert_eq!(p.listed("allow"), ["2001:db8:c1::10/128"]);
    let entries = p.json("block list");
    assert!(entries["entries"][0]["until"].is_null());
    assert!(entries["entries"][1]["until"].is_string(), "an end is kept");
    for source in ["198.51.100.66", "2001:db8:c1::66", "198.18.0.1"] {
        assert!(!p.passes(source), "{source}");
    }
    assert!(p.passes("2001:db8:c1::10") && p.passes("192.0.2.1"));
    // It can be worked with.
    p.cli("block add 192.0.2.1").ends(0);
    assert!(!p.passes("192.0.2.1"));
}

#[test]
fn a_database_full_of_rubbish_is_set_aside_and_entries_recovered() {
    let mut p = stopped();
    fs::write(database(&p), [0x5a; 8192]).unwrap();
    p.start();
    assert_recovered(&p);
}

#[test]
fn a_database_damaged_in_the_middle_is_set_aside_and_entries_recovered() {
    let mut p = stopped();
    let mut file = File::options().write(true).open(database(&p)).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length).unwrap() - 4096])
        .unwrap();
    p.start();
    assert_recovered(&p);
}

#[test]
fn a_truncated_database_is_set_aside_and_entries_recovered() {
    let mut p = stopped();
    let file = File::options().write(true).open(database(&p)).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    p.start();
    assert_recovered(&p);
}

#[test]
fn an_emptied_database_is_set_aside_and_entries_recovered() {
    let mut p = stopped();
    File::create(database(&p)).unwrap();
    p.start();
    assert_recovered(&p);
}

#[test]
fn a_state_folder_that_vanished_is_told_and_entries_recovered() {
    let mut p = stopped();
    fs::remove_dir_all(p.state()).unwrap();
    p.start();
    p.cli("status")
        .ends(0)
        .says("recovered from the kernel's tables");
    assert!(!p.passes("198.51.100.66") && p.passes("2001:db8:c1::10"));
}

#[test]
fn a_truncated_list_file_is_told_and_single_entries_stay() {
    let mut p = stopped();
    let lists = p.state().join("lists");
    let [list] = &names(lists.clone())[..] else {
        panic!("one list");
    };
    let file = File::options().write(true).open(lists.join(list)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 2).unwrap();
    p.start();
    p.cli("status")
        .ends(0)
        .says("the imported list feed could not be read")
        .says("import it again");
    let aside = names(lists);
    assert!(
        aside
            .iter()
            .any(|name| name.to_string_lossy().ends_with(".corrupt")),
        "{aside:?}"
    );
    for source in ["198.51.100.66", "2001:db8:c1::66"] {
        assert!(!p.passes(source), "{source}");
    }
    // The database was whole, and what it has is as it was.
    let entries = p.json("block list");
    let flood = entries["entries"].as_array().unwrap();
    assert!(flood.iter().any(|entry| entry["reason"] == "flood"));
    p.cli_fed("block import - --list feed", b"198.18.0.0/24\n")
        .ends(0);
}

#[test]
fn a_state_that_is_lost_after_a_reboot_too_is_told() {
    let mut p = stopped();
    // A bpffs is empty after a boot: nothing is left to recover from.
    for folder in ["links", "maps"] {
        for name in names(p.pins().join(folder)) {
            fs::remove_file(p.pins().join(folder).join(name)).unwrap();
        }
    }
    fs::write(database(&p), "rubbish").unwrap();
    p.start();
    p.cli("status").ends(0).says("is set aside as");
    assert_eq!(p.listed("allow"), [""; 0]);
}

#[test]
fn entries_and_lists_come_back_after_a_reboot() {
    let mut p = stopped();
    for folder in ["links", "maps"] {
        for name in names(p.pins().join(folder)) {
            fs::remove_file(p.pins().join(folder).join(name)).unwrap();
        }
    }
    // The kernel lets go of a program some time after its last name.
    wait_until("nothing is filtered", || p.passes("198.51.100.66"));
    p.start();
    for source in ["198.51.100.66", "2001:db8:c1::66", "198.18.0.1"] {
        assert!(!p.passes(source), "{source}");
    }
    assert!(p.passes("2001:db8:c1::10"));
}

/// A small file system on a folder, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        mount(
            Some("tmpfs"),
            &folder,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=1m"),
        )
        .unwrap();
        Self(folder)
    }

    /// Leaves no byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn while_the_disk_is_full_operators_words_hold_and_are_written_later() {
    let mut p = Protected::unstarted(&Config::new("enforce"));
    let disk = SmallDisk::mount(p.state());
    p.start();
    p.cli("block add 198.51.100.66").ends(0);
    let filler = disk.fill();
    for line in [
        "block add 198.51.100.67",
        "ban add 198.51.100.68 --for 1h",
        "block del 198.51.100.66",
        "allow add 198.51.100.66",
        "limit set source.udp 1000/s",
        "rule add drop udp dport 7777",
        "mode monitor",
        "mode enforce",
    ] {
        p.cli(line)
            .ends(0)
            .says("in force and not on the disk")
            .says("the disk is full: make room there");
    }
    p.cli_fed("block import - --list feed", b"198.51.100.69\n")
        .ends(1)
        .says("the disk is full: make room there, nothing was changed");
    p.cli("status").ends(0).says("8 changes are in force");
    let hold = |p: &Protected| {
        assert_eq!(p.listed("block"), ["198.51.100.67/32"]);
        assert_eq!(p.listed("ban"), ["198.51.100.68/32"]);
        assert_eq!(p.listed("allow"), ["198.51.100.66/32"]);
        assert!(!p.passes("198.51.100.67") && !p.passes("198.51.100.68"));
        assert!(p.passes("198.51.100.66") && p.passes("198.51.100.69"));
        assert_eq!(p.status()["mode"], "enforce");
        assert_eq!(p.override_of("limit.source.udp")["value"], "1k/s");
        assert_eq!(p.json("rule list")["rules"].as_array().unwrap().len(), 1);
    };
    hold(&p);

    fs::remove_file(filler).unwrap();
    wait_until("all is written", || {
        p.json("status")["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|warning| !warning.as_str().unwrap().contains("not on the disk"))
    });
    p.cli("events").ends(0).says("198.51.100.68/32");
    p.kill();
    p.start();
    hold(&p);
    drop(p);
    drop(disk);
}
