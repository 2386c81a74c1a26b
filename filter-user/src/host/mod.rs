//! The host: what it is, and what it can do.

pub mod doctor;
