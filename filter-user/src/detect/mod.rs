//! The controller: it notices attacks, decides what meets them, explains it, and forgets in time.
//!
//! All of it is a pure machine. [`Controller::step`] takes what was read of a moment
//! ([`Snapshot`]) and gives what is to be done ([`Output`]): commands, which go through the same door
//! as an operator's, questions about sources, and news of incidents. It reads no clock, opens no
//! file, and gives the same output for the same input; the daemon, the tests and the simulator drive
//! the same one.

pub mod fingerprint;
pub mod input;
pub mod output;
pub mod policy;
pub mod scene;
pub mod sketch;
pub mod threat;
pub mod vector;
pub mod view;

pub use self::{
    input::{Fate, Observed, Snapshot, Standing},
    output::Output,
    scene::{Decided, Scene},
    threat::{Heavy, Threat},
    vector::{Phase, Target, Vector},
    view::{Memory, View},
};
use crate::config::detection::Detection;

/// The machine. Whoever drives it gives it a [`Snapshot`] ten times a second.
#[derive(Debug)]
pub struct Controller {
    config: Detection,
    memory: Memory,
    view: View,
}

impl Controller {
    /// A controller that remembers what an earlier one learned.
    pub fn new(config: Detection, memory: Memory) -> Self {
        Self {
            config,
            memory,
            view: View::default(),
        }
    }

    /// Takes another configuration; what was learned stays.
    pub fn configure(&mut self, config: Detection) {
        self.config = config;
    }

    /// Takes what was read of a moment, and gives what is to be done.
    pub fn step(&mut self, snapshot: &Snapshot) -> Output {
        self.view.at = snapshot.now;
        Output::default()
    }

    /// What is to outlive a restart.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What it sees at the moment, for whoever looks.
    pub fn view(&self) -> &View {
        &self.view
    }
}
