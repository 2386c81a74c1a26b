//! The programs that the real one is compared with: the floor, and the kernel's own maps.

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, LpmTrie, MapData, lpm_trie::Key};

use super::{
    super::{floodwall::Floodwall, interrupt, programs::Lab},
    prefixes,
    section::Subject,
};

/// What the lab's `LRU_HASH` holds.
const LRU_ENTRIES: u32 = 1 << 20;

/// Parse and drop.
pub fn floor(lab: &mut Lab) -> Result<Subject> {
    of_the_lab(lab, "floor", "floor")
}

/// Sends every frame back.
pub fn answer(lab: &mut Lab) -> Result<Subject> {
    of_the_lab(lab, "bare XDP_TX", "bare_answer")
}

/// The real program, as a real daemon loaded and configured it.
pub fn floodwall(name: &str, floodwall: &Floodwall) -> Result<Subject> {
    Ok(Subject {
        name: name.to_owned(),
        program: floodwall.program()?,
    })
}

/// One look-up in a `HASH`, which [`fill_hash`] has to fill.
pub fn hash(lab: &mut Lab) -> Result<Subject> {
    of_the_lab(lab, "HASH look-up", "ref_hash")
}

/// One look-up in an `LPM_TRIE`, which [`fill_trie`] has to fill.
pub fn trie(lab: &mut Lab) -> Result<Subject> {
    of_the_lab(lab, "LPM_TRIE look-up", "ref_lpm")
}

/// When a source was last seen, in an `LRU_HASH`, which [`fill_lru`] has to fill.
pub fn lru(lab: &mut Lab) -> Result<Subject> {
    of_the_lab(lab, "LRU_HASH + ktime", "ref_lru")
}

fn of_the_lab(lab: &mut Lab, name: &str, program: &str) -> Result<Subject> {
    let program = lab.program(program)?.fd()?.try_clone()?;
    Ok(Subject {
        name: name.to_owned(),
        program,
    })
}

/// Puts members of the IPv4 list into the `HASH`.
pub fn fill_hash(lab: &mut Lab, members: std::ops::Range<u32>) -> Result<()> {
    let mut map = HashMap::<&mut MapData, u64, u64>::try_from(map(lab, "BANS")?)?;
    for number in members {
        check_now_and_then(number)?;
        map.insert(key_v4(number), 0, 0)
            .context("cannot fill the reference HASH")?;
    }
    Ok(())
}

/// Puts members of the IPv4 list into the `LPM_TRIE`.
pub fn fill_trie(lab: &mut Lab, members: std::ops::Range<u32>) -> Result<()> {
    let mut map = LpmTrie::<&mut MapData, u64, u32>::try_from(map(lab, "PREFIXES")?)?;
    for number in members {
        check_now_and_then(number)?;
        map.insert(&Key::new(32, key_v4(number)), 0, 0)
            .context("cannot fill the reference LPM_TRIE")?;
    }
    Ok(())
}

/// Puts IPv6 prefixes into the `LPM_TRIE`.
pub fn fill_trie_v6(lab: &mut Lab, list: &[(std::net::Ipv6Addr, u8)]) -> Result<()> {
    let mut map = LpmTrie::<&mut MapData, u64, u32>::try_from(map(lab, "PREFIXES")?)?;
    for (number, (address, length)) in (0..).zip(list) {
        check_now_and_then(number)?;
        let half = (u128::from(*address) >> 64) as u64;
        map.insert(&Key::new(u32::from(*length), half.to_be()), 0, 0)
            .context("cannot fill the reference LPM_TRIE")?;
    }
    Ok(())
}

/// Fills the `LRU_HASH` to the brim: under a spoofed flood it is never anything else.
pub fn fill_lru(lab: &mut Lab) -> Result<()> {
    let mut map = HashMap::<&mut MapData, u64, u64>::try_from(map(lab, "SEEN")?)?;
    for number in 0..LRU_ENTRIES {
        check_now_and_then(number)?;
        map.insert(key_v4(number), 0, 0)
            .context("cannot fill the reference LRU_HASH")?;
    }
    Ok(())
}

fn map<'a>(lab: &'a mut Lab, name: &str) -> Result<&'a mut aya::maps::Map> {
    lab.object()
        .map_mut(name)
        .with_context(|| format!("the lab's eBPF object has no map {name}"))
}

/// The address as the reference programs read it from a frame.
fn key_v4(number: u32) -> u64 {
    u64::from(prefixes::v4_member(number).to_be())
}

fn check_now_and_then(number: u32) -> Result<()> {
    if number.is_multiple_of(1 << 14) {
        interrupt::check()
    } else {
        Ok(())
    }
}
