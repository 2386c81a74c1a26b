//! What both sides compute. Pure; time is a parameter.

pub mod address;
pub mod branchless;
pub mod bucket;
pub mod classify;
pub mod connections;
pub mod control;
pub mod gate;
pub mod hash;
pub mod known;
pub mod lines;
pub mod packet;
pub mod parse;
pub mod peers;
pub mod quoted;
pub mod sampling;
pub mod sanity;
pub mod seen;
pub mod set4;
pub mod set6;
pub mod share;
pub mod solicited;
pub mod source;
pub mod stamp;
pub mod syn;
pub mod tree;
