//! Puts a situation into the kernel's maps.

use std::{collections::BTreeMap, net::IpAddr};

use filter_common::{
    abi::{
        counter::Counter,
        defence::{LOCAL_LINES, LocalLine, PORT_WORDS, PROTOCOLS, PortSet, ProtocolPolicy},
        entry::{EntryKey, EntryValue, Lengths, ListId, lengths_index},
        feature::Feature,
        lifeline::{LifelineRule, Lifelines, SessionKey, gate_bit},
        rules::{RuleEntry, SLOTS},
        sample::Sample,
        settings::{CLASSES, Class, Metering, Settings},
    },
    logic::{
        address::{Address, Family},
        bucket::{FRACTION_BITS, HALF_RANGE, Limit},
        gate::{self, Bit},
        lines::Line,
        packet::Packet,
        peers, set4,
        set6::{NOBODY, Span},
        solicited::Flow,
        source::{self, Slot},
    },
};
use filter_user::{
    config::protocols::Policies,
    core::lists::key,
    dataplane::{
        Counters,
        kernel::{Plain, Specimen},
    },
    rules::compile::{Member, compile},
    sets::{self, List},
};
use ipnet::IpNet;

use super::{
    asked::Noted,
    oracle::Crowds,
    situation::{Entry, Limits, Situation},
};
use crate::force::{HASH_KEY, entry};

/// Sets in each table of senders, as a power of two.
const SETS_LOG2: u32 = 12;
const SHIFT: u32 = 64 - SETS_LOG2;
/// Words of the table of fragments' fates, as a power of two.
const FATES_LOG2: u32 = 14;
/// Lines of the table of sources that rules limit, as a power of two.
const RULE_SOURCES_LOG2: u32 = 14;
/// Lines that a big set can have here.
const SET4_LINES: u32 = set4::DIRECTORY + (1 << 13);
const SET6_LINES: u32 = 1 << 13;

/// The program over maps that situations are put into, one after the other.
pub struct Bed {
    pub specimen: Specimen,
    entries: Vec<(&'static str, EntryKey)>,
    sessions: Vec<SessionKey>,
    gate: BTreeMap<u32, Line>,
    /// Lines of what was asked for.
    asked: Vec<u32>,
    sets: [Vec<Line>; 3],
    start: Start,
}

/// What counters were when the situation began.
struct Start {
    counters: Counters,
    imported: Vec<Counter>,
    rules: Vec<Counter>,
}

impl Bed {
    /// Loads the program with every feature but some.
    pub fn new(without: &[Feature]) -> Self {
        let features = Feature::ALL
            .iter()
            .filter(|feature| !without.contains(feature))
            .fold(0, |set, feature| set | feature.bit());
        let sizes = [
            ("ALLOW", 1024),
            ("BANS", 1024),
            ("BLOCK", 1024),
            ("SOURCES", 1 << SETS_LOG2),
            ("PREFIXES", 1 << SETS_LOG2),
            ("SOURCE_BYTES", 1 << (SETS_LOG2 - 2)),
            ("PREFIX_BYTES", 1 << (SETS_LOG2 - 2)),
            ("SET4", SET4_LINES),
            ("SET6", SET6_LINES),
        ];
        let mut specimen =
            Specimen::load(features, &sizes).expect("the verifier accepts the program");
        let counters = specimen.counters().expect("counters are read");
        Self {
            specimen,
            entries: Vec::new(),
            sessions: Vec::new(),
            gate: BTreeMap::new(),
            asked: Vec::new(),
            sets: [Vec::new(), Vec::new(), Vec::new()],
            start: Start {
                counters,
                imported: Vec::new(),
                rules: Vec::new(),
            },
        }
    }

    /// The kernel's tick.
    pub fn tick(&mut self) -> u64 {
        self.specimen.tick().expect("the clock runs")
    }

