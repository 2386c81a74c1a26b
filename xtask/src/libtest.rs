//! What Rust's test harness prints: the names of its tests, and how they ended.

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ended well.
    pub passed: u64,
    /// Did not.
    pub failed: u64,
    /// Were not run, by an attribute.
    pub ignored: u64,
}

impl Tally {
    /// Counts `other` in.
    pub fn add(&mut self, other: Self) {
        let Self {
            passed,
            failed,
            ignored,
        } = other;
        self.passed = self.passed.saturating_add(passed);
        self.failed = self.failed.saturating_add(failed);
        self.ignored = self.ignored.saturating_add(ignored);
    }
}

/// The tests in the output of `--list`.
pub fn listed(output: &str) -> Vec<String> {
    output
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

/// The line that ends a run: `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
pub fn summary(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        counts
            .split(';')
            .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed")?,
        ignored: count("ignored")?,
    })
}

/// A test that holds a table says how many rows it ran: `golden packets: 64`, or
/// `network: 7 cases`.
pub fn cases(line: &str) -> Option<u64> {
    let (what, count) = line.split_once(": ")?;
    let is_kind =
        |word: &str| ["property", "unit", "golden", "network", "catalogue"].contains(&word);
    match count.strip_suffix(" cases") {
        Some(count) if is_kind(what) => count.parse().ok(),
        None if what == "golden packets" => count.parse().ok(),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_tests_and_no_benchmarks() {
        let output = "bucket::refills: test\nspeed: benchmark\n\n1 test, 1 benchmark\n";
        assert_eq!(listed(output), ["bucket::refills"]);
    }

    #[test]
    fn a_summary_is_read_whether_it_passed_or_failed() {
        let failed = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; \
                      2 filtered out; finished in 0.03s";
        assert_eq!(
            summary(failed),
            Some(Tally {
                passed: 12,
                failed: 3,
                ignored: 1
            })
        );
        let passed = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            summary(passed),
            Some(Tally {
                passed: 1,
                failed: 0,
                ignored: 0
            })
        );
        assert_eq!(summary("test result of the day"), None);
    }

    #[test]
    fn rows_of_a_table_are_counted_by_the_words_of_its_test_alone() {
        assert_eq!(cases("golden packets: 64"), Some(64));
        assert_eq!(cases("network: 7 cases"), Some(7));
        assert_eq!(cases("catalogue: 9 cases"), Some(9));
        assert_eq!(cases("dropped: 7 cases"), None);
        assert_eq!(cases("unit: 7"), None);
        assert_eq!(cases("nothing"), None);
    }
}
