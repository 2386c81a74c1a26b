//! What the `xtask` binaries share.

#[cfg(feature = "lab")]
pub mod lab;
