//! The tables.

use std::fmt::Write;

use serde::Serialize;

use super::{
    attacks::{ATTACKS, Attack, Promise},
    month::Month,
    trial::{Outcome, quantile},
    tricks::Trick,
};
use crate::document::put_between;

/// Between these lines of `docs/controller.md` lie the tables.
pub const BEGIN: &str = "<!-- begin: cargo xtask simulate --markdown -->";
/// The last of them.
pub const END: &str = "<!-- end -->";

/// Everything that was simulated.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Calm.
    pub months: Vec<Month>,
    /// Attacks, by row and seed.
    pub outcomes: Vec<Outcome>,
    /// Tricks.
    pub tricks: Vec<Trick>,
}

impl Report {
    /// The tables, as Markdown, which reads well enough on a terminal.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        if !self.months.is_empty() {
            let _ = self.write_months(&mut text);
        }
        if !self.outcomes.is_empty() {
            let _ = self.write_rows(&mut text);
        }
        if !self.tricks.is_empty() {
            let _ = self.write_tricks(&mut text);
        }
        text
    }

    fn write_months(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "| calm | visitors' connections/s | days | crowds | steps | incidents | actions | bans | dropped | lost behind the filter |"
        )?;
        writeln!(
            text,
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for month in &self.months {
            writeln!(
                text,
                "| {} | {:.0} | {:.0} | {} | {} | {} | {} | {} | {} | {} |",
                month.name,
                month.visitors,
                month.days,
                month.crowds,
                grouped(month.steps as f64),
                month.incidents,
                month.actions,
                month.bans,
                percent(month.harm),
                percent(month.lost)
            )?;
        }
        writeln!(text)
    }

    fn write_rows(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "| # | attack | packets/s | noticed | 95 % stopped after | stopped | calm dropped | unanswered | lost | actions | over after | step |"
        )?;
        writeln!(
            text,
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for attack in ATTACKS {
            let of: Vec<&Outcome> = self
                .outcomes
                .iter()
                .filter(|outcome| outcome.name == attack.name)
                .collect();
            if !of.is_empty() {
                writeln!(text, "{}", row(attack, &of))?;
            }
        }
        writeln!(text)?;
        let attacks: Vec<&Outcome> = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.rate > 0.0)
            .collect();
        let all = attacks.len().max(1) as f64;
        let soon = attacks
            .iter()
            .filter(|outcome| outcome.detected.is_some_and(|seconds| seconds <= 1.0))
            .count();
        let gentle = self.outcomes.iter().filter(|it| it.harm <= 0.001).count();
        writeln!(
            text,
            "* Noticed within a second: {:.1} % of {} attacks. Calm dropped at most 0.1 %: in {} of {} worlds.",
            100.0 * soon as f64 / all,
            attacks.len(),
            gentle,
            self.outcomes.len()
        )?;
        let partner = self.outcomes.iter().filter(|outcome| outcome.row == 23);
        let worst = partner.clone().map(|it| it.partner).reduce(f64::min);
        let best = partner.clone().map(|it| it.partner).reduce(f64::max);
        if let Some((worst, best)) = worst.zip(best) {
            let banned = partner
                .clone()
                .filter(|outcome| outcome.is_partner_banned)
                .count();
            let enough = partner
                .clone()
                .filter(|outcome| outcome.partner >= 0.99)
                .count();
            writeln!(
                text,
                "* Row 23: the partner was banned in {banned} worlds. Of the connections that he begins while he is forged, at least 99 % come about in {enough} of {} worlds, {} to {} in all; those that exist lose nothing.",
                partner.count(),
                percent(worst),
                percent(best)
            )?;
        }
        writeln!(text)
    }

    fn write_tricks(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "| trick | wanted | found | met |")?;
        writeln!(text, "| --- | --- | --- | --- |")?;
        for trick in &self.tricks {
            let met = if trick.is_met { "yes" } else { "**no**" };
            writeln!(
                text,
                "| {} | {} | {} | {met} |",
                trick.name, trick.wanted, trick.found
            )?;
        }
        writeln!(text)
    }

    /// A page with the tables of this report between its markers; `None` if it has none.
    pub fn put_into(&self, page: &str) -> Option<String> {
        put_between(page, [BEGIN, END], &format!("\n\n{}", self.markdown()))
    }
}

