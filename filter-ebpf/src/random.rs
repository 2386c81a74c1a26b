//! Chance.

/// A random number.
#[doc(alias = "bpf_get_prandom_u32")]
#[inline(always)]
pub fn number() -> u32 {
    // SAFETY: the helper takes nothing and has no precondition.
    unsafe { aya_ebpf::helpers::generated::bpf_get_prandom_u32() }
}
