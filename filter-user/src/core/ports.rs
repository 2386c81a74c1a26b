//! Sets of ports of this host, composed of its sockets, of what is translated, and of what file and
//! operators say.

use std::{collections::BTreeMap, fmt};

use filter_common::abi::defence::{PORT_SETS, PORT_WORDS, PortSet};

use super::{defences::CookieWish, reflectors::reflectors, state::State};
use crate::{config::Config, dataplane::Ports as Words, host::listeners::Place};

/// A set of ports.
#[derive(Clone, PartialEq, Eq)]
pub struct Ports(Box<Words>);

/// What is known of the sockets of this host, and of what stands before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// TCP ports that are listened on.
    pub tcp: BTreeMap<u16, Place>,
    /// UDP ports that sockets are bound to.
    pub udp: BTreeMap<u16, Place>,
    /// UDP ports that serve.
    pub serves: Ports,
    /// Ports that are translated.
    pub translated: Translated,
}

/// Ports whose packets belong to others, or may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// TCP ports whose destination is translated.
    pub tcp: Ports,
    /// UDP ports likewise.
    pub udp: Ports,
    /// Whether sources are translated: answers then come to ports without a socket.
    pub sources: bool,
    /// What was found: a sentence each.
    pub words: Vec<String>,
}

/// Every set of ports, and what it says of those that are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    sets: [Ports; PORT_SETS as usize],
    /// What is left out of the checks of TCP: a sentence each.
    pub tcp_left_out: Vec<String>,
    /// What is left out of the checks of UDP.
    pub udp_left_out: Vec<String>,
    /// What cookies leave out beside that.
    pub cookies_left_out: Vec<String>,
}

impl Default for Ports {
    fn default() -> Self {
        Self(Box::new([0; PORT_WORDS as usize]))
    }
}

impl Ports {
    /// All of them.
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; PORT_WORDS as usize]))
    }

    /// As the kernel has it.
    pub fn words(&self) -> &Words {
        &self.0
    }

    /// Puts a port in.
    pub fn insert(&mut self, port: u16) {
        if let Some(word) = self.0.get_mut(usize::from(port >> 6)) {
            *word |= PortSet::bit(port);
        }
    }

    /// Puts the ports from the first to the last in.
    pub fn insert_range(&mut self, first: u16, last: u16) {
        (first..=last).for_each(|port| self.insert(port));
    }

    /// Whether a port is in it.
    pub fn contains(&self, port: u16) -> bool {
        let word = self.0.get(usize::from(port >> 6));
        word.is_some_and(|word| word & PortSet::bit(port) != 0)
    }

    /// Puts everything of another in.
    pub fn add(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0.iter()) {
            *word |= more;
        }
    }

    /// Takes everything of another out.
    pub fn remove(&mut self, other: &Self) {
        for (word, less) in self.0.iter_mut().zip(other.0.iter()) {
            *word &= !less;
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The ports, by rising number.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        let words = (0..PORT_WORDS as u16).zip(self.0.iter());
        words
            .filter(|(_, word)| **word != 0)
            .flat_map(|(index, word)| {
                let bits = (0..64_u16).filter(move |bit| word >> bit & 1 != 0);
                bits.map(move |bit| index << 6 | bit)
            })
    }

    /// Runs of neighbours, first and last.
    fn runs(&self) -> Vec<(u16, u16)> {
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for port in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
                _ => runs.push((port, port)),
            }
        }
        runs
    }
}

impl From<&Words> for Ports {
    fn from(words: &Words) -> Self {
        Self(Box::new(*words))
    }
}

impl FromIterator<u16> for Ports {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut set = Self::default();
        ports.into_iter().for_each(|port| set.insert(port));
        set
    }
}

/// `80, 443, 8000-8010, and 7 more`.
impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Runs that are shown.
        const MOST: usize = 8;
        let runs = self.runs();
        for (index, (first, last)) in runs.iter().take(MOST).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if first == last {
                write!(formatter, "{comma}{first}")?;
            } else {
                write!(formatter, "{comma}{first}-{last}")?;
            }
        }
        match runs.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(formatter, ", and {more} more"),
        }
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{{self}}}")
    }
}

