//! Every row of the attack catalogue in short, against the real daemon with every defence on, with
//! people at work beside it: what the row promises is counted, and nothing is timed.
//!
//! Needs root, for namespaces and BPF. The modules run in the order of their names, for what looks
//! at UDP holds only once this host's own requests were noted for a minute.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, helpers included"
)]

mod keeper;

mod packets;
mod replay;
mod tcp;
mod udp;
mod variants;

use std::time::Duration;

use xtask::lab::{
    attack::{self, Attack},
    catalogue::{Effort, Promise, Setup},
};

/// Packets of a flood a second, where the row does not ask for more or less.
const PACE: u64 = 100_000;
/// How long a flood is.
const TIME: Duration = Duration::from_millis(700);

/// The attacks of a row over untagged IPv4, or of the rows that carry others otherwise.
fn row(number: u8) -> Vec<Attack> {
    let attacks: Vec<Attack> = attack::all()
        .into_iter()
        .filter(|attack| attack.row == number)
        .collect();
    assert!(!attacks.is_empty(), "row {number}");
    attacks
}

/// Floods the server with each attack, and holds each to what its row promises.
#[track_caller]
fn keep_their_promise(attacks: &[Attack]) {
    let mut broken = Vec::new();
    for attack in attacks {
        let effort = Effort::of(attack, PACE, TIME);
        let measured = keeper::with(attack, |site| effort.at(site)).unwrap();
        assert!(measured.sent > 0, "{}: nothing was sent", attack.name);
        for complaint in Promise::of(attack, Setup::Defended).broken(&measured) {
            broken.push(format!("{}: {complaint}", attack.name));
        }
    }
    println!("catalogue: {} cases", attacks.len());
    assert!(broken.is_empty(), "{broken:#?}");
}
