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

/// The word of a table at an index that counts words.
#[inline(always)]
pub fn word(lines: &(impl Lines + ?Sized), index: u32) -> Option<u64> {
    let line = lines.line(index >> 3)?;
    Some(line[(index & 7) as usize])
}

/// The 16-bit number at an index that counts such numbers from line `first`; little end first.
#[inline(always)]
pub fn half(lines: &(impl Lines + ?Sized), first: u32, index: u32) -> Option<u16> {
    let line = lines.line(first.wrapping_add(index >> 5))?;
    let word = line[(index >> 2 & 7) as usize];
    Some(word.wrapping_shr((index & 3).wrapping_mul(16)) as u16)
}
