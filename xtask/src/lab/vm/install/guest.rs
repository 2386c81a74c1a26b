//! In the machine: what is tried there, one row of the table each.

use std::{
    fs::{self, File},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    CARD, CLEAN, LISTED, SERVER, container,
    disk::{NEW, OLD},
    faults,
    flood::{FAR, Flood, Tally},
    system::{Kept, STATE, UNIT, attachment, moment, now, program, property, run, wait},
};
use crate::lab::vm::{
    guest::{RESULTS, tell},
    message::{Message, Row, Wish},
};

/// Says that what comes before the reboot is done.
const REBOOTED: &str = "/srv/rebooted";
/// The card that a server has from its first boot on.
const FIRST_CARD: &str = "eth0";
const CONFIG: &str = "/etc/floodwall/floodwall.toml";
/// Where pins lie for the host.
pub const PINS: &str = "/sys/fs/bpf/floodwall";
/// What it may take from the command to protection, seconds.
const INSTALLED_IN: f64 = 10.0;
/// What the unit may be exposed, as `systemd-analyze security` says.
const MOST_EXPOSURE: f64 = 2.5;
/// How long a flood goes on before anything happens, and after.
const AROUND: Duration = Duration::from_secs(3);

/// Whoever listens to what is tried.
pub struct Trial {
    results: File,
}

/// Does everything, and tells the host.
///
/// # Errors
/// If the host cannot be told.
pub fn run_all() -> Result<()> {
    let results = File::options().write(true).open(RESULTS);
    let results = results.with_context(|| format!("{RESULTS} cannot be opened"))?;
    let mut trial = Trial { results };
    let done = if Path::new(REBOOTED).exists() {
        trial.after_the_reboot()
    } else {
        trial.before_the_reboot()
    };
    match done {
        // The rest comes after that.
        Ok(true) => return run("systemctl reboot").map(drop),
        Ok(false) => {}
        Err(error) => trial.trouble(&error)?,
    }
    tell(&mut trial.results, &Message::Done)
}

