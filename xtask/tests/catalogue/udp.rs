//! UDP and ICMP.

use crate::{keep_their_promise, row};

#[test]
fn row_08_udp_to_closed_ports() {
    keep_their_promise(&row(8));
}

#[test]
fn row_09_udp_to_an_open_port() {
    keep_their_promise(&row(9));
}

#[test]
fn row_10_amplified_answers() {
    keep_their_promise(&row(10));
}

#[test]
fn row_11_amplified_answers_in_fragments() {
    keep_their_promise(&row(11));
}

#[test]
fn row_12_dns_queries_for_random_names() {
    keep_their_promise(&row(12));
}

#[test]
fn row_13_echo_and_errors_of_icmp() {
    keep_their_promise(&row(13));
}

#[test]
fn row_17_every_address_of_a_network() {
    keep_their_promise(&row(17));
}

#[test]
fn row_18_ten_thousand_machines() {
    keep_their_promise(&row(18));
}
