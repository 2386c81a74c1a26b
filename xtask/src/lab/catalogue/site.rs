//! A server with all its services and people, behind one of the things that could stand before it.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use aya::programs::links::FdLink;
use filter_user::clock as wall;

use super::{
    super::{
        attack::{Attack, Traffic},
        clock,
        flood::{self, Flood, Pace},
        floodwall::{Config, Floodwall, Reason, Status},
        interrupt,
        people::{Guests, People, Services},
        programs::{Lab, Tables, Witness},
        sandbox::{self, Ns, Sandbox, hosts},
    },
    measured::{Deed, Measured},
    mitigation::{Look, mitigated},
};

/// Before the flood, so that connections stand and those who come regularly have come.
const BEFORE: Duration = Duration::from_millis(200);
/// Behind the flood, so that the last packets are where they belong before anything is counted.
const AFTER: Duration = Duration::from_millis(50);

/// How long floodwall has to find out by itself before anything is counted; twice what it may take.
const FINDS: Duration = Duration::from_secs(2);
/// Between looks at whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// Requests are noted in generations of 2^16 ticks at most, or of 2^14 where a second has 250.
const NOTED: Duration = Duration::from_secs(75);

/// What stands between the wire and the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// floodwall, with every defence on.
    Floodwall,
    /// Nothing.
    Stack,
    /// A program that drops what bears the flood's hardware address, which no filter could know.
    Bare,
}

impl Subject {
    /// All, in the order of columns.
    pub const ALL: [Self; 3] = [Self::Floodwall, Self::Stack, Self::Bare];
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Floodwall => "floodwall",
            Self::Stack => "nothing",
            Self::Bare => "bare drop",
        })
    }
}

/// How floodwall is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The default configuration, which enforces: what meets an attack has to be found by itself.
    Default,
    /// Every defence on from the start, and what an operator knows of this server.
    Defended,
}

/// A sandbox in which one subject is measured.
#[derive(Debug)]
pub struct Site {
    // In this order: people's servers and the filter end before their namespaces go.
    services: Services,
    guard: Guard,
    witness: Witness,
    sandbox: Sandbox,
    setup: Setup,
    cpu: usize,
    built: Instant,
}

#[derive(Debug)]
enum Guard {
    Floodwall(Box<Floodwall>),
    Program(#[expect(dead_code, reason = "it is attached until dropped")] FdLink),
}

/// The limits of ICMP and of other protocols, packets a second.
pub const LIMIT: f64 = 200.0;
/// The same by default: what `icmp.echo` and `icmp.errors` are, and what `protocols` is lowered to.
pub const LOWERED: f64 = 1_000.0;

/// What an operator knows of this server: no visitor opens twenty connections a second, nobody here
/// uses tunnels, and what the services can take. Nothing else is written by hand.
const KNOWN: &str = r#"
[limits]
protocols = "200/s"

[limits.source]
connections = "20/s burst 100"

[limits.icmp]
echo = "200/s"
errors = "200/s"

[[service]]
name = "game"
to = ["203.0.113.10", "2001:db8:5e::10"]
protocol = "udp"
port = 7777
packets = "5k/s"

[[service]]
name = "dns"
to = ["203.0.113.10", "2001:db8:5e::10"]
protocol = "udp"
port = 53
packets = "5k/s"
"#;

/// The flood of a measurement.
pub enum Load<'a> {
    /// An attack of the catalogue.
    Attack(&'a Attack, Pace),
    /// Frames of a capture.
    Feed(Box<dyn flood::Feed>, Pace),
}

impl Load<'_> {
    /// Whether it goes on for as long as it is wanted.
    fn lasts(&self) -> bool {
        match self {
            Self::Attack(..) => true,
            Self::Feed(feed, _) => feed.goes_round(),
        }
    }

    /// Whether what it sends is counted in packets, and not in connections.
    fn sends_packets(&self) -> bool {
        match self {
            Self::Attack(attack, _) => match attack.traffic {
                Traffic::Template(_) | Traffic::Album(_) | Traffic::InTurn { .. } => true,
                Traffic::Connections | Traffic::Crowd => false,
            },
            Self::Feed(..) => true,
        }
    }

