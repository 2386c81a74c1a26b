//! What is fixed when the program is loaded: constants to the verifier, which leaves out the code
//! behind a feature that is off.

use filter_common::abi::{defence::Defence, feature::Feature};

/// The set of [`Feature`]s that this program has.
#[unsafe(no_mangle)]
static FEATURES: u64 = u64::MAX;

/// `64 - log2(lines)` of the table of sources.
#[unsafe(no_mangle)]
static SOURCE_SHIFT: u32 = 64 - 17;

/// `64 - log2(sets)` of the table of sources' bytes.
#[unsafe(no_mangle)]
static SOURCE_BYTES_SHIFT: u32 = 64 - 18;

/// `64 - log2(lines)` of the table of prefixes.
#[unsafe(no_mangle)]
static PREFIX_SHIFT: u32 = 64 - 14;

/// `64 - log2(sets)` of the table of prefixes' bytes.
#[unsafe(no_mangle)]
static PREFIX_BYTES_SHIFT: u32 = 64 - 15;

/// Not zero: the kernel has atomic operations beside addition (5.12).
#[unsafe(no_mangle)]
static ATOMICS: u32 = 1;

/// Not zero: programs may read memory of the kernel, which a lockdown for confidentiality forbids.
#[unsafe(no_mangle)]
static KERNEL_READS: u32 = 1;

/// Reads a constant that userspace may have changed before the load.
macro_rules! constant {
    ($name:ident) => {
        // SAFETY: the static lives as long as the program; nobody writes to it after the load.
        unsafe { (&raw const $name).read_volatile() }
    };
}

/// Whether the program has a feature.
#[inline(always)]
pub fn has(feature: Feature) -> bool {
    constant!(FEATURES) & feature.bit() != 0
}

/// Whether the program has any of a set of features.
#[inline(always)]
pub fn has_any(features: u64) -> bool {
    constant!(FEATURES) & features != 0
}

/// Whether the kernel has atomic operations beside addition. Where it has none, userspace takes them
/// out of the object, so that they must not be reached.
#[inline(always)]
pub fn has_atomics() -> bool {
    constant!(ATOMICS) != 0
}

/// Whether programs may read memory of the kernel.
#[inline(always)]
pub fn can_read_kernel() -> bool {
    constant!(KERNEL_READS) != 0
}

/// The set of [`Defence`]s that the program has: each is a feature, in the same order.
#[inline(always)]
pub fn defences() -> u32 {
    (constant!(FEATURES) >> Feature::Cookies as u32) as u32
}

const _: () = {
    let mut rest: &[Defence] = &Defence::ALL;
    let features = [
        Feature::Cookies,
        Feature::Sockets,
        Feature::ClosedPorts,
        Feature::Solicited,
        Feature::Connections,
        Feature::Icmp,
        Feature::Protocols,
    ];
    let mut others: &[Feature] = &features;
    while let ([defence, more @ ..], [feature, tail @ ..]) = (rest, others) {
        assert!(feature.bit() >> Feature::Cookies as u32 == defence.bit() as u64);
        rest = more;
        others = tail;
    }
    assert!(rest.is_empty() && others.is_empty());
};

/// Shift of the table of sources.
#[inline(always)]
pub fn source_shift() -> u32 {
    constant!(SOURCE_SHIFT)
}

/// Shift of the table of sources' bytes.
#[inline(always)]
pub fn source_bytes_shift() -> u32 {
    constant!(SOURCE_BYTES_SHIFT)
}

/// Shift of the table of prefixes.
#[inline(always)]
pub fn prefix_shift() -> u32 {
    constant!(PREFIX_SHIFT)
}

/// Shift of the table of prefixes' bytes.
#[inline(always)]
pub fn prefix_bytes_shift() -> u32 {
    constant!(PREFIX_BYTES_SHIFT)
}
