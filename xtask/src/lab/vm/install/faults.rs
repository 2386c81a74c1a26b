//! In the machine: what happens to daemons, cards and clocks, under the flood.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{
    CARD,
    guest::{NOTHING, PINS, Trial, flooded, is_clean, told},
    system::{UNIT, attachment, json, now, program, property, run, wait},
};
use crate::lab::vm::message::Wish;

/// How long a fault lasts.
const LASTS: Duration = Duration::from_secs(5);

/// The daemon is killed; systemd starts it again.
pub fn kill(trial: &mut Trial) -> Result<()> {
    let (sits, mut took, mut stayed) = (program(CARD.name)?, 0.0, false);
    ensure!(sits.is_some(), "{} is not protected", CARD.name);
    let tally = flooded(|| {
        let began = now()?;
        let before = restarts()?;
        signal("KILL")?;
        stayed = program(CARD.name)? == sits;
        restarted(before, 60)?;
        took = now()? - began;
        Ok(())
    })?;
    let place = if stayed { "stays" } else { "is gone" };
    let found = format!(
        "{}; answers again after {took:.1} s; the filter {place}",
        told(&tally)
    );
    trial.row(
        "kill -9",
        "leak and lose nothing, and come back",
        found,
        is_clean(&tally) && stayed,
    )
}

/// The daemon hangs; the watchdog finds out.
pub fn watchdog(trial: &mut Trial) -> Result<()> {
    let mut took = 0.0;
    let tally = flooded(|| {
        let began = now()?;
        let before = restarts()?;
        signal("STOP")?;
        restarted(before, 120)?;
        took = now()? - began;
        Ok(())
    })?;
    let found = format!("{}; answers again after {took:.1} s", told(&tally));
    trial.row(
        "daemon hangs",
        "leak and lose nothing, and be restarted by the watchdog",
        found,
        is_clean(&tally),
    )
}

fn signal(name: &str) -> Result<()> {
    let pid = property(UNIT, "MainPID")?;
    run(&format!("kill -{name} {pid}")).map(drop)
}

/// How often systemd has started it again.
fn restarts() -> Result<u32> {
    let text = property(UNIT, "NRestarts")?;
    text.parse().context("a number of restarts is a number")
}

/// Waits until another daemon answers.
fn restarted(before: u32, seconds: u64) -> Result<()> {
    wait("systemd starts the daemon again", seconds, || {
        Ok(restarts()? > before)
    })?;
    wait("the next daemon answers", 120, || {
        Ok(attachment(CARD.name)?.is_some())
    })
}

/// The BPF file system is unmounted, of which the daemon has a mount of its own; the operator does what
/// `status` says.
pub fn unmounted(trial: &mut Trial) -> Result<()> {
    let sits = program(CARD.name)?;
    ensure!(sits.is_some(), "{} is not protected", CARD.name);
    let before = flooded(|| {
        run("umount /sys/fs/bpf")?;
        wait("status says what to do", 10, || {
            Ok(troubles()?.contains("restart floodwall"))
        })
    })?;
    let stayed = program(CARD.name)? == sits;
    let mut took = 0.0;
    let amid = flooded(|| {
        let began = now()?;
        run("systemctl restart floodwall")?;
        wait("the next daemon protects", 120, || {
            Ok(attachment(CARD.name)?.is_some())
        })?;
        took = now()? - began;
        Ok(())
    })?;
    let after = flooded(|| Ok(()))?;
    let (is_told, is_pinned) = (troubles()?.contains("unmounted"), Path::new(PINS).exists());
    let found = format!(
        "{} while it is not mounted; status says to restart floodwall, which takes {took:.1} s, with {}; \
         then {}, with {}",
        told(&before),
        told(&amid),
        told(&after),
        if is_pinned { "pins" } else { "no pins" }
    );
    let is_good = is_clean(&before) && stayed && amid.lost == 0 && is_clean(&after);
    trial.row(
        "BPF file system unmounted",
        "leak and lose nothing, say to restart, and protect again after that",
        found,
        is_good && is_pinned && !is_told,
    )
}