fn row(attack: &Attack, of: &[&Outcome]) -> String {
    let promise = match attack.promise {
        Promise::Yes => "",
        Promise::Fingerprint => " (fingerprint)",
        Promise::Partly => " (partly)",
        Promise::NoAttack => " (no attack)",
    };
    let worst = |figure: fn(&Outcome) -> f64| of.iter().map(|it| figure(it)).fold(0.0, f64::max);
    let detected: Vec<Option<f64>> = of.iter().map(|outcome| outcome.detected).collect();
    let mitigated: Vec<Option<f64>> = of.iter().map(|outcome| outcome.mitigated).collect();
    let let_go: Vec<Option<f64>> = of.iter().map(|outcome| outcome.let_go).collect();
    let mut stopped: Vec<f64> = of.iter().map(|outcome| outcome.stopped).collect();
    stopped.sort_by(f64::total_cmp);
    let mut costs: Vec<f64> = of
        .iter()
        .flat_map(|outcome| &outcome.costs)
        .copied()
        .collect();
    costs.sort_by(f64::total_cmp);
    let rates = of.iter().map(|outcome| outcome.rate);
    let (least, most) = rates.fold((f64::INFINITY, 0.0), |(least, most), rate| {
        (f64::min(least, rate), f64::max(most, rate))
    });
    format!(
        "| {} | {}{promise} | {} to {} | {} | {} | {} to {} | {} | {} | {} | {} | {} | {:.1} ms |",
        attack.row,
        attack.name,
        grouped(least),
        grouped(most),
        times(&detected),
        times(&mitigated),
        percent(quantile(&stopped, 0.0)),
        percent(quantile(&stopped, 1.0)),
        percent(worst(|outcome| outcome.harm)),
        percent(worst(|outcome| outcome.unanswered)),
        percent(worst(|outcome| outcome.lost)),
        worst(|outcome| f64::from(outcome.actions)),
        times(&let_go),
        quantile(&costs, 0.99)
    )
}

/// Median and maximum of those there are, and how many there are if some are missing.
fn times(all: &[Option<f64>]) -> String {
    let mut there: Vec<f64> = all.iter().flatten().copied().collect();
    there.sort_by(f64::total_cmp);
    if there.is_empty() {
        return "never".to_owned();
    }
    let (median, most) = (quantile(&there, 0.5), quantile(&there, 1.0));
    let mut text = if most - median < 0.05 {
        format!("{most:.1} s")
    } else {
        format!("{median:.1} s, at most {most:.1} s")
    };
    if there.len() < all.len() {
        let _ = write!(text, ", in {} of {}", there.len(), all.len());
    }
    text
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0".to_owned(),
        percent if percent < 0.01 => "< 0.01 %".to_owned(),
        percent if percent < 1.0 => format!("{percent:.2} %"),
        percent if (99.95..=100.0).contains(&percent) => "100 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

fn grouped(number: f64) -> String {
    match number {
        number if number >= 1e9 => format!("{:.2} G", number / 1e9),
        number if number >= 1e6 => format!("{:.1} M", number / 1e6),
        number if number >= 1e4 => format!("{:.0} k", number / 1e3),
        number => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_go_between_the_markers_and_every_line_has_as_many_cells_as_the_head() {
        let mut report = Report::default();
        let flood = |seed, detected| Outcome {
            row: 1,
            name: "syn-random",
            seed,
            rate: 2e4,
            detected,
            stopped: 0.99,
            costs: vec![0.1],
            ..Outcome::default()
        };
        report.outcomes = vec![flood(0, Some(0.2)), flood(1, None)];
        report.months.push(Month::default());
        let page = format!("prose\n{BEGIN}\nold\n{END}\nmore\n");
        let page = report.put_into(&page).unwrap();
        assert!(page.starts_with("prose\n") && page.ends_with(&format!("{END}\nmore\n")));
        assert!(!page.contains("old") && page.contains("50.0 % of 2 attacks"));
        assert!(page.contains("| 0.2 s, in 1 of 2 | never |"));
        assert_eq!(report.put_into(&page), Some(page.clone()));
        for table in page.split("\n\n").filter(|part| part.starts_with('|')) {
            let mut widths = table.lines().map(|line| line.matches('|').count());
            let first = widths.next();
            assert!(widths.all(|width| Some(width) == first), "{table}");
        }
        assert_eq!(report.put_into("no markers"), None);
    }
}
