//! TCP, and what is aimed at the filter itself by means of it.

use crate::{keep_their_promise, row};

#[test]
fn row_01_syns_from_random_sources() {
    keep_their_promise(&row(1));
}

#[test]
fn row_02_syns_from_one_source_or_a_few() {
    keep_their_promise(&row(2));
}

#[test]
fn row_03_syns_to_closed_ports() {
    keep_their_promise(&row(3));
}

#[test]
fn row_04_syn_acks_of_real_servers() {
    keep_their_promise(&row(4));
}

#[test]
fn row_05_acks_that_belong_to_no_connection() {
    keep_their_promise(&row(5));
}

#[test]
fn row_06_resets_fins_and_flags_that_no_client_sends() {
    keep_their_promise(&row(6));
}

#[test]
fn row_07_connections_from_real_sources() {
    keep_their_promise(&row(7));
}

#[test]
fn row_23_a_partner_in_whose_name_others_forge() {
    keep_their_promise(&row(23));
}

#[test]
fn row_24_sources_chosen_to_collide() {
    keep_their_promise(&row(24));
}

#[test]
fn row_25_a_crowd_loses_nothing() {
    keep_their_promise(&row(25));
}
