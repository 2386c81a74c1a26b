//! The one module that imports aya.

pub mod pins;