impl Composed {
    /// One of the sets.
    pub fn get(&self, set: PortSet) -> &Ports {
        let [
            tcp_open,
            tcp_left_out,
            cookies,
            udp_open,
            udp_left_out,
            udp_serves,
            reflectors,
        ] = &self.sets;
        match set {
            PortSet::TcpOpen => tcp_open,
            PortSet::TcpLeftOut => tcp_left_out,
            PortSet::Cookies => cookies,
            PortSet::UdpOpen => udp_open,
            PortSet::UdpLeftOut => udp_left_out,
            PortSet::UdpServes => udp_serves,
            PortSet::Reflectors => reflectors,
        }
    }
}

/// What stands at ports of one protocol.
struct Side<'a> {
    sockets: &'a BTreeMap<u16, Place>,
    translated: &'a Ports,
    /// Whether sources are translated, and this is the lowest port that they may get.
    sources: bool,
    by_file: Ports,
}

/// The first port that a translated source gets, unless it had a lower one itself
/// (`nf_nat_l4proto_unique_tuple`).
const TRANSLATED: u16 = 1_024;

impl Side<'_> {
    fn open(&self) -> Ports {
        let sockets = self.sockets.iter();
        let open = sockets.filter(|(_, place)| place.is_open);
        open.map(|(port, _)| *port).collect()
    }

    /// Ports that are left out, and why.
    fn left_out(&self, protocol: &str, open: &Ports) -> (Ports, Vec<String>) {
        let mut left_out = self.translated.clone();
        let mut words = Vec::new();
        let mut say = |ports: &Ports, why: &str| {
            if !ports.is_empty() {
                words.push(format!("{protocol} {ports} is left out: {why}"));
            }
        };
        say(self.translated, "its destination is translated, or may be");
        let mut by_reason: BTreeMap<&str, Ports> = BTreeMap::new();
        for (port, place) in self.sockets {
            for why in &place.left_out {
                by_reason.entry(why).or_default().insert(*port);
            }
        }
        for (why, ports) in &by_reason {
            say(ports, why);
            left_out.add(ports);
        }
        say(&self.by_file, "the configuration says so");
        left_out.add(&self.by_file);
        if self.sources {
            let mut others = Ports::default();
            others.insert_range(TRANSLATED, u16::MAX);
            others.remove(open);
            others.remove(&left_out);
            say(
                &others,
                "answers to flows whose source is translated come to ports without a socket",
            );
            left_out.add(&others);
        }
        (left_out, words)
    }
}

