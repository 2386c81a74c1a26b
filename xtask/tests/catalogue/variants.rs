//! The other rows' attacks in turn, over IPv6, and inside VLAN tags.

use crate::{keep_their_promise, row};

#[test]
fn row_19_pulses_and_changing_vectors() {
    keep_their_promise(&row(19));
}

#[test]
fn row_20_the_same_over_ipv6() {
    keep_their_promise(&row(20));
}

#[test]
fn row_21_the_same_inside_tags() {
    keep_their_promise(&row(21));
}