impl Trial {
    /// Tries one thing; what goes wrong there is told, and no reason not to try the others.
    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        match work(self) {
            Ok(()) => Ok(()),
            Err(error) => self.trouble(&error),
        }
    }

    fn trouble(&mut self, error: &anyhow::Error) -> Result<()> {
        let text = format!("{error:#}");
        tell(&mut self.results, &Message::Trouble { text })
    }

    /// Tells the host a row of the table.
    pub fn row(&mut self, what: &str, wanted: &str, found: String, is_good: bool) -> Result<()> {
        let row = Row {
            what: what.to_owned(),
            wanted: wanted.to_owned(),
            found,
            is_good,
        };
        tell(&mut self.results, &Message::Row(row))
    }

    /// Tells the host what it is to do.
    pub fn wish(&mut self, wish: Wish) -> Result<()> {
        tell(&mut self.results, &Message::Wish(wish))
    }

    /// Whether the machine has to boot again.
    fn before_the_reboot(&mut self) -> Result<bool> {
        settle_senders()?;
        let has_old = Path::new(OLD).exists();
        self.install("apt install", if has_old { OLD } else { NEW })?;
        self.attempt(Self::exposure)?;
        configure()?;
        self.attempt(faults::kill)?;
        self.attempt(faults::watchdog)?;
        if has_old {
            self.attempt(|it| it.change("upgrade", NEW, true))?;
            self.attempt(|it| it.change("downgrade", OLD, true))?;
            self.attempt(|it| it.change("upgrade once more", NEW, true))?;
        } else {
            self.attempt(|it| it.change("installed anew", NEW, false))?;
        }
        if std::env::var_os(container::INSIDE).is_some() {
            return self.end().map(|()| false);
        }
        self.attempt(faults::unmounted)?;
        self.attempt(faults::clock)?;
        self.attempt(faults::carrier)?;
        self.attempt(faults::unplug)?;
        fs::write(REBOOTED, "")?;
        Ok(true)
    }

    fn after_the_reboot(&mut self) -> Result<bool> {
        self.attempt(Self::order)?;
        settle_senders()?;
        let tally = flooded(|| Ok(()))?;
        self.row(
            "flood after the boot",
            NOTHING,
            told(&tally),
            is_clean(&tally),
        )?;
        self.end().map(|()| false)
    }

    fn end(&mut self) -> Result<()> {
        self.attempt(Self::remove)?;
        self.attempt(Self::purge)?;
        // What the package that is tried makes where nothing is.
        self.attempt(|it| it.install("apt install after that", NEW))
    }

    fn install(&mut self, what: &str, package: &str) -> Result<()> {
        let (clock, began) = (wall()?, now()?);
        run(&format!("apt-get install -y {package}"))?;
        let ended = now()?;
        wait("the first card is protected", 60, || {
            Ok(attachment(FIRST_CARD)?.is_some())
        })?;
        // The daemon is ready once it protects.
        let started = moment(UNIT, "ExecMainStart")?;
        let ready = moment(UNIT, "ActiveEnter")?;
        let took = ready - began;
        let how = attachment(FIRST_CARD)?.unwrap_or_default();
        // dpkg notes whole seconds.
        let unpack = (logged(" startup archives unpack")? - clock).max(0.0);
        let configure = (logged(" configure floodwall")? - clock).max(0.0);
        let found = format!(
            "{took:.1} s to protecting, {how}: apt until {unpack:.0} s, dpkg unpacks until \
             {configure:.0} s, postinst until {:.1} s, the daemon's start {:.1} s; apt ends after \
             {:.1} s",
            started - began,
            ready - started,
            ended - began
        );
        let is_good = took <= INSTALLED_IN && how == "native";
        let wanted = format!("protect within {INSTALLED_IN} s");
        self.row(what, &wanted, found, is_good)
    }

    fn exposure(&mut self) -> Result<()> {
        let text = run(&format!("systemd-analyze security --no-pager {UNIT}"))?;
        let line = text.lines().rev().find(|line| line.contains("exposure"));
        let line = line.context("systemd-analyze tells no exposure")?;
        let mut numbers = line.split_whitespace().filter_map(|it| it.parse().ok());
        let score: f64 = numbers.next().context("an exposure is a number")?;
        let wanted = format!("be exposed {MOST_EXPOSURE} at most");
        let is_good = score <= MOST_EXPOSURE;
        self.row(
            "systemd-analyze security",
            &wanted,
            format!("{score:.1}"),
            is_good,
        )
    }

    /// Installs a package, another one if `other`, over the one that is installed, under the flood.
    fn change(&mut self, what: &str, package: &str, other: bool) -> Result<()> {
        let before = Kept::read()?;
        let (object, sitting) = (run("floodwall --version")?, program(CARD.name)?);
        let tally = flooded(|| {
            run(&format!(
                "apt-get install -y --reinstall --allow-downgrades -o Dpkg::Options::=--force-confold {package}"
            ))?;
            wait("the next daemon answers", 60, || {
                Ok(attachment(CARD.name)?.is_some())
            })
        })?;
        let after = Kept::read()?;
        let lost: Vec<&String> = before
            .choices
            .iter()
            .filter(|it| !after.choices.contains(it))
            .collect();
        let learned = after.learned >= before.learned;
        let is_other = run("floodwall --version")? != object;
        let is_new = program(CARD.name)? != sitting;
        let mut found = told(&tally);
        found += &format!(
            "; {} program; {} bans, blocks and limits kept; {:.0} s of calm known before, {:.0} s \
             after",
            if is_other { "another" } else { "the same" },
            before.choices.len().saturating_sub(lost.len()),
            before.learned,
            after.learned
        );
        if !lost.is_empty() {
            found += &format!("; lost: {lost:?}");
        }
        let is_good = is_clean(&tally)
            && lost.is_empty()
            && learned
            && before.learned > 0.0
            && is_new
            && is_other == other
            && attachment(FIRST_CARD)?.is_some();
        let wanted = "leak and lose nothing, and keep bans, lists, limits and baselines";
        self.row(what, wanted, found, is_good)
    }

    /// Whether a boot protects before there is a network.
    fn order(&mut self) -> Result<()> {
        let protects = moment(UNIT, "ActiveEnter")?;
        let network = moment("systemd-networkd.service", "ExecMainStart")?;
        let online = moment("network-online.target", "ActiveEnter")?;
        let sits = program(FIRST_CARD)?.is_some() && program(CARD.name)?.is_some();
        let found = format!(
            "protects at {protects:.1} s, networkd starts at {network:.1} s, online at {online:.1} s \
             after the kernel"
        );
        let is_good = protects < network && network < online && sits;
        let wanted = "protect before the network starts";
        self.row("boot", wanted, found, is_good)
    }

    fn remove(&mut self) -> Result<()> {
        run("apt-get remove -y floodwall")?;
        let sits = program(FIRST_CARD)?.is_some() || program(CARD.name)?.is_some();
        let is_kept = has_files(STATE);
        let is_active = property(UNIT, "ActiveState")? == "active";
        let is_pinned = Path::new(PINS).exists();
        let tally = flooded(|| Ok(()))?;
        let yes = |it: bool, what: &str| {
            if it {
                what.to_owned()
            } else {
                format!("no {what}")
            }
        };
        let found = format!(
            "{}, {}, {}, {}; of the listed sources' {} packets {} arrive",
            yes(sits, "program"),
            yes(is_pinned, "pins"),
            yes(is_active, "daemon"),
            yes(is_kept, "state"),
            tally.listed,
            tally.leaked
        );
        let is_open = tally.lost == 0 && tally.leaked > tally.listed / 2;
        let is_good = !sits && !is_pinned && !is_active && is_kept && is_open;
        let wanted = "take the filter off and keep the state";
        self.row("apt remove", wanted, found, is_good)
    }

    fn purge(&mut self) -> Result<()> {
        run("apt-get purge -y floodwall")?;
        let places = [
            "/etc/floodwall",
            "/etc/sysctl.d/60-floodwall.conf",
            STATE,
            "/run/floodwall",
            PINS,
            "/etc/systemd/system/multi-user.target.wants/floodwall.service",
            "/usr/lib/systemd/system/floodwall.service",
            "/usr/bin/floodwall",
        ];
        let left = places.iter().filter(|it| fs::symlink_metadata(it).is_ok());
        let left: Vec<&str> = left.copied().collect();
        let found = if left.is_empty() {
            "nothing is left".to_owned()
        } else {
            format!("left: {}", left.join(", "))
        };
        self.row("apt purge", "leave nothing", found, left.is_empty())
    }
}

