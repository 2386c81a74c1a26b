//! What the file says of the controller.

use std::{collections::BTreeMap, time::Duration};

use crate::detect::Vector;

/// How far the controller may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Act {
    /// It notices and tells, and does nothing.
    Suggest,
    /// It does what it decides.
    #[default]
    Apply,
}

/// What the file says of the controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// How far it may go: defences, limits, bans.
    pub act: Act,
    /// How far it may go with fingerprints.
    pub fingerprints: Act,
    /// The upper 95 % bound of the share of calm traffic that a fingerprint may meet, 0 to 1.
    pub max_collateral: f64,
    /// How long after an attack its defences stay.
    pub recover: Duration,
    /// What the controller may do in a minute.
    pub actions: u32,
    /// The first ban of a source; repetition makes it longer.
    pub ban: Duration,
    /// The longest ban.
    pub ban_most: Duration,
    /// By vector: packets a second below which nothing is an attack.
    pub floor: BTreeMap<Vector, f64>,
    /// By vector: packets a second above which everything is one, whatever is usual.
    pub ceiling: BTreeMap<Vector, f64>,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            act: Act::Apply,
            fingerprints: Act::Apply,
            max_collateral: 0.005,
            recover: Duration::from_secs(60),
            actions: 60,
            ban: Duration::from_secs(60),
            ban_most: Duration::from_secs(3_600),
            floor: BTreeMap::new(),
            ceiling: BTreeMap::new(),
        }
    }
}
