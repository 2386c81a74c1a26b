//! The control socket and the command line, end to end, against a daemon that only takes notes.

mod api;
mod bounds;
mod cli;
mod lab;
mod socket;
