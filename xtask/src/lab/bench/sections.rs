//! Which programs are measured together, and with which packets.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Array, Map, MapData};
use filter_common::abi::{defence::Defence, feature::Feature, settings::Settings};

use super::{
    super::{
        floodwall::{Config, Floodwall},
        http::Server,
        programs::Lab,
        sandbox::{Options, Sandbox},
    },
    defences::{self, Sockets},
    live::{self, Absorbed},
    load::{self, Load},
    parallel::{self, Growth},
    part::{Part, Wanted},
    prefixes::{self, BANNED, MILLION},
    section::{Effort, Measured, Section},
    stages::Stages,
    subject, traffic,
};

/// The real daemons whose programs are measured, each in a sandbox of its own.
pub struct Daemons {
    /// Defaults in everything.
    default: Protected,
    /// The same with full lists.
    listed: Protected,
}

struct Protected {
    // In this order: the daemon ends before its namespaces go.
    floodwall: Floodwall,
    sandbox: Sandbox,
    server: Server,
}

impl Protected {
    fn start(binary: &Path) -> Result<Self> {
        let sandbox = Sandbox::new(&Options::default())?;
        // The packets go to its port: to one where nobody listens they would not be clean.
        let server = Server::start(sandbox.server(), None)?;
        // Its controller takes the packets that are measured for a flood, and is not what is measured.
        let mut config = Config::new("enforce");
        config.more = "[detection]\nact = \"suggest\"\n".to_owned();
        let floodwall = Floodwall::start(&sandbox, binary, &config)?;
        Ok(Self {
            floodwall,
            sandbox,
            server,
        })
    }
}

impl Daemons {
    /// Starts them.
    pub fn start(binary: &Path) -> Result<Self> {
        Ok(Self {
            default: Protected::start(binary)?,
            listed: Protected::start(binary)?,
        })
    }

    /// Fills the lists of the second one, and tells what that took.
    pub fn fill(&self, cpu: usize, times: u32) -> Result<Load> {
        let banned = BANNED.to_string();
        self.listed
            .floodwall
            .text(&["ban", "add", &banned, "--for", "1h"])?;
        load::measure(&self.listed.sandbox, &self.listed.floodwall, cpu, times)
    }

    /// Two processors against one.
    pub fn grow(&self, cpu: usize, effort: Effort) -> Result<Vec<Growth>> {
        let other = if cpu == 0 { 1 } else { 0 };
        let mut lab = Lab::load(super::Tables::Tiny)?;
        let subjects = [
            subject::floor(&mut lab)?,
            subject::floodwall("floodwall", &self.default.floodwall)?,
        ];
        let traffics = [traffic::one()?, traffic::random()?];
        parallel::measure(&subjects, &traffics, [cpu, other], effort)
    }

    /// Forged SYNs, answered.
    pub fn answer(&self, cpu: usize, turns: u32) -> Result<Vec<Absorbed>> {
        defences::answers(&self.settings()?, cpu, turns)
    }

    /// Ends the daemons and floods the first one's interface.
    pub fn flood(self, binary: &Path, cpu: usize, turns: u32) -> Result<Vec<Absorbed>> {
        let Self { default, listed } = self;
        drop(listed);
        let Protected {
            floodwall,
            sandbox,
            server,
        } = default;
        drop(server);
        floodwall.uninstall(&sandbox)?;
        live::measure(&sandbox, binary, cpu, turns)
    }