    /// Packets that have to be sent in a while for it to be this flood.
    fn least(&self, time: Duration) -> u64 {
        let pace = match self {
            Self::Attack(attack, pace) => match attack.traffic {
                Traffic::Template(_) | Traffic::Album(_) => *pace,
                Traffic::InTurn { .. } | Traffic::Connections | Traffic::Crowd => return 0,
            },
            // It may be over before.
            Self::Feed(..) => return 0,
        };
        match pace {
            Pace::Full => 0,
            Pace::PerSecond(rate) => (rate as f64 * time.as_secs_f64() * 0.9) as u64,
        }
    }
}

impl Site {
    /// Builds a sandbox whose server stands behind a subject. Server, people and flood will share
    /// a processor.
    pub fn new(
        subject: Subject,
        setup: Setup,
        binary: &Path,
        mtu: u32,
        cpu: usize,
    ) -> Result<Self> {
        let sandbox = Sandbox::new(&sandbox::Options {
            mtu,
            swallow: true,
            far: true,
            routed: true,
        })?;
        let services = Services::start(&sandbox, Some(cpu))?;
        let device = hosts::SERVER.interface;
        let attach = |program| Lab::load(Tables::Tiny)?.attach(program, sandbox.server(), device);
        let guard = match subject {
            Subject::Stack => Guard::Program(attach("pass")?),
            Subject::Bare => Guard::Program(attach("drop_flood")?),
            Subject::Floodwall => {
                let mut config = Config::new("enforce");
                let floodwall = match setup {
                    Setup::Default => Floodwall::start(&sandbox, binary, &config)?,
                    Setup::Defended => {
                        config.more = KNOWN.to_owned();
                        let floodwall = Floodwall::start(&sandbox, binary, &config)?;
                        floodwall.defend()?;
                        floodwall
                    }
                };
                Guard::Floodwall(Box::new(floodwall))
            }
        };
        let witness = Lab::load(Tables::Tiny)?.witness(sandbox.server(), device)?;
        Ok(Self {
            services,
            guard,
            witness,
            sandbox,
            setup,
            cpu,
            built: clock::now(),
        })
    }

    /// Waits until the defence holds that an attack is met by: what nobody asked for is known once
    /// this host's own requests were noted for a minute.
    pub fn await_defences(&self, attack: &Attack) -> Result<()> {
        // What is met from the first minute on is what every host is met by.
        if attack.base == "amp-ntp-open" || self.setup == Setup::Default && attack.row == 10 {
            interrupt::sleep(NOTED.saturating_sub(self.built.elapsed()))?;
        }
        Ok(())
    }

    /// The daemon, if that is the subject.
    pub fn floodwall(&self) -> Option<&Floodwall> {
        match &self.guard {
            Guard::Floodwall(floodwall) => Some(floodwall),
            Guard::Program(_) => None,
        }
    }

    /// Has the daemon forget what it learned and did: ends it and starts another. What the maps hold
    /// of this host's own requests stays.
    pub fn renew(&mut self) -> Result<()> {
        let Guard::Floodwall(floodwall) = &mut self.guard else {
            return Ok(());
        };
        match self.setup {
            Setup::Default => floodwall.restart(&self.sandbox),
            Setup::Defended => Ok(()),
        }
    }

    /// Whether something has to be found out before a flood is met.
    fn finds_out(&self) -> bool {
        self.setup == Setup::Default && self.floodwall().is_some()
    }

