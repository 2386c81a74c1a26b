//! Which programs are measured together, and with which packets.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Array, Map, MapData};
use filter_common::abi::{feature::Feature, settings::Settings};

use super::{
    super::{
        floodwall::{Config, Floodwall},
        programs::Lab,
        sandbox::{Options, Sandbox},
    },
    live::{self, Absorbed},
    load::{self, Load},
    parallel::{self, Growth},
    prefixes::{self, MILLION},
    section::{Effort, Measured, Section},
    stages::Stage,
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
}

impl Protected {
    fn start(binary: &Path, tables: &str) -> Result<Self> {
        let sandbox = Sandbox::new(&Options::default())?;
        let mut config = Config::new("enforce");
        config.more = tables.to_owned();
        let floodwall = Floodwall::start(&sandbox, binary, &config)?;
        Ok(Self { floodwall, sandbox })
    }
}

impl Daemons {
    /// Starts them.
    pub fn start(binary: &Path) -> Result<Self> {
        Ok(Self {
            default: Protected::start(binary, "")?,
            listed: Protected::start(binary, "[tables]\nblock = 2000000\n")?,
        })
    }

    /// Fills the lists of the second one, and tells what that took.
    pub fn fill(&self, cpu: usize, times: u32) -> Result<Load> {
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

    /// Ends the daemons and floods the first one's interface.
    pub fn flood(self, binary: &Path, cpu: usize, turns: u32) -> Result<Vec<Absorbed>> {
        let Self { default, listed } = self;
        drop(listed);
        let Protected { floodwall, sandbox } = default;
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

/// Measures everything that is measured in nanoseconds.
pub fn measure(lab: &mut Lab, daemons: &Daemons, effort: Effort) -> Result<Vec<Measured>> {
    let settings = daemons.settings()?;
    let mut measured = Vec::new();
    eprintln!("filling the reference maps …");
    subject::fill_hash(lab, 0..MILLION)?;
    subject::fill_lru(lab)?;
    subject::fill_trie(lab, 0..MILLION)?;
    subject::fill_trie_v6(lab, &prefixes::v6())?;
    for section in [
        whole(lab, daemons)?,
        listed(lab, daemons)?,
        listed_v6(lab, daemons)?,
        alone(lab, &settings)?,
    ] {
        measured.push(section.measure(lab, effort)?);
    }
    Ok(measured)
}

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

/// Every stage without the others.
fn alone(lab: &mut Lab, settings: &Settings) -> Result<Section> {
    let stages = [
        ("parse and verdict", &[][..]),
        ("lifelines", &[Feature::Lifelines]),
        ("source limits", &[Feature::SourcePackets]),
        ("samples", &[Feature::Samples]),
    ];
    let mut subjects = vec![subject::floor(lab)?];
    for (name, features) in stages {
        let stage = Stage {
            name,
            features,
            sizes: &[],
        };
        subjects.push(stage.load(settings, |_| Ok(()))?);
    }
    Ok(Section {
        id: "stages",
        title: "the real program with one stage at a time".to_owned(),
        subjects,
        traffics: vec![
            traffic::one()?,
            traffic::botnet()?,
            traffic::random()?,
            traffic::random_v6()?,
        ],
    })
}
