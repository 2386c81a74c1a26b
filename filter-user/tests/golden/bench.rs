//! The loaded program, alone in a bpffs of its own, on one CPU.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    path::PathBuf,
    sync::Arc,
};

use aya::programs::{TestRun as _, TestRunOptions};
use filter_common::{
    abi::{
        counter::{self, COUNTERS, Counter},
        defence::{LOCAL_LINES, LocalLine, PORT_WORDS, PortSet},
        entry::EntryValue,
        feature::Feature,
        lifeline::Lifelines,
        reason::{Action, Reason},
        rules::BANKS,
        sample::Sample,
        service::{SERVICES, Service},
        traffic::{self, TrafficClass},
    },
    logic::{address::Address, hops, known, parse},
};
use filter_user::{
    api::types::ListKind,
    config::{AttachPreference, Config, Paths, Tables as Sizes},
    core::{lists::key, trial::Standing},
    daemon::tables::{Moment, Move, Tables},
    dataplane::{
        Companions as _, CompiledRules, Counters, Dataplane, Image, ProgramReport, Traffic,
        bpffs::PinFolder, kernel::Kernel,
    },
    rules::{
        Rule,
        compile::{Member, compile},
        service::ServiceMatch,
    },
    sets::{self, List, near::Near},
};
use ipnet::IpNet;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, CpuSet, sched_getcpu, sched_setaffinity, unshare},
    unistd::{Pid, geteuid},
};

use crate::force::{Force, HASH_KEY, address, entry, only};

/// Lines of the source table.
const SOURCES: u32 = 1 << 12;

/// The program, ready to judge frames.
pub struct Bench {
    pub kernel: Kernel,
    tables: Tables,
    entries: Vec<(ListKind, IpNet)>,
    lists: Vec<(u8, Vec<IpNet>)>,
    ruled: Ruled,
    bank: u32,
    /// A bank that is not to be written.
    pub kept: Option<u32>,
    // Last, so that nothing is open in the file system when it goes.
    _pins: Pins,
}

/// Rules and services that were put in force.
type Ruled = (Vec<(Rule, u64)>, Vec<(ServiceMatch, Service)>);

