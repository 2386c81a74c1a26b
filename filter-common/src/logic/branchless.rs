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

/// Many choices in a row, by multiplication. Verifiers that came after Linux 6.18 follow both values of
/// a mask that is combined with what they know, as they follow those of a branch; they do not multiply.
pub mod many {
    /// 1, if the top bit is set, else 0; opaque to the compiler, which would make a mask of it.
    #[inline(always)]
    fn top(word: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let mut word = word;
            // SAFETY: one instruction on a register.
            unsafe {
                core::arch::asm!("{word} >>= 63", word = inout(reg) word, options(pure, nomem, nostack));
            }
            word
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            word >> 63
        }
    }

    /// 1, if the numbers are equal, else 0; both are below 2⁶³.
    #[inline(always)]
    pub fn equal(one: u64, other: u64) -> u64 {
        top((one ^ other).wrapping_sub(1))
    }

    /// 1, if `one` is below `other`, else 0; both are below 2⁶³.
    #[inline(always)]
    pub fn below(one: u64, other: u64) -> u64 {
        top(one.wrapping_sub(other))
    }

    /// `one` where the flag is 1, else `other`.
    #[inline(always)]
    pub fn choose(flag: u64, one: u64, other: u64) -> u64 {
        other ^ (one ^ other).wrapping_mul(flag)
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
