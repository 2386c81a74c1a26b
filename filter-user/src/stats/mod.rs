//! Counters and samples, in words.

pub mod reasons;
