//! What the network tests, the demo and the benchmarks share.

pub mod document;
#[cfg(feature = "lab")]
pub mod lab;
