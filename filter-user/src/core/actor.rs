//! Who does something.

use std::fmt;

/// What the controller is called where it says by whom something is.
pub const CONTROLLER: &str = "controller";

/// Whoever gives a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// An operator, by the credentials of the socket's peer.
    Operator {
        /// User id.
        uid: u32,
        /// User name, if there is one.
        name: Option<String>,
    },
    /// The configuration file.
    File,
    /// floodwall itself.
    Daemon,
    /// The controller, which detects attacks and answers them.
    Controller,
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator {
                uid,
                name: Some(name),
            } => write!(formatter, "uid {uid} ({name})"),
            Self::Operator { uid, name: None } => write!(formatter, "uid {uid}"),
            Self::File => formatter.write_str("file"),
            Self::Daemon => formatter.write_str("floodwall"),
            Self::Controller => formatter.write_str(CONTROLLER),
        }
    }
}
