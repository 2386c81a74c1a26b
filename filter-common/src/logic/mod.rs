//! What both sides compute. Pure; time is a parameter.

pub mod address;
pub mod bucket;
pub mod control;
pub mod gate;
pub mod hash;
pub mod packet;
pub mod parse;
pub mod sanity;
pub mod source;
