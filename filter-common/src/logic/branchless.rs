//! Choices without a branch.
//!
//! A branch that the processor guesses wrong costs what its condition waits for: a line from memory.
//! BPF has no conditional move, so these are masks; and the compiler, which would make branches of
//! masks, is kept from seeing how they come about.

/// All bits, if the top bit is set, else none.
#[inline(always)]
pub fn sign(word: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut word = word;
        // SAFETY: one instruction on a register.
        unsafe {
            core::arch::asm!("{word} s>>= 63", word = inout(reg) word, options(pure, nomem, nostack));
        }
        word
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        ((word as i64) >> 63) as u64
    }
}

/// All bits, if the numbers are equal, else none; both are below 2⁶³.
#[inline(always)]
pub fn equal(one: u64, other: u64) -> u64 {
    sign((one ^ other).wrapping_sub(1))
}

/// All bits, if `one` is below `other`; both are below 2⁶³.
#[inline(always)]
pub fn below(one: u64, other: u64) -> u64 {
    sign(one.wrapping_sub(other))
}

/// `one` where the mask is set, else `other`.
#[inline(always)]
pub fn choose(mask: u64, one: u64, other: u64) -> u64 {
    other ^ ((one ^ other) & mask)
}
