//! The real object with the features of one stage only, over maps that are filled as that stage
//! needs them.

use anyhow::{Context as _, Result};
use filter_common::{
    abi::{
        defence::Defence,
        entry::{EntryKey, EntryValue, Lengths, ListId, lengths_index},
        feature::Feature,
        lifeline::{LifelineRule, Lifelines, gate_bit},
        rules::{RuleAction, RuleEntry},
        settings::{CLASSES, Class, FragmentPolicy, Metering, Settings},
    },
    logic::{
        address::{Address, Family},
        gate::{self, Bit, LINE_WORDS},
        lines::Line,
        packet::protocol,
    },
};
use filter_user::{
    dataplane::kernel::Specimen,
    rules::{
        Rule, ServiceMatch,
        compile::{Member, compile},
    },
    sets::{self, List, near::Near},
};
use ipnet::IpNet;

use super::{
    super::{http, sandbox::hosts},
    prefixes,
    section::Subject,
};

/// Bans there can be by default.
const BANS: u32 = 1 << 18;
/// Sources that a table holds by default.
const SOURCES: u32 = 1 << 18;
/// Lines that tell owners apart; one list needs none.
const OWNER_LINES: usize = 0;

/// Loads stages under the settings that a daemon chose by itself.
pub struct Stages {
    /// Those settings.
    pub settings: Settings,
}

impl Stages {
    /// A program with these features and nothing in its maps.
    pub fn bare(&self, name: &str, features: &[Feature]) -> Result<Subject> {
        self.load(name, features, &[], &self.settings, |_| Ok(()))
    }

    /// The real program at its limits: packets, and bytes where told, of sources or of prefixes.
    pub fn limits(&self, name: &str, feature: Feature) -> Result<Subject> {
        // A limit in bytes that is not reached, as the others are not.
        let mut limits = [self.settings.source.limits[Class::All as usize]; CLASSES];
        limits[Class::Bytes as usize].depth = limits[Class::Bytes as usize].horizon;
        let all = Class::ALL.iter().fold(0, |set, class| set | class.bit());
        let metering = Metering {
            limits,
            always: all,
            pressed: all,
        };
        let settings = Settings {
            source: metering,
            prefix: metering,
            ..self.settings
        };
        let sizes = [
            ("SOURCES", SOURCES / 2),
            ("SOURCE_BYTES", SOURCES / 8),
            ("PREFIXES", SOURCES / 8),
            ("PREFIX_BYTES", SOURCES / 32),
        ];
        self.load(name, &[feature], &sizes, &settings, |_| Ok(()))
    }

    /// Lifelines, one of them for the port that the packets go to.
    pub fn lifelines(&self, name: &str) -> Result<Subject> {
        let settings = Settings {
            lifeline_gate: gate_bit(http::PORT),
            ..self.settings
        };
        let elsewhere = Address::from(std::net::IpAddr::from([192, 0, 2, 0]));
        let rule = LifelineRule::from_prefix(&elsewhere, 24, protocol::TCP, http::PORT);
        let mut lifelines = Lifelines {
            count: 4,
            ..Lifelines::default()
        };
        lifelines.rules[..4].fill(rule);
        self.load(name, &[Feature::Lifelines], &[], &settings, |specimen| {
            Ok(specimen.set("LIFELINES", 0, &lifelines)?)
        })
    }

    /// As many bans as there can be by default, the [banned](prefixes::BANNED) source among them.
    pub fn bans(&self, name: &str) -> Result<Subject> {
        let key = self.settings.key;
        self.load(
            name,
            &[Feature::Bans],
            &[("BANS", BANS)],
            &self.settings,
            |specimen| {
                let mut gate = vec![Line::default(); gate::ENTRIES as usize];
                let members = prefixes::v4(BANS - 1).chain([prefixes::BANNED]);
                for member in members {
                    let address = Address::from(std::net::IpAddr::from(member));
                    let entry = EntryValue {
                        until: EntryValue::NEVER,
                        ..EntryValue::default()
                    };
                    specimen.insert("BANS", &EntryKey::covering(&address, 32), &entry)?;
                    let bit = Bit::of(&address, &key);
                    for line in [bit.line(), bit.inner_line()] {
                        if let Some(line) = gate.get_mut(line as usize) {
                            line[bit.word()] |= bit.mask();
                        }
                    }
                }
                specimen.fill("GATE", 0, &gate)?;
                let mut lengths = Lengths::default();
                lengths.insert(32);
                Ok(specimen.set("LENGTHS", lengths_index(ListId::Ban, Family::V4), &lengths)?)
            },
        )
    }