/// What became of a frame.
#[derive(Debug)]
pub struct Fate {
    pub verdict: u32,
    pub before: Counters,
    pub after: Counters,
    /// The classes that something was counted in, with how much.
    pub traffic: Vec<(TrafficClass, Counter)>,
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
        Self::over(Pins::new())
    }

    /// Whether a feature works on this kernel; what needs another is left out.
    pub fn has(&self, feature: Feature) -> bool {
        self.kernel.able() & feature.bit() != 0
    }

    /// A word of a pinned array.
    pub fn word(&self, map: &str, index: u32) -> u64 {
        let maps = self._pins.folder.path().join("bpf/floodwall/maps");
        let data = aya::maps::MapData::from_pin(maps.join(map)).expect("a pinned map");
        let array = aya::maps::Array::<_, u64>::try_from(aya::maps::Map::Array(data));
        array.and_then(|it| it.get(&index, 0)).expect("a word")
    }

    /// Ends, and starts again over the same maps.
    pub fn again(mut self) -> Self {
        self.kernel
            .put_in_force()
            .expect("the maps are put in force");
        let Self { kernel, _pins, .. } = self;
        drop(kernel);
        Self::over(_pins)
    }

    fn over(pins: Pins) -> Self {
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
            ruled: Ruled::default(),
            bank: 0,
            kept: None,
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
                ..EntryValue::default()
            };
            self.kernel
                .set_entry(kind.id(), &key(prefix), &value)
                .expect("there is room");
        }
        if force.lists != self.lists {
            self.place(&force.lists);
        }
        self.put_own(force);
        let mut settings = force.settings;
        settings.rule_bank = self.put_rules(force);
        settings.open_gate_v6 = u32::from(self.tables.is_gate_open_v6());
        self.kernel
            .set_settings(&settings)
            .expect("settings are written");
        // Limits with no room need no handshake.
        self.kernel
            .compare_handshakes_until(u64::MAX)
            .expect("the tick is written");
        self.kernel
            .set_protocols(&force.protocols)
            .expect("policies are written");
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
        for frame in &force.sent {
            self.kernel.run_egress(frame).expect("the program runs");
        }
    }

    /// Writes this host's addresses and ports.
    fn put_own(&mut self, force: &Force) {
        let mut local = [LocalLine::default(); LOCAL_LINES as usize];
        for own in &force.own {
            assert!(local[LocalLine::index(own) as usize].insert(own));
        }
        self.kernel
            .set_local(&local)
            .expect("addresses are written");
        for set in PortSet::ALL {
            let mut ports = [0; PORT_WORDS as usize];
            for (_, port) in force.ports.iter().filter(|(of, _)| *of == set) {
                ports[usize::from(port / 64)] |= PortSet::bit(*port);
            }
            self.kernel
                .set_ports(set, &ports)
                .expect("ports are written");
        }
        self.kernel.clear_stamps().expect("stamps are forgotten");
    }

    /// Whether a source is known to arrive with a hop limit. The maps are in force.
    pub fn expects_hops(&self, source: &Address, limit: u8) -> bool {
        let place = hops::Place::of(source, &HASH_KEY);
        place.expects(self.word("HOPS", place.index), limit)
    }

    /// Writes that a source completed a handshake with a hop limit. The maps are in force.
    pub fn expect_hops(&self, source: &str, limit: u8) {
        let place = hops::Place::of(&address(source), &HASH_KEY);
        let maps = self._pins.folder.path().join("bpf/floodwall/maps");
        let data = aya::maps::MapData::from_pin(maps.join("HOPS")).expect("a pinned map");
        let array = aya::maps::Array::<_, u64>::try_from(aya::maps::Map::Array(data));
        let mut array = array.expect("an array");
        let word = array.get(&place.index, 0).expect("a word");
        let word = place.with(word, limit);
        array.set(place.index, word, 0).expect("it is written");
    }

    /// Sources that got data acknowledged on these days, and no others.
    pub fn know(&mut self, sources: &[(&str, Range<u32>)]) {
        let mut known = vec![known::Line::default(); 1 << known::LINES_LOG2];
        for (source, days) in sources {
            let places = known::Places::of(&address(source), &HASH_KEY);
            for mask in &places.masks {
                for day in days.clone() {
                    known[places.line as usize][mask.word as usize] |= mask.bit(day);
                }
            }
        }
        self.kernel.set_known(&known).expect("a table");
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

    /// Writes rules and services into the bank that is not in force, and tells which bank holds
    /// them. What they met before is forgotten.
    fn put_rules(&mut self, force: &Force) -> u32 {
        let wanted = (force.rules.clone(), force.services.clone());
        if self.ruled != wanted {
            let members: Vec<Member<'_>> = force
                .rules
                .iter()
                .map(|(rule, until)| Member {
                    rule,
                    ends: *until != EntryValue::NEVER,
                })
                .collect();
            let places: Vec<ServiceMatch> =
                force.services.iter().map(|(to, _)| to.clone()).collect();
            let room = |burst| only(burst, self.kernel.hz());
            let rules = CompiledRules {
                table: compile(&members, &places).expect("few rules"),
                entries: (0..)
                    .zip(&force.rules)
                    .map(|(slot, (rule, until))| entry(rule, *until, slot, room))
                    .collect(),
            };
            let mut banks = 0..BANKS;
            let is_free = |bank: &u32| *bank != self.bank && Some(*bank) != self.kept;
            self.bank = banks.find(is_free).expect("a third bank");
            self.kernel
                .set_rules(self.bank, &rules)
                .expect("rules are written");
            let mut ceilings = [Service::default(); SERVICES as usize];
            for (slot, (_, ceiling)) in ceilings.iter_mut().zip(&force.services) {
                *slot = *ceiling;
            }
            self.kernel
                .set_services(&ceilings)
                .expect("ceilings are written");
            self.ruled = wanted;
        }
        for slot in 0..force.rules.len() as u32 {
            self.kernel.clear_rule(slot).expect("a rule is cleared");
        }
        for index in 0..force.services.len() as u32 {
            self.kernel
                .clear_service(index)
                .expect("a service is cleared");
        }
        self.bank
    }

    fn carry(&mut self, entries: impl Iterator<Item = (ListKind, IpNet, bool, bool)>) {
        let moves: Vec<Move> = entries
            .map(|(kind, prefix, before, after)| Move {
                kind,
                prefix,
                before: before.then_some(Standing::firm(None)),
                after: after.then_some(Standing::firm(None)),
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
        let traffic = self.traffic();
        let before = self.kernel.counters().expect("counters are read");
        let verdict = self.kernel.run(frame).expect("the program runs");
        let after = self.kernel.counters().expect("counters are read");
        let moved = |(now, before): (Counter, Counter)| Counter {
            packets: now.packets - before.packets,
            bytes: now.bytes - before.bytes,
        };
        let traffic = TrafficClass::ALL
            .into_iter()
            .zip(self.traffic().into_iter().zip(traffic).map(moved))
            .filter(|(_, counter)| *counter != Counter::default())
            .collect();
        Fate {
            verdict,
            before,
            after,
            traffic,
            samples: self.samples(),
        }
    }

    /// What came in: a test run's packets, all of which come from the first interface.
    fn traffic(&mut self) -> Traffic {
        let places = self.kernel.traffic().expect("counters are read");
        places[traffic::place(1) as usize]
    }

    /// Where things lie.
    pub fn paths(&self) -> Paths {
        let folder = self._pins.folder.path();
        Paths {
            socket: folder.join("socket"),
            state: folder.to_owned(),
            bpf: folder.join("bpf/floodwall"),
            cgroup: None,
        }
    }

    /// Runs a frame through the program, and gives the verdict and the frame that is left.
    pub fn transmit(&mut self, frame: &[u8]) -> (u32, Vec<u8>) {
        let mut left = vec![0; 512];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut left);
        let program = self.kernel.program().expect("a program");
        let result = program.test_run(options).expect("the program runs");
        left.truncate(result.data_size_out as usize);
        self.samples();
        (result.return_value, left)
    }

    /// The samples that wait.
    pub fn samples(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.kernel.samples(&mut |sample| samples.push(*sample));
        samples
    }
}

impl Fate {
    /// What the frame was counted under.
    pub fn reason(&self) -> Reason {
        let moved = |reason: &&Reason| {
            let at = counter::happened(**reason) as usize;
            self.after[at].packets > self.before[at].packets
        };
        *Reason::ALL.iter().find(moved).expect("it was counted")
    }

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
        let [(class, counter)] = self.traffic.as_slice() else {
            panic!("one class of traffic, not {:?}", self.traffic)
        };
        assert_eq!(
            (counter.packets, counter.bytes),
            (1, frame.len() as u64),
            "what was counted as {class:?}"
        );
        let reaches_beyond = [Some(reason), observed].contains(&Some(Reason::HeaderSpan));
        assert!(
            classes(frame).contains(class) || reaches_beyond && *class == TrafficClass::Malformed,
            "the class {class:?} of traffic"
        );
        let (verdict, dropped) = match reason.action() {
            Action::Pass => (XDP_PASS, 0),
            Action::Drop => (XDP_DROP, 1),
            Action::Answer => (XDP_TX, 1),
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
        if dropped == 0 {
            assert_eq!(sample.spared, reason.code(), "what spared the sample");
        }
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

pub const XDP_DROP: u32 = 1;
pub const XDP_TX: u32 = 3;
pub const XDP_PASS: u32 = 2;

/// The classes that a frame may be of: which ports are reflectors' is not known here.
fn classes(frame: &[u8]) -> Vec<TrafficClass> {
    match parse::packet(&frame) {
        ControlFlow::Continue(packet) => [true, false]
            .map(|is_reflector| TrafficClass::of(&packet, |_| is_reflector))
            .to_vec(),
        ControlFlow::Break(Reason::NotIp) => vec![TrafficClass::Other],
        ControlFlow::Break(_) => vec![TrafficClass::Malformed],
    }
}

fn name(index: u32) -> String {
    let code = (index % 64) as u8;
    let what = if index < 64 { "happened" } else { "observed" };
    match Reason::try_from(code) {
        Ok(reason) => format!("{what}: {reason:?}"),
        Err(_) => format!("{what}: code {code}"),
    }
}

/// Samples, ceilings and pressure are counted for each CPU.
pub fn pin_to_one_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu().expect("a CPU"))
        .expect("its number fits");
    sched_setaffinity(Pid::from_raw(0), &cpus).expect("this thread can be bound");
}

/// Goes to a network namespace in which there are no sockets.
pub fn leave_sockets_behind() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace can be made");
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
