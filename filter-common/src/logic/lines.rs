//! Tables as lines of the cache: what is built whole in userspace and only read by the kernel.

/// A line: 64 bytes.
pub type Line = [u64; WORDS];
/// Words in a line.
pub const WORDS: usize = 8;

/// A table of lines.
pub trait Lines {
    /// The line at an index, if there are so many.
    fn line(&self, index: u32) -> Option<&Line>;
}

impl Lines for [Line] {
    #[inline(always)]
    fn line(&self, index: u32) -> Option<&Line> {
        self.get(usize::try_from(index).ok()?)
    }
}

/// The word of a line at an index, of which the last three bits count.
#[inline(always)]
#[allow(clippy::indexing_slicing, reason = "masked to the words of a line")]
pub fn at(line: &Line, index: u32) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut index = u64::from(index);
        // SAFETY: one instruction on a register. In assembler, for the compiler leaves the bound
        // out where it knows it, and the verifier may know less.
        unsafe {
            core::arch::asm!("{index} &= 7", index = inout(reg) index, options(pure, nomem, nostack));
        }
        line[index as usize & 7]
    }
    #[cfg(not(target_arch = "bpf"))]
    line[index as usize & 7]
}

/// The word of a table at an index that counts words.
#[inline(always)]
pub fn word(lines: &(impl Lines + ?Sized), index: u32) -> Option<u64> {
    Some(at(lines.line(index >> 3)?, index))
}

/// The 16-bit number at an index that counts such numbers from line `first`; little end first.
#[inline(always)]
pub fn half(lines: &(impl Lines + ?Sized), first: u32, index: u32) -> Option<u16> {
    let word = at(lines.line(first.wrapping_add(index >> 5))?, index >> 2);
    Some(word.wrapping_shr((index & 3).wrapping_mul(16)) as u16)
}