    /// Puts a situation in force, and forgets all before it.
    pub fn put(&mut self, situation: &Situation) {
        self.forget();
        let now = self.tick();
        self.put_entries(situation, now);
        self.put_sets(situation);
        self.put_gate(situation);
        self.put_lifelines(situation);
        self.put_rules(situation);
        self.put_policies(situation);
        self.put_own(situation);
        self.set("OVERDRAWN", 0, &u64::MAX);
        self.set("SETTINGS", 0, &settings(situation));
        for sent in &situation.own.sent {
            self.specimen
                .run_egress(&sent.frame())
                .expect("the program runs");
        }
        self.start = Start {
            counters: self.specimen.counters().expect("counters are read"),
            imported: (0..set4::LISTS).map(|list| self.list_hits(list)).collect(),
            rules: slots(situation).map(|slot| self.rule_hits(slot)).collect(),
        };
    }

    /// Everything that packets left behind.
    fn forget(&mut self) {
        let lines = |log2: u32| vec![Line::default(); 1 << log2];
        for (map, log2) in [
            ("SOURCES", SETS_LOG2),
            ("PREFIXES", SETS_LOG2),
            ("SOURCE_BYTES", SETS_LOG2 - 2),
            ("PREFIX_BYTES", SETS_LOG2 - 2),
        ] {
            self.fill(map, 0, &lines(log2));
        }
        self.fill("FRAGMENTS", 0, &vec![0_u64; 1 << FATES_LOG2]);
        self.fill("FRAGMENT_BUCKET", 0, &[0_u64]);
        self.fill("ICMP_BUCKETS", 0, &[0_u64; 3]);
        self.fill("PROTOCOL_BUCKET", 0, &[0_u64]);
        for line in std::mem::take(&mut self.asked) {
            self.set("SOLICITED", line, &Line::default());
        }
        self.fill(
            "NTP_PEERS",
            0,
            &[peers::Line::default(); 1 << peers::LINES_LOG2],
        );
        self.fill("RULE_BUCKETS", 0, &vec![0_u64; SLOTS as usize]);
        self.fill("RULE_SOURCES", 0, &lines(RULE_SOURCES_LOG2));
        self.specimen
            .clear_each("CPU")
            .expect("the CPUs' state is written");
        self.samples();
    }

    fn put_entries(&mut self, situation: &Situation, now: u64) {
        for (map, key) in std::mem::take(&mut self.entries) {
            self.specimen
                .remove::<EntryKey, EntryValue>(map, &key)
                .expect("an entry is removed");
        }
        for (map, list, entries) in tables(situation) {
            let mut lengths = [Lengths::default(), Lengths::default()];
            for entry in entries {
                let until = if entry.has_ended {
                    now
                } else {
                    EntryValue::NEVER
                };
                let value = EntryValue {
                    until,
                    ..EntryValue::default()
                };
                let key = key(&entry.prefix);
                self.specimen
                    .insert(map, &key, &value)
                    .expect("there is room");
                self.entries.push((map, key));
                let family = usize::from(entry.prefix.addr().is_ipv6());
                lengths[family].insert(entry.prefix.prefix_len());
            }
            self.set("LENGTHS", lengths_index(list, Family::V4), &lengths[0]);
            self.set("LENGTHS", lengths_index(list, Family::V6), &lengths[1]);
        }
    }

    fn put_sets(&mut self, situation: &Situation) {
        let mut sorted = situation.lists.imported.clone();
        for prefixes in sorted.values_mut() {
            prefixes.sort();
            prefixes.dedup();
        }
        let lists: Vec<List<'_>> = sorted
            .iter()
            .map(|(number, prefixes)| List {
                number: *number,
                prefixes,
            })
            .collect();
        let built = sets::build(&lists, 1 << 12).expect("the sets can be built");
        assert_eq!(built.v4.approximate_owners, 0, "there is room for owners");
        for (index, (map, mut lines, most)) in [
            ("SET4", built.v4.lines, SET4_LINES),
            ("SET6", built.v6, SET6_LINES),
        ]
        .into_iter()
        .enumerate()
        {
            assert!(lines.len() <= most as usize, "{map} has room");
            if lines.is_empty() {
                lines = nothing()[index].clone();
            }
            self.write_changes(index, map, lines);
        }
    }

