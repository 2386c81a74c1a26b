//! The attacks of the catalogue, as data: what their packets look like and what varies in them.
//!
//! A name may begin with `v6-`, for the same over IPv6, and before that with `vlan-` or `qinq-`,
//! for the same inside one or two VLAN tags.

pub mod album;
mod reflector;
mod table;
mod template;
mod workshop;

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result};

pub use reflector::Reflector;
pub use template::{
    ACK, CLOSED, FROM, GAME, HTTP, PARTNER_V4, PARTNER_V6, Packet, Payload, SYN, Sources, Template,
    Varies,
};
pub use workshop::Workshop;

use super::{frame::Tags, sandbox::Host, shape::abi::PAGE_BYTES};

/// One kind of flood.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What it is called on the command line.
    pub name: String,
    /// Its row in the catalogue.
    pub row: u8,
    /// The same attack over untagged IPv4, or, where there is none, over untagged IPv6.
    pub base: &'static str,
    /// The row of that.
    pub base_row: u8,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// What is sent.
    pub traffic: Traffic,
    /// How that is carried.
    pub carrier: Carrier,
}

/// What carries a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carrier {
    /// IPv6; else IPv4.
    pub v6: bool,
    /// VLAN tags around it.
    pub tags: Tags,
}

impl Carrier {
    /// The address of a host in this family.
    pub fn address_of(self, host: Host) -> IpAddr {
        if self.v6 {
            host.v6.into()
        } else {
            host.v4.into()
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// One frame in which fields vary.
    Template(Template),
    /// Frames made beforehand, over and over.
    Album(fn(&mut Workshop) -> Vec<Vec<u8>>),
    /// Other attacks in turn.
    InTurn {
        /// Their names.
        names: &'static [&'static str],
        /// How long each lasts.
        on: Duration,
        /// How long nothing comes after each.
        off: Duration,
    },
    /// Real machines that complete the handshake, again and again.
    Connections,
    /// Nothing but visitors, fifty times as many as usual.
    Crowd,
}

/// Every attack of the catalogue.
pub fn all() -> Vec<Attack> {
    let mut all: Vec<Attack> = untagged().collect();
    let tagged = table::TAGGED.iter().filter_map(|name| named(name).ok());
    all.extend(tagged);
    all.sort_by_key(|attack| attack.row);
    all
}

fn untagged() -> impl Iterator<Item = Attack> {
    let families = table::BASES
        .iter()
        .flat_map(|base| [false, true].map(|v6| base.attack(v6)));
    families.flatten()
}

/// The attack of this name.
pub fn named(name: &str) -> Result<Attack> {
    let full = table::ALIASES
        .iter()
        .find_map(|(alias, full)| (*alias == name).then_some(*full))
        .unwrap_or(name);
    let (tags, rest) = match (full.strip_prefix("vlan-"), full.strip_prefix("qinq-")) {
        (Some(rest), _) => (Tags::One, rest),
        (_, Some(rest)) => (Tags::Two, rest),
        (None, None) => (Tags::None, full),
    };
    let mut attack = untagged()
        .find(|attack| attack.name == rest)
        .with_context(|| {
            format!("there is no attack {name}; `cargo xtask attack list` names those there are")
        })?;
    if tags != Tags::None {
        attack.name = full.to_owned();
        attack.row = table::TAGGED_ROW;
        attack.carrier.tags = tags;
    }
    Ok(attack)
}

impl Attack {
    /// The frame in which fields vary, if the attack is of that kind.
    pub fn template(&self) -> Result<Vec<u8>> {
        match self.traffic {
            Traffic::Template(template) => Some(template.frame(self.carrier)),
            Traffic::Album(_) | Traffic::InTurn { .. } | Traffic::Connections | Traffic::Crowd => {
                None
            }
        }
        .with_context(|| format!("{} has no template", self.name))
    }

    /// The same, with all its turns within a time, if it has turns and they would take longer.
    pub fn within(&self, time: Duration) -> Self {
        let mut attack = self.clone();
        if let Traffic::InTurn { names, on, off } = &mut attack.traffic {
            let whole = (*on + *off) * names.len() as u32;
            if whole > time {
                *on = on.mul_f64(time.as_secs_f64() / whole.as_secs_f64());
                *off = off.mul_f64(time.as_secs_f64() / whole.as_secs_f64());
            }
        }
        attack
    }

    /// The MTU that its frames need.
    pub fn mtu(&self) -> u32 {
        let longest = self
            .album()
            .and_then(|frames| frames.iter().map(Vec::len).max());
        match longest {
            Some(length) if length > PAGE_BYTES => 9000,
            Some(_) | None => 1500,
        }
    }

    /// The frames that were made beforehand, if the attack is of that kind.
    pub fn album(&self) -> Option<Vec<Vec<u8>>> {
        match self.traffic {
            Traffic::Album(make) => {
                let mut frames = make(&mut Workshop::new(self.carrier.v6));
                for frame in &mut frames {
                    self.carrier.tags.insert(frame);
                }
                Some(frames)
            }
            Traffic::Template(_)
            | Traffic::InTurn { .. }
            | Traffic::Connections
            | Traffic::Crowd => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::frame::mend, *};

    #[test]
    fn every_row_of_the_catalogue_has_attacks_and_names_are_their_own() {
        let all = all();
        for row in 1..=25 {
            assert!(all.iter().any(|attack| attack.row == row), "row {row}");
        }
        for (index, attack) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.name != attack.name));
            let again = named(&attack.name).expect(&attack.name);
            assert_eq!((again.row, again.carrier), (attack.row, attack.carrier));
        }
    }

    #[test]
    fn a_prefix_puts_any_attack_into_tags_and_old_names_are_known() {
        let attack = named("qinq-v6-fin").expect("a name");
        assert_eq!(attack.carrier.tags, Tags::Two);
        assert!(attack.carrier.v6);
        assert_eq!(named("syn6-random").expect("a name").name, "v6-syn-random");
        for name in ["v6-v6-walk", "v6-land-", "vlan-", "walk", "v6-proto-0"] {
            assert!(named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn frames_made_beforehand_fit_and_differ_and_have_right_checksums() {
        for attack in all() {
            let Some(frames) = attack.album() else {
                continue;
            };
            let name = &attack.name;
            assert!(frames.iter().any(|frame| *frame != frames[0]), "{name}");
            if name != "jumbo" {
                let longest = frames.iter().map(Vec::len).max();
                assert!(longest <= Some(PAGE_BYTES), "{name}: {longest:?}");
            }
            // Where a length lies, so does the sum.
            if !["lying-lengths", "minimal"]
                .iter()
                .any(|lie| name.ends_with(lie))
            {
                for frame in frames {
                    let mut mended = frame.clone();
                    mend(&mut mended);
                    assert_eq!(mended, frame, "{name}");
                }
            }
        }
    }

    #[test]
    fn templates_vary_in_what_they_say() {
        for attack in all() {
            if let Traffic::Template(template) = attack.traffic {
                let shape = template.shape(attack.carrier, 1).expect(&attack.name);
                assert_ne!(shape.patches[0].width, 0, "{}", attack.name);
            }
        }
    }
}
