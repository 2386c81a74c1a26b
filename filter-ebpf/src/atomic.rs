//! Words that several CPUs share.

use filter_common::logic::{
    bucket::{self, Limit, Now, Write},
    source::{self, Line, SETS_LOG2, Slot, WAYS},
};

use crate::shape;

/// Adds to a word; wraps. In assembler: the BPF target has atomic addition, but
/// `core::sync::atomic` does not offer it there.
#[inline(always)]
pub fn add(word: *mut u64, amount: u64) {
    // SAFETY: callers pass a pointer into a live map value, aligned to 8 bytes.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({word} + 0) += {amount}",
            word = in(reg) word,
            amount = in(reg) amount,
            options(nostack),
        );
    }
}

/// Sets bits of a word: in one step where the kernel can (5.12). Elsewhere a bit of another CPU may be
/// lost that sets one of the same word in the same moment.
#[inline(always)]
pub fn set(word: *mut u64, bits: u64) {
    if !shape::has_atomics() {
        // SAFETY: callers pass a pointer into a live map value, aligned to 8 bytes.
        unsafe { word.write_volatile(word.read_volatile() | bits) };
        return;
    }
    // SAFETY: callers pass a pointer into a live map value, aligned to 8 bytes.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({word} + 0) |= {bits}",
            word = in(reg) word,
            bits = in(reg) bits,
            options(nostack),
        );
    }
}

/// Replaces a word if it is still what it was; gives what it was. In one step where the kernel can
/// (5.12); elsewhere two CPUs may both replace it in the same moment.
#[inline(always)]
pub fn exchange(word: *mut u64, old: u64, new: u64) -> u64 {
    if !shape::has_atomics() {
        // SAFETY: callers pass a pointer into a live map value, aligned to 8 bytes.
        let found = unsafe { word.read_volatile() };
        if found == old {
            // SAFETY: likewise.
            unsafe { word.write_volatile(new) };
        }
        return found;
    }
    #[cfg(target_arch = "bpf")]
    {
        let mut found = old;
        // SAFETY: callers pass a pointer into a live map value, aligned to 8 bytes. The instruction
        // compares with `r0`, and leaves there what it found.
        unsafe {
            core::arch::asm!(
                "r0 = cmpxchg_64({word} + 0, r0, {new})",
                word = in(reg) word,
                new = in(reg) new,
                inout("r0") found,
                options(nostack),
            );
        }
        found
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = (word, new);
        old
    }
}

/// Replaces a word by what is made of it, however many CPUs do so at a time; nothing is written where
/// that is the same word.
#[inline(always)]
pub fn update(word: *mut u64, make: impl Fn(u64) -> u64) {
    /// Each failure is another CPU's success, and few share a word.
    const TRIES: u32 = 8;
    // SAFETY: callers pass a pointer into a live map value, aligned to 8 bytes.
    let mut old = unsafe { word.read_volatile() };
    for _ in 0..TRIES {
        let new = make(old);
        if new == old {
            return;
        }
        let found = exchange(word, old, new);
        if found == old {
            return;
        }
        old = found;
    }
}

/// Carries out a bucket's write. Callers pass a pointer into a live map value.
#[inline(always)]
pub fn apply(word: *mut u64, write: Write) {
    match write {
        Write::Add(amount) => add(word, amount),
        // SAFETY: aligned and in bounds, as callers promise.
        Write::Store(value) => unsafe { word.write_volatile(value) },
    }
}

/// Charges so many units of time to a bucket that all senders share; says whether they are within
/// the limit. Callers pass a pointer into a live map value.
#[inline(always)]
pub fn take(word: *mut u64, now: Now, limit: &Limit, cost: u64) -> bool {
    // SAFETY: aligned and in bounds, as callers promise.
    let deficit = bucket::deficit(unsafe { word.read_volatile() }, now, limit);
    match bucket::charge(deficit, bucket::UNSHARED, now, limit, cost) {
        Some(write) => {
            apply(word, write);
            true
        }
        None => false,
    }
}

/// Charges so many units of time to the sender in this slot of a table whose lines have four sets of two ways;
/// says whether it is within the limit. Callers pass the line that the slot lies in.
#[inline(always)]
pub fn charge(line: *mut Line, slot: &Slot, now: Now, limit: &Limit, cost: u64) -> bool {
    let ways = ways(line, slot);
    // SAFETY: both ways lie in the line, which callers promise to be live.
    let words = unsafe { [ways.read_volatile(), ways.add(1).read_volatile()] };
    let charge = source::charge(words, slot.tag, now, limit, cost);
    if !charge.is_kept() {
        // SAFETY: the way is 0 or 1.
        let way = unsafe { ways.add((charge.way & 1) as usize) };
        apply(way, charge.write(slot.tag, now, cost));
    }
    !charge.is_refused()
}

/// The two ways of a slot, in a line of four sets.
#[inline(always)]
pub fn ways(line: *mut Line, slot: &Slot) -> *mut u64 {
    let set = slot.line as usize & ((1 << SETS_LOG2) - 1);
    // SAFETY: the set is one of the line's four.
    unsafe { line.cast::<u64>().add(set.wrapping_mul(WAYS)) }
}
