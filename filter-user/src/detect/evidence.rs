//! Whether what is unusual is an attack.
//!
//! A rate says only that something is unusual: a backup, a tunnel, a newsletter. What speaks for an
//! attack, or against one, is weighed; at [`ENOUGH`] it is one. The weights say how sure a sign is by
//! itself: 1 is enough, 0.5 wants another.

use super::{
    baseline::Normal, crowd::Crowd, machine::Reading, output::Spoofed, rates::Window,
    strain::Strain, vector::Vector,
};
use crate::render::number;

/// What is weighed for an attack must come to this.
pub const ENOUGH: f64 = 0.95;
/// What is weighed below this speaks against one.
pub const BENIGN: f64 = -0.45;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Signs<'a> {
    /// Which vector.
    pub vector: Vector,
    /// The last 0.3 s.
    pub brisk: &'a Window,
    /// The last second.
    pub steady: &'a Window,
    /// What is usual.
    pub normal: &'a Normal,
    /// Who sends.
    pub crowd: &'a Crowd,
    /// What this host loses.
    pub strain: &'a Strain,
    /// Whether it came at once: no crowd of people does.
    pub jumped: bool,
    /// The share of data that belongs to the port where most handshakes are completed, 0 to 1.
    pub talk: f64,
    /// Whether completed handshakes rose as it did, or more.
    pub accompanied: bool,
    /// Whether handshakes were ever counted since the controller began.
    pub counts_handshakes: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// What it comes to.
    pub score: f64,
    /// Whether enough was observed for the lack of evidence to mean anything.
    pub is_known: bool,
    /// Whether the vector is back to what is usual, wherever it is aimed.
    pub is_quiet: bool,
    /// What speaks for an attack, or against, in words with figures.
    pub words: Vec<String>,
    /// Whether sources are forged.
    pub spoofed: Spoofed,
}

impl Evidence {
    fn add(&mut self, weight: f64, words: impl Into<String>) {
        self.score += weight;
        self.words.push(words.into());
    }
}

/// Shares of what came at a vector, by what became of it.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    rate: f64,
    alien: f64,
    limited: f64,
    refused: f64,
}

