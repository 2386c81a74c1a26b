//! What happens to the state folder.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    net::TcpListener,
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{
    super::{clock, interrupt, sandbox::Ns},
    Course, Site,
};

/// What an operator says meanwhile is in force at once, and outlives a restart when it could be
/// written.
const MEANWHILE: &str = "10.77.0.1";

/// No byte left.
pub fn full(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        site.disk().fill()?;
        works_unwritten(site)?;
        site.disk().make_room()?;
        is_written_late(site)?;
        // A daemon that dies while there is no room is followed by one that starts.
        site.disk().fill()?;
        site.kill()?;
        site.start()?;
        site.disk().make_room()?;
    }
    Ok(vec![
        "bans, entries, modes, limits and rules are in force at once, with a word that they wait for \
         room; an import is refused, and the old list stays; a daemon that is killed meanwhile starts \
         without what waited"
            .to_owned(),
    ])
}

/// Refuses writes: under a daemon that runs, for no file system becomes read-only while files are open
/// for writing, by what its library says; before a start, by a remount.
pub fn read_only(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        let folder = site.floodwall.state();
        site.lies()?.set_read_only(&folder, true)?;
        let done = works_unwritten(site);
        site.lies()?.set_read_only(&folder, false)?;
        done?;
        is_written_late(site)?;
        site.kill()?;
        site.disk().set_read_only(true)?;
        let started = site.start().and_then(|()| site.hears("readonly"));
        // What it opened meanwhile was opened for reading.
        site.kill()?;
        site.disk().set_read_only(false)?;
        started?;
        site.start()?;
    }
    Ok(vec![
        "as a full one; a daemon starts over such a folder, too, and says so".to_owned(),
    ])
}

fn works_unwritten(site: &Site) -> Result<()> {
    let said = site.say(&["ban", "add", MEANWHILE, "--for", "1h"])?;
    ensure!(said.contains("not on the disk"), "no warning: {said}");
    site.say(&["mode", "enforce", "blocked", "listed", "banned"])?;
    ensure!(
        site.say(&["ban", "list"])?.contains(MEANWHILE),
        "a ban is not in force"
    );
    site.hears("not on the disk")?;
    let list = site.write("more.txt", "10.66.0.0/16\n")?;
    let list = list.to_string_lossy();
    site.refuses(
        &["block", "import", &list, "--list", "more"],
        "nothing was changed",
    )
}

fn is_written_late(site: &mut Site) -> Result<()> {
    site.hears_no_more("not on the disk")?;
    site.kill()?;
    site.start()?;
    ensure!(
        site.say(&["ban", "list"])?.contains(MEANWHILE),
        "what was said while the disk took nothing is lost"
    );
    site.say(&["ban", "del", MEANWHILE])?;
    site.say(&["mode", "enforce"])?;
    Ok(())
}

/// Each wait for the disk takes two seconds.
pub fn slow(site: &mut Site, course: Course) -> Result<Vec<String>> {
    const WAIT: i64 = 2_000;
    let mut longest = Duration::ZERO;
    // Cookies are for ports with servers.
    let listen = || TcpListener::bind("0.0.0.0:8080");
    let _listener = site.sandbox.in_ns(Ns::Server, listen)??;
    site.lies()?.set_disk(WAIT)?;
    for round in 0..course.rounds {
        site.say(&["block", "add", MEANWHILE])?;
        // SYNs are answered, for which the kernel's setting has to be kept; later it still is.
        site.say(&["defence", "set", "cookies", "on"])?;
        if round == 0 {
            site.hears("the disk is slow")?;
        }
        site.hears_no_more("the disk is slow")?;
        for _ in 0..20 {
            let asked = clock::now();
            site.status()?;
            longest = longest.max(asked.elapsed());
            interrupt::sleep(Duration::from_millis(100))?;
        }
        site.say(&["defence", "auto", "cookies"])?;
        site.say(&["block", "del", MEANWHILE])?;
    }
    site.lies()?.set_disk(0)?;
    Ok(vec![format!(
        "each wait for the disk takes {} s: what an operator says waits for it, `status` at most {} ms",
        WAIT / 1000,
        longest.as_millis()
    )])
}

/// Overwritten under the running daemon.
pub fn damaged(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for round in 0..course.rounds {
        // What is in the write-ahead log would make good for the file itself.
        for name in ["floodwall.db-wal", "floodwall.db"] {
            let path = site.floodwall.state().join(name);
            let mut file = File::options().write(true).open(path)?;
            let length = file.metadata()?.len();
            // Behind the header, or the header as well.
            let from = if round % 2 == 0 { 4096.min(length) } else { 0 };
            file.seek(SeekFrom::Start(from))?;
            file.write_all(&vec![0xa5; (length - from) as usize])?;
        }
        let said = site
            .floodwall
            .output(&["ban", "add", MEANWHILE, "--for", "1h"])?;
        let is_done = said.status.success();
        site.status()?;
        site.kill()?;
        site.start()?;
        site.hears("is set aside as")?;
        let list = site.say(&["block", "list"])?;
        ensure!(
            list.contains("198.51.100.0/24") && list.contains("feed"),
            "entries are lost{}: {list}",
            if is_done {
                ""
            } else {
                ", and a ban was refused"
            }
        );
        forget(site)?;
    }
    Ok(vec![
        "the next start sets the file aside, says so, and takes over what the kernel has"
            .to_owned(),
    ])
}

/// Overwritten before a start.
pub fn rubbish(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for round in 0..course.rounds {
        site.stop()?;
        let database = site.floodwall.state().join("floodwall.db");
        match round % 3 {
            0 => fs::write(&database, [0x5a; 8192])?,
            1 => File::options().write(true).open(&database)?.set_len(700)?,
            _ => drop(File::create(&database)?),
        }
        site.start()?;
        site.hears("is set aside as")?;
        forget(site)?;
    }
    Ok(vec![
        "set aside, and told; entries come from the kernel, lists from their files".to_owned(),
    ])
}

/// Takes away what lies aside, so that the next round finds its own.
fn forget(site: &Site) -> Result<()> {
    for entry in fs::read_dir(site.floodwall.state())? {
        let path = entry?.path();
        if path.to_string_lossy().contains(".corrupt-") {
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}
