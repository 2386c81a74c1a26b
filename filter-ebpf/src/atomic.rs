//! Atomic addition, which the BPF target has but `core::sync::atomic` does not offer for it.

/// Adds to a word that several CPUs share; wraps.
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
