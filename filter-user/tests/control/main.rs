//! The control socket and the command line, end to end, against a daemon that only takes notes.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod api;
mod bounds;
mod cli;
mod fuzz;
mod lab;
mod metrics;
mod socket;
mod top;
