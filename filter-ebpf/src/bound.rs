//! Bounds that the verifier can see. The compiler may know a bound and leave its check out, or check
//! one register and use another, which verifiers before Linux 6.13 do not follow through arithmetic
//! (commit 98d7ca374ba4): so they are instructions on the very register that is used.

/// The value's low bits.
#[inline(always)]
pub fn low<const MASK: u32>(value: u64) -> u64 {
    const { assert!(MASK <= i32::MAX as u32) };
    let mut value = value;
    // SAFETY: one instruction on a register.
    unsafe {
        core::arch::asm!(
            "{value} &= {mask}",
            value = inout(reg) value,
            mask = const MASK,
            options(pure, nomem, nostack),
        );
    }
    value
}

/// A length from `LEAST` on that is below `LEAST + SPAN`, a power of two; another comes out as some
/// such length.
#[inline(always)]
pub fn length<const LEAST: u32, const SPAN: usize>(length: u32) -> u32 {
    const { assert!(SPAN.is_power_of_two()) };
    const { assert!(LEAST <= i32::MAX as u32 && SPAN <= i32::MAX as usize) };
    let mut length = u64::from(length);
    // SAFETY: instructions on a register.
    unsafe {
        core::arch::asm!(
            "{length} += -{least}",
            "{length} &= {mask}",
            "{length} += {least}",
            length = inout(reg) length,
            least = const LEAST,
            mask = const SPAN.wrapping_sub(1),
            options(pure, nomem, nostack),
        );
    }
    length as u32
}
