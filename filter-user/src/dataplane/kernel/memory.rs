//! Arrays that userspace writes without a system call for each element.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use filter_common::logic::lines::{Line, WORDS};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::dataplane::DataplaneError;

/// The lines of an array map that was made with `BPF_F_MMAPABLE`, in this process's memory.
#[derive(Debug)]
pub(super) struct Lines {
    start: NonNull<Line>,
    count: usize,
}

// SAFETY: the memory belongs to the map, not to a thread.
unsafe impl Send for Lines {}

impl Lines {
    /// Of a map of `count` lines.
    pub(super) fn of(name: &str, map: impl AsFd, count: usize) -> Result<Self, DataplaneError> {
        let none = || DataplaneError(format!("the map {name} has no lines"));
        let bytes = NonZeroUsize::new(count * size_of::<Line>()).ok_or_else(none)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        let start = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, map, 0) };
        let start = start
            .map_err(|error| DataplaneError::new(format!("mapping {name} into memory"), error))?;
        Ok(Self {
            start: start.cast(),
            count,
        })
    }

    /// Writes lines from the first on, while no program reads them.
    pub(super) fn fill(&mut self, lines: &[Line]) {
        let count = lines.len().min(self.count);
        // SAFETY: there are `count` lines on both sides, which cannot overlap, for only this
        // borrows the mapping.
        unsafe {
            self.start
                .as_ptr()
                .copy_from_nonoverlapping(lines.as_ptr(), count);
        }
    }

    /// Writes a line word by word, each of which programs see either as it was or as it is. A line
    /// that is not there is passed over.
    pub(super) fn set(&mut self, index: usize, line: &Line) {
        if index >= self.count {
            return;
        }
        for (place, word) in (0..WORDS).zip(line) {
            self.word(index, place).store(*word, Ordering::Release);
        }
    }
}

impl Lines {
    /// Every line, each word as it is at the moment.
    pub(super) fn iter(&self) -> impl Iterator<Item = Line> {
        self.some(0, self.count)
    }

    /// A line, each word as it is at the moment, if it is there.
    pub(super) fn line(&self, index: usize) -> Option<Line> {
        if index >= self.count {
            return None;
        }
        let mut line = Line::default();
        for (place, word) in line.iter_mut().enumerate() {
            *word = self.word(index, place).load(Ordering::Acquire);
        }
        Some(line)
    }

    /// Clears bits of every word, whatever programs set in it meanwhile.
    pub(super) fn clear(&mut self, bits: u64) {
        for index in 0..self.count {
            for place in 0..WORDS {
                let word = self.word(index, place);
                // A page that nobody wrote to need not be there.
                if word.load(Ordering::Relaxed) & bits != 0 {
                    word.fetch_and(!bits, Ordering::AcqRel);
                }
            }
        }
    }

    /// Makes a word what it is wanted to be. What a program sets in it meanwhile stays, if it sees
    /// to it first that it is wanted.
    pub(super) fn renew(&mut self, index: usize, place: usize, wanted: impl Fn() -> u64) {
        if index >= self.count || place >= WORDS {
            return;
        }
        let word = self.word(index, place);
        word.fetch_and(wanted(), Ordering::SeqCst);
        word.fetch_or(wanted(), Ordering::SeqCst);
    }

    /// Lines from one on, as many as there are of them, each word as it is at the moment.
    pub(super) fn some(&self, from: usize, count: usize) -> impl Iterator<Item = Line> {
        let end = from.saturating_add(count).min(self.count);
        (from..end).filter_map(|index| self.line(index))
    }

    /// A word of a line, both of which are there.
    fn word(&self, index: usize, place: usize) -> &AtomicU64 {
        debug_assert!(index < self.count && place < WORDS);
        // SAFETY: the line lies within the mapping and the word within its line, and a page's words
        // are aligned; everybody reads and writes them as a whole.
        unsafe {
            let words = self.start.as_ptr().add(index).cast::<u64>();
            AtomicU64::from_ptr(words.add(place))
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and nobody borrows it any more.
        let result = unsafe { munmap(self.start.cast(), self.count * size_of::<Line>()) };
        if let Err(error) = result {
            tracing::warn!("unmapping a map: {error}");
        }
    }
}