/// Composes the sets.
pub fn compose(config: &Config, state: &State, known: &Known) -> Composed {
    let by_file = &config.defences.left_out;
    let tcp = Side {
        sockets: &known.tcp,
        translated: &known.translated.tcp,
        sources: known.translated.sources,
        by_file: by_file.tcp.iter().copied().collect(),
    };
    let udp = Side {
        sockets: &known.udp,
        translated: &known.translated.udp,
        sources: known.translated.sources,
        by_file: by_file.udp.iter().copied().collect(),
    };
    let tcp_open = tcp.open();
    let (tcp_left_out, tcp_words) = tcp.left_out("TCP", &tcp_open);
    let udp_open = udp.open();
    let (udp_left_out, udp_words) = udp.left_out("UDP", &udp_open);
    let wish = CookieWish::of(config, state);
    let cookies = tcp_open.iter().filter(|port| wish.contains(*port));
    let mut cookies: Ports = cookies.collect();
    cookies.remove(&tcp_left_out);
    let signing = known.tcp.iter().filter(|(_, place)| place.signs);
    let mut signing: Ports = signing.map(|(port, _)| *port).collect();
    signing.remove(&tcp_left_out);
    cookies.remove(&signing);
    let cookies_left_out = (!signing.is_empty()).then(|| {
        format!(
            "TCP {signing} gets no cookies: its socket signs its segments (MD5), and peers would \
             refuse an answer without a signature"
        )
    });
    Composed {
        sets: [
            tcp_open,
            tcp_left_out,
            cookies,
            udp_open,
            udp_left_out,
            known.serves.clone(),
            Ports::from(&reflectors()),
        ],
        tcp_left_out: tcp_words,
        udp_left_out: udp_words,
        cookies_left_out: cookies_left_out.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::core::state::{Change, Set};

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("f.toml")).expect(text)
    }

    fn open() -> Place {
        Place {
            is_open: true,
            ..Place::default()
        }
    }

    fn known() -> Known {
        let bound = Place {
            is_open: true,
            left_out: ["bound to br0".to_owned()].into(),
            ..Place::default()
        };
        Known {
            tcp: BTreeMap::from([
                (22, open()),
                (80, open()),
                (631, Place::default()),
                (8080, bound),
            ]),
            udp: BTreeMap::from([(53, open()), (68, open())]),
            serves: [53].into_iter().collect(),
            translated: Translated::default(),
        }
    }

    fn set(ports: &[u16]) -> Ports {
        ports.iter().copied().collect()
    }

    #[test]
    fn sockets_on_loopback_open_nothing() {
        let composed = compose(&Config::default(), &State::default(), &known());
        assert_eq!(composed.get(PortSet::TcpOpen), &set(&[22, 80, 8080]));
        assert_eq!(composed.get(PortSet::UdpOpen), &set(&[53, 68]));
        assert_eq!(composed.get(PortSet::UdpServes), &set(&[53]));
        assert!(composed.get(PortSet::Cookies).is_empty());
    }

    #[test]
    fn what_is_left_out_is_told_with_its_reason() {
        let config = config("defences.left_out = [\"tcp/9000\", \"udp/5000\"]");
        let mut known = known();
        known.translated.tcp = set(&[443, 8443]);
        let composed = compose(&config, &State::default(), &known);
        assert_eq!(
            composed.get(PortSet::TcpLeftOut),
            &set(&[443, 8080, 8443, 9000])
        );
        assert_eq!(composed.get(PortSet::UdpLeftOut), &set(&[5000]));
        assert_eq!(
            composed.tcp_left_out,
            [
                "TCP 443, 8443 is left out: its destination is translated, or may be",
                "TCP 8080 is left out: bound to br0",
                "TCP 9000 is left out: the configuration says so",
            ]
        );
        assert_eq!(
            composed.udp_left_out,
            ["UDP 5000 is left out: the configuration says so"]
        );
    }

    #[test]
    fn where_sources_are_translated_high_ports_without_a_listener_are_left_out() {
        let mut known = known();
        known.translated.sources = true;
        let composed = compose(&Config::default(), &State::default(), &known);
        let left_out = composed.get(PortSet::TcpLeftOut);
        assert!(left_out.contains(1_024) && left_out.contains(65_535));
        assert!(!left_out.contains(80) && !left_out.contains(1_023));
        let udp = composed.get(PortSet::UdpLeftOut);
        assert!(udp.contains(5_000) && udp.contains(40_000) && !udp.contains(53));
    }

    #[test]
    fn cookies_go_to_listeners_that_are_wished_for_and_not_left_out() {
        let config = config("defences.cookies = \"on\"");
        let mut state = State::default();
        let mut known = known();
        let cookies = |state: &State, known: &Known| {
            let composed = compose(&config, state, known);
            composed.get(PortSet::Cookies).clone()
        };
        assert_eq!(cookies(&state, &known), set(&[22, 80]));
        let off = Set {
            value: false,
            by: "test".to_owned(),
            since: jiff::Timestamp::UNIX_EPOCH,
            until: None,
        };
        let _ = state.apply(Change::CookiePort(22, Some(off)));
        assert_eq!(cookies(&state, &known), set(&[80]));
        known.translated.tcp = set(&[80]);
        assert_eq!(cookies(&state, &known), Ports::default());
    }

    #[test]
    fn listeners_that_sign_get_no_cookies_and_are_checked_all_the_same() {
        let config = config("defences.cookies = \"on\"");
        let mut known = known();
        let bgp = Place {
            signs: true,
            ..open()
        };
        known.tcp.insert(179, bgp);
        let composed = compose(&config, &State::default(), &known);
        assert_eq!(composed.get(PortSet::Cookies), &set(&[22, 80]));
        assert!(composed.get(PortSet::TcpOpen).contains(179));
        assert!(!composed.get(PortSet::TcpLeftOut).contains(179));
        let said = &composed.cookies_left_out;
        assert!(said[0].starts_with("TCP 179 gets no cookies"), "{said:?}");
    }

    #[test]
    fn ports_are_shown_as_runs() {
        let mut ports = set(&[80, 443]);
        ports.insert_range(8_000, 8_010);
        assert_eq!(ports.to_string(), "80, 443, 8000-8010");
        let many: Ports = (0..20).map(|port| port * 2).collect();
        assert!(many.to_string().ends_with("14, and 12 more"), "{many}");
        assert_eq!(Ports::all().to_string(), "0-65535");
        assert_eq!(Ports::all().iter().count(), 65_536);
    }
}
