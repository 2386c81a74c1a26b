//! The binary interface between the eBPF program and userspace.
//!
//! Every type is `repr(C)`, of integers only, without padding, its size asserted here; a change
//! to any of them, or to what a number means, raises [`VERSION`].

pub mod counter;
pub mod cpu;
pub mod defence;
pub mod entry;
pub mod feature;
pub mod lifeline;
pub mod reason;
pub mod rules;
pub mod sample;
pub mod service;
pub mod settings;
pub mod traffic;

/// Version of everything in this module. A daemon that finds pinned maps of another version
/// replaces them instead of reading them.
pub const VERSION: u32 = 7;

/// Asserts the size of a type at compile time, and lets aya copy it in and out of maps.
macro_rules! map_value {
    ($($type:ty: $size:expr),+ $(,)?) => {$(
        const _: () = assert!(core::mem::size_of::<$type>() == $size);
        // SAFETY: `repr(C)`, integers only, and the asserted size leaves no room for padding.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    )+};
}
pub(crate) use map_value;
