//! How a command ends: its exit code, and what is said about it.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    api::types::{ErrorBody, ErrorKind, SCHEMA},
    render,
};

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Whoever read the output has gone; there is nobody to tell.
    Unread = 0,
    /// It could not be done.
    Failed = 1,
    /// The command makes no sense; also an unparsable prefix.
    Usage = 2,
    /// No daemon answers.
    NoDaemon = 3,
    /// Who asked may not.
    NotPermitted = 4,
    /// It would do harm, or nothing.
    Refused = 5,
}

/// Why a command did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Its exit code.
    pub code: Code,
    /// The kind in JSON.
    kind: &'static str,
    /// What is wrong, where, and what mends it.
    message: String,
}

/// A failure as JSON: an [`ErrorBody`] that also knows that no daemon answered.
#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    error: &'a str,
    message: &'a str,
}

impl Failure {
    /// It could not be done.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            code: Code::Failed,
            kind: "failed",
            message: message.into(),
        }
    }

    /// The command makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            code: Code::Usage,
            kind: "invalid",
            message: message.into(),
        }
    }

    /// No daemon answers.
    pub fn no_daemon(message: impl Into<String>) -> Self {
        Self {
            code: Code::NoDaemon,
            kind: "no_daemon",
            message: message.into(),
        }
    }

    /// Who asked may not.
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self {
            code: Code::NotPermitted,
            kind: "not_permitted",
            message: message.into(),
        }
    }

    /// The same with something added to the message.
    pub fn and(mut self, more: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(more);
        self
    }

    /// Tells: as text on stderr, or as JSON on stdout.
    pub fn tell(&self, json: bool) {
        if self.code == Code::Unread {
            return;
        }
        // If nobody listens, the exit code still says it.
        let _ = if json {
            self.write_json()
        } else {
            self.write_text()
        };
    }

    fn write_json(&self) -> io::Result<()> {
        let report = Report {
            schema: SCHEMA,
            error: self.kind,
            message: &self.message,
        };
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)
    }

    fn write_text(&self) -> io::Result<()> {
        // An error of the configuration has several lines; what steers a terminal has not.
        let mut out = io::stderr().lock();
        for (index, line) in self.message.lines().enumerate() {
            let lead = if index == 0 { "floodwall: " } else { "" };
            writeln!(out, "{lead}{}", render::safe(line))?;
        }
        Ok(())
    }
}

impl From<ErrorBody> for Failure {
    fn from(body: ErrorBody) -> Self {
        let (code, kind) = match body.error {
            ErrorKind::Failed => (Code::Failed, "failed"),
            ErrorKind::Invalid => (Code::Usage, "invalid"),
            ErrorKind::NotFound => (Code::Failed, "not_found"),
            ErrorKind::NotPermitted => (Code::NotPermitted, "not_permitted"),
            ErrorKind::Refused => (Code::Refused, "refused"),
        };
        Self {
            code,
            kind,
            message: body.message,
        }
    }
}

/// From writing to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self {
                code: Code::Unread,
                kind: "",
                message: String::new(),
            }
        } else {
            Self::failed(format!("cannot write the output: {error}"))
        }
    }
}

/// From writing JSON to stdout.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}
