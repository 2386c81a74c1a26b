//! Which sections of the benchmark are asked for.

use clap::ValueEnum;

/// What can be measured without the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The list stage beside the kernel's trie
    Prefixes,
    /// The default program
    Whole,
    /// The same with full lists
    Listed,
    /// Each stage alone
    Stages,
    /// The default program with rules
    Rules,
    /// ICMP and other protocols
    Messages,
    /// What asks this host's sockets
    Defences,
    /// SYNs that are answered, one by one and as a live flood
    Cookies,
    /// Two processors against one
    Processors,
    /// A live flood beside a bare drop
    Live,
    /// A million prefixes by the real command
    Import,
}

impl Part {
    /// Whether it is a flood on the wire, or a run of the real command.
    const fn is_live(self) -> bool {
        match self {
            Self::Processors | Self::Live | Self::Import => true,
            Self::Prefixes
            | Self::Whole
            | Self::Listed
            | Self::Stages
            | Self::Rules
            | Self::Messages
            | Self::Defences
            | Self::Cookies => false,
        }
    }
}

/// The parts of one run.
pub struct Wanted {
    parts: Vec<Part>,
    live: bool,
}

impl Wanted {
    /// Those that were named, or all.
    pub fn new(named: &[Part], no_live: bool) -> Self {
        let all = named.is_empty();
        let parts = if all { Part::value_variants() } else { named };
        Self {
            parts: parts.to_vec(),
            live: !no_live,
        }
    }

    /// Whether a part is measured.
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part) && (self.live || !part.is_live())
    }

    /// Whether any of them is.
    pub fn has_any(&self, parts: &[Part]) -> bool {
        parts.iter().any(|part| self.has(*part))
    }

    /// Whether what a part shows on the wire is measured.
    pub fn has_live(&self, part: Part) -> bool {
        self.live && self.has(part)
    }
}