    /// Has people come for a while, and a flood after them; both are over when this returns. Where
    /// what meets the flood has to be found out, counting begins behind that.
    pub fn measure(
        &self,
        load: Option<Load<'_>>,
        guests: Guests,
        time: Duration,
    ) -> Result<Measured> {
        let mut before = self.count()?;
        let people = People::start(&self.sandbox, guests, Some(self.cpu))?;
        interrupt::sleep(BEFORE)?;
        let least = load.as_ref().map_or(0, |load| load.least(time));
        let lasts = load.as_ref().is_some_and(Load::lasts);
        let sends_packets = load.as_ref().is_some_and(Load::sends_packets);
        let start = wall::now();
        let flood = load.map(|load| self.flood(load)).transpose()?;
        people.take();
        let (mut mitigated_after, mut meanwhile, mut sent_before) = (None, Vec::new(), 0);
        let is_flooded = flood.is_some();
        if let Some(flood) = flood.as_ref().filter(|_| lasts && self.finds_out()) {
            mitigated_after = mitigated(&self.watch(guests)?);
            before = self.count()?;
            sent_before = flood.sent();
            meanwhile = people.take();
        }
        let least = least + sent_before;
        let begun = clock::now();
        interrupt::sleep(time)?;
        // A busy machine can keep the generator waiting: then it takes longer.
        let end = begun + time * 5;
        while flood.as_ref().is_some_and(|flood| flood.sent() < least) && clock::now() < end {
            interrupt::sleep(time / 10)?;
        }
        let sent = flood.map(Flood::finish).transpose()?.unwrap_or_default();
        let sent = sent.saturating_sub(sent_before);
        let time = begun.elapsed();
        let reports = people.finish()?;
        interrupt::sleep(AFTER)?;
        let after = self.count()?;
        let actions = match self.floodwall() {
            Some(floodwall) if is_flooded && self.finds_out() => floodwall.actions(start)?,
            Some(_) | None => Vec::new(),
        };
        let deeds = actions.into_iter().map(|action| Deed {
            after_ms: action.at.duration_since(start).as_millis() as i64,
            what: action.told(),
            why: action.why,
        });
        let since = |before: u64, after: u64| after.saturating_sub(before);
        let strange = since(before.received, after.received)
            .saturating_sub(since(before.people, after.people));
        Ok(Measured {
            time,
            sent,
            // More than was sent is what others said of the server's answers.
            arrived: if sends_packets {
                strange.min(sent)
            } else {
                strange
            },
            passed: since(before.witnessed, after.witnessed),
            dropped: since(before.dropped, after.dropped),
            reasons: differences(&before.reasons, &after.reasons),
            strangers: since(before.strangers, after.strangers),
            reports,
            mitigated: mitigated_after,
            meanwhile,
            deeds: deeds.collect(),
        })
    }

    /// Looks at what passes until what meets the flood has been found.
    fn watch(&self, guests: Guests) -> Result<Vec<Look>> {
        let begun = clock::now();
        let mut looks = Vec::new();
        // What can be borne is tried again and again, and what meets it is found already.
        let time = if guests.rate.is_some() {
            FINDS / 4
        } else {
            FINDS
        };
        while begun.elapsed() < time {
            let arrived = self.sandbox.traffic(Ns::Server, hosts::SERVER.interface)?;
            looks.push(Look {
                at: begun.elapsed(),
                arrived: arrived.received,
                passed: self.witness.flood()?,
            });
            interrupt::sleep(LOOK)?;
        }
        Ok(looks)
    }

    fn flood(&self, load: Load<'_>) -> Result<Flood> {
        let options = |pace| flood::Options {
            pace,
            cpu: Some(self.cpu),
            // As a card's interrupts do.
            first: true,
        };
        match load {
            Load::Attack(attack, pace) => Flood::start(&self.sandbox, attack, options(pace)),
            Load::Feed(feed, pace) => Flood::feed(&self.sandbox, feed, options(pace)),
        }
    }

    fn count(&self) -> Result<Counts> {
        let traffic = |ns, interface| self.sandbox.traffic(ns, interface);
        let people = [
            traffic(Ns::Client, hosts::CLIENT.interface)?.sent,
            traffic(Ns::Router, sandbox::TO_SEGMENT)?.sent,
        ];
        let server = traffic(Ns::Server, hosts::SERVER.interface)?;
        let status = self.floodwall().map(Floodwall::status).transpose()?;
        Ok(Counts {
            received: server.received,
            people: people.iter().sum(),
            witnessed: self.witness.flood()?,
            dropped: status.as_ref().map_or(0, Status::dropped),
            reasons: status.map(|status| status.reasons).unwrap_or_default(),
            strangers: self.services.web().strangers(),
        })
    }
}

fn differences(
    before: &BTreeMap<String, Reason>,
    after: &BTreeMap<String, Reason>,
) -> BTreeMap<String, u64> {
    let count = |all: &BTreeMap<String, Reason>, name: &str| {
        all.get(name).map_or(0, |reason| reason.packets)
    };
    after
        .keys()
        .map(|name| {
            (
                name.clone(),
                count(after, name).saturating_sub(count(before, name)),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Counters at one moment.
struct Counts {
    received: u64,
    people: u64,
    witnessed: u64,
    dropped: u64,
    reasons: BTreeMap<String, Reason>,
    strangers: u64,
}
