//! What the documents of the repository have in common: tables that a command writes between markers,
//! figures, and names of tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// A page with `text` between two markers; `None` if it has none.
#[must_use]
pub fn put_between(page: &str, [begin, end]: [&str; 2], text: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

/// 1234567 as `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Where tests are.
const PACKAGES: [&str; 4] = ["filter-common", "filter-ebpf", "filter-user", "xtask"];

/// Fails if a document names a test, in the last column of a table, that is not there.
///
/// # Errors
/// With the names.
pub fn check_tests(workspace: &Path, document: &str) -> Result<usize> {
    let path = workspace.join(document);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {document}"))?;
    let named = named_tests(&text);
    let mut there = BTreeSet::new();
    for package in PACKAGES {
        gather(&workspace.join(package), &mut there)?;
    }
    let missing: Vec<&str> = named
        .iter()
        .copied()
        .filter(|name| !there.contains(*name))
        .collect();
    if !missing.is_empty() {
        bail!(
            "{document} names tests that are not there: {}; write what shows it now",
            missing.join(", ")
        );
    }
    Ok(named.len())
}

/// What stands in backticks in last columns and looks like the name of a test.
fn named_tests(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().filter_map(|line| {
        let row = line.strip_prefix('|')?.trim_end().strip_suffix('|')?;
        row.rsplit('|').next()
    });
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|word| word.contains('_') && word.bytes().all(is_of_a_name))
        .collect()
}

fn is_of_a_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')
}

/// Names of functions that an attribute makes a test.
fn gather(folder: &Path, names: &mut BTreeSet<String>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, names)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            names.extend(tests(&text).map(str::to_owned));
        }
    }
    Ok(())
}

fn tests(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(attribute) = line.strip_prefix("#[") {
            is_test |= attribute.starts_with("test]") || attribute.starts_with("tokio::test");
            return None;
        }
        let name = line.trim_start_matches("async ").strip_prefix("fn ")?;
        std::mem::take(&mut is_test).then(|| name.split(['(', '<']).next().unwrap_or(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_markers_is_replaced_and_nothing_else() {
        let page = "a\n<b>old\n<e>\nz";
        let new = put_between(page, ["<b>", "<e>"], "new");
        assert_eq!(new.as_deref(), Some("a\n<b>new<e>\nz"));
        assert_eq!(put_between("no markers", ["<b>", "<e>"], ""), None);
        assert_eq!(put_between("<e> before <b>", ["<b>", "<e>"], ""), None);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn tests_are_found_by_their_attribute() {
        let text =
            "#[test]\nfn a_b() {\n}\nfn c_d() {}\n    #[test]\n    #[cfg(x)]\n    fn e_f() {";
        assert_eq!(tests(text).collect::<Vec<_>>(), ["a_b", "e_f"]);
        let row = "| `x_y` | why | `a_b`, fuzz target `packet`, `docs/x_y.md` |\nin text: `t_u`";
        assert_eq!(named_tests(row).into_iter().collect::<Vec<_>>(), ["a_b"]);
    }

    #[test]
    fn every_test_that_the_threat_model_names_is_there() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let named =
            check_tests(&workspace, "SECURITY.md").unwrap_or_else(|error| panic!("{error:#}"));
        assert!(named > 50, "{named}");
    }
}
