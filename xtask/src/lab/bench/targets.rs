//! What is to be reached, and whether this run reached it.

use super::report::Report;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// A target, and what was measured of it.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it is about.
    pub about: &'static str,
    /// What to reach.
    pub goal: Goal,
    /// `ns`, `×` and so on.
    pub unit: &'static str,
    /// By the best rounds; `None` where it was not measured.
    pub best: Option<f64>,
    /// By the median rounds.
    pub median: Option<f64>,
}

impl Target {
    /// In words.
    pub fn verdict(&self) -> &'static str {
        match (self.best, self.median) {
            (_, Some(median)) if self.is_met(median) => "reached",
            (Some(best), _) if self.is_met(best) => "reached at best",
            (Some(_), _) | (_, Some(_)) => "not reached",
            (None, None) => "not measured",
        }
    }

    fn is_met(&self, value: f64) -> bool {
        match self.goal {
            Goal::AtMost(most) => value <= most,
            Goal::AtLeast(least) => value >= least,
        }
    }
}

/// A number by the best rounds and by the median rounds.
type Pair = Option<(f64, f64)>;

/// All targets, from what a run measured.
pub fn all(report: &Report) -> Vec<Target> {
    let above = |section, subject, traffic| report.above(section, subject, traffic);
    let ns = |about, most, pair: Pair| target(about, Goal::AtMost(most), "ns", pair);
    let times = |about, least, pair: Pair| target(about, Goal::AtLeast(least), "×", pair);
    let ratio = |upper: Pair, lower: Pair| {
        let ((a, b), (c, d)) = (upper?, lower?);
        Some((a / c.max(1.0), b / d.max(1.0)))
    };
    let minus = |upper: Pair, lower: Pair| {
        let ((a, b), (c, d)) = (upper?, lower?);
        Some((a - c, b - d))
    };
    vec![
        ns(
            "whole default program, one clean source",
            25.0,
            above("whole", "floodwall", "one source"),
        ),
        ns(
            "random sources, limits on, 1 M prefixes",
            80.0,
            above("listed", "floodwall, 1 M listed", "random IPv4"),
        ),
        ns(
            "one source of a 1 M list dropped",
            20.0,
            above("listed", "floodwall, 1 M listed", "one listed"),
        ),
        ns(
            "random sources of a 1 M list dropped",
            90.0,
            above("listed", "floodwall, 1 M listed", "random listed"),
        ),
        ns(
            "a banned source dropped",
            45.0,
            above("listed", "floodwall, 1 M listed", "banned"),
        ),
        ns(
            "1,000 rules over none",
            60.0,
            minus(
                above("rules", "1000 rules", "random IPv4"),
                above("rules", "no rule", "random IPv4"),
            ),
        ),
        ns(
            "1,000 rules over 10",
            20.0,
            minus(
                above("rules", "1000 rules", "random IPv4"),
                above("rules", "10 rules", "random IPv4"),
            ),
        ),
        ns(
            "one IPv6 source, 250 k prefixes",
            35.0,
            above("listed v6", "floodwall, 1 M listed", "one IPv6"),
        ),
        ns(
            "random IPv6 /64s, 250 k prefixes",
            110.0,
            above("listed v6", "floodwall, 1 M listed", "random IPv6 /64"),
        ),
        ns(
            "IPv6 sources near the prefixes",
            110.0,
            above("listed v6", "floodwall, 1 M listed", "IPv6 near the list"),
        ),
        times(
            "two CPUs over one, one source",
            1.8,
            report.growth("floodwall", "one source"),
        ),
        times(
            "two CPUs over one, random sources",
            1.8,
            report.growth("floodwall", "random IPv4"),
        ),
        times(
            "LRU_HASH over the whole program, random",
            6.0,
            ratio(
                above("whole", "LRU_HASH + ktime", "random IPv4"),
                above("whole", "floodwall", "random IPv4"),
            ),
        ),
        times(
            "LPM_TRIE over the list stage, 1 M, random",
            20.0,
            ratio(
                above("prefixes 1 M", "LPM_TRIE look-up", "random IPv4"),
                minus(
                    above("prefixes 1 M", "list stage", "random IPv4"),
                    above("prefixes 1 M", "without lists", "random IPv4"),
                ),
            ),
        ),
        target(
            "live random flood, of what a bare drop absorbs",
            Goal::AtLeast(75.0),
            "%",
            report.share_of_bare("floodwall"),
        ),
        ns(
            "closed ports over nothing, random",
            5.0,
            minus(
                above("defences", "closed ports", "random IPv4"),
                above("defences", "parse and verdict", "random IPv4"),
            ),
        ),
        ns(
            "stray TCP over nothing, random",
            260.0,
            minus(
                above("defences", "sockets", "stray ACKs"),
                above("defences", "parse and verdict", "stray ACKs"),
            ),
        ),
        ns(
            "defences that are off over nothing",
            1.0,
            minus(
                above("defences", "all of them, off", "random IPv4"),
                above("defences", "parse and verdict", "random IPv4"),
            ),
        ),
        target(
            "forged SYNs answered, of what a bare XDP_TX does",
            Goal::AtLeast(60.0),
            "%",
            report.share_of_bare("floodwall, cookies"),
        ),
        target(
            "1 M prefixes from file to enforced",
            Goal::AtMost(0.5),
            "s",
            report.load.as_ref().and_then(|load| {
                let middle = load.times.get(load.times.len() / 2)?;
                Some((load.times.first()?.as_secs_f64(), middle.as_secs_f64()))
            }),
        ),
        target(
            "memory of all maps with full lists",
            Goal::AtMost(192.0),
            "MiB",
            report.load.as_ref().map(|load| {
                let mebibytes = load.map_memory as f64 / f64::from(1 << 20);
                (mebibytes, mebibytes)
            }),
        ),
    ]
}

fn target(about: &'static str, goal: Goal, unit: &'static str, pair: Pair) -> Target {
    Target {
        about,
        goal,
        unit,
        best: pair.map(|(best, _)| best),
        median: pair.map(|(_, median)| median),
    }
}