/// What `status` says is wrong.
fn troubles() -> Result<String> {
    Ok(json("floodwall status --json")?["warnings"].to_string())
}

/// The wall clock jumps by years, both ways.
pub fn clock(trial: &mut Trial) -> Result<()> {
    for (what, jump) in [
        ("clock ten years ahead", "+10 years"),
        ("clock twenty years back", "-20 years"),
    ] {
        run("floodwall ban add 192.0.2.9 --for 6h")?;
        let before = seconds()?;
        let began = now()?;
        let tally = flooded(|| {
            set_clock(jump)?;
            thread::sleep(LASTS);
            Ok(())
        })?;
        let answers = attachment(CARD.name)?.is_some();
        let bans = run("floodwall ban list")?.contains("192.0.2.9");
        let word = if bans {
            "is still banned"
        } else {
            "is banned no longer"
        };
        let found = format!("{}; who was banned for 6 h {word}", told(&tally));
        // An end is a time of the calendar.
        let is_kept = bans == jump.starts_with('-');
        trial.row(what, NOTHING, found, is_clean(&tally) && answers && is_kept)?;
        let elapsed = (now()? - began).round() as i64;
        set_clock(&format!("@{}", before.saturating_add(elapsed)))?;
    }
    Ok(())
}

fn seconds() -> Result<i64> {
    run("date +%s")?
        .trim()
        .parse()
        .context("a time is a number")
}

fn set_clock(to: &str) -> Result<()> {
    let output = std::process::Command::new("date")
        .args(["--set", to])
        .output()
        .context("`date` cannot be run")?;
    ensure!(output.status.success(), "the clock cannot be set to {to}");
    Ok(())
}

/// The cable is pulled, and put back.
pub fn carrier(trial: &mut Trial) -> Result<()> {
    let sits = program(CARD.name)?;
    let carrier = format!("/sys/class/net/{}/carrier", CARD.name);
    let is = |wanted: &str| fs::read_to_string(&carrier).is_ok_and(|it| it.trim() == wanted);
    let during = flooded(|| {
        trial.wish(Wish::Carrier { is_on: false })?;
        wait("the card sees no carrier", 20, || Ok(is("0")))?;
        thread::sleep(LASTS);
        trial.wish(Wish::Carrier { is_on: true })?;
        wait("the card sees a carrier", 20, || Ok(is("1")))
    })?;
    let after = flooded(|| Ok(()))?;
    let stayed = program(CARD.name)? == sits;
    let found = format!(
        "{} meanwhile, by the cable; then {}; the filter {}",
        told(&during),
        told(&after),
        if stayed { "stays" } else { "is another" }
    );
    let is_good = during.leaked == 0 && is_clean(&after) && stayed;
    trial.row(
        "cable pulled and back",
        "leak nothing, lose nothing afterwards",
        found,
        is_good,
    )
}

/// The card is taken out, and put in again.
pub fn unplug(trial: &mut Trial) -> Result<()> {
    let place = format!("/sys/class/net/{}", CARD.name);
    let mut took = 0.0;
    let during = flooded(|| {
        trial.wish(Wish::Unplug)?;
        wait("the card is gone", 30, || Ok(!Path::new(&place).exists()))?;
        thread::sleep(LASTS);
        trial.wish(Wish::Plug)?;
        wait("the card is back", 30, || Ok(Path::new(&place).exists()))?;
        let began = now()?;
        wait("the card is protected again", 30, || {
            Ok(program(CARD.name)?.is_some())
        })?;
        took = now()? - began;
        Ok(())
    })?;
    let after = flooded(|| Ok(()))?;
    let how = attachment(CARD.name)?.unwrap_or_default();
    let found = format!(
        "{} meanwhile, without a card; protected {took:.1} s after it is back, {how}; then {}",
        told(&during),
        told(&after)
    );
    let is_good = during.leaked == 0 && is_clean(&after) && how == "native";
    trial.row(
        "card out and in",
        "leak nothing, lose nothing afterwards",
        found,
        is_good,
    )
}
