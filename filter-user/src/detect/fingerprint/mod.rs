//! Rules that the controller finds by itself, with bounded harm.
//!
//! A sample of [calm](Calm) traffic is kept. While an attack gets through, [`find()`] looks for the
//! match that catches most of its samples and least of calm traffic, and says with 95 % certainty
//! how much of calm traffic that is at most; without enough calm traffic to go by, nothing is
//! harmless.

mod bits;
mod calm;
mod candidates;
mod condition;
mod find;
mod held;
mod lifecycle;
#[cfg(test)]
mod lifecycle_tests;
mod pattern;
#[cfg(test)]
mod scenery;
mod score;
mod share;
mod stored;
#[cfg(test)]
mod tests;

pub use self::{
    calm::Calm,
    condition::fits,
    find::find,
    lifecycle::Fingerprints,
    score::{Aim, Fingerprint},
    share::Share,
    stored::{Stored, understood},
};
