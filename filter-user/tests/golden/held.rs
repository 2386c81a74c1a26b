//! What the controller holds beside the operator's settings, until a tick.

use std::{thread, time::Duration};

use filter_common::abi::{
    defence::{Defence, PortSet},
    reason::Reason::{self, Blocked, Clean, ClosedTcp, RuleDrop},
    settings::Settings,
};
use filter_user::dataplane::{Dataplane as _, pins};

use crate::{
    bench::Bench,
    force::Force,
    frame::{TCP, UDP, syn, udp, v4},
};

const BLOCKED: &str = "192.0.2.1";

fn datagram() -> Vec<u8> {
    v4(BLOCKED, UDP, udp(1024, 7000)).frame()
}

/// Ticks that a short test does not last.
fn long(bench: &Bench) -> u64 {
    bench.hz() * 600
}

impl Bench {
    /// Holds settings beside those in force, for so many ticks; gives the tick at which that ends.
    fn hold(&mut self, held: &Settings, ticks: u64) -> u64 {
        let mut settings = self.kernel.settings().expect("settings are read");
        self.kernel.set_held(held).expect("settings are written");
        settings.held_until = self.kernel.tick().expect("the clock runs") + ticks;
        self.kernel
            .set_settings(&settings)
            .expect("settings are written");
        settings.held_until
    }

    pub fn wait_for(&mut self, tick: u64) {
        while self.kernel.tick().expect("the clock runs") < tick {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Says what becomes of a frame before a tick and once it has come, if this machine was fast
    /// enough to see both.
    fn around(&mut self, tick: u64, frame: &[u8]) -> Option<[Reason; 2]> {
        let before = self.run(frame).reason();
        let is_before = self.kernel.tick().expect("the clock runs") < tick;
        self.wait_for(tick);
        is_before.then_some([before, self.run(frame).reason()])
    }
}

#[test]
fn what_is_held_is_in_force_until_its_tick_and_no_longer() {
    let mut bench = Bench::new();
    let force = Force::new().block(BLOCKED);
    let watched = |settings: &mut Settings| settings.enforced = 0;
    bench.put(&Force::new().block(BLOCKED).with(watched));
    assert_eq!(bench.run(&datagram()).reason(), Clean);
    // Written, but not in force.
    bench
        .kernel
        .set_held(&force.settings)
        .expect("settings are written");
    assert_eq!(bench.run(&datagram()).reason(), Clean);
    let seen = (1..10).find_map(|tenths| {
        let until = bench.hold(&force.settings, bench.hz() * tenths / 10);
        bench.around(until, &datagram())
    });
    assert_eq!(seen, Some([Blocked, Clean]));
    // A tick that is over holds nothing.
    let now = bench.kernel.tick().expect("the clock runs");
    let mut settings = bench.kernel.settings().expect("settings are read");
    settings.held_until = now;
    bench
        .kernel
        .set_settings(&settings)
        .expect("settings are written");
    assert_eq!(bench.run(&datagram()).reason(), Clean);
}

/// Every stage agrees on the row: also those that are functions of their own.
#[test]
fn a_defence_that_a_dead_daemon_held_ends() {
    let own = ["203.0.113.1"];
    let force = || Force {
        own: Force::new().defend(Defence::ClosedPorts, &own).own,
        ..Force::new().port(PortSet::TcpOpen, 80)
    };
    let closed = v4("198.51.100.7", TCP, syn(81)).frame();
    let open = v4("198.51.100.7", TCP, syn(80)).frame();
    let mut bench = Bench::new();
    bench.put(&force());
    assert_eq!(bench.run(&closed).reason(), Clean);
    let held = force().defend(Defence::ClosedPorts, &own).settings;
    let mut seen = None;
    // An emulated machine takes its time for a program.
    for tenths in (5..20).chain([40, 80, 160]) {
        let until = bench.hold(&held, bench.hz() * tenths / 10);
        assert_eq!(bench.run(&open).reason(), Clean);
        // The daemon is gone, and another has not written yet.
        bench = bench.again();
        seen = bench.around(until, &closed);
        if seen.is_some() {
            break;
        }
    }
    assert_eq!(seen, Some([ClosedTcp, Clean]));
}

#[test]
fn the_emergency_ends_what_is_held() {
    let mut bench = Bench::new();
    let force = Force::new().block(BLOCKED);
    bench.put(&force);
    bench.hold(&force.settings, long(&bench));
    bench
        .kernel
        .put_in_force()
        .expect("the maps are put in force");
    assert_eq!(bench.run(&datagram()).reason(), Blocked);
    pins::monitor(&bench.paths()).expect("monitor mode");
    let fate = bench.run(&datagram());
    fate.assert(&datagram(), Clean, Some(Blocked), true);
    let settings = bench.kernel.settings().expect("settings are read");
    assert_eq!((settings.enforced, settings.held_until), (0, 0));
    assert!(settings.emergency > 0);
}

#[test]
fn both_rows_name_the_bank_in_force() {
    let mut bench = Bench::new();
    bench.put(&Force::new());
    let none = bench.kernel.settings().expect("settings are read");
    // With what is held, rules change by the operator's row alone.
    bench.hold(&none, long(&bench));
    assert_eq!(bench.run(&datagram()).reason(), Clean);
    let dropping = Force::new()
        .with(|settings| settings.held_until = u64::MAX)
        .rule("drop udp dport 7000");
    bench.put(&dropping);
    let rules = bench.kernel.settings().expect("settings are read");
    assert_ne!(rules.rule_bank, none.rule_bank);
    assert_eq!(bench.run(&datagram()).reason(), RuleDrop);
    // The held row goes ahead, and the operator's was never written: the bank that is to be filled is
    // let go of first.
    bench.kernel.set_held(&none).expect("settings are written");
    assert_eq!(bench.run(&datagram()).reason(), Clean);
    bench
        .kernel
        .set_rules(none.rule_bank, &Default::default())
        .expect("rules are written");
    assert_eq!(bench.run(&datagram()).reason(), RuleDrop);
    let refused = bench.kernel.set_rules(rules.rule_bank, &Default::default());
    let told = refused.expect_err("the bank is in force").0;
    assert!(told.contains("in force"), "{told}");
}
