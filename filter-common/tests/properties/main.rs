//! What must hold whatever arrives: proved on the host, for the kernel runs the same functions.

mod address;
mod bucket;
mod bytes;
mod flood;
mod parse;
mod quoted;
mod sampling;
mod sanity;
mod solicited;
mod source;
mod syn;
mod traffic;
