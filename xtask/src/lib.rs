//! What the network tests, the demo and the benchmarks share.

#[cfg(feature = "lab")]
pub mod lab;
