//! The faults there are, in the order in which they are done.

use anyhow::{Context as _, Result};

use super::{Course, changes, links, processes, site::Site};

/// Harm that can be done.
#[derive(Debug)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub about: &'static str,
    /// How often, in the campaign.
    pub rounds: u32,
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
        lies: false,
        harm,
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
    fault(
        "changes",
        300,
        changes::at_random,
        "lists, rules, limits, defences, modes and the file change in random order, and with them the program",
    ),
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
];
