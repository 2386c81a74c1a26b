//! Programs for demonstrations, tests and benchmarks: floods, floors and references.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![allow(missing_docs, reason = "what #[xdp] expands to has none")]

mod abi;
mod album;
mod floor;
mod generate;
mod memory;
mod reference;
mod rewrite;
mod witness;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// The kernel asks for a GPL-compatible licence before it gives out its clock.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The kernel runs this crate, not the host; there it is only checked and linted.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
