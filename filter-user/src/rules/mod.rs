//! An operator's rules: what a packet must look like, and what is done with it.
//!
//! [`rule`] holds the types and their canonical text, [`parse`] reads that text back.

mod error;
mod lexer;
mod names;
pub mod parse;
pub mod range;
pub mod rule;
pub mod service;
#[cfg(test)]
pub mod strategy;

pub use self::{error::SyntaxError, rule::Rule, service::ServiceMatch};