    /// One list with so many IPv4 members, and with the IPv6 prefixes if told.
    pub fn list(&self, name: &str, members: u32, with_v6: bool) -> Result<Subject> {
        let mut list: Vec<IpNet> = prefixes::v4(members)
            .map(|it| IpNet::from(std::net::IpAddr::from(it)))
            .collect();
        if with_v6 {
            for (address, length) in prefixes::v6() {
                list.push(IpNet::new(address.into(), length)?);
            }
        }
        list.sort_unstable();
        let lists = [List {
            number: 0,
            prefixes: &list,
        }];
        let sets = sets::build(&lists, OWNER_LINES)?;
        let near = Near::of(&sets, &lists, &self.settings.key);
        let (gate, _) = near.words.as_chunks::<LINE_WORDS>();
        let mut features = vec![Feature::Set4];
        let mut sizes = vec![("SET4", u32::try_from(sets.v4.lines.len())?)];
        if with_v6 {
            features.push(Feature::Set6);
            sizes.push(("SET6", u32::try_from(sets.v6.len())?));
        }
        self.load(name, &features, &sizes, &self.settings, |specimen| {
            specimen.fill("SET4", 0, &sets.v4.lines)?;
            specimen.fill("SET6", 0, &sets.v6)?;
            Ok(specimen.fill("GATE", 0, gate)?)
        })
    }

    /// So many rules, of which no packet here meets any, beside other features.
    pub fn rules(&self, name: &str, rules: u32, beside: &[Feature]) -> Result<Subject> {
        let rules: Vec<Rule> = (0..rules).map(rule).collect::<Result<_>>()?;
        let members: Vec<Member<'_>> = rules
            .iter()
            .map(|rule| Member { rule, ends: false })
            .collect();
        let table = compile(&members, &[])?;
        let entries: Vec<RuleEntry> = (0..)
            .zip(&rules)
            .map(|(slot, _)| RuleEntry {
                until: u64::MAX,
                slot,
                action: RuleAction::Drop as u8,
                ..RuleEntry::default()
            })
            .collect();
        let mut features = beside.to_vec();
        if !rules.is_empty() {
            features.push(Feature::Rules);
        }
        self.load(name, &features, &[], &self.settings, |specimen| {
            specimen.fill("RULE_TABLE", 0, &table)?;
            Ok(specimen.fill("RULES", 0, &entries)?)
        })
    }

    /// A service that the packets go to, without a ceiling.
    pub fn service(&self, name: &str) -> Result<Subject> {
        let service = ServiceMatch {
            to: vec![IpNet::from(std::net::IpAddr::from(hosts::SERVER.v4))],
            protocol: protocol::TCP,
            port: Some(http::PORT),
        };
        let table = compile(&[], &[service])?;
        self.load(
            name,
            &[Feature::Services],
            &[],
            &self.settings,
            |specimen| Ok(specimen.fill("RULE_TABLE", 0, &table)?),
        )
    }

    /// Fragments are limited.
    pub fn fragments(&self, name: &str) -> Result<Subject> {
        let settings = Settings {
            fragment_policy: FragmentPolicy::Limit as u32,
            fragments: self.settings.source.limits[Class::All as usize],
            ..self.settings
        };
        self.load(name, &[Feature::Fragments], &[], &settings, |_| Ok(()))
    }

    /// A defence that is on.
    pub fn defence(&self, name: &str, feature: Feature, defence: Defence) -> Result<Subject> {
        let settings = Settings {
            defences_always: defence.bit(),
            ..self.settings
        };
        self.load(name, &[feature], &[], &settings, |_| Ok(()))
    }

    fn load(
        &self,
        name: &str,
        features: &[Feature],
        sizes: &[(&'static str, u32)],
        settings: &Settings,
        fill: impl FnOnce(&mut Specimen) -> Result<()>,
    ) -> Result<Subject> {
        let set = features.iter().fold(0, |set, feature| set | feature.bit());
        let load = || {
            let mut specimen = Specimen::load(set, sizes)?;
            specimen.set("SETTINGS", 0, settings)?;
            fill(&mut specimen)?;
            Ok(Subject {
                name: name.to_owned(),
                program: specimen.program()?,
            })
        };
        let subject: Result<Subject> = load();
        subject.with_context(|| format!("cannot make ready the stage \"{name}\""))
    }
}

/// Rules as operators write them, about ports, prefixes, flags and lengths; none is about SYNs to a
/// web server from the sources here.
fn rule(number: u32) -> Result<Rule> {
    let (high, low) = (number / 256, number % 256);
    let text = match number % 5 {
        0 => format!("drop udp sport {} length > {}", 1000 + number, 100 + number),
        1 => format!("drop tcp from 10.{high}.{low}.0/24 dport {}", 2000 + number),
        2 => format!("drop tcp from 100.{high}.{low}.0/24 flags SYN/SYN,ACK ttl < 20"),
        3 => format!("drop ip6 proto 47 from 2001:db8:{number:x}::/48"),
        _ => format!("pass udp from 192.168.{low}.0/24 dport {}", 3000 + number),
    };
    text.parse()
        .map_err(|error| anyhow::anyhow!("the rule {text:?}: {error}"))
}
