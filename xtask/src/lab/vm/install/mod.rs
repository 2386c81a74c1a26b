//! `vm --install`: a machine with a real Debian, where the package is installed, upgraded under a flood,
//! hit by what only hardware does, removed and purged.

pub mod container;
pub mod disk;
mod faults;
mod flood;
pub mod guest;
mod monitor;
mod report;
mod system;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use self::{monitor::Monitor, report::Report};
use super::{
    Image,
    archive::Kernel,
    image,
    machine::{self, Setup},
    message::Message,
};

/// The kernel that this is tried on unless somebody asks for another.
pub const SERIES: &str = "6.1";
/// A word that tells the first process that there is a disk.
pub const DISK: &str = "FLOODWALL_DISK";
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(2400);
/// The lines between which the table goes.
const BEGIN: &str = "<!-- begin of what `cargo xtask vm --install` writes -->";
const END: &str = "<!-- end -->";

/// Where the flood goes to, and where it comes from.
const SERVER: &str = "198.51.100.1";
/// One by hand, one in an imported list.
const LISTED: [&str; 2] = ["198.51.100.7", "198.51.100.8"];
const CLEAN: &str = "198.51.100.9";

/// A card of the machine.
struct Card {
    /// Its name for QEMU.
    id: &'static str,
    /// The cable that it is on.
    cable: &'static str,
    slot: &'static str,
    mac: &'static str,
    /// Its name for the guest.
    name: &'static str,
}

/// The one that the flood comes in by.
const CARD: Card = Card {
    id: "near",
    cable: "cable-near",
    slot: "0x11",
    mac: "52:54:00:00:00:11",
    name: "eth1",
};

/// What is installed.
#[derive(Debug)]
pub struct Packages {
    /// The package that is tried.
    pub new: PathBuf,
    /// The one that it is an upgrade of; itself if there is none.
    pub old: Option<PathBuf>,
}

/// Does it, and prints the table.
///
/// # Errors
/// If anything is not as it has to be.
pub fn run(
    kernel: &Kernel,
    packages: &Packages,
    folder: &Path,
    page: Option<&PathBuf>,
) -> Result<()> {
    let disk = disk::make(kernel, packages, folder)?;
    let initrd = Image::new(folder.join("disk.initrd"));
    fs::write(&initrd.0, image::entrance(&kernel.folder, folder)?)?;
    let console = folder.join("disk.console");
    let socket = Image::new(folder.join("disk.qmp"));
    let setup = Setup {
        kernel,
        image: &initrd.0,
        console: &console,
        patience: PATIENCE,
        words: &format!("{DISK}=1"),
        hardware: hardware(&disk.0, &socket.0),
    };
    eprintln!("vm: Debian with Linux {} …", kernel.release);
    let mut report = Report::default();
    let mut monitor: Option<Monitor> = None;
    let done = machine::boot(&setup, |message| {
        if let Message::Wish(wish) = &message {
            let monitor = match &mut monitor {
                Some(monitor) => monitor,
                None => monitor.insert(Monitor::open(&socket.0)?),
            };
            return monitor.grant(wish);
        }
        report.take(message);
        Ok(())
    });
    report.print();
    done?;
    report.write(page, [BEGIN, END], &format!("Linux {}", kernel.release))?;
    report.judge()
}

/// Three cards: the first is the way out, which leads nowhere; the other two share a cable.
fn hardware(disk: &Path, socket: &Path) -> Vec<String> {
    let Card {
        id,
        cable,
        slot,
        mac,
        ..
    } = CARD;
    [
        "-smp",
        "2",
        "-drive",
        &format!("file={},format=raw,if=virtio,cache=unsafe", disk.display()),
        "-qmp",
        &format!("unix:{},server=on,wait=off", socket.display()),
        "-netdev",
        "user,id=out,restrict=on",
        "-device",
        "virtio-net-pci,netdev=out,addr=0x10",
        "-netdev",
        &format!("hubport,hubid=1,id={cable}"),
        "-device",
        &format!("virtio-net-pci,id={id},netdev={cable},addr={slot},mac={mac}"),
        "-netdev",
        "hubport,hubid=1,id=cable-far",
        "-device",
        "virtio-net-pci,netdev=cable-far,addr=0x12",
    ]
    .map(str::to_owned)
    .to_vec()
}