    /// Writes the lines that differ from those there, which may go on behind them.
    fn write_changes(&mut self, index: usize, map: &str, lines: Vec<Line>) {
        let mut there = std::mem::take(&mut self.sets[index]);
        there.resize(there.len().max(lines.len()), Line::default());
        for ((at, line), old) in (0..).zip(&lines).zip(&mut there) {
            if old != line {
                self.set(map, at, line);
                *old = *line;
            }
        }
        self.sets[index] = there;
    }

    fn put_gate(&mut self, situation: &Situation) {
        let mut lines: BTreeMap<u32, Line> = BTreeMap::new();
        let entries = tables(situation)
            .into_iter()
            .flat_map(|(_, _, entries)| entries.iter().map(|entry| entry.prefix));
        let imported = situation.lists.imported.values().flatten().copied();
        let inner = entries.clone().flat_map(|prefix| bits(&prefix));
        for bit in inner {
            lines.entry(bit.inner_line()).or_default()[bit.word()] |= bit.mask();
        }
        for bit in entries.chain(imported).flat_map(|prefix| bits(&prefix)) {
            lines.entry(bit.line()).or_default()[bit.word()] |= bit.mask();
        }
        for line in std::mem::take(&mut self.gate).into_keys() {
            self.set("GATE", line, &Line::default());
        }
        for (line, words) in &lines {
            self.set("GATE", *line, words);
        }
        self.gate = lines;
    }

    fn put_lifelines(&mut self, situation: &Situation) {
        let mut lifelines = Lifelines {
            count: situation.lifelines.len() as u32,
            ..Lifelines::default()
        };
        for (slot, line) in lifelines.rules.iter_mut().zip(&situation.lifelines) {
            let rule = match line.from {
                Some(prefix) => {
                    let network = Address::from(prefix.network());
                    LifelineRule::from_prefix(
                        &network,
                        prefix.prefix_len(),
                        line.protocol,
                        line.port,
                    )
                }
                None => LifelineRule::opening_from_anywhere(line.protocol, line.port),
            };
            *slot = rule.with_ceiling(room(line.ceiling));
        }
        self.set("LIFELINES", 0, &lifelines);
        for old in std::mem::take(&mut self.sessions) {
            self.specimen
                .remove::<SessionKey, u8>("SESSIONS", &old)
                .expect("a session is removed");
        }
        let mut sessions: Vec<SessionKey> = situation
            .sessions
            .iter()
            .map(|(from, from_port, to)| SessionKey::new(&Address::from(*from), *from_port, *to))
            .collect();
        sessions.dedup();
        for session in &sessions {
            self.specimen
                .insert("SESSIONS", session, &1_u8)
                .expect("there is room");
        }
        self.sessions = sessions;
    }

    fn put_rules(&mut self, situation: &Situation) {
        let members: Vec<Member<'_>> = situation
            .rules
            .iter()
            .map(|rule| Member { rule, ends: false })
            .collect();
        let table = compile(&members, &[]).expect("so few rules can be compiled");
        self.write_changes(2, "RULE_TABLE", table);
        let entries: Vec<RuleEntry> = situation
            .rules
            .iter()
            .zip(slots(situation))
            .map(|(rule, slot)| entry(rule, EntryValue::NEVER, slot, |burst| room(Some(burst))))
            .collect();
        self.fill("RULES", 0, &entries);
    }

