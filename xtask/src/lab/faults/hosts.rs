//! What happens to the host: its clock, its memory, its BPF file system, its processors.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::Signal,
};

use super::{super::interrupt, Course, Site, site::many};

const YEAR: i64 = 365 * 86_400;
/// Banned for six hours.
const BANNED: &str = "10.99.0.1";

/// Years ahead, years back.
pub fn clock(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        site.say(&["ban", "add", BANNED, "--for", "6h"])?;
        for (years, is_banned) in [(-10, true), (0, true), (10, false), (30, false), (0, false)] {
            site.lies()?.set_clock(years * YEAR)?;
            site.until("a ban is as the calendar says", || {
                let status = site.status()?;
                let is_listed = site.say(&["ban", "list"])?.contains(BANNED);
                Ok(is_listed == is_banned
                    && status["tables"]["bans"]["entries"] == u32::from(is_banned))
            })?;
            site.is_healthy()?;
        }
        site.lies()?.set_clock(5 * YEAR)?;
        site.kill()?;
        site.start()?;
        site.lies()?.set_clock(-5 * YEAR)?;
        site.kill()?;
        site.start()?;
        site.lies()?.set_clock(0)?;
    }
    Ok(vec![
        "entries without an end stay; a ban of six hours is there ten years back, and gone for good ten \
         years ahead"
            .to_owned(),
    ])
}

/// No further byte.
pub fn memory(site: &mut Site, course: Course) -> Result<Vec<String>> {
    let mut died = 0;
    for _ in 0..course.rounds {
        let process = site.floodwall.process().context("no daemon runs")?;
        let pid = process.id();
        limit_memory(pid, 1 << 20)?;
        let list = site.write("large.txt", &many(200_000))?;
        let list = list.to_string_lossy();
        // It may be refused, or be the end of the daemon.
        let words = ["block", "import", &list, "--list", "large"];
        let refused = !site.floodwall.output(&words)?.status.success();
        let process = site.floodwall.process().context("no daemon runs")?;
        if process.ended().is_some() {
            died += 1;
            site.start()?;
        } else {
            ensure!(refused, "the limit was not reached");
            limit_memory(pid, libc::RLIM_INFINITY)?;
        }
        ensure!(site.program()?.is_some(), "nothing is attached");
    }
    Ok(vec![format!(
        "by `RLIMIT_DATA` while a list of 200,000 prefixes is imported: it ended the daemon in {died} of \
         {} rounds, and the filter stayed; the control group's killer is `kill`",
        course.rounds
    )])
}

fn limit_memory(pid: u32, bytes: u64) -> Result<()> {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the structure outlives the call, which writes nothing.
    let done = unsafe {
        libc::prlimit(
            pid as libc::pid_t,
            libc::RLIMIT_DATA,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    nix::errno::Errno::result(done)
        .map(drop)
        .context("cannot limit the daemon's memory")
}

/// Taken away under the daemon.
pub fn bpffs(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        let bpf = site.sandbox.bpf();
        umount2(&bpf, MntFlags::MNT_DETACH).context("cannot unmount the BPF file system")?;
        site.until("the link is pinned anew", || {
            Ok(bpf.join("floodwall/links/srv0").exists())
        })?;
        site.reads("all pins were gone, and are made anew")?;
        site.is_healthy()?;
        site.kill()?;
        ensure!(site.program()?.is_some(), "the filter went with the daemon");
        site.start()?;
    }
    Ok(vec![
        "the daemon reaches the old pins through the folder that it holds open, mounts a BPF file system \
         and pins all anew within a second; only if it may not mount one, the filter would go with it, \
         and `status` says so"
            .to_owned(),
    ])
}

/// Stopped as by SIGSTOP, or by a host that hangs.
pub fn stopped(site: &mut Site, course: Course) -> Result<Vec<String>> {
    // A minute in the campaign, a moment in the tests.
    let time = Duration::from_secs(if course.is_test { 3 } else { 60 });
    for _ in 0..course.rounds {
        site.signal(Signal::SIGSTOP)?;
        interrupt::sleep(time)?;
        site.signal(Signal::SIGCONT)?;
        site.is_healthy()?;
    }
    Ok(vec![format!("{} s each time", time.as_secs())])
}
