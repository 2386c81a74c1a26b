//! Calm, as it was fixed before there was a detector: what must never be touched.
//!
//! Visitors by Zipf's law; one in five of them behind an address that 50 to 5,000 people share; six
//! parallel connections a page; the host's own backups and replication at line speed from one peer;
//! a tunnel with all traffic of an office; in half of the worlds a CDN in front, which brings all
//! visitors from 200 addresses; speed tests; crawlers; a resolver's and a time client's life; health
//! checks every second from five places; a newsletter that brings 50 times the visitors in two
//! minutes; the rhythm of day and week; a December of five times October. Besides, a game and a name
//! server, a partner who calls an interface, and what the Internet sends to everybody.

use std::time::Duration;

use filter_common::logic::packet::TcpFlags;
use filter_user::detect::sketch::Random;

use super::{
    flow::{Bond, Flow, Load, Port, Side},
    people::{People, Spread},
};

const SYN: u8 = TcpFlags::SYN;
const ACK: u8 = TcpFlags::ACK;
const PSH: u8 = TcpFlags::PSH;
const FIN: u8 = TcpFlags::FIN;
const DAY: f64 = 86_400.0;
/// Packets that a visitor sends over a connection.
const TALK: f64 = 20.0;
/// Share of visitors' SYNs whose source completed a handshake before: all of a page's six connections
/// but the first.
const KNOWN: f64 = 5.0 / 6.0;
/// By which factor a newsletter multiplies visitors.
const CROWD: f64 = 50.0;
/// How long it takes to.
const RISE: f64 = 120.0;
/// How fast they lose interest.
const FALL: f64 = 400.0;

/// The partner who calls an interface of this host.
pub const PARTNER: People = People::one(0xC6_3301);
/// Addresses that many people share.
pub const SHARED: People = People::Hosts {
    network: 0x5A_0000,
    count: 200,
    neighbours: 1,
    spread: Spread::Shared,
    v6: false,
};
const VISITORS: People = People::Hosts {
    network: 0x50_0000,
    count: 200_000,
    neighbours: 1,
    spread: Spread::Zipf,
    v6: false,
};
const VISITORS_V6: People = People::Hosts {
    network: 0x2a00_0000_0000,
    count: 50_000,
    neighbours: 1,
    spread: Spread::Zipf,
    v6: true,
};
const CROWD_OF: People = People::scattered(0x52_0000, 400_000);
const PROXIES: People = People::Hosts {
    network: 0x68_1000,
    count: 200,
    neighbours: 20,
    spread: Spread::Even,
    v6: false,
};
const CRAWLERS: People = People::Hosts {
    network: 0x42_F940,
    count: 24,
    neighbours: 24,
    spread: Spread::Even,
    v6: false,
};

/// Calm traffic over time.
#[derive(Clone, Debug)]
pub struct Calm {
    /// When newsletters are sent.
    pub crowds: Vec<Duration>,
    /// Whether a December comes: five times as many visitors by the last week.
    pub december: bool,
    base: Vec<Flow>,
}

/// By what a flow's rate is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tide {
    /// Always the same.
    Even,
    /// With the rhythm of visitors.
    Visitors,
    /// Likewise, and with their crowds.
    Everybody,
    /// With crowds alone: who comes for a newsletter was not here before.
    Crowd,
    /// With an office's day.
    Office,
    /// Half an hour at night.
    Nightly,
    /// A minute every three hours.
    Replication,
    /// Twenty seconds, eight times a day.
    SpeedTest,
}

impl Calm {
    /// Calm with so many connections of visitors a second; `is_fronted` puts a CDN in front.
    pub fn new(visitors: f64, is_fronted: bool) -> Self {
        let mut base = web(visitors, is_fronted);
        base.extend(own());
        base.extend(services());
        base.extend(noise());
        Self {
            crowds: Vec::new(),
            december: false,
            base,
        }
    }

    /// Every flow there is, at its mean.
    pub fn flows(&self) -> Vec<Flow> {
        self.base.clone()
    }

    /// Sets the rates of a moment. Flows of others are left alone.
    pub fn set(&self, flows: &mut [Flow], at: Duration) {
        for (flow, base) in flows.iter_mut().zip(&self.base) {
            flow.rate = base.rate * self.factor(tide(base.name), at.as_secs_f64());
        }
    }

    /// Whether something is going on that fine steps should see.
    pub fn is_lively(&self, at: Duration) -> bool {
        let age = |began: &Duration| at.checked_sub(*began);
        self.crowds
            .iter()
            .filter_map(age)
            .any(|age| age < Duration::from_secs(300))
    }

