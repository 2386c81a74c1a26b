//! What decision is told in a step, and what it answers.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;

use super::{
    input::{Snapshot, Standing},
    output::Deed,
    threat::Threat,
};
use crate::{config::detection::Detection, core::command::Command};

/// What decision is told in a step.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Wall-clock time: for people. May jump.
    pub now: Timestamp,
    /// Time since the start of whoever drives the controller: all ends are reckoned by it.
    pub elapsed: Duration,
    /// Vectors at targets that are not calm, those under attack first, the strongest first.
    pub threats: &'a [Threat],
    /// What was found out about sources since the step before.
    pub standings: &'a [Standing],
    /// What was read of the moment.
    pub snapshot: &'a Snapshot,
    /// What the file says of the controller.
    pub config: &'a Detection,
    /// Whether nothing is under attack, or was a moment ago, so that what comes in may be taken for
    /// usual. What is merely suspected may be: a backup is, for as long as it takes.
    pub calm: bool,
    /// Number of the incident that is open, if one is.
    pub incident: Option<u64>,
}

/// What decision answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decided {
    /// To be carried out in order.
    pub commands: Vec<Command>,
    /// Sources whose standing is wanted.
    pub ask: Vec<IpAddr>,
    /// What was done, for the incident and whoever looks.
    pub deeds: Vec<Deed>,
    /// What an operator should know besides.
    pub notices: Vec<String>,
}
