//! `vm --install`: a machine with a real Debian, where the package is installed, upgraded under a flood,
//! hit by what only hardware does, removed and purged.

pub mod disk;
mod faults;
mod flood;
pub mod guest;
mod monitor;
mod system;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use comfy_table::{Table, presets};

use self::monitor::Monitor;
use super::{
    Image,
    archive::Kernel,
    image,
    machine::{self, Setup},
    message::{Message, Row},
};
use crate::document::put_between;

/// The kernel that this is tried on unless somebody asks for another.
pub const SERIES: &str = "6.1";
/// A word that tells the first process that there is a disk.
pub const DISK: &str = "FLOODWALL_DISK";
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(2400);
/// From the workspace's root, and the lines between which the table goes.
const PAGE: &str = "docs/packages.md";
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
    let mut rows = Vec::new();
    let mut troubles = Vec::new();
    let mut monitor: Option<Monitor> = None;
    let done = machine::boot(&setup, |message| {
        match message {
            Message::Row(row) => {
                eprintln!("vm: {}: {}", row.what, row.found);
                rows.push(row);
            }
            Message::Wish(wish) => {
                let monitor = match &mut monitor {
                    Some(monitor) => monitor,
                    None => monitor.insert(Monitor::open(&socket.0)?),
                };
                monitor.grant(&wish)?;
            }
            Message::Trouble { text } => {
                eprintln!("vm: {text}");
                troubles.push(text);
            }
            Message::Up { .. }
            | Message::LeftOut { .. }
            | Message::Effort(_)
            | Message::Refused { .. }
            | Message::Attached { .. }
            | Message::Said { .. }
            | Message::Tests { .. }
            | Message::Done => {}
        }
        Ok(())
    });
    print(&rows);
    done?;
    if let Some(workspace) = page.filter(|_| troubles.is_empty()) {
        let page = workspace.join(PAGE);
        let shown = page.display();
        let text = fs::read_to_string(&page).with_context(|| format!("{shown} cannot be read"))?;
        let text = put_into(&text, &kernel.release, &rows)
            .with_context(|| format!("{shown} lacks the lines between which the table goes"))?;
        fs::write(&page, text).with_context(|| format!("{shown} cannot be written"))?;
        println!("wrote {shown}");
    }
    let bad = rows.iter().filter(|row| !row.is_good).count();
    ensure!(
        bad == 0 && troubles.is_empty(),
        "{bad} of {} rows are not as they have to be, and {} things could not be tried",
        rows.len(),
        troubles.len()
    );
    if rows.is_empty() {
        bail!("the machine tried nothing");
    }
    Ok(())
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

const HEADS: [&str; 4] = ["what", "has to", "does", ""];

fn cells(row: &Row) -> [String; HEADS.len()] {
    let mark = if row.is_good { "ok" } else { "NO" };
    [&row.what, &row.wanted, &row.found, mark].map(str::to_owned)
}

fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADS);
    for row in rows {
        table.add_row(cells(row));
    }
    println!("{table}");
}

/// A page with the table in its place; none if the page has no place for it.
fn put_into(page: &str, release: &str, rows: &[Row]) -> Option<String> {
    let line = |cells: [String; HEADS.len()]| {
        let cells = cells.map(|cell| cell.replace('\n', " ").replace('|', "\\|"));
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = format!("Linux {release}:\n\n");
    text += &line(HEADS.map(str::to_owned));
    text += &line(["---"; HEADS.len()].map(str::to_owned));
    text.extend(rows.iter().map(|row| line(cells(row))));
    put_between(page, [BEGIN, END], &format!("\n\n{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_its_prose_and_has_a_cell_for_each_head() {
        let row = Row {
            what: "purge".to_owned(),
            wanted: "nothing | left".to_owned(),
            found: "2 files\nleft".to_owned(),
            is_good: false,
        };
        let page = format!("prose\n{BEGIN}\nold\n{END}\nmore\n");
        let page = put_into(&page, "6.1.0-50-amd64", &[row]).unwrap();
        assert!(page.starts_with("prose\n") && page.ends_with(&format!("{END}\nmore\n")));
        assert!(!page.contains("old"), "{page}");
        assert!(
            page.contains("| purge | nothing \\| left | 2 files left | NO |\n"),
            "{page}"
        );
        assert_eq!(put_into("no markers", "6.1", &[]), None);
    }
}