    fn put_own(&mut self, situation: &Situation) {
        let own = &situation.own;
        let mut local = [LocalLine::default(); LOCAL_LINES as usize];
        for address in &own.addresses {
            let address = Address::from(*address);
            assert!(local[LocalLine::index(&address) as usize].insert(&address));
        }
        self.fill("LOCAL", 0, &local);
        for set in PortSet::ALL {
            let mut words = [0_u64; PORT_WORDS as usize];
            for port in own.ports.get(&set).into_iter().flatten() {
                words[usize::from(port / 64)] |= PortSet::bit(*port);
            }
            self.fill("PORTS", set.word(0), &words);
        }
        let flows = own.sent.iter().map(|sent| {
            let remote = Address::from(sent.to);
            Flow::of(&remote, sent.to_port, sent.from_port, &HASH_KEY).line
        });
        self.asked = flows.collect();
    }

    fn put_policies(&mut self, situation: &Situation) {
        let mut policies: Policies = [ProtocolPolicy::Default as u32; PROTOCOLS];
        for (number, policy) in &situation.state.policies {
            policies[usize::from(*number)] = *policy as u32;
        }
        self.fill("PROTOCOLS", 0, &policies);
    }

    /// What rules have counted, by their places; only those that have.
    pub fn rules(&mut self, situation: &Situation) -> BTreeMap<usize, Counter> {
        let counted: Vec<Counter> = slots(situation).map(|slot| self.rule_hits(slot)).collect();
        let moved = counted.iter().zip(&self.start.rules);
        (0..)
            .zip(moved.map(|(counter, start)| since(*counter, *start)))
            .filter(|(_, counter)| counter.packets > 0)
            .collect()
    }

    fn rule_hits(&mut self, slot: u32) -> Counter {
        self.specimen
            .counter("RULE_HITS", slot)
            .expect("rules' counters are read")
    }

    /// By how much the counters have moved.
    pub fn moved(&mut self) -> Counters {
        let mut counters = self.specimen.counters().expect("counters are read");
        for (counter, start) in counters.iter_mut().zip(&self.start.counters) {
            *counter = since(*counter, *start);
        }
        counters
    }

    /// What imported lists have counted; only those that have.
    pub fn imported(&mut self) -> BTreeMap<u8, Counter> {
        let counted: Vec<Counter> = (0..set4::LISTS).map(|list| self.list_hits(list)).collect();
        let moved = counted.iter().zip(&self.start.imported);
        (0..)
            .zip(moved.map(|(counter, start)| since(*counter, *start)))
            .filter(|(_, counter)| counter.packets > 0)
            .collect()
    }

    /// Packets that met the lists with entries: allow, ban, block.
    pub fn met(&mut self, situation: &Situation) -> [u64; 3] {
        tables(situation).map(|(map, _, entries)| {
            let packets = |entry: &Entry| {
                let value: EntryValue = self
                    .specimen
                    .entry(map, &key(&entry.prefix))
                    .expect("the entry is there");
                value.packets
            };
            entries.iter().map(packets).sum()
        })
    }

    /// The samples that wait.
    pub fn samples(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.specimen.samples(&mut |sample| samples.push(*sample));
        samples
    }

    fn list_hits(&mut self, list: u32) -> Counter {
        self.specimen
            .counter("LIST_HITS", list)
            .expect("lists' counters are read")
    }

    fn set<V: Plain>(&mut self, map: &str, index: u32, value: &V) {
        self.specimen
            .set(map, index, value)
            .expect("a map is written");
    }