/// What has to come of a flood.
pub const NOTHING: &str = "leak and lose nothing";

/// Does something in the middle of a flood.
pub fn flooded(work: impl FnOnce() -> Result<()>) -> Result<Tally> {
    let flood = Flood::start()?;
    thread::sleep(AROUND);
    let done = work();
    thread::sleep(AROUND);
    let tally = flood.end()?;
    done.map(|()| tally)
}

/// Whether nothing leaked and nothing was lost of a flood that was one.
pub const fn is_clean(tally: &Tally) -> bool {
    tally.leaked == 0 && tally.lost == 0 && tally.listed > 0 && tally.clean > 0
}

/// In words.
pub fn told(tally: &Tally) -> String {
    format!(
        "leaked {} of {}, lost {} of {}",
        tally.leaked, tally.listed, tally.lost, tally.clean
    )
}

/// Puts the third card where the flood comes from.
fn settle_senders() -> Result<()> {
    run(&format!("ip netns add {FAR}"))?;
    run(&format!("ip link set eth2 netns {FAR}"))?;
    for address in LISTED.into_iter().chain([CLEAN]) {
        run(&format!("ip -n {FAR} address add {address}/24 dev eth2"))?;
    }
    run(&format!("ip -n {FAR} link set eth2 up"))?;
    // Who is where is asked once: a fault may last longer than the answer.
    run(&format!(
        "ip -n {FAR} neighbour replace {SERVER} lladdr {} dev eth2 nud permanent",
        CARD.mac
    ))
    .map(drop)
}

/// As an operator does it: both cards, enforced, a source by hand, one in a list, a ban and a limit; and time
/// enough to learn something of calm.
fn configure() -> Result<()> {
    let text = fs::read_to_string(CONFIG)?;
    let text = text
        .replace(
            "interfaces = \"default-route\"",
            "interfaces = [\"eth0\", \"eth1\"]",
        )
        .replace("mode = \"monitor\"", "mode = \"enforce\"");
    fs::write(CONFIG, text)?;
    run("systemctl reload floodwall")?;
    wait("the second card is protected", 30, || {
        Ok(attachment(CARD.name)?.is_some())
    })?;
    fs::write(
        "/srv/feed",
        format!("{}\n203.0.113.0/24\n2001:db8:1::/48\n", LISTED[1]),
    )?;
    for line in [
        &format!("floodwall block add {} --reason listed", LISTED[0]),
        "floodwall block import /srv/feed --list feed",
        "floodwall ban add 192.0.2.9 --for 6h",
        "floodwall limit set source.syn 50/s --for 6h",
    ] {
        run(line)?;
    }
    wait("something is learned of calm", 180, || {
        thread::sleep(Duration::from_secs(5));
        Ok(Kept::read()?.learned > 0.0)
    })
}

/// Seconds since 1970.
fn wall() -> Result<f64> {
    let text = run("date +%s.%N")?;
    text.trim().parse().context("a time is a number")
}

/// When dpkg last noted something, seconds since 1970.
fn logged(what: &str) -> Result<f64> {
    let log = fs::read_to_string("/var/log/dpkg.log").context("dpkg keeps no log")?;
    let line = log.lines().rev().find(|line| line.contains(what));
    let time = line.and_then(|line| line.get(..19));
    let time = time.with_context(|| format!("dpkg notes no{what}"))?;
    let text = run(&format!("date --date={} +%s", time.replace(' ', "T")))?;
    text.trim().parse().context("a time is a number")
}

fn has_files(folder: &str) -> bool {
    fs::read_dir(folder).is_ok_and(|mut it| it.next().is_some())
}
