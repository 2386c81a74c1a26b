//! Golden packets: frames through the loaded program, every counter asserted after each.
//!
//! Takes root, and fails without: nothing is skipped.

mod bench;
mod companions;
mod control;
mod cookies;
mod force;
mod fragments;
mod frame;
mod headers;
mod held;
mod host;
mod icmp;
mod limits;
mod lists;
mod model;
mod modes;
mod protocols;
mod random_rules;
mod row;
mod rules;
mod segment;
mod services;
mod sets;
mod shape;
mod tcp;
mod traffic;
mod trial;
mod udp;

use std::{collections::BTreeSet, panic::AssertUnwindSafe, thread, time::Duration};

use filter_common::abi::{
    feature::Feature,
    reason::{Action, Reason},
};
use filter_user::{clock, dataplane::Dataplane as _};

use bench::Bench;
use row::{Row, Scenario};

fn scenarios(hz: u64) -> Vec<Scenario> {
    let mut all = headers::scenarios();
    all.extend(control::scenarios(hz));
    all.extend(lists::scenarios(hz));
    all.extend(sets::scenarios());
    all.extend(fragments::scenarios(hz));
    all.extend(rules::scenarios(hz));
    all.extend(icmp::scenarios(hz));
    all.extend(protocols::scenarios(hz));
    all.extend(udp::scenarios(hz));
    all.extend(limits::scenarios(hz));
    all.extend(services::scenarios(hz));
    all.extend(modes::scenarios(hz));
    all
}

/// All limits and ends are counted in ticks.
#[test]
fn the_kernel_ticks_as_often_as_it_says() {
    let mut kernel = Bench::new().kernel;
    let hz = kernel.hz() as f64;
    let mut tick = || kernel.tick().expect("the clock runs");
    // Now and then a tick is late, or this thread.
    let agrees = (0..20).any(|_| {
        let (first, start) = (tick(), clock::monotonic());
        thread::sleep(Duration::from_millis(300));
        let due = start.elapsed().as_secs_f64() * hz;
        ((tick() - first) as f64 - due).abs() < due * 0.05
    });
    assert!(agrees, "{hz} ticks a second");
}

#[test]
fn every_golden_packet_meets_its_reason_and_moves_no_other_counter() {
    let mut bench = Bench::new();
    host::enter();
    let sockets = tcp::Host::new();
    let is_whole = bench.has(Feature::Frags);
    let mut rows = 0;
    let mut wrong = Vec::new();
    let mut enforced = BTreeSet::new();
    let mut observed = BTreeSet::new();
    let about_sockets = tcp::scenarios(&mut bench, &sockets);
    for scenario in about_sockets.into_iter().chain(scenarios(bench.hz())) {
        bench.put(&scenario.force);
        for row in scenario
            .rows
            .iter()
            .filter(|row| fits(is_whole, scenario.name, row))
        {
            let run = || check(&mut bench, row);
            if std::panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
                wrong.push(format!("{}: {}", scenario.name, row.says));
            }
            rows += 1;
            enforced.insert(row.reason);
            observed.extend(row.observed);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows} went wrong: {wrong:#?}",
        wrong.len()
    );
    println!("golden packets: {rows}");

    // A row that is left out may have been the only one of its reason.
    if !bench.has(Feature::Cookies) || !bench.has(Feature::Frags) {
        return;
    }
    for reason in Reason::ALL {
        assert!(
            enforced.contains(reason),
            "no row has {reason:?} as its verdict"
        );
        let is_pass = reason.action() == Action::Pass;
        assert_eq!(
            observed.contains(reason),
            !is_pass,
            "rows that observe {reason:?}"
        );
    }
}

/// Whether a row can be tried: a kernel that knows no XDP over several buffers runs programs on a page at
/// most. Where a row counts on a longer one before it, the scenario is left out.
fn fits(is_whole: bool, scenario: &str, row: &Row) -> bool {
    /// A page, without the room before a frame and the notes behind it (`bpf_prog_test_run_xdp`).
    const PAGE: usize = 4096 - 256 - 320;
    const COUNTING: [&str; 2] = ["shares of a ceiling", "ceilings that are only watched"];
    is_whole || row.frame.len() <= PAGE && !COUNTING.contains(&scenario)
}

fn check(bench: &mut Bench, row: &Row) {
    let fate = bench.run(&row.frame);
    fate.assert(&row.frame, row.reason, row.observed, row.is_sampled);
}

#[test]
fn an_entry_counts_the_packets_that_meet_it() {
    use filter_common::abi::entry::ListId;
    use filter_user::{core::lists::key, dataplane::Dataplane as _};
    let mut bench = Bench::new();
    bench.put(
        &force::Force::new()
            .block("192.0.2.0/24")
            .block("192.0.2.1/32"),
    );
    for _ in 0..3 {
        bench.run(&frame::v4("192.0.2.1", frame::UDP, frame::udp(1, 2)).frame());
    }
    let mut packets = |prefix: &str| {
        let key = key(&prefix.parse().expect("a prefix"));
        let value = bench
            .kernel
            .entry(ListId::Block, &key)
            .expect("the list is read");
        value.expect("the entry is there").packets
    };
    let counted = packets("192.0.2.0/24") + packets("192.0.2.1/32");
    assert_eq!(counted, 3, "one entry is met by each packet");
}