    fn factor(&self, tide: Tide, at: f64) -> f64 {
        let in_day = at % DAY;
        let within = |every: f64, offset: f64, length: f64| {
            f64::from(u8::from((at + offset) % every < length))
        };
        match tide {
            Tide::Even => 1.0,
            Tide::Visitors => self.rhythm(at),
            Tide::Everybody => self.rhythm(at) * self.crowd(at),
            Tide::Crowd => self.rhythm(at) * (self.crowd(at) - 1.0),
            Tide::Office => {
                let is_weekend = (at / DAY) as u64 % 7 >= 5;
                let is_open = (7.0 * 3_600.0..18.0 * 3_600.0).contains(&in_day);
                if is_open && !is_weekend { 1.0 } else { 0.05 }
            }
            Tide::Nightly => within(DAY, 22.0 * 3_600.0, 1_800.0),
            Tide::Replication => within(10_800.0, 1_000.0, 60.0),
            Tide::SpeedTest => within(10_800.0, 5_000.0, 20.0),
        }
    }

    /// Most come at eight in the evening, fewest at eight in the morning; fewer at weekends.
    fn rhythm(&self, at: f64) -> f64 {
        let hour = at % DAY / 3_600.0;
        let day = 1.0 + 0.7 * ((hour - 20.0) / 24.0 * std::f64::consts::TAU).cos();
        let is_weekend = (at / DAY) as u64 % 7 >= 5;
        let week = if is_weekend { 0.75 } else { 1.1 };
        let season = if self.december {
            let part = ((at / DAY - 8.0) / 15.0).clamp(0.0, 1.0);
            1.0 + 4.0 * part * part * (3.0 - 2.0 * part)
        } else {
            1.0
        };
        day * week * season
    }

    fn crowd(&self, at: f64) -> f64 {
        let of = |began: &Duration| {
            let age = at - began.as_secs_f64();
            let share = if age < 0.0 {
                0.0
            } else if age < RISE {
                age / RISE
            } else {
                (-(age - RISE) / FALL).exp()
            };
            (CROWD - 1.0) * share
        };
        1.0 + self.crowds.iter().map(of).fold(0.0, f64::max)
    }

    /// Sends so many newsletters, at random times of the days between.
    pub fn invite(&mut self, number: u32, days: f64, random: &mut Random) {
        self.crowds = (0..number)
            .map(|at| {
                let day = (f64::from(at) + 0.1 + 0.8 * random.unit()) * days / f64::from(number);
                Duration::from_secs_f64(day * DAY)
            })
            .collect();
    }
}

fn tide(name: &str) -> Tide {
    match name {
        "backup" => Tide::Nightly,
        "replication" => Tide::Replication,
        "speed test" | "speed test up" => Tide::SpeedTest,
        "office" => Tide::Office,
        _ if name.starts_with("web cdn") || name.starts_with("web shared") => Tide::Everybody,
        _ if name.starts_with("web") => Tide::Visitors,
        _ if name.starts_with("crowd") => Tide::Crowd,
        _ => Tide::Even,
    }
}

fn open(name: &'static str, who: People, rate: f64) -> Flow {
    Flow {
        completes: 0.97,
        proven: KNOWN,
        good: if who == CROWD_OF { 0.0 } else { 0.5 },
        ..Flow::tcp(name, who, SYN, Port::Is(443), rate)
    }
}

fn talk(name: &'static str, who: People, rate: f64, length: (u16, u16)) -> Flow {
    Flow {
        bond: Bond::Established,
        length,
        load: Load {
            begin: b"\x17\x03\x03",
            noise: 45,
        },
        ..Flow::tcp(name, who, PSH | ACK, Port::Is(443), rate)
    }
}

fn close(name: &'static str, who: People, rate: f64) -> Flow {
    Flow {
        bond: Bond::Established,
        ..Flow::tcp(name, who, FIN | ACK, Port::Is(443), rate)
    }
}

fn web(visitors: f64, is_fronted: bool) -> Vec<Flow> {
    let mut flows = Vec::new();
    let mut add = |names: [&'static str; 3], who, rate: f64| {
        let [first, then, last] = names;
        flows.push(open(first, who, rate));
        flows.push(talk(then, who, rate * TALK, (40, 1_200)));
        flows.push(close(last, who, rate));
    };
    if is_fronted {
        // A CDN keeps connections and uses them again.
        let rate = visitors * 0.3;
        add(["web cdn syn", "web cdn", "web cdn fin"], PROXIES, rate);
    } else {
        add(["web syn", "web", "web fin"], VISITORS, visitors * 0.6);
        let v6 = ["web v6 syn", "web v6", "web v6 fin"];
        add(v6, VISITORS_V6, visitors * 0.2);
        let shared = ["web shared syn", "web shared", "web shared fin"];
        add(shared, SHARED, visitors * 0.2);
        add(
            ["crowd syn", "crowd", "crowd fin"],
            CROWD_OF,
            visitors * 0.8,
        );
        for (name, who) in [("web quic", VISITORS), ("crowd quic", CROWD_OF)] {
            flows.push(Flow {
                length: (60, 1_350),
                proven: 0.6,
                ..Flow::udp(name, who, (Port::Any, Port::Is(443)), visitors * 5.0)
            });
        }
    }
    flows
}

