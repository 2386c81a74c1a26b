//! What is wrong with packets themselves, whoever sends them.

use crate::{keep_their_promise, row};

#[test]
fn row_14_fragments_that_no_datagram_has() {
    keep_their_promise(&row(14));
}

#[test]
fn row_15_protocols_that_nobody_uses() {
    keep_their_promise(&row(15));
}

#[test]
fn row_16_land_and_martians() {
    keep_their_promise(&row(16));
}

#[test]
fn row_22_options_jumbo_frames_minimal_frames_and_lengths_that_lie() {
    keep_their_promise(&row(22));
}
