//! Every row of the attack catalogue, as flows.

use std::time::Duration;

use filter_common::{abi::reason::Reason, logic::packet::TcpFlags};

use super::{
    calm::{PARTNER, SHARED},
    flow::{Bond, Flow, Hops, Load, Port, Side},
    people::{People, Spread},
};

const SYN: u8 = TcpFlags::SYN;
const ACK: u8 = TcpFlags::ACK;
const PSH: u8 = TcpFlags::PSH;
const RST: u8 = TcpFlags::RST;
const FIN: u8 = TcpFlags::FIN;

const ANYBODY: People = People::Anybody { v6: false };
const ANYBODY_V6: People = People::Anybody { v6: true };
const HTTPS: Port = Port::Is(443);
const GAME: Port = Port::Is(27_015);
const DNS: Port = Port::Is(53);

/// What the catalogue says about doing without a rule by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It is met.
    Yes,
    /// A fingerprint meets it.
    Fingerprint,
    /// It is met in part.
    Partly,
    /// It is no attack: nothing may be done.
    NoAttack,
}

/// An attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Row of the catalogue.
    pub row: u8,
    /// Its name.
    pub name: &'static str,
    /// What is promised.
    pub promise: Promise,
    /// The weakest and the strongest, packets a second.
    pub rates: (f64, f64),
    /// When it is on: for how long, and how long between.
    pub pulse: Option<(Duration, Duration)>,
    make: fn(f64) -> Vec<Flow>,
}

impl Attack {
    /// Its flows, at so many packets a second in all.
    pub fn flows(&self, rate: f64) -> Vec<Flow> {
        let mut flows = (self.make)(rate);
        for flow in &mut flows {
            flow.side = Side::Attack;
            // Generators do not vary.
            flow.wave = 0.02;
        }
        flows
    }

    /// The rate of a seed: the first is the weakest, the tenth the strongest.
    pub fn rate(&self, seed: u64) -> f64 {
        let (least, most) = self.rates;
        if least >= most {
            return least;
        }
        let part = (seed % 10) as f64 / 9.0;
        least * (most / least).powf(part)
    }

    /// Whether it comes with names that say so.
    pub fn is_called(&self, wanted: &str) -> bool {
        wanted == self.name || wanted == self.row.to_string()
    }
}

const fn of(
    row: u8,
    name: &'static str,
    promise: Promise,
    rates: (f64, f64),
    make: fn(f64) -> Vec<Flow>,
) -> Attack {
    Attack {
        row,
        name,
        promise,
        rates,
        pulse: None,
        make,
    }
}

const fn bots(count: u32) -> People {
    People::scattered(0x60_0000, count)
}

const fn reflectors(count: u32) -> People {
    People::scattered(0x90_0000, count)
}

fn forged(flow: Flow) -> Flow {
    Flow {
        hops: Hops::Is(51),
        ..flow
    }
}

fn syns(who: People, port: Port, rate: f64) -> Flow {
    forged(Flow::tcp("attack syn", who, SYN, port, rate))
}

fn segments(flags: u8, rate: f64) -> Vec<Flow> {
    vec![forged(Flow::tcp("attack", ANYBODY, flags, HTTPS, rate))]
}

fn insane(flags: u8, rate: f64) -> Vec<Flow> {
    vec![Flow {
        defect: Some(Reason::TcpFlags),
        ..forged(Flow::tcp("attack", ANYBODY, flags, HTTPS, rate))
    }]
}

/// Real machines that open connections, say nothing over them and leave. All but their first SYNs are
/// of proven sources.
fn connections(who: People, rate: f64) -> Vec<Flow> {
    let part = rate / 3.0;
    vec![
        Flow {
            completes: 1.0,
            proven: 1.0,
            ..Flow::tcp("attack syn", who, SYN, HTTPS, part)
        },
        Flow {
            bond: Bond::Established,
            follows: Some("attack syn"),
            ..Flow::tcp("attack ack", who, ACK, HTTPS, part)
        },
        Flow {
            bond: Bond::Established,
            follows: Some("attack syn"),
            ..Flow::tcp("attack rst", who, RST, HTTPS, part)
        },
    ]
}

