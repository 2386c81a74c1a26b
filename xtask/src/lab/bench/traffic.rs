//! The packets that every program under test sees.

use anyhow::{Context as _, Result};

use super::super::attack::{self, Attack, Sources};

/// One kind of traffic, a column of the result.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// What it is called in the result.
    pub name: &'static str,
    /// The flood it is.
    pub attack: Attack,
}

/// One source, a botnet of 65,536, and spoofed floods of both families.
pub fn all() -> Result<[Traffic; 4]> {
    let syn = attack::named("syn-random").context("the benchmark's packets")?;
    let of = |name, sources| Traffic {
        name,
        attack: Attack { sources, ..syn },
    };
    Ok([
        of("one source", Sources::One),
        of("64k sources", Sources::Many { bits: 16 }),
        of("random IPv4", Sources::Random),
        of("random IPv6 /64", Sources::RandomV6),
    ])
}
