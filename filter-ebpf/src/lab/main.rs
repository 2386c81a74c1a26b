//! Programs for demonstrations, tests and benchmarks: floods, floors and references.

#![no_std]
#![no_main]

mod abi;
mod floor;
mod generate;
mod reference;
mod rewrite;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// The kernel asks for a GPL-compatible licence before it gives out its clock.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
