//! A short campaign of faults: few rounds of each, under the same flood as the long one.

use xtask::lab::faults::{self, Outcome};

#[track_caller]
fn assert_no_harm(name: &str) {
    let outcome: Outcome = faults::short(name).unwrap();
    assert!(outcome.is_good(), "{outcome:#?}");
}

/// A test for each fault, so that each has a name of its own; and all of them are there.
macro_rules! faults {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                assert_no_harm($name);
            }
        )*

        #[test]
        fn every_fault_has_a_test() {
            let tested = [$($name),*];
            let all: Vec<&str> = faults::all().iter().map(|fault| fault.name).collect();
            assert_eq!(all, tested);
        }
    };
}

faults! {
    without_a_fault_nothing_leaks_and_nothing_is_lost: "control",
    a_kill_does_no_harm: "kill",
    a_restart_does_no_harm: "restart",
    changes_at_random_do_no_harm: "changes",
    a_second_daemon_does_no_harm: "second-daemon",
    a_foreign_program_does_no_harm: "foreign-program",
    a_link_that_goes_down_and_up_does_no_harm: "link-down",
    a_link_that_is_renamed_does_no_harm: "link-renamed",
    a_link_that_is_made_anew_does_no_harm: "link-recreated",
    an_unmounted_bpffs_does_no_harm: "bpffs-unmounted",
    a_full_disk_does_no_harm: "disk-full",
    a_disk_that_refuses_writes_does_no_harm: "disk-read-only",
    a_slow_disk_does_no_harm: "disk-slow",
    a_database_damaged_under_the_daemon_does_no_harm: "database-damaged",
    a_database_of_rubbish_does_no_harm: "database-rubbish",
    a_clock_that_jumps_does_no_harm: "clock",
    a_lack_of_memory_does_no_harm: "memory",
    ten_thousand_connections_do_no_harm: "connections",
    slow_readers_do_no_harm: "slow-readers",
    oversized_bodies_do_no_harm: "oversized",
    full_tables_do_no_harm: "tables",
    a_stopped_daemon_does_no_harm: "stopped",
}
