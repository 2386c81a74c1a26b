//! The programs beside the filter, which see what no sender can forge, and what they remember.

use std::{fmt, path::Path};

use filter_common::logic::{address::Address, known};

use super::DataplaneError;

/// What the daemon asks of the programs at the egress of interfaces and at the sockets of processes,
/// and of their tables.
pub trait Companions {
    /// Attaches the program that notes what this host asks for to the egress of an interface, or
    /// brings an attachment of ours up to date. It has to be an Ethernet interface; others carry
    /// nothing that is filtered.
    fn attach_egress(&mut self, interface: &str) -> Result<EgressAttachment, DataplaneError>;

    /// Takes that program off the egress of an interface; nothing happens if it is not there.
    fn detach_egress(&mut self, interface: &str) -> Result<(), DataplaneError>;

    /// How that program sits at the egress of an interface, if it does.
    fn egress_attachment(
        &mut self,
        interface: &str,
    ) -> Result<Option<EgressAttachment>, DataplaneError>;

    /// Interfaces that a pinned link at their egress is left over for.
    fn egress_pinned(&mut self) -> Result<Vec<String>, DataplaneError>;

    /// Attaches the program that sees handshakes completed to a control group of cgroup2, beside
    /// others there, or brings an attachment of ours up to date; gives the kernel's id of it.
    fn attach_sockets(&mut self, group: &Path) -> Result<u32, DataplaneError>;

    /// Takes that program off its control group; nothing happens if it is not there.
    fn detach_sockets(&mut self) -> Result<(), DataplaneError>;

    /// The kernel's id of that program, if it sits at a control group.
    fn sockets_attachment(&mut self, group: &Path) -> Result<Option<u32>, DataplaneError>;

    /// The share of the bits for what this host asks for that are set in this generation. Strangers
    /// pass by about its third power.
    fn solicited_fill(&mut self) -> Result<f64, DataplaneError>;

    /// Whether a source completed a handshake, today or yesterday.
    fn is_proven(&mut self, source: &Address) -> Result<bool, DataplaneError>;

    /// Whether a source, or for IPv6 its /48, is known good.
    fn is_known_good(&mut self, source: &Address) -> Result<bool, DataplaneError>;

    /// The table of who is known good: [`known::LINES_LOG2`].
    fn known(&mut self) -> Result<Vec<known::Line>, DataplaneError>;

    /// Writes that table, from its first line on.
    fn set_known(&mut self, lines: &[known::Line]) -> Result<(), DataplaneError>;

    /// Clears columns of that table, as [`known::outdated`] gives them.
    fn clear_known(&mut self, columns: u64) -> Result<(), DataplaneError>;
}

/// How a program sits at the egress of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressAttachment {
    /// By what.
    pub hook: EgressHook,
    /// The kernel's id of the program.
    pub program_id: u32,
}

/// What a program at an egress hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressHook {
    /// A pinned link (Linux 6.6).
    Tcx,
    /// A classifier of the queueing discipline clsact, attached by netlink: anybody may replace it.
    Clsact,
}

impl fmt::Display for EgressHook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        })
    }
}
