//! An operator's rules: what a packet must look like, and what is done with it.
//!
//! [`rule`] holds the types and their canonical text, [`parse`] reads that text back, [`compile`]
//! makes the kernel's table of many; [`matches`] says what a rule means, one packet at a time,
//! and is what the kernel is compared with.

pub mod compile;
mod error;
mod lexer;
pub mod matches;
mod names;
pub mod parse;
pub mod question;
pub mod range;
mod region;
pub mod rule;
pub mod service;
#[cfg(test)]
pub mod strategy;

pub use self::{error::SyntaxError, rule::Rule, service::ServiceMatch};
