//! The faults there are, in the order in which they are done.

use anyhow::{Context as _, Result};

use super::{Course, changes, clients, disks, hosts, links, processes, site::Site, tables};

/// Harm that can be done.
#[derive(Debug)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub about: &'static str,
    /// How often, in the campaign.
    pub rounds: u32,
    /// How often, in a test.
    pub short: u32,
    /// Whether the daemon has a clock and a disk that lie.
    pub lies: bool,
    /// Does it, and says what is worth knowing.
    pub harm: Harm,
}

/// An error is what should not have happened.
pub type Harm = fn(&mut Site, Course) -> Result<Vec<String>>;

/// All of them.
pub fn all() -> &'static [Fault] {
    FAULTS
}

/// The one with this name.
pub fn named(name: &str) -> Result<&'static Fault> {
    let found = FAULTS.iter().find(|fault| fault.name == name);
    found.with_context(|| format!("there is no fault `{name}`; `--list` names those there are"))
}

const fn fault(name: &'static str, rounds: u32, harm: Harm, about: &'static str) -> Fault {
    Fault {
        name,
        about,
        rounds,
        short: 1,
        lies: false,
        harm,
    }
}

/// One for which the daemon has a clock and a disk that lie.
const fn lying(name: &'static str, rounds: u32, harm: Harm, about: &'static str) -> Fault {
    Fault {
        lies: true,
        ..fault(name, rounds, harm, about)
    }
}

const FAULTS: &[Fault] = &[
    fault(
        "control",
        10,
        processes::nothing,
        "nothing: a second of calm each round",
    ),
    fault(
        "kill",
        1000,
        processes::kill,
        "the daemon is killed (-9) and started, each fifth time while it starts",
    ),
    fault(
        "restart",
        20,
        processes::restart,
        "the daemon is stopped and started",
    ),
    Fault {
        // Each kind of change once.
        short: 7,
        ..fault(
            "changes",
            300,
            changes::at_random,
            "lists, rules, limits, defences, modes and the file change in random order, and with them the program",
        )
    },
    fault(
        "second-daemon",
        3,
        processes::second,
        "another daemon is started: over the same paths, and over paths of its own",
    ),
    fault(
        "foreign-program",
        5,
        links::foreign,
        "somebody else's XDP program is there first and leaves; it comes while ours is there",
    ),
    fault(
        "link-down",
        20,
        links::down,
        "the interface goes down and up",
    ),
    fault(
        "link-renamed",
        5,
        links::renamed,
        "the interface is renamed, and back",
    ),
    fault(
        "link-recreated",
        5,
        links::recreated,
        "the interface is removed, and made anew",
    ),
    fault(
        "bpffs-unmounted",
        5,
        hosts::bpffs,
        "the BPF file system is unmounted under the daemon, and mounted anew",
    ),
    fault(
        "disk-full",
        5,
        disks::full,
        "the state folder's disk has no byte left, and room again",
    ),
    lying(
        "disk-read-only",
        3,
        disks::read_only,
        "the state folder's disk refuses writes, and takes them again",
    ),
    lying(
        "disk-slow",
        2,
        disks::slow,
        "each wait for the disk takes two seconds",
    ),
    fault(
        "database-damaged",
        4,
        disks::damaged,
        "the database is overwritten under the daemon, which is killed and started",
    ),
    fault(
        "database-rubbish",
        6,
        disks::rubbish,
        "the database is rubbish, cut short or empty before a start",
    ),
    lying(
        "clock",
        5,
        hosts::clock,
        "the calendar jumps by up to thirty years both ways, with starts amid that",
    ),
    fault("memory", 4, hosts::memory, "the daemon gets no more memory"),
    fault(
        "connections",
        2,
        clients::connections,
        "somebody who may look opens 10,000 connections to the control socket",
    ),
    fault(
        "slow-readers",
        3,
        clients::slow,
        "clients that do not read, and that do not finish their question",
    ),
    fault(
        "oversized",
        5,
        clients::oversized,
        "bodies of a mebibyte, and of a tebibyte by their own account",
    ),
    fault(
        "tables",
        2,
        tables::full,
        "tables that operators fill get more than they hold, and those of sources and prefixes more senders than they have room for",
    ),
    fault(
        "stopped",
        2,
        hosts::stopped,
        "the daemon is stopped (SIGSTOP) and goes on",
    ),
];
