//! The loaded program, alone in a bpffs of its own, on one CPU.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use filter_common::{
    abi::{
        counter::{self, COUNTERS},
        entry::EntryValue,
        lifeline::{LifelineRule, Lifelines, SessionKey},
        reason::{Action, Reason},
        sample::Sample,
        settings::Settings,
    },
    logic::{address::Address, bucket::Limit, hash::HashKey},
};
use filter_user::{
    api::types::ListKind,
    config::{AttachPreference, Config, Tables as Sizes, units::parse_prefix},
    core::lists::key,
    daemon::tables::{Moment, Move, Tables},
    dataplane::{Counters, Dataplane, Image, ProgramReport, bpffs::PinFolder, kernel::Kernel},
    sets::{self, List, near::Near},
};
use ipnet::IpNet;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, CpuSet, sched_getcpu, sched_setaffinity, unshare},
    unistd::{Pid, geteuid},
};

/// Lines of the source table.
const SOURCES: u32 = 1 << 12;

/// The program, ready to judge frames.
pub struct Bench {
    pub kernel: Kernel,
    tables: Tables,
    entries: Vec<(ListKind, IpNet)>,
    lists: Vec<(u8, Vec<IpNet>)>,
    // Last, so that nothing is open in the file system when it goes.
    _pins: Pins,
}

/// What is in force.
pub struct Force {
    pub settings: Settings,
    /// With the tick at which each ends.
    pub entries: Vec<(ListKind, IpNet, u64)>,
    /// Imported lists by number.
    pub lists: Vec<(u8, Vec<IpNet>)>,
    pub lifelines: Vec<LifelineRule>,
    pub sessions: Vec<SessionKey>,
}

/// What became of a frame.
#[derive(Debug)]
pub struct Fate {
    pub verdict: u32,
    pub before: Counters,
    pub after: Counters,
    pub samples: Vec<Sample>,
}

impl Bench {
    /// Loads the program. Fails without root: nothing is skipped.
    pub fn new() -> Self {
        assert!(
            geteuid().is_root(),
            "golden packets go through the loaded program, and that takes root: `cargo xtask \
             test` asks sudo for it"
        );
        pin_to_one_cpu();
        let pins = Pins::new();
        let folder = PinFolder::open(&pins.folder.path().join("bpf/floodwall"))
            .expect("a bpffs can be mounted");
        let sizes = Sizes {
            block: 1024,
            allow: 1024,
            bans: 1024,
            lists_v4: 1024,
            lists_v6: 1024,
            sources: SOURCES,
            ..Config::default().tables
        };
        let mut kernel = Kernel::load(folder, &sizes, AttachPreference::Auto)
            .expect("the verifier accepts the program");
        let tables = Tables::new(&mut kernel, HASH_KEY).expect("the maps can be read");
        Self {
            kernel,
            tables,
            entries: Vec::new(),
            lists: Vec::new(),
            _pins: pins,
        }
    }

    /// Replaces the program by one with other features; tells what is loaded then.
    pub fn reshape(&mut self, features: u64) -> (ProgramReport, BTreeMap<String, u64>) {
        let image = Image {
            features,
            sets: None,
        };
        self.kernel.place(image).expect("the program is replaced");
        let report = Dataplane::program(&mut self.kernel).expect("a program");
        let maps = self.kernel.maps().into_iter();
        (report, maps.map(|map| (map.name, map.bytes)).collect())
    }

    pub fn hz(&self) -> u64 {
        self.kernel.hz()
    }