/// What this host's own life brings.
fn own() -> Vec<Flow> {
    let established = |name, network, length, rate| Flow {
        bond: Bond::Established,
        is_single: true,
        length,
        ..Flow::tcp(name, People::one(network), ACK, Port::Is(873), rate)
    };
    let asked = |name, network, from, rate| Flow {
        bond: Bond::Established,
        length: (76, 300),
        ..Flow::udp(
            name,
            People::one(network),
            (Port::Is(from), Port::Any),
            rate,
        )
    };
    let mut flows = vec![
        established("backup", 0xC6_3310, (1_500, 1_500), 400_000.0),
        established("replication", 0xC6_3311, (1_500, 1_500), 800_000.0),
        established("speed test", 0xC6_3312, (52, 52), 200_000.0),
        established("speed test up", 0xC6_3312, (1_500, 1_500), 80_000.0),
        Flow {
            is_single: true,
            length: (96, 1_452),
            load: Load {
                begin: b"\x04\0\0\0",
                noise: 44,
            },
            ..Flow::udp(
                "office",
                People::one(0xC6_3313),
                (Port::Any, Port::Is(51_820)),
                8_000.0,
            )
        },
        asked("resolver", 0xC6_3320, 53, 20.0),
        asked("time server", 0xC6_3321, 123, 0.1),
        Flow {
            bond: Bond::Established,
            flags: SYN | ACK,
            ..Flow::tcp(
                "calls",
                People::scattered(0xC6_3400, 30),
                SYN | ACK,
                Port::Any,
                5.0,
            )
        },
        Flow::icmp("pings", People::scattered(0xC6_3500, 20), (8, 0), 3.0),
        Flow::icmp("path mtu", VISITORS, (3, 4), 0.5),
        Flow {
            bond: Bond::Established,
            ..Flow::fragments("long answers", People::one(0xC6_3320), 17, 0.5)
        },
    ];
    let five = People::scattered(0xC6_3330, 5);
    let crowd = [
        (["check syn", "check", "check fin"], five, 5.0),
        (["crawl syn", "crawl", "crawl fin"], CRAWLERS, 4.0),
        (["partner syn", "partner", "partner fin"], PARTNER, 5.0),
    ];
    for ([first, then, last], who, rate) in crowd {
        flows.push(Flow {
            good: 1.0,
            ..open(first, who, rate)
        });
        flows.push(talk(then, who, rate * TALK, (40, 1_200)));
        flows.push(close(last, who, rate));
    }
    flows
}

/// What this host serves besides.
fn services() -> Vec<Flow> {
    let players = People::scattered(0x5B_0000, 60);
    let resolvers = People::Hosts {
        network: 0x5C_0000,
        count: 3_000,
        neighbours: 1,
        spread: Spread::Zipf,
        v6: false,
    };
    vec![
        Flow {
            length: (48, 240),
            proven: 0.9,
            load: Load {
                begin: b"\x01",
                noise: 40,
            },
            ..Flow::udp("game", players, (Port::Any, Port::Is(27_015)), 1_800.0)
        },
        Flow {
            length: (58, 90),
            ..Flow::udp("questions", resolvers, (Port::Any, Port::Is(53)), 150.0)
        },
    ]
}

/// What the Internet sends to everybody.
fn noise() -> Vec<Flow> {
    let scanners = People::scattered(0xB0_0000, 4_000);
    let mut flows = vec![
        Flow::tcp("scans", scanners, SYN, Port::Any, 4.0),
        Flow::tcp("backscatter", scanners, SYN | ACK, Port::Any, 2.0),
        Flow::tcp("late resets", VISITORS, TcpFlags::RST, Port::Is(443), 1.0),
        Flow::udp("probes", scanners, (Port::Any, Port::Any), 3.0),
    ];
    for flow in &mut flows {
        flow.side = Side::Noise;
    }
    flows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newsletter_brings_fifty_times_the_visitors_in_two_minutes_and_a_december_five_times() {
        let mut calm = Calm::new(100.0, false);
        let hour = |hours: u64| Duration::from_secs(hours * 3_600);
        let quiet = calm.factor(Tide::Everybody, hour(30).as_secs_f64());
        calm.crowds = vec![hour(30) - Duration::from_secs(120)];
        let crowded = calm.factor(Tide::Everybody, hour(30).as_secs_f64());
        let visitors = calm.factor(Tide::Visitors, hour(30).as_secs_f64());
        assert_eq!(visitors, quiet);
        assert!((crowded / quiet - 50.0).abs() < 1e-6);
        calm.december = true;
        let week = hour(7 * 24 * 4 + 30).as_secs_f64();
        assert!((calm.factor(Tide::Visitors, week) / quiet - 5.0).abs() < 0.1);
    }

    #[test]
    fn one_in_five_visitors_shares_an_address() {
        let flows = Calm::new(100.0, false).flows();
        let of = |name: &str| {
            flows
                .iter()
                .find(|flow| flow.name == name)
                .map(|it| it.rate)
        };
        assert_eq!(of("web shared syn"), Some(20.0));
        assert_eq!(of("web syn").zip(of("web v6 syn")), Some((60.0, 20.0)));
        let fronted = Calm::new(100.0, true).flows();
        assert!(fronted.iter().all(|flow| flow.name != "web syn"));
    }
}
