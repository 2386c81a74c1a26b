//! The policy before a change that nobody has confirmed, from a tick on.

use filter_common::abi::{
    defence::ProtocolPolicy,
    entry::EntryValue,
    lifeline::Lifelines,
    reason::Reason::{self, Blocked, Clean, ProtocolDrop, RuleDrop},
    service::{SERVICES, Service},
    settings::Settings,
};
use filter_user::{
    api::types::ListKind::{Allow, Block},
    config::units::parse_prefix,
    core::lists::key,
    dataplane::{Before, Dataplane as _},
};

use crate::{
    bench::Bench,
    force::Force,
    frame::{UDP, udp, v4},
};

const GRE: u8 = 47;

fn datagram(from: &str) -> Vec<u8> {
    v4(from, UDP, udp(1024, 7000)).frame()
}

impl Bench {
    fn in_force(&mut self) -> Settings {
        self.kernel.settings().expect("settings are read")
    }

    fn write(&mut self, settings: &Settings) {
        self.kernel
            .set_settings(settings)
            .expect("settings are written");
    }

    /// Waits for the tick that is so many tenths of a second away, with what was before.
    fn try_until(&mut self, before: Before, tenths: u64) -> u64 {
        let mut settings = self.in_force();
        self.kernel.set_before(&before).expect("written");
        let until = self.kernel.tick().expect("the clock runs") + self.hz() * tenths / 10;
        settings.confirm_by = until;
        self.write(&settings);
        until
    }

    fn reasons(&mut self, frames: &[Vec<u8>]) -> Vec<Reason> {
        frames
            .iter()
            .map(|frame| self.run(frame).reason())
            .collect()
    }

    /// What becomes of frames before a tick and once it has come, if this machine was fast enough to
    /// see both.
    fn around_all(&mut self, tick: u64, frames: &[Vec<u8>]) -> Option<[Vec<Reason>; 2]> {
        let before = self.reasons(frames);
        let is_before = self.kernel.tick().expect("the clock runs") < tick;
        self.wait_for(tick);
        is_before.then(|| [before, self.reasons(frames)])
    }

    fn mark(&mut self, list: filter_user::api::types::ListKind, prefix: &str, absent: u64) {
        let key = key(&parse_prefix(prefix).expect("a prefix"));
        let value = EntryValue {
            until: EntryValue::NEVER,
            packets: 0,
            absent,
        };
        self.kernel
            .set_entry(list.id(), &key, &value)
            .expect("there is room");
    }
}

fn before(settings: Settings) -> Before {
    Before {
        settings,
        held: settings,
        lifelines: Lifelines::default(),
        protocols: Force::new().protocols,
        ceilings: [Service::default(); SERVICES as usize],
    }
}

#[test]
fn entries_that_were_added_go_and_those_that_were_removed_come_back() {
    let frames = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(datagram);
    let seen = (2..20).find_map(|tenths| {
        let mut bench = Bench::new();
        let listed = Force::new()
            .block("192.0.2.1")
            .block("192.0.2.2")
            .block("192.0.2.3")
            .block("192.0.2.0/24")
            .allow("192.0.2.3")
            .allow("192.0.2.4");
        bench.put(&listed);
        bench.mark(Block, "192.0.2.1", EntryValue::ADDED);
        bench.mark(Block, "192.0.2.2", EntryValue::REMOVED);
        // The wider entry is met in both, behind the others.
        bench.mark(
            Block,
            "192.0.2.0/24",
            EntryValue::REMOVED | EntryValue::ADDED,
        );
        bench.mark(Allow, "192.0.2.3", EntryValue::ADDED);
        bench.mark(Allow, "192.0.2.4", EntryValue::REMOVED);
        let settings = bench.in_force();
        let until = bench.try_until(before(settings), tenths);
        bench.around_all(until, &frames)
    });
    let [during, after] = seen.expect("a machine that is fast enough");
    assert_eq!(during, [Blocked, Clean, Reason::Allowed, Clean]);
    assert_eq!(after, [Clean, Blocked, Blocked, Reason::Allowed]);
}

#[test]
fn settings_rules_and_policies_of_protocols_go_back_together() {
    let gre = v4("192.0.2.9", GRE, vec![0; 8]).frame();
    let frames = [datagram("192.0.2.9"), gre];
    let seen = (2..20).find_map(|tenths| {
        let mut bench = Bench::new();
        bench.put(&Force::new().rule("drop udp dport 7000"));
        let old = bench.in_force();
        bench.kept = Some(old.bank());
        let changed = |port: u16| {
            Force::new()
                .rule(&format!("drop udp dport {port}"))
                .policies(&[(GRE, ProtocolPolicy::Drop)])
        };
        bench.put(&changed(7001));
        let until = bench.try_until(before(old), tenths);
        // The bank of the policy before stays, however often the other changes.
        for port in 7002..7005 {
            bench.put(&changed(port).with(|settings| settings.confirm_by = until));
        }
        bench.around_all(until, &frames)
    });
    let [during, after] = seen.expect("a machine that is fast enough");
    assert_eq!(during, [Clean, ProtocolDrop]);
    assert_eq!(after, [RuleDrop, Clean]);
}

#[test]
fn a_bank_that_the_kernel_may_go_back_to_is_not_written_over() {
    let mut bench = Bench::new();
    bench.put(&Force::new().rule("drop udp dport 7000"));
    let old = bench.in_force();
    bench.put(&Force::new());
    let mut settings = bench.in_force();
    bench.kernel.set_before(&before(old)).expect("written");
    settings.confirm_by = u64::MAX;
    bench.write(&settings);
    let refused = bench.kernel.set_rules(old.bank(), &Default::default());
    assert!(refused.expect_err("it is needed").0.contains("in force"));
    // Nothing waits any more.
    settings.confirm_by = 0;
    bench.write(&settings);
    bench
        .kernel
        .set_rules(old.bank(), &Default::default())
        .expect("it is free");
    assert_eq!(bench.run(&datagram("192.0.2.9")).reason(), Clean);
}

#[test]
fn what_is_held_is_held_in_the_policy_before_too() {
    let mut bench = Bench::new();
    let force = Force::new().block("192.0.2.1");
    bench.put(&force.with(|settings| settings.enforced = 0));
    let watched = bench.in_force();
    let enforcing = Settings {
        enforced: Reason::all_drops(),
        ..watched
    };
    let frame = datagram("192.0.2.1");
    let now = bench.kernel.tick().expect("the clock runs");
    let far = now + bench.hz() * 600;
    for (held_until, confirm_by, wanted) in [
        (0, 0, Clean),
        (far, 0, Clean),
        (0, far, Clean),
        (0, now, Clean),
        (far, now, Blocked),
    ] {
        bench.kernel.set_held(&watched).expect("written");
        let before = Before {
            held: enforcing,
            ..before(watched)
        };
        bench.kernel.set_before(&before).expect("written");
        bench.write(&Settings {
            held_until,
            confirm_by,
            ..watched
        });
        assert_eq!(
            bench.run(&frame).reason(),
            wanted,
            "{held_until} {confirm_by}"
        );
    }
}