fn datagrams(who: People, port: Port, rate: f64) -> Flow {
    Flow {
        length: (50, 50),
        load: Load {
            begin: &[0; 22],
            noise: 0,
        },
        ..forged(Flow::udp("attack", who, (Port::Any, port), rate))
    }
}

fn amplified(from: u16, length: (u16, u16), begin: &'static [u8], rate: f64) -> Flow {
    Flow {
        length,
        load: Load { begin, noise: 32 },
        ..Flow::udp(
            "attack",
            reflectors(4_096),
            (Port::Is(from), Port::Any),
            rate,
        )
    }
}

fn in_fragments(rate: f64) -> Vec<Flow> {
    let who = reflectors(4_096);
    let mut flows = vec![amplified(53, (1_500, 1_500), b"\0\0\x81\x80", rate / 3.0)];
    flows.push(Flow {
        follows: Some("attack"),
        shares_fate: true,
        ..Flow::fragments("attack later", who, 17, rate * 2.0 / 3.0)
    });
    flows
}

fn pieces(reason: Option<Reason>, rate: f64) -> Vec<Flow> {
    vec![Flow {
        defect: reason,
        ..Flow::fragments("attack", ANYBODY, 17, rate)
    }]
}

fn other(protocol: u8, rate: f64) -> Vec<Flow> {
    vec![forged(Flow::other("attack", ANYBODY, protocol, rate))]
}

fn carpet(mut flow: Flow) -> Vec<Flow> {
    flow.destinations = 256;
    vec![flow]
}

fn visible_bots(rate: f64) -> Vec<Flow> {
    vec![Flow {
        hops: Hops::Natural,
        ..datagrams(bots(10_000), GAME, rate)
    }]
}

fn in_turn(rate: f64) -> Vec<Flow> {
    let mut flows = vec![syns(ANYBODY, HTTPS, rate / 2.0)];
    flows.push(datagrams(ANYBODY, Port::Any, rate / 2.0));
    flows
}

/// The partner proved his address and is known to be good: only the hop limit tells them from his own, and
/// that they are not sent again.
fn in_his_name(rate: f64, expected: f64) -> Flow {
    Flow {
        good: 1.0,
        proven: 1.0,
        expected,
        ..syns(PARTNER, HTTPS, rate)
    }
}

/// From sixteen senders, one of whom is as many routers away as the partner, from a system like his: of
/// as many at random, by initial values of 64, 128 and 255 and ways of 5 to 25 routers, that is one in
/// four times.
fn partner(rate: f64) -> Vec<Flow> {
    let part = rate / 3.0;
    vec![
        in_his_name(part, 1.0 / 16.0),
        forged(Flow::tcp("attack ack", PARTNER, ACK, HTTPS, part)),
        datagrams(PARTNER, Port::Any, part),
    ]
}

/// The hop limit is another with each packet, of those that packets have where they arrive.
fn partner_syns(rate: f64) -> Vec<Flow> {
    vec![in_his_name(rate, 1.0 / 64.0)]
}

use Promise::{Fingerprint, NoAttack, Partly, Yes};

/// Packets a second of the shortest frames that fill a terabit.
const TERABIT: f64 = 1.27e9;
/// Likewise of answers of 1,200 bytes.
const TERABIT_LONG: f64 = 1.0e8;

