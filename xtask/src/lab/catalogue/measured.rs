//! What was measured of one subject under one load.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::super::{
    heard::Heard,
    people::{self, Report},
};

/// One measurement.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// How long it was.
    pub time: Duration,
    /// Packets of the flood put on the wire; of connections, those that were begun.
    pub sent: u64,
    /// Packets of the flood that reached the interface; of connections, all that were not people's.
    pub arrived: u64,
    /// Packets of the flood that reached the stack, as it saw them itself.
    pub passed: u64,
    /// Packets that floodwall dropped, or would have if it enforced everything.
    pub dropped: u64,
    /// How many packets met which reason of floodwall's, people's included.
    pub reasons: BTreeMap<String, u64>,
    /// Connections of bots that the server accepted.
    pub strangers: u64,
    /// What everybody noticed.
    pub reports: Vec<Report>,
    /// From the flood's first packet to when 95 % of it were stopped, where that had to be found out;
    /// all else is counted behind that.
    pub mitigated: Option<Duration>,
    /// What everybody noticed until then.
    pub meanwhile: Vec<Report>,
    /// What the controller did, in order, where that had to be found out.
    pub deeds: Vec<Deed>,
}

/// What the controller did.
#[derive(Clone, Debug, Serialize)]
pub struct Deed {
    /// Since the flood began, in milliseconds.
    pub after_ms: i64,
    /// What, and that it was refused if it was.
    pub what: String,
    /// Why, in words with figures.
    pub why: String,
}

impl Measured {
    /// The share of the flood that did not reach the stack.
    pub fn stopped(&self) -> f64 {
        match self.arrived {
            0 => 0.0,
            arrived => 1.0 - self.passed as f64 / arrived.max(self.passed) as f64,
        }
    }

    /// What all of these noticed together.
    pub fn heard(&self, whose: impl Fn(&str) -> bool) -> Heard {
        let mut sum = Heard::default();
        for Report { who, heard } in &self.reports {
            if whose(who) {
                sum.add(heard);
            }
        }
        sum
    }

    /// What all noticed before counting began.
    pub fn meanwhile_heard(&self) -> Heard {
        let mut sum = Heard::default();
        for Report { heard, .. } in &self.meanwhile {
            sum.add(heard);
        }
        sum
    }

    /// The share of everybody's requests that were answered.
    pub fn success(&self) -> f64 {
        self.heard(|_| true).success()
    }

    /// The web's visitors.
    pub fn web(&self) -> Heard {
        self.heard(|who| [people::WEB, people::WEB_V6].contains(&who))
    }

    /// Pages served a second.
    pub fn pages(&self) -> f64 {
        self.per_second(self.web().answered)
    }

    /// The longest gap in the stream.
    pub fn gap(&self) -> Duration {
        self.heard(|who| who == people::STREAM).longest()
    }

    /// Any count as a rate.
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.time.as_secs_f64().max(1e-9)
    }

    /// What floodwall's reasons were, most frequent first.
    pub fn reasons(&self) -> String {
        let mut reasons: Vec<(&String, &u64)> = self.reasons.iter().collect();
        reasons.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(**count));
        let words: Vec<String> = reasons
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        words.join(", ")
    }

    /// Whom the flood hurt, and how much.
    pub fn sufferers(&self) -> Vec<String> {
        self.reports
            .iter()
            .filter(|report| report.heard.failed > 0)
            .map(|Report { who, heard }| {
                format!("{who}: {} of {} failed", heard.failed, heard.asked())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_arrived_and_nothing_is_no_success() {
        let measured = Measured {
            arrived: 1000,
            passed: 5,
            ..Measured::default()
        };
        assert!((measured.stopped() - 0.995).abs() < 1e-9);
        assert_eq!(Measured::default().stopped(), 0.0);
        // Counters of two places may differ by a packet.
        let measured = Measured {
            arrived: 10,
            passed: 11,
            ..Measured::default()
        };
        assert_eq!(measured.stopped(), 0.0);
    }
}
