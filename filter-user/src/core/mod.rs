//! What floodwall should do: state and decisions, without any I/O.

pub mod actor;
pub mod command;
pub mod refusal;
