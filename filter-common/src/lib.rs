//! What the eBPF program and the daemon of floodwall must agree on.
//!
//! [`abi`] is what lies in a map or in the ring buffer, [`logic`] is what both sides compute.
//! No allocation, no floats, no clock, no panicking index: the same functions run in the
//! kernel, in the daemon's `why`, and in the model that the tests compare the kernel with.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::float_arithmetic
)]

pub mod abi;
pub mod logic;