/// Every attack.
#[rustfmt::skip]
pub const ATTACKS: &[Attack] = &[
    of(1, "syn-random", Yes, (2e4, TERABIT), |rate| vec![syns(ANYBODY, HTTPS, rate)]),
    of(2, "syn-one", Yes, (2e4, 1e7), |rate| vec![syns(bots(1), HTTPS, rate)]),
    of(2, "syn-few", Yes, (2e4, 1e8), |rate| vec![syns(bots(16), HTTPS, rate)]),
    of(3, "syn-closed", Yes, (2e4, TERABIT), |rate| vec![syns(ANYBODY, Port::Any, rate)]),
    of(4, "syn-ack-reflected", Yes, (2e4, 1e8), |rate|
        vec![Flow::tcp("attack", reflectors(4_096), SYN | ACK, Port::Any, rate)]),
    of(5, "ack", Yes, (1e5, TERABIT), |rate| segments(ACK, rate)),
    of(5, "psh-ack", Yes, (1e5, TERABIT_LONG), |rate| segments(PSH | ACK, rate)),
    of(6, "rst", Yes, (2e4, TERABIT), |rate| segments(RST, rate)),
    of(6, "fin", Yes, (2e4, TERABIT), |rate| segments(FIN | ACK, rate)),
    of(6, "xmas", Yes, (1e5, TERABIT), |rate| insane(FIN | PSH | 0x20, rate)),
    of(6, "null", Yes, (1e5, TERABIT), |rate| insane(0, rate)),
    of(7, "connections-16", Yes, (2e4, 3e5), |rate| connections(bots(16), rate)),
    of(7, "connections-2k", Yes, (3e4, 9e6), |rate| connections(bots(2_000), rate)),
    of(7, "connections-nat", Yes, (3e4, 3e5), |rate| {
        let mut flows = connections(bots(64), rate * 0.9);
        // Some of the bots are behind addresses of carriers.
        flows.push(Flow { completes: 1.0, proven: 1.0, ..Flow::tcp("attack nat", SHARED, SYN, HTTPS, rate * 0.1 / 3.0) });
        flows
    }),
    of(8, "udp-closed", Yes, (1e5, TERABIT), |rate| vec![datagrams(ANYBODY, Port::Any, rate)]),
    of(8, "udp-one", Yes, (1e5, 1e7), |rate| vec![datagrams(bots(1), Port::Is(9_999), rate)]),
    of(8, "udp-64k", Yes, (1e5, 1e8), |rate| vec![datagrams(bots(65_536), Port::Is(9_999), rate)]),
    of(9, "udp-open", Fingerprint, (1e5, TERABIT), |rate| vec![datagrams(ANYBODY, GAME, rate)]),
    of(10, "amp-dns", Yes, (2e4, TERABIT_LONG), |rate| vec![amplified(53, (1_200, 1_500), b"\0\0\x81\x80", rate)]),
    of(10, "amp-ntp", Yes, (2e4, TERABIT_LONG), |rate| vec![amplified(123, (468, 468), b"\xd7\x00\x03\x2a", rate)]),
    of(10, "amp-memcached", Yes, (2e4, TERABIT_LONG), |rate| vec![amplified(11_211, (1_400, 1_428), b"\0\0\0\0\0\x01\0\0", rate)]),
    of(10, "amp-ssdp", Yes, (2e4, TERABIT_LONG), |rate| vec![amplified(1_900, (300, 350), b"HTTP/1.1 200 OK", rate)]),
    of(10, "amp-unlisted", Fingerprint, (1e5, TERABIT_LONG), |rate| vec![Flow {
        ports: Some((Port::Is(37_810), GAME)),
        ..amplified(37_810, (500, 600), b"\x44\x48\x49\x50\0\0\0\0", rate)
    }]),
    of(11, "amp-fragments", Yes, (3e4, TERABIT_LONG), in_fragments),
    of(11, "udp-frag", Yes, (3e4, TERABIT_LONG), |rate| pieces(None, rate)),
    of(12, "dns-queries", Partly, (1e5, 1e8), |rate| vec![Flow {
        length: (58, 90),
        load: Load { begin: &[], noise: 48 },
        ..datagrams(ANYBODY, DNS, rate)
    }]),
    of(13, "icmp-echo", Yes, (2e4, TERABIT), |rate| vec![forged(Flow::icmp("attack", ANYBODY, (8, 0), rate))]),
    of(13, "icmp-echo-one", Yes, (2e4, 1e7), |rate| vec![Flow::icmp("attack", bots(1), (8, 0), rate)]),
    of(13, "icmp-unreachable", Yes, (2e4, 1e7), |rate| vec![Flow::icmp("attack", bots(16), (3, 3), rate)]),
    of(14, "tiny-fragments", Yes, (2e4, TERABIT), |rate| pieces(Some(Reason::TinyFragment), rate)),
    of(14, "endless-fragments", Yes, (3e4, TERABIT_LONG), |rate| pieces(None, rate)),
    of(15, "proto-gre", Yes, (1e5, TERABIT), |rate| other(47, rate)),
    of(15, "proto-255", Yes, (1e5, TERABIT), |rate| other(255, rate)),
    of(16, "land", Yes, (2e4, TERABIT), |rate| vec![Flow {
        defect: Some(Reason::Land),
        ..syns(People::one(0xCB_0071), HTTPS, rate)
    }]),
    of(16, "martians", Yes, (1e5, TERABIT), |rate| vec![Flow {
        defect: Some(Reason::MartianSource),
        ..datagrams(People::scattered(0x7F_0000, 60_000), Port::Any, rate)
    }]),
    of(17, "carpet-udp", Yes, (1e5, TERABIT), |rate| carpet(datagrams(ANYBODY, Port::Any, rate))),
    of(17, "carpet-syn", Yes, (2e4, TERABIT), |rate| carpet(syns(ANYBODY, HTTPS, rate))),
    of(18, "bots-10k", Partly, (5e5, 5e5), visible_bots),
    Attack {
        pulse: Some((Duration::from_secs(10), Duration::from_secs(20))),
        ..of(19, "pulses", Yes, (2e5, 1e8), in_turn)
    },
    of(20, "v6-syn-random", Yes, (2e4, TERABIT), |rate| vec![syns(ANYBODY_V6, HTTPS, rate)]),
    of(20, "v6-walk", Yes, (2e4, 1e7), |rate| vec![syns(People::Walk { network: 0x2a0f_0001_0002_0003 }, HTTPS, rate)]),
    of(20, "v6-ack", Yes, (1e5, TERABIT), |rate| vec![forged(Flow::tcp("attack", ANYBODY_V6, ACK, HTTPS, rate))]),
    of(20, "v6-udp-closed", Yes, (1e5, TERABIT), |rate| vec![datagrams(ANYBODY_V6, Port::Any, rate)]),
    of(20, "v6-bots-48", Yes, (3e4, 3e5), |rate| connections(People::Hosts {
        network: 0x2a0e_0000_0000, count: 64, neighbours: 32, spread: Spread::Even, v6: true }, rate)),
    of(21, "tagged", Yes, (2e5, TERABIT), in_turn),
    of(22, "lying-lengths", Yes, (2e4, TERABIT), |rate| vec![Flow::malformed("attack", ANYBODY, rate)]),
    of(22, "jumbo", Yes, (1e5, 1e7), |rate| vec![Flow {
        length: (8_900, 9_000),
        ..datagrams(ANYBODY, Port::Any, rate)
    }]),
    of(23, "partner", Yes, (3e4, 1e8), partner),
    of(23, "partner-syn", Yes, (2e4, 1e8), partner_syns),
    of(24, "hash-flood", Yes, (1e5, 1e8), |rate| vec![Flow {
        hops: Hops::Random,
        ..syns(People::scattered(0x60_0000, 1_000_000), HTTPS, rate)
    }]),
    of(24, "million-a-second", Yes, (1e6, TERABIT), |rate| vec![datagrams(ANYBODY, Port::Any, rate)]),
    of(25, "flash-crowd", NoAttack, (0.0, 0.0), |_| Vec::new()),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_catalogue_is_there_and_its_flows_add_up() {
        for row in 1..=25 {
            assert!(ATTACKS.iter().any(|attack| attack.row == row), "row {row}");
        }
        for attack in ATTACKS {
            let sum: f64 = attack.flows(9_000.0).iter().map(|flow| flow.rate).sum();
            let wanted = if attack.promise == NoAttack {
                0.0
            } else {
                9_000.0
            };
            assert!(
                sum <= wanted + 1e-6 && sum >= wanted * 0.9,
                "{}: {sum}",
                attack.name
            );
            assert!(attack.rate(9) >= attack.rate(0));
        }
    }
}