    /// Puts other settings and lists in force.
    pub fn put(&mut self, force: &Force) {
        let gone = std::mem::take(&mut self.entries);
        self.carry(
            gone.into_iter()
                .map(|(kind, prefix)| (kind, prefix, true, false)),
        );
        let wanted = force
            .entries
            .iter()
            .map(|(kind, prefix, _)| (*kind, *prefix));
        self.entries = wanted.collect();
        self.carry(
            self.entries
                .clone()
                .into_iter()
                .map(|(kind, prefix)| (kind, prefix, false, true)),
        );
        for (kind, prefix, until) in &force.entries {
            let value = EntryValue {
                until: *until,
                packets: 0,
            };
            self.kernel
                .set_entry(kind.id(), &key(prefix), &value)
                .expect("there is room");
        }
        if force.lists != self.lists {
            self.place(&force.lists);
        }
        let mut settings = force.settings;
        settings.open_gate_v6 = u32::from(self.tables.is_gate_open_v6());
        self.kernel
            .set_settings(&settings)
            .expect("settings are written");
        let mut lifelines = Lifelines {
            count: force.lifelines.len() as u32,
            ..Lifelines::default()
        };
        for (slot, rule) in lifelines.rules.iter_mut().zip(&force.lifelines) {
            *slot = *rule;
        }
        self.kernel
            .set_lifelines(&lifelines)
            .expect("lifelines are written");
        for old in self.kernel.sessions().expect("sessions are read") {
            self.kernel
                .set_session(&old, false)
                .expect("a session is removed");
        }
        for session in &force.sessions {
            self.kernel
                .set_session(session, true)
                .expect("a session is added");
        }
    }

    /// Puts imported lists in place.
    pub fn place(&mut self, lists: &[(u8, Vec<IpNet>)]) {
        self.lists = lists.to_vec();
        let lists: Vec<List<'_>> = lists
            .iter()
            .map(|(number, prefixes)| List {
                number: *number,
                prefixes,
            })
            .collect();
        let sets = sets::build(&lists, 1024).expect("sets that fit");
        let near = Near::of(&sets, &lists, &HASH_KEY);
        self.tables
            .set_gate_of_sets(&mut self.kernel, vec![Arc::new(near)])
            .expect("the gate is written");
        let image = Image {
            features: u64::MAX,
            sets: Some(&sets),
        };
        self.kernel.place(image).expect("the sets are put in place");
    }

    fn carry(&mut self, entries: impl Iterator<Item = (ListKind, IpNet, bool, bool)>) {
        let moves: Vec<Move> = entries
            .map(|(kind, prefix, before, after)| Move {
                kind,
                prefix,
                before: before.then_some(None),
                after: after.then_some(None),
            })
            .collect();
        let moment = Moment {
            now: filter_user::clock::now(),
            tick: self.kernel.tick().expect("the clock runs"),
            hz: self.kernel.hz(),
        };
        self.tables
            .carry(&mut self.kernel, &moves, moment)
            .expect("entries are written");
    }

    /// Runs a frame through the program.
    pub fn run(&mut self, frame: &[u8]) -> Fate {
        let before = self.kernel.counters().expect("counters are read");
        let verdict = self.kernel.run(frame).expect("the program runs");
        let after = self.kernel.counters().expect("counters are read");
        Fate {
            verdict,
            before,
            after,
            samples: self.samples(),
        }
    }

    /// The samples that wait.
    pub fn samples(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.kernel.samples(&mut |sample| samples.push(*sample));
        samples
    }
}

impl Fate {
    /// Asserts that the frame was counted under `reason`, and, if `observed` says so, as what
    /// another reason would have dropped; and under nothing else.
    pub fn assert(&self, frame: &[u8], reason: Reason, observed: Option<Reason>, is_sampled: bool) {
        for index in 0..COUNTERS {
            let (before, after) = (self.before[index as usize], self.after[index as usize]);
            let moved = (
                after.packets.wrapping_sub(before.packets),
                after.bytes.wrapping_sub(before.bytes),
            );
            let is_counted = index == counter::happened(reason)
                || observed.is_some_and(|reason| index == counter::observed(reason.code()));
            let expected = if is_counted {
                (1, frame.len() as u64)
            } else {
                (0, 0)
            };
            assert_eq!(
                moved,
                expected,
                "counter {index} ({}) of 128, as packets and bytes; expected is {reason:?}, \
                 observed {observed:?}",
                name(index)
            );
        }
        let (verdict, dropped) = match reason.action() {
            Action::Pass => (XDP_PASS, 0),
            Action::Drop => (XDP_DROP, 1),
        };
        assert_eq!(self.verdict, verdict, "the XDP verdict");
        if !is_sampled {
            assert!(self.samples.is_empty(), "the budget of samples is used up");
            return;
        }
        let [sample] = self.samples.as_slice() else {
            panic!("one sample within budget, not {}", self.samples.len())
        };
        let captured = frame.len().min(sample.bytes.len());
        assert_eq!(
            sample.reason,
            observed.unwrap_or(reason).code(),
            "the sample's reason"
        );
        assert_eq!(sample.dropped, dropped, "whether the sample was dropped");
        assert_eq!(sample.length, frame.len() as u32, "the sample's length");
        assert_eq!(
            usize::from(sample.captured),
            captured,
            "bytes in the sample"
        );
        assert_eq!(
            sample.bytes[..captured],
            frame[..captured],
            "the sample's bytes"
        );
        assert!(sample.bytes[captured..].iter().all(|byte| *byte == 0));
    }
}

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

