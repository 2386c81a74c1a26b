//! Why a command was not carried out.

use crate::api::types::ErrorKind;

/// A command that changed nothing, and why. The message names the thing and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind, which decides exit code and HTTP status.
    pub kind: ErrorKind,
    /// What is wrong, where, and what mends it.
    pub message: String,
}

impl Refusal {
    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Invalid,
            message: message.into(),
        }
    }

    /// It would do harm, or nothing.
    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Refused,
            message: message.into(),
        }
    }

    /// It could not be done.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Failed,
            message: message.into(),
        }
    }

    /// Not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::NotFound,
            message: message.into(),
        }
    }

    /// Who asked may not.
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::NotPermitted,
            message: message.into(),
        }
    }
}