    /// The settings that a daemon chose by itself.
    fn settings(&self) -> Result<Settings> {
        let path = self.default.sandbox.bpf().join("floodwall/maps/SETTINGS");
        let open = || {
            let map = Map::from_map_data(MapData::from_pin(&path)?)?;
            Array::<MapData, Settings>::try_from(map)?.get(&0, 0)
        };
        open().with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Measures everything wanted that is measured in nanoseconds.
pub fn measure(
    lab: &mut Lab,
    daemons: &Daemons,
    wanted: &Wanted,
    effort: Effort,
) -> Result<Vec<Measured>> {
    let stages = Stages {
        settings: daemons.settings()?,
    };
    let mut measured = Vec::new();
    let fills = wanted.has_any(&[Part::Prefixes, Part::Whole, Part::Listed]);
    if fills {
        eprintln!("filling the reference maps …");
        subject::fill_hash(lab, 0..MILLION)?;
        subject::fill_lru(lab)?;
    }
    let mut filled = 0;
    for (members, id, words) in PREFIXES {
        if fills {
            subject::fill_trie(lab, filled..members)?;
            filled = members;
        }
        if wanted.has(Part::Prefixes) {
            measured.push(curve(lab, &stages, members, id, words)?.measure(lab, effort)?);
        }
    }
    if wanted.has(Part::Whole) {
        measured.push(whole(lab, daemons)?.measure(lab, effort)?);
    }
    if wanted.has(Part::Listed) {
        measured.push(listed(lab, daemons)?.measure(lab, effort)?);
        subject::fill_trie_v6(lab, &prefixes::v6())?;
        measured.push(listed_v6(lab, daemons)?.measure(lab, effort)?);
    }
    if wanted.has(Part::Stages) {
        measured.push(alone(lab, &stages)?.measure(lab, effort)?);
    }
    if wanted.has(Part::Rules) {
        measured.push(rules(lab, &stages)?.measure(lab, effort)?);
    }
    if wanted.has(Part::Messages) {
        measured.push(messages(lab, &stages)?.measure(lab, effort)?);
    }
    if wanted.has_any(&[Part::Defences, Part::Cookies]) {
        // In a sandbox of their own: the daemons' have servers.
        let sandbox = Sandbox::new(&Options::default())?;
        let sockets = Sockets::open(&sandbox)?;
        if wanted.has(Part::Defences) {
            measured.push(sockets.measure(&sockets.defences(lab, &stages)?, lab, effort)?);
        }
        if wanted.has(Part::Cookies) {
            measured.push(sockets.measure(&sockets.cookies(lab, &stages)?, lab, effort)?);
        }
    }
    Ok(measured)
}

/// Members of the lists on the cost curve, with the section's id, and in words.
const PREFIXES: [(u32, &str, &str); 4] = [
    (1 << 10, "prefixes 1 k", "1 k"),
    (1 << 14, "prefixes 16 k", "16 k"),
    (1 << 17, "prefixes 128 k", "128 k"),
    (MILLION, "prefixes 1 M", "1 M"),
];

/// One point on the curve of prefixes.
fn curve(
    lab: &mut Lab,
    stages: &Stages,
    members: u32,
    id: &'static str,
    words: &str,
) -> Result<Section> {
    Ok(Section {
        id,
        title: format!("{words} IPv4 prefixes: the list stage alone, and the kernel's trie"),
        subjects: vec![
            subject::floor(lab)?,
            stages.bare("without lists", &[])?,
            stages.list("list stage", members, false)?,
            subject::trie(lab)?,
        ],
        traffics: vec![
            traffic::one()?,
            traffic::random()?,
            traffic::one_listed()?,
            traffic::random_listed(members)?,
        ],
    })
}

/// The curve of rules.
fn rules(lab: &mut Lab, stages: &Stages) -> Result<Section> {
    let mut subjects = vec![subject::floor(lab)?];
    for (count, name) in [
        (0, "no rule"),
        (1, "1 rule"),
        (10, "10 rules"),
        (100, "100 rules"),
        (1000, "1000 rules"),
    ] {
        subjects.push(stages.rules(name, count, DEFAULT)?);
    }
    Ok(Section {
        id: "rules",
        title: "the default program with rules, none of which the packets meet".to_owned(),
        subjects,
        traffics: vec![traffic::one()?, traffic::random()?, traffic::random_v6()?],
    })
}

/// What a program has by default.
const DEFAULT: &[Feature] = &[
    Feature::Lifelines,
    Feature::SourcePackets,
    Feature::Fragments,
    Feature::Samples,
];

/// The whole program at its defaults, beside the kernel's own maps.
fn whole(lab: &mut Lab, daemons: &Daemons) -> Result<Section> {
    Ok(Section {
        id: "whole",
        title: "the whole default program, nothing listed; the kernel's maps hold 1 M".to_owned(),
        subjects: vec![
            subject::floor(lab)?,
            subject::floodwall("floodwall", &daemons.default.floodwall)?,
            subject::hash(lab)?,
            subject::trie(lab)?,
            subject::lru(lab)?,
        ],
        traffics: vec![
            traffic::one()?,
            traffic::botnet()?,
            traffic::random()?,
            traffic::random_v6()?,
        ],
    })
}

/// The whole program with full lists.
fn listed(lab: &mut Lab, daemons: &Daemons) -> Result<Section> {
    Ok(Section {
        id: "listed",
        title: "the whole program, 1 M IPv4 and 250 k IPv6 prefixes listed".to_owned(),
        subjects: vec![
            subject::floor(lab)?,
            subject::floodwall("floodwall, 1 M listed", &daemons.listed.floodwall)?,
            subject::trie(lab)?,
        ],
        traffics: vec![
            traffic::one()?,
            traffic::random()?,
            traffic::one_listed()?,
            traffic::random_listed(MILLION)?,
            traffic::banned()?,
        ],
    })
}

/// The same with IPv6 packets.
fn listed_v6(lab: &mut Lab, daemons: &Daemons) -> Result<Section> {
    Ok(Section {
        id: "listed v6",
        title: "the same, IPv6; the prefixes have 20 lengths".to_owned(),
        subjects: vec![
            subject::floor(lab)?,
            subject::floodwall("floodwall, 1 M listed", &daemons.listed.floodwall)?,
            subject::trie(lab)?,
        ],
        traffics: vec![
            traffic::one_v6()?,
            traffic::random_v6()?,
            traffic::near_listed_v6()?,
        ],
    })
}

/// What is neither TCP nor UDP, above its limits.
fn messages(lab: &mut Lab, stages: &Stages) -> Result<Section> {
    Ok(Section {
        id: "messages",
        title: "ICMP and other protocols: the stages alone, above their limits".to_owned(),
        subjects: vec![
            subject::floor(lab)?,
            stages.bare("parse and verdict", &[])?,
            stages.bare("off", &[Feature::Icmp, Feature::Protocols])?,
            stages.defence("icmp", Feature::Icmp, Defence::Icmp)?,
            stages.defence("protocols", Feature::Protocols, Defence::Protocols)?,
        ],
        traffics: vec![traffic::echo()?, traffic::errors()?, traffic::gre()?],
    })
}

/// Every stage without the others.
fn alone(lab: &mut Lab, stages: &Stages) -> Result<Section> {
    Ok(Section {
        id: "stages",
        title: "the real program with one stage at a time".to_owned(),
        subjects: vec![
            subject::floor(lab)?,
            stages.bare("parse and verdict", &[])?,
            stages.lifelines("lifelines")?,
            stages.bare("allow, block: empty", &[Feature::Allow, Feature::Block])?,
            stages.bans("bans, 256 k")?,
            stages.list("lists, 1 M", MILLION, true)?,
            stages.fragments("fragments")?,
            stages.rules("rules, 1000", 1000, &[])?,
            stages.limits("limits: source", Feature::SourcePackets)?,
            stages.limits("limits: prefix", Feature::PrefixPackets)?,
            stages.limits("bytes: source", Feature::SourceBytes)?,
            stages.limits("bytes: prefix", Feature::PrefixBytes)?,
            stages.service("one service")?,
            stages.defence("icmp", Feature::Icmp, Defence::Icmp)?,
            stages.defence("protocols", Feature::Protocols, Defence::Protocols)?,
            stages.bare("samples", &[Feature::Samples])?,
        ],
        traffics: vec![
            traffic::one()?,
            traffic::botnet()?,
            traffic::random()?,
            traffic::random_v6()?,
        ],
    })
}
