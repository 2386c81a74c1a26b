//! What verifiers spent when it was last recorded.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::report::Outcome;

/// Per cent that a program may cost more than was recorded.
const SLACK: u64 = 10;

/// Instructions walked, by series of kernels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded(BTreeMap<String, Series>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Series {
    /// The release that was asked.
    release: String,
    programs: BTreeMap<String, u64>,
}

impl Recorded {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Takes over what a kernel spent, and writes the file.
    pub fn record(&mut self, outcomes: &[Outcome], path: &Path) -> Result<()> {
        for outcome in outcomes.iter().filter(|it| !it.efforts.is_empty()) {
            let efforts = outcome.efforts.iter();
            let series = Series {
                release: outcome.release.clone(),
                programs: efforts
                    .map(|it| (it.program.clone(), it.instructions))
                    .collect(),
            };
            self.0.insert(outcome.series.clone(), series);
        }
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n")
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// What costs more than was recorded of the series, each in a sentence that names both releases.
    /// Only of the release that was recorded is that a failure: verifiers of one series can differ by
    /// far (6.18.15 and 6.18.44 do), and which release the archives offer is not up to this project.
    pub fn rises(&self, outcome: &Outcome) -> Vec<String> {
        let Some(series) = self.0.get(&outcome.series) else {
            return vec![format!("nothing is recorded for Linux {}", outcome.series)];
        };
        let release = &series.release;
        let mut rises = Vec::new();
        for effort in &outcome.efforts {
            let now = effort.instructions;
            match series.programs.get(&effort.program) {
                Some(before) if now.saturating_mul(100) > before.saturating_mul(100 + SLACK) => {
                    rises.push(format!(
                        "{} costs the verifier of {} {now} instructions, and {before} when {release} \
                         was recorded",
                        effort.program, outcome.release
                    ));
                }
                Some(_) => {}
                None => rises.push(format!(
                    "nothing is recorded for {} on Linux {}",
                    effort.program, outcome.series
                )),
            }
        }
        rises
    }

    /// Whether it is this very release that was recorded.
    pub fn is_of(&self, outcome: &Outcome) -> bool {
        let series = self.0.get(&outcome.series);
        series.is_some_and(|series| series.release == outcome.release)
    }

    /// The release that was asked, if it is another.
    pub fn other_release(&self, outcome: &Outcome) -> Option<&str> {
        let release = self.0.get(&outcome.series)?.release.as_str();
        (release != outcome.release).then_some(release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::vm::message::Effort;

    fn outcome(release: &str, instructions: u64) -> Outcome {
        let mut outcome = Outcome::new("6.1", release);
        outcome.efforts.push(Effort {
            program: "floodwall".to_owned(),
            instructions,
            micros: 1,
            stack: 8,
        });
        outcome
    }

    #[test]
    fn a_rise_of_more_than_a_tenth_is_told_and_a_failure_of_the_recorded_release_only() {
        let folder = tempfile();
        let path = folder.join("effort.json");
        let mut recorded = Recorded::default();
        recorded
            .record(&[outcome("6.1.0-50", 1_000)], &path)
            .unwrap();
        assert_eq!(Recorded::read(&path).unwrap(), recorded);
        assert!(recorded.rises(&outcome("6.1.0-50", 1_100)).is_empty());
        let rises = recorded.rises(&outcome("6.1.0-50", 1_101));
        assert!(
            rises.len() == 1 && rises[0].contains("1101 instructions"),
            "{rises:?}"
        );
        assert!(recorded.is_of(&outcome("6.1.0-50", 1_101)));
        let other = outcome("6.1.0-51", 9_000);
        let rises = recorded.rises(&other);
        assert!(
            rises.len() == 1 && rises[0].contains("6.1.0-51") && rises[0].contains("6.1.0-50"),
            "{rises:?}"
        );
        assert!(recorded.rises(&outcome("6.1.0-51", 900)).is_empty());
        assert_eq!(recorded.other_release(&other), Some("6.1.0-50"));
        assert!(!recorded.is_of(&other));
        let unknown = Outcome::new("9.9", "9.9.1");
        assert_eq!(recorded.rises(&unknown).len(), 1);
        assert!(!recorded.is_of(&unknown));
        fs::remove_dir_all(folder).unwrap();
    }

    fn tempfile() -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("floodwall-effort-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}
