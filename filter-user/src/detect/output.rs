//! What the controller wants done, and what it has to tell.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::vector::{Phase, Target, Vector};
use crate::core::command::Command;

/// What comes of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// To be carried out in order, by the controller's own name. What is refused is told by
    /// [`Controller::refused`](super::Controller::refused), and by not being in force.
    pub commands: Vec<Command>,
    /// Those of them that are told of.
    pub deeds: Vec<Deed>,
    /// Sources that the controller wants to know the standing of.
    pub ask: Vec<IpAddr>,
    /// What happened to incidents.
    pub news: Vec<News>,
}

/// Something about incidents that is worth keeping.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An attack began.
    Opened(Box<Report>),
    /// It changed: another vector, another peak, another action.
    Updated(Box<Report>),
    /// It is over.
    Closed(Box<Report>),
    /// Something an operator should know that is no incident: a baseline that was unfrozen, a rule
    /// that is suggested, a bound on actions that was met.
    Notice(String),
}

/// Something that was decided: what is told of it, and the command that does it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// What is told.
    pub action: Action,
    /// What does it.
    pub command: Command,
}

/// Something that was decided, and was not done as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The command.
    pub command: Command,
    /// Of several prefixes those that were refused; the others are in force.
    pub prefixes: Vec<ipnet::IpNet>,
    /// Why.
    pub why: String,
}

impl Refused {
    /// Says of an action that it was refused, in whole or in part.
    pub fn mark(&self, action: &mut Action) {
        let of = if let Command::Add { prefixes, .. } = &self.command
            && self.prefixes.len() < prefixes.len()
        {
            let list: Vec<String> = self.prefixes.iter().map(ToString::to_string).collect();
            format!("{}: ", list.join(", "))
        } else {
            action.until = None;
            String::new()
        };
        action.refused = Some(format!("{of}{}", self.why));
    }
}

/// What is known of an incident, all of it, so that the last report is the whole story.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Number of the incident: rises by one, kept over restarts by whoever drives the controller.
    pub id: u64,
    /// When the first packet of it came, as far as it can be told.
    #[schema(value_type = String, format = DateTime)]
    pub first: jiff::Timestamp,
    /// When it was noticed.
    #[schema(value_type = String, format = DateTime)]
    pub detected: jiff::Timestamp,
    /// When 95 % of it was stopped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub mitigated: Option<jiff::Timestamp>,
    /// When it was strongest.
    #[schema(value_type = String, format = DateTime)]
    pub peak: jiff::Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end: Option<jiff::Timestamp>,
    /// Its vectors.
    pub vectors: Vec<VectorReport>,
    /// Sources that sent most, most first.
    pub sources: Vec<SourceReport>,
    /// What was done.
    pub actions: Vec<Action>,
    /// Packets above what is usual that went to the stack.
    pub passed: u64,
    /// Packets that were stopped.
    pub stopped: u64,
    /// Packets of known good sources that were stopped: who is hit that should not be.
    pub good_stopped: u64,
    /// Who proved an address and was stopped, or would have been, most first.
    #[serde(default)]
    pub hit: Vec<HitReport>,
    /// What this host lost besides: connections, datagrams, packets before the filter.
    pub losses: Vec<String>,
    /// What could not be measured.
    pub unmeasured: Vec<String>,
}

/// One vector of an incident at one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VectorReport {
    /// How.
    pub vector: Vector,
    /// Whom.
    pub target: Target,
    /// How far it is.
    pub phase: Phase,
    /// Whether its sources are forged, as far as can be told.
    pub spoofed: Spoofed,
    /// What is usual, packets a second.
    pub usual: f64,
    /// Its strongest second, packets a second.
    pub peak_packets: f64,
    /// Its strongest second, bits a second.
    pub peak_bits: f64,
    /// Over its time, packets a second.
    pub mean_packets: f64,
    /// Over its time, bits a second.
    pub mean_bits: f64,
    /// Why it is one, in words with figures.
    pub evidence: String,
}

/// Whether sources are forged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spoofed {
    /// Nothing speaks for either.
    #[default]
    Unknown,
    /// They are forged, or chosen at random.
    Forged,
    /// They answer for themselves.
    Real,
    /// They are real servers that somebody else had send.
    Reflected,
}

/// A source, or a prefix, that sent much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceReport {
    /// Who.
    #[schema(value_type = String)]
    pub prefix: ipnet::IpNet,
    /// About how many packets.
    pub packets: u64,
    /// By how much that may be too high.
    pub error: u64,
    /// Whether it can have been forged: `false` once it completed a handshake.
    pub may_be_forged: bool,
}

/// A source that proved its address and was met all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HitReport {
    /// Who: an IPv4 address, or a /64 of IPv6.
    #[schema(value_type = String)]
    pub source: ipnet::IpNet,
    /// Name of the reason.
    pub reason: String,
    /// About how many packets.
    pub packets: u64,
    /// Whether they were stopped; else they would have been, were the reason enforced.
    pub stopped: bool,
}

/// Something that the controller did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
// What a reason does is `Action` in the API's document.
#[schema(as = ReportAction)]
pub struct Action {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
    /// What, in words.
    pub what: String,
    /// Why, in words with figures.
    pub why: String,
    /// Until when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<jiff::Timestamp>,
    /// Why it was not done, or of whom it was not, if somebody's word or the guard stood against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Action {
    /// What, and that it was refused if it was.
    pub fn told(&self) -> String {
        match &self.refused {
            None => self.what.clone(),
            Some(why) => format!("{} (refused: {why})", self.what),
        }
    }
}
