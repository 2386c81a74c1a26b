//! What floodwall should do: state and decisions, without any I/O.
//!
//! [`decide::decide`] turns a command into changes as data; [`state::State`] is what they change,
//! and gives the inverse of each; the daemon carries them to the kernel and to the store.

pub mod actor;
pub mod command;
pub mod cookies;
pub mod decide;
pub mod defences;
pub mod facts;
pub mod features;
pub mod gate;
pub mod guard;
pub mod held;
pub mod lists;
pub mod local;
pub mod ports;
pub mod reflectors;
pub mod refusal;
pub mod rules;
pub mod settings;
pub mod shadow;
pub mod silence;
pub mod state;
pub mod trial;
pub mod why;
