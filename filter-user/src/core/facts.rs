//! What the core is told about the host.

pub use crate::host::{
    facts::{Facts, Part},
    sessions::Session,
};
