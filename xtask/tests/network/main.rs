//! floodwall as operators and packets meet it: the real daemon and the real command line in
//! network namespaces.
//!
//! Needs root, for namespaces and BPF.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, helpers included"
)]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod api;
mod attach;
mod block;
mod configuration;
mod controller;
mod defences;
mod faults;
mod flooded;
mod import;
mod limits;
mod mode;
mod refusals;
mod restart;
mod rules;
mod service;
mod state;
mod swap;
mod trial;
