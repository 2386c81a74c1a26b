//! What crosses the control socket, as JSON: `snake_case`, RFC 3339 times in UTC, `"schema": 1`.
//!
//! Both ends use these types: the daemon serialises them, the command line reads them back.

mod incidents;
mod policy;
mod record;
mod status;
mod wishes;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::{incidents::*, policy::*, record::*, status::*, wishes::*};

/// Version of this interface.
pub const SCHEMA: u32 = 1;

/// Watch, or drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything is decided and counted, nothing is dropped.
    Monitor,
    /// What a reason says is done, for the reasons that are enforced.
    Enforce,
}

/// Which list.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// Never blocked, banned or limited as a source.
    Allow,
    /// Dropped.
    Block,
    /// Dropped for a time.
    Ban,
}

/// How the program sits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the stack, behind the driver: slower, and aggregates count as one packet.
    Generic,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of frame.
    pub bytes: u64,
}

/// What a reason asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To the stack.
    Pass,
    /// Away.
    Drop,
    /// Answered in the host's name.
    Answer,
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Entries added.
    pub added: u64,
    /// Entries that were there and got another end or reason.
    pub updated: u64,
    /// Entries removed.
    pub removed: u64,
    /// Ids of the rules added or removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// What was done, a sentence each.
    pub notes: Vec<String>,
}

/// What is wrong, for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The kind.
    pub error: ErrorKind,
    /// What is wrong, where, and the command that mends it.
    pub message: String,
}

/// Kinds of errors, by what the caller can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// It could not be done. Exit code 1, HTTP 500.
    Failed,
    /// The request makes no sense. Exit code 2, HTTP 400.
    Invalid,
    /// Not there. Exit code 1, HTTP 404.
    NotFound,
    /// Who asked may not. Exit code 4, HTTP 403.
    NotPermitted,
    /// It would do harm, or nothing. Exit code 5, HTTP 409.
    Refused,
}