impl Signs<'_> {
    /// Weighs everything.
    pub fn weigh(&self) -> Evidence {
        let mut evidence = Evidence {
            is_known: self.crowd.is_known(),
            is_quiet: {
                let rate = |window: &Window| window.rate(self.vector).packets;
                Reading::is_quiet(rate(self.brisk).max(rate(self.steady)), self.normal)
            },
            ..Evidence::default()
        };
        let parts = self.parts();
        self.weigh_fates(parts, &mut evidence);
        let completed = match self.vector {
            Vector::Syn => self.weigh_handshakes(parts.rate, &mut evidence),
            Vector::Connections => {
                self.weigh_conversations(&mut evidence);
                None
            }
            Vector::Reflection => {
                self.weigh_length(parts.rate, &mut evidence);
                None
            }
            Vector::SynAck
            | Vector::Ack
            | Vector::Close
            | Vector::Udp
            | Vector::Icmp
            | Vector::Fragments
            | Vector::Protocols
            | Vector::Malformed => None,
        };
        self.weigh_rate(parts, &mut evidence);
        let known = self.is_company(&mut evidence);
        let forgery = self.weigh_crowd(parts, known, &mut evidence);
        if let Some((lost, what)) = self.strain.of(self.vector) {
            // Visitors may be more than a server reads as well.
            let weight = if known || matches!(self.vector, Vector::Ack) {
                0.5
            } else {
                1.0
            };
            evidence.add(weight, format!("{} {what}", number::whole(lost)));
        }
        evidence.spoofed = self.spoofed(parts, completed, forgery);
        evidence
    }

    fn parts(&self) -> Parts {
        let rate = self.brisk.rate(self.vector).packets;
        let Some(class) = self.vector.class() else {
            return Parts {
                rate,
                ..Parts::default()
            };
        };
        let (class, fates) = (class as usize, &self.brisk.fates);
        let of = |by_class: &[f64]| {
            let packets = by_class.get(class).copied().unwrap_or(0.0);
            self.brisk.per_second(packets).min(rate)
        };
        Parts {
            rate,
            alien: of(&fates.alien),
            limited: of(&fates.limited),
            refused: of(&fates.refused),
        }
    }

    fn weigh_fates(&self, parts: Parts, evidence: &mut Evidence) {
        let Parts { rate, .. } = parts;
        let much = |part: f64| rate > 0.0 && (part >= 0.5 * rate || part >= self.normal.threshold);
        let percent = |part: f64| share(part, rate);
        if much(parts.alien) {
            let share = percent(parts.alien);
            evidence.add(1.0, format!("{share} % belong to nothing of this host"));
        }
        if much(parts.refused) {
            let share = percent(parts.refused);
            evidence.add(1.0, format!("{share} % are met by bans, lists or rules"));
        }
        if parts.limited >= 0.5 * rate && rate > 0.0 {
            // Data of a busy peer meets limits too.
            let sure = parts.limited >= 0.8 * rate && !matches!(self.vector, Vector::Ack);
            let share = percent(parts.limited);
            let weight = if sure { 1.0 } else { 0.5 };
            evidence.add(weight, format!("{share} % exceed limits"));
        }
    }

    /// SYNs against the handshakes that come of them. Gives the share that does.
    fn weigh_handshakes(&self, rate: f64, evidence: &mut Evidence) -> Option<f64> {
        if rate <= 0.0 {
            return None;
        }
        // A handshake takes a round trip, so that what is counted is of a moment ago.
        let of = |window: &Window| window.per_second(window.handshakes);
        let completed = of(self.brisk).max(of(self.steady));
        if !self.counts_handshakes && completed <= 0.0 {
            // Where handshakes cannot be counted, conversations show as data.
            let data = self.steady.rate(Vector::Ack).passed;
            if data >= 3.0 * rate && self.brisk.fates.alien.iter().sum::<f64>() <= 0.0 {
                evidence.add(0.0, "handshakes are not counted, but data follows");
                return None;
            }
        }
        let share = completed / rate;
        let words = format!(
            "of {} SYNs/s, {} become connections",
            number::whole(rate),
            number::whole(completed)
        );
        let weight = match share {
            share if share < 0.3 => 1.0,
            share if share < 0.5 => 0.5,
            // A flood may hide behind a crowd.
            _ if rate - completed >= self.normal.threshold => 0.0,
            _ => -1.0,
        };
        evidence.add(weight, words);
        Some(share)
    }

    /// Completed handshakes against the data that follows.
    fn weigh_conversations(&self, evidence: &mut Evidence) {
        let completed = self.steady.per_second(self.steady.handshakes);
        if completed <= 0.0 {
            return;
        }
        // One ACK of each belongs to the handshake; a backup at another port does not.
        let data = self.steady.rate(Vector::Ack).passed * self.talk;
        let data = (data / completed - 1.0).max(0.0);
        let words = format!("{data:.1} packets follow each handshake");
        if data < 2.0 {
            evidence.add(1.0, words);
        } else if data >= 4.0 {
            evidence.add(-1.0, words);
        }
        let syn = Signs {
            vector: Vector::Syn,
            ..*self
        };
        let parts = syn.parts();
        if parts.limited >= 0.3 * parts.rate && parts.rate > 0.0 {
            let share = share(parts.limited, parts.rate);
            evidence.add(0.5, format!("{share} % of SYNs exceed limits"));
        }
    }

    /// Amplified answers are long.
    fn weigh_length(&self, rate: f64, evidence: &mut Evidence) {
        let bytes = self.brisk.rate(self.vector).bits / 8.0;
        if rate > 0.0 && bytes / rate >= 300.0 {
            let length = bytes / rate;
            evidence.add(0.5, format!("they are {length:.0} bytes long on average"));
        }
    }

    /// What a rate says by itself.
    fn weigh_rate(&self, parts: Parts, evidence: &mut Evidence) {
        let weight = match self.vector {
            // Nobody sane sends any.
            Vector::Malformed => 1.0,
            // Few need any.
            Vector::SynAck | Vector::Close | Vector::Reflection | Vector::Icmp => 0.5,
            Vector::Syn
            | Vector::Ack
            | Vector::Connections
            | Vector::Udp
            | Vector::Fragments
            | Vector::Protocols => 0.0,
        };
        evidence.score += weight;
        let times = parts.rate / self.normal.threshold.max(1.0);
        if times >= 5.0 && weight > 0.0 {
            evidence.add(
                0.5,
                format!("{} times what may be usual", number::whole(times)),
            );
        }
    }

    /// Gives how much speaks for forged sources, where a crowd is `known` by its handshakes or not.
    fn weigh_crowd(&self, parts: Parts, known: bool, evidence: &mut Evidence) -> f64 {
        let crowd = self.crowd;
        let (forgery, words) = crowd.forgery(known);
        evidence.score += forgery;
        evidence.words.extend(words);
        if self.jumped && crowd.is_many() {
            let weight = match self.vector {
                Vector::SynAck
                | Vector::Close
                | Vector::Udp
                | Vector::Reflection
                | Vector::Icmp
                | Vector::Fragments
                | Vector::Protocols => 1.0,
                // A proxy that comes back reconnects at once.
                Vector::Ack => 0.6,
                // Handshakes say more.
                Vector::Syn | Vector::Connections | Vector::Malformed => 0.0,
            };
            if weight > 0.0 {
                let sources = number::grouped(crowd.sources as u64);
                evidence.add(weight, format!("{sources} sources began at once"));
            }
        }
        self.weigh_harmlessness(parts, evidence);
        forgery
    }

    /// Whether datagrams are those of a crowd of visitors, who come over QUIC and TCP together: half
    /// of them are of sources that completed handshakes, and handshakes rose with them. Addresses of
    /// visitors can be forged, which completes no handshake; real machines can do both, and can be
    /// banned for it. Where much belongs to nothing, nobody is spared.
    fn is_company(&self, evidence: &mut Evidence) -> bool {
        let crowd = self.crowd;
        let is_company = match self.vector {
            Vector::Udp => self.accompanied && crowd.is_vouched(),
            Vector::Syn
            | Vector::SynAck
            | Vector::Ack
            | Vector::Close
            | Vector::Connections
            | Vector::Reflection
            | Vector::Icmp
            | Vector::Fragments
            | Vector::Protocols
            | Vector::Malformed => false,
        };
        if is_company {
            let share = (crowd.vouched.share * 100.0).round();
            evidence.add(
                0.0,
                format!("{share} % are of visitors, whose handshakes rose as much"),
            );
        }
        is_company
    }

    /// What speaks against an attack beside handshakes, where nothing of it is thrown out.
    fn weigh_harmlessness(&self, parts: Parts, evidence: &mut Evidence) {
        let crowd = self.crowd;
        if parts.alien >= 0.2 * parts.rate || parts.limited >= 0.5 * parts.rate {
            return;
        }
        let (may_be_proven, may_be_few) = match self.vector {
            // Handshakes say more; and nobody sane sends the last.
            Vector::Syn | Vector::Connections | Vector::Malformed => (false, false),
            Vector::SynAck | Vector::Close | Vector::Reflection | Vector::Icmp => (true, false),
            Vector::Ack | Vector::Udp | Vector::Fragments | Vector::Protocols => (true, true),
        };
        if may_be_proven && crowd.is_proven() {
            let share = (crowd.proven * 100.0).round();
            evidence.add(-1.0, format!("{share} % belong to connections"));
        } else if may_be_few && crowd.is_few() {
            evidence.add(
                -0.5,
                "a few sources send most of it, as tunnels and backups do",
            );
        }
    }

    fn spoofed(&self, parts: Parts, completed: Option<f64>, forgery: f64) -> Spoofed {
        let crowd = self.crowd;
        let is_scattered = crowd.is_many() && crowd.single >= 0.8;
        match self.vector {
            Vector::Connections => Spoofed::Real,
            Vector::Reflection => Spoofed::Reflected,
            _ if forgery >= 0.6 => Spoofed::Forged,
            Vector::SynAck => Spoofed::Reflected,
            Vector::Syn => match completed {
                Some(share) if share >= 0.5 => Spoofed::Real,
                Some(share) if share < 0.1 && is_scattered => Spoofed::Forged,
                Some(_) | None => Spoofed::Unknown,
            },
            Vector::Ack | Vector::Close if is_scattered && parts.alien >= 0.5 * parts.rate => {
                Spoofed::Forged
            }
            _ if crowd.is_proven() => Spoofed::Real,
            Vector::Ack
            | Vector::Close
            | Vector::Udp
            | Vector::Icmp
            | Vector::Fragments
            | Vector::Protocols
            | Vector::Malformed => Spoofed::Unknown,
        }
    }
}

/// A share in whole percent.
fn share(part: f64, all: f64) -> f64 {
    (100.0 * part / all.max(f64::MIN_POSITIVE)).round()
}

#[cfg(test)]
mod tests;
