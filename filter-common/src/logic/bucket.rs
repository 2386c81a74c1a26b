//! Token buckets as one 64-bit word.
//!
//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling) keeps one time instead of a
//! count and a time: when the bucket will be full again. How far that lies ahead of now is the
//! *deficit*. One packet adds the *interval* between packets at the permitted rate; a packet that
//! would lift the deficit above the *depth* (the burst, as time) is refused and changes nothing.
//!
//! A word is `time:44 | tag:20`. Times are in units of 2⁻²⁴ ticks (jiffies), modulo 2²⁰ ticks,
//! so that a million packets a second are metered to 0.03 %, and refilling is a subtraction. The
//! time is on top, so that adding to it cannot spill into the tag.

use super::branchless::{below, sign};

/// Bits of fraction in a time.
pub const FRACTION_BITS: u32 = 24;
/// Bits of tag in a word.
pub const TAG_BITS: u32 = 20;
const TICK: u64 = 1 << FRACTION_BITS;
/// Half of the range of times: beyond it, ahead and behind cannot be told apart.
pub const HALF_RANGE: u64 = 1 << 43;

/// A rate and a burst, as the bucket counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// Units of time that a packet costs: 2²⁴ × ticks a second / packets a second. Of a limit in
    /// bytes: what 2⁸ bytes cost.
    pub interval: u64,
    /// Units of time that the bucket holds: what the burst costs, and one tick. Arrivals are seen up to
    /// a tick off, and without it a small bucket refuses packets that came at the permitted rate.
    pub depth: u64,
    /// A deficit above this is no deficit but a stamp so old that it wrapped. It lies above
    /// `depth` by what CPUs that charge one bucket at one time can add together.
    pub horizon: u64,
}

impl Limit {
    /// `packets` a second and a burst of `burst` packets (at least one), where the clock makes
    /// `hz` ticks a second and at most `cpus` CPUs charge a bucket at the same instant. `None` if a packet would cost nothing (a rate above 2²⁴ × hz) or the
    /// bucket would hold more than a quarter of the range of times (2¹⁸ ticks).
    pub fn new(packets: u64, burst: u64, hz: u64, cpus: u64) -> Option<Self> {
        let units = hz.checked_mul(1 << FRACTION_BITS)?;
        let interval = units.checked_div(packets)?;
        let depth = interval.checked_mul(burst.max(1))?.checked_add(TICK)?;
        if interval == 0 || depth > HALF_RANGE / 2 {
            return None;
        }
        let horizon = depth
            .saturating_add(interval.saturating_mul(cpus))
            .min(HALF_RANGE);
        Some(Self {
            interval,
            depth,
            horizon,
        })
    }
}

/// Bytes that a limit in bytes has the price of, as a power of two.
const BYTES_LOG2: u32 = 8;
/// The largest frame that a limit in bytes is asked about: an aggregate of one IP packet's length
/// behind an Ethernet header and two tags.
pub const LARGEST_FRAME: u64 = 65_535 + 22;

impl Limit {
    /// `bytes` a second and a burst of so many bytes, at least one of the largest frames. `None` as
    /// in [`Limit::new`], and for less than about 1,000 bytes a second.
    pub fn of_bytes(bytes: u64, burst: u64, hz: u64, cpus: u64) -> Option<Self> {
        let units = hz.checked_mul(1 << (FRACTION_BITS + BYTES_LOG2))?;
        let interval = units.checked_div(bytes)?;
        let cost = |bytes: u64| Some(interval.checked_mul(bytes)? >> BYTES_LOG2);
        let depth = cost(burst.max(LARGEST_FRAME))?.checked_add(TICK)?;
        if interval == 0 || depth > HALF_RANGE / 2 {
            return None;
        }
        let horizon = depth
            .saturating_add(cost(LARGEST_FRAME)?.saturating_mul(cpus))
            .min(HALF_RANGE);
        Some(Self {
            interval,
            depth,
            horizon,
        })
    }

    /// What a frame of so many bytes costs under a limit in bytes.
    #[inline(always)]
    pub const fn cost(&self, bytes: u32) -> u64 {
        self.interval.wrapping_mul(bytes as u64) >> BYTES_LOG2
    }

    /// Whether there is no limit: all zero, as settings are where nobody set one.
    #[inline(always)]
    pub const fn is_none(&self) -> bool {
        self.interval == 0
    }
}

/// The moment of a tick, as buckets count it: where a word has its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now(u64);

impl Now {
    /// From a tick count.
    #[inline(always)]
    pub const fn from_tick(tick: u64) -> Self {
        Self(tick.wrapping_shl(FRACTION_BITS + TAG_BITS))
    }
}

/// The tag of a word: part of the hash of the source it belongs to, and odd.
#[inline(always)]
pub const fn tag(word: u64) -> u64 {
    word & ((1 << TAG_BITS) - 1)
}

/// The tag of buckets that nobody shares. All tags are odd, for a word of zero is one that nobody
/// wrote.
pub const UNSHARED: u64 = 1;

/// How far the bucket is from full, in units of time. Zero is full, and so is a word that nobody
/// wrote, whatever the time.
///
/// Without a branch: in a flood of new sources, what the word says is anyone's guess, and a
/// branch that is guessed wrong waits for the line to come from memory.
#[inline(always)]
pub fn deficit(word: u64, now: Now, limit: &Limit) -> u64 {
    let ahead = word.wrapping_sub(now.0) >> TAG_BITS;
    let written = sign(word << 63);
    let sane = below(ahead, limit.horizon.wrapping_add(1));
    ahead & written & sane
}

/// What to do with a word to charge its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Add this, atomically: the word belongs to the source and its bucket is not full.
    Add(u64),
    /// Put this there.
    Store(u64),
}

impl Write {
    /// The word after the write.
    pub const fn applied(self, word: u64) -> u64 {
        match self {
            Self::Add(amount) => word.wrapping_add(amount),
            Self::Store(word) => word,
        }
    }
}

/// Charges so many units of time to a bucket with this deficit; `None` if it is refused.
#[inline(always)]
pub const fn charge(deficit: u64, tag: u64, now: Now, limit: &Limit, cost: u64) -> Option<Write> {
    let after = deficit.wrapping_add(cost);
    if after > limit.depth {
        return None;
    }
    Some(grant(deficit, tag, now, cost))
}

/// How a granted charge is written to a bucket with this deficit.
#[inline(always)]
pub const fn grant(deficit: u64, tag: u64, now: Now, cost: u64) -> Write {
    let cost = cost.wrapping_shl(TAG_BITS);
    if deficit > 0 {
        Write::Add(cost)
    } else {
        Write::Store(now.0.wrapping_add(cost) | tag)
    }
}

/// Charges a bucket that nobody shares; says whether the packet is within the limit.
#[inline(always)]
pub fn take(word: &mut u64, now: Now, limit: &Limit) -> bool {
    match charge(
        deficit(*word, now, limit),
        UNSHARED,
        now,
        limit,
        limit.interval,
    ) {
        Some(Write::Add(amount)) => {
            *word = word.wrapping_add(amount);
            true
        }
        Some(Write::Store(new)) => {
            *word = new;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What zeroed maps hold at a time just before the 44 bits wrap.
    #[test]
    fn a_word_that_nobody_wrote_is_a_full_bucket_at_any_time() {
        let limit = Limit::new(1, 1, 250, 1).expect("the bucket holds one packet");
        for tick in (0..1 << 20).step_by(97).chain([0xf_fffe, 0xf_ffff]) {
            assert_eq!(deficit(0, Now::from_tick(tick), &limit), 0, "tick {tick}");
        }
    }
}