fn name(index: u32) -> String {
    let code = (index % 64) as u8;
    let what = if index < 64 { "happened" } else { "observed" };
    match Reason::try_from(code) {
        Ok(reason) => format!("{what}: {reason:?}"),
        Err(_) => format!("{what}: code {code}"),
    }
}

/// The secret of the tables here.
pub const HASH_KEY: HashKey = HashKey::from_random([
    0x9e37_79b9_7f4a_7c15,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x27d4_eb2f_1656_67c5,
]);

impl Force {
    /// Everything enforced, nothing listed, no limit, and samples without end.
    pub fn new() -> Self {
        let settings = Settings {
            enforced: Reason::all_drops(),
            key: HASH_KEY,
            ..Settings::default()
        };
        Self {
            settings,
            entries: Vec::new(),
            lists: Vec::new(),
            lifelines: Vec::new(),
            sessions: Vec::new(),
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn list(mut self, kind: ListKind, prefix: &str, until: u64) -> Self {
        let prefix = parse_prefix(prefix).expect("a prefix");
        self.entries.push((kind, prefix, until));
        self
    }

    pub fn block(self, prefix: &str) -> Self {
        self.list(ListKind::Block, prefix, EntryValue::NEVER)
    }

    pub fn ban(self, prefix: &str) -> Self {
        self.list(ListKind::Ban, prefix, EntryValue::NEVER - 1)
    }

    /// Members of the imported list with a number, in any order.
    pub fn listed(mut self, number: u8, prefixes: &[&str]) -> Self {
        let parsed = prefixes
            .iter()
            .map(|text| parse_prefix(text).expect("a prefix"));
        let mut members: Vec<IpNet> = parsed.collect();
        members.sort_unstable();
        self.lists.push((number, members));
        self
    }

    pub fn allow(self, prefix: &str) -> Self {
        self.list(ListKind::Allow, prefix, EntryValue::NEVER)
    }

    pub fn lifeline(mut self, rule: LifelineRule, port: u16) -> Self {
        self.lifelines.push(rule);
        self.settings.lifeline_gate |= filter_common::abi::lifeline::gate_bit(port);
        self
    }

    pub fn session(mut self, source: &str, source_port: u16, port: u16) -> Self {
        self.sessions
            .push(SessionKey::new(&address(source), source_port, port));
        self.settings.lifeline_gate |= filter_common::abi::lifeline::gate_bit(port);
        self
    }
}

pub fn address(text: &str) -> Address {
    Address::from(text.parse::<std::net::IpAddr>().expect("an address"))
}

/// So many packets, and then one a minute: no test waits for that.
pub fn only(packets: u64, hz: u64) -> Limit {
    Limit::new(1, packets, hz * 60, 1).expect("the bucket holds it")
}

/// Samples, ceilings and pressure are counted for each CPU.
pub fn pin_to_one_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu().expect("a CPU"))
        .expect("its number fits");
    sched_setaffinity(Pid::from_raw(0), &cpus).expect("this thread can be bound");
}

/// A folder for a bpffs, in a mount namespace of this thread: whatever way the test ends, the
/// file system and the maps in it go.
struct Pins {
    folder: tempfile::TempDir,
    bpf: PathBuf,
}

impl Pins {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace can be made");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .expect("mounts can be made private");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bpf = folder.path().join("bpf");
        Self { folder, bpf }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // It may not be mounted, if mounting is what failed.
        let _ = umount2(&self.bpf, MntFlags::MNT_DETACH);
    }
}