    fn fill<V: Plain>(&mut self, map: &str, first: u32, values: &[V]) {
        self.specimen
            .fill(map, first, values)
            .expect("a map is written");
    }
}

/// Sets of IPv4 and of IPv6 in which nothing is listed: a directory of nothing; trees without
/// levels, and for each the one span that is nobody's.
fn nothing() -> [Vec<Line>; 2] {
    let spans_at = 16;
    let mut v6 = vec![Line::default(); 3];
    v6[1] = [spans_at, spans_at, 0, 0, 0, 0, 0, 0];
    v6[2][0] = Span::whole(NOBODY).0;
    [vec![Line::default(); set4::DIRECTORY as usize], v6]
}

/// The slots of a situation's rules, which are not their places.
fn slots(situation: &Situation) -> impl Iterator<Item = u32> + use<> {
    (0..situation.rules.len() as u32).map(|place| (place * 97 + 13) % SLOTS)
}

/// Whether the kernel's tables have room for what a packet leaves behind: a table forgets where too
/// much falls together, and the model does not.
pub fn has_room(crowds: &mut Crowds, packet: &Packet, situation: &Situation) -> bool {
    let number = Crowds::number(packet);
    let family = packet.source.family();
    let mask = match family {
        Family::V4 => u64::from(mask_v4(situation)),
        Family::V6 => mask_v6(situation),
    };
    let source = Slot::of_number(family, number, &HASH_KEY, SHIFT);
    let prefix = Slot::of_number(family, number & mask, &HASH_KEY, SHIFT);
    let (fate, flow) = fate(packet);
    let rules = slots(situation).all(|slot| {
        let number = number.wrapping_add(source::salt(slot));
        let shift = 64 - RULE_SOURCES_LOG2 - source::SETS_LOG2;
        let slot = Slot::of_number(family, number, &HASH_KEY, shift);
        crowds.admit(3, slot.line, slot.tag)
    });
    rules
        && crowds.admit(0, source.line, source.tag)
        && crowds.admit(1, prefix.line, prefix.tag)
        && crowds.alone(2, fate, flow)
}

/// Where the fate of a packet's fragments lies, and the tag it goes by.
fn fate(packet: &Packet) -> (u32, u64) {
    let family = packet.source.family();
    let [a, b] = packet.source.numbers();
    let [c, d] = packet.destination.numbers();
    let id = u64::from(packet.fragment_id) << 8 | u64::from(packet.protocol);
    let mut hash = HASH_KEY.set(family, a);
    for part in [b, c, d, id] {
        hash = HASH_KEY.tag(family, (hash ^ part).rotate_left(29));
    }
    ((hash >> (64 - FATES_LOG2)) as u32, hash)
}

fn tables(situation: &Situation) -> [(&'static str, ListId, &[Entry]); 3] {
    let lists = &situation.lists;
    [
        ("ALLOW", ListId::Allow, &lists.allow),
        ("BANS", ListId::Ban, &lists.ban),
        ("BLOCK", ListId::Block, &lists.block),
    ]
}

/// The gate's bits of a prefix.
fn bits(prefix: &IpNet) -> Vec<Bit> {
    let length = prefix.prefix_len();
    match prefix.network() {
        IpAddr::V4(network) => {
            let first = u32::from(network) >> 8;
            let blocks = 1 << 24_u8.saturating_sub(length);
            (first..first + blocks).map(Bit::of_v4_block).collect()
        }
        IpAddr::V6(network) if length >= gate::SHORTEST_V6_NARROW => {
            let first = (u128::from(network) >> 80) as u64;
            let blocks = 1 << 48_u8.saturating_sub(length);
            let bit = |block| Bit::of_v6_block(block, &HASH_KEY);
            (first..first + blocks).map(bit).collect()
        }
        IpAddr::V6(network) if length >= gate::SHORTEST_V6 => {
            let first = (u128::from(network) >> 96) as u64;
            let blocks = 1 << 32_u8.saturating_sub(length);
            let bit = |block| Bit::of_v6_wide_block(block, &HASH_KEY);
            (first..first + blocks).map(bit).collect()
        }
        IpAddr::V6(_) => Vec::new(),
    }
}

fn opens_gate(prefix: &IpNet) -> bool {
    prefix.addr().is_ipv6() && prefix.prefix_len() < gate::SHORTEST_V6
}

fn settings(situation: &Situation) -> Settings {
    let lists = &situation.lists;
    let entries = [&lists.allow, &lists.ban, &lists.block];
    let entries = entries.into_iter().flatten().map(|entry| &entry.prefix);
    let is_open = entries
        .chain(lists.imported.values().flatten())
        .any(opens_gate);
    let ports = situation.lifelines.iter().map(|line| line.port);
    let ports = ports.chain(situation.sessions.iter().map(|session| session.2));
    // Every packet is above a floor of nothing.
    let no_room = Limit {
        interval: PACKET,
        depth: 0,
        horizon: HALF_RANGE,
    };
    Settings {
        enforced: situation.enforced,
        unchecked: situation.unchecked,
        lifeline_gate: ports.fold(0, |set, port| set | gate_bit(port)),
        key: HASH_KEY,
        source: metering(&situation.source),
        prefix: metering(&situation.prefix),
        fragments: room(situation.fragments.limit),
        prefix_mask_v4: u64::from(mask_v4(situation)),
        prefix_mask_v6: mask_v6(situation),
        pressure: if situation.pressed {
            no_room
        } else {
            Limit::default()
        },
        pressure_hold: 1 << 32,
        control: situation.control.map(room),
        sessions: room(situation.session_ceiling),
        fragment_hold: if situation.fragments.remembers {
            1 << 20
        } else {
            0
        },
        fragment_policy: situation.fragments.policy as u32,
        defences_always: situation.state.always,
        defences_pressed: situation.state.pressed,
        icmp_errors: room(situation.state.icmp_errors),
        echo: room(situation.state.echo),
        protocols: room(situation.state.protocols),
        connections: situation.state.connections.map(|is_refused| {
            if is_refused {
                no_room
            } else {
                Limit::default()
            }
        }),
        solicited_since: match situation.own.noted {
            Noted::Never => u64::MAX,
            Noted::Lately | Noted::Long => 0,
        },
        solicited_log2: match situation.own.noted {
            Noted::Lately => 62,
            Noted::Never | Noted::Long => 26,
        },
        open_gate_v6: u32::from(is_open),
        ..Settings::default()
    }
}

fn mask_v4(situation: &Situation) -> u32 {
    u32::MAX << (32 - situation.lengths.0)
}

fn mask_v6(situation: &Situation) -> u64 {
    u64::MAX << (64 - situation.lengths.1)
}

/// Units of time that a packet costs: so many that no test waits for one to come back.
const PACKET: u64 = 1 << 37;
/// The same of a byte, of which more fit into a bucket.
const BYTE: u64 = 1 << 32;
const TICK: u64 = 1 << FRACTION_BITS;
/// Ticks after which a bucket can take what it refused: the price of a byte comes back, but for the
/// tick that every bucket has beyond its room.
pub const REFILL_TICKS: u64 = BYTE / TICK - 1;

/// The limit with room for so many packets.
fn room(packets: Option<u64>) -> Limit {
    packets.map_or_else(Limit::default, |packets| Limit {
        interval: PACKET,
        depth: PACKET * packets + TICK,
        horizon: HALF_RANGE,
    })
}

fn metering(limits: &Limits) -> Metering {
    let mut metering = Metering {
        limits: [Limit::default(); CLASSES],
        always: 0,
        pressed: 0,
    };
    for class in Class::ALL {
        let Some(most) = limits.room[class as usize] else {
            continue;
        };
        metering.limits[class as usize] = match class {
            Class::All | Class::Syn | Class::Udp | Class::Icmp => room(Some(most)),
            // A limit in bytes has the price of 256 of them.
            Class::Bytes => Limit {
                interval: BYTE << 8,
                depth: BYTE * most + TICK,
                horizon: HALF_RANGE,
            },
        };
        metering.pressed |= class.bit();
        metering.always |= class.bit() & limits.always;
    }
    metering
}

fn since(now: Counter, then: Counter) -> Counter {
    Counter {
        packets: now.packets - then.packets,
        bytes: now.bytes - then.bytes,
    }
}
