//! The programs under test.

use anyhow::{Context as _, Result};
use aya::{
    maps::{HashMap, LpmTrie, MapData, lpm_trie::Key},
    programs::ProgramFd,
};

use super::super::{floodwall::Floodwall, interrupt, programs::Lab};

/// What the lab's `LRU_HASH` holds.
const LRU_ENTRIES: u32 = 1 << 20;

/// One program, a row of the result.
pub struct Subject {
    /// What it is called in the result.
    pub name: &'static str,
    /// The loaded program; it must be `xdp.frags`, as the wrapper is.
    pub program: ProgramFd,
}

/// Parse and drop.
pub fn floor(lab: &mut Lab) -> Result<Subject> {
    of_the_lab(lab, "floor", "floor")
}

/// The real program, as a real daemon loaded and configured it.
pub fn floodwall(floodwall: &Floodwall) -> Result<Subject> {
    Ok(Subject {
        name: "floodwall",
        program: floodwall.program()?,
    })
}

/// The kernel's own maps, filled with random sources.
pub fn references(lab: &mut Lab, entries: u32) -> Result<[Subject; 3]> {
    fill_hash(lab, entries)?;
    fill_trie(lab, entries)?;
    fill_lru(lab)?;
    Ok([
        of_the_lab(lab, "HASH look-up", "ref_hash")?,
        of_the_lab(lab, "LPM_TRIE look-up", "ref_lpm")?,
        of_the_lab(lab, "LRU_HASH + ktime", "ref_lru")?,
    ])
}

fn of_the_lab(lab: &mut Lab, name: &'static str, program: &str) -> Result<Subject> {
    let program = lab.program(program)?.fd()?.try_clone()?;
    Ok(Subject { name, program })
}

fn fill_hash(lab: &mut Lab, entries: u32) -> Result<()> {
    let map = lab
        .object()
        .map_mut("BANS")
        .context("the lab's eBPF object has no map BANS")?;
    let mut map = HashMap::<&mut MapData, [u16; 4], u64>::try_from(map)?;
    for (number, source) in random_sources(entries).enumerate() {
        check_now_and_then(number)?;
        map.insert(source, 0, 0)
            .context("cannot fill the reference HASH")?;
    }
    Ok(())
}

fn fill_trie(lab: &mut Lab, entries: u32) -> Result<()> {
    let map = lab
        .object()
        .map_mut("PREFIXES")
        .context("the lab's eBPF object has no map PREFIXES")?;
    let mut map = LpmTrie::<&mut MapData, [u16; 4], u32>::try_from(map)?;
    for (number, source) in random_sources(entries).enumerate() {
        check_now_and_then(number)?;
        let bits = if source[2] == 0 && source[3] == 0 {
            32
        } else {
            64
        };
        map.insert(&Key::new(bits, source), 0, 0)
            .context("cannot fill the reference LPM_TRIE")?;
    }
    Ok(())
}

/// Filled to the brim: under a spoofed flood an LRU is never anything else.
fn fill_lru(lab: &mut Lab) -> Result<()> {
    let map = lab
        .object()
        .map_mut("SEEN")
        .context("the lab's eBPF object has no map SEEN")?;
    let mut map = HashMap::<&mut MapData, [u16; 4], u64>::try_from(map)?;
    for (number, source) in random_sources(LRU_ENTRIES).enumerate() {
        check_now_and_then(number)?;
        map.insert(source, 0, 0)
            .context("cannot fill the reference LRU_HASH")?;
    }
    Ok(())
}

fn check_now_and_then(number: usize) -> Result<()> {
    if number.is_multiple_of(1 << 14) {
        interrupt::check()
    } else {
        Ok(())
    }
}

/// Addresses in memory order: nine of ten are IPv4, the others /64s in 3fff::/32, where the
/// traffic's lie.
fn random_sources(entries: u32) -> impl Iterator<Item = [u16; 4]> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..entries).map(move |number| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (high, low) = ((state >> 48) as u16, (state >> 32) as u16);
        if number % 10 == 9 {
            [0x3fff_u16.to_be(), 0, high, low | 1]
        } else {
            [high, low, 0, 0]
        }
    })
}
