//! The controller: it notices attacks, decides what meets them, explains it, and forgets in time.
//!
//! All of it is a pure machine. [`Controller::step`] takes what was read of a moment
//! ([`Snapshot`]) and gives what is to be done ([`Output`]): commands, which go through the same door
//! as an operator's, questions about sources, and news of incidents. It reads no clock, opens no
//! file, and gives the same output for the same input; the daemon, the tests and the simulator drive
//! the same one.
//!
//! A step goes this way: counters become rates ([`rates`], [`fates`]), observed packets become
//! shares and crowds ([`profile`], [`crowd`]), both are held against what is usual ([`baseline`]) and
//! weighed ([`evidence`]), what is unusual takes its phases ([`machine`], [`watch`]), decision is told
//! ([`scene`]), and all of it is written down ([`incident`], [`view`]).

pub mod account;
pub mod baseline;
mod controller;
pub mod crowd;
pub mod epoch;
pub mod evidence;
pub mod familiar;
pub mod fates;
pub mod fingerprint;
pub mod harm;
pub mod incident;
pub mod input;
pub mod levels;
pub mod machine;
pub mod output;
pub mod policy;
pub mod profile;
pub mod rates;
pub mod scene;
pub mod sketch;
pub mod strain;
#[cfg(test)]
mod testing;
pub mod threat;
pub mod vector;
pub mod view;
pub mod watch;
pub mod watched;

pub use self::{
    controller::Controller,
    input::{Fate, Observed, Snapshot, Standing},
    output::Output,
    scene::{Decided, Scene},
    threat::{Heavy, Threat},
    vector::{Phase, Target, Vector},
    view::{Memory, View},
};
