//! The Debian package, by cargo-deb and under lintian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{answer, date, epoch, finished, say, silent, version};
use crate::toolchain;

/// The revision of the packaging: of this release, the first.
const REVISION: &str = "1";

/// Makes it, and gives where it lies.
pub fn make(cargo_deb: &Path) -> Result<PathBuf> {
    let changes = toolchain::workspace().join("CHANGELOG.md");
    let changes = fs::read_to_string(&changes)
        .with_context(|| format!("cannot read {}", changes.display()))?;
    let staging = toolchain::target_dir().join("release/package");
    let log = changelog(&changes, &date("%a, %d %b %Y %H:%M:%S %z")?);
    fs::write(staging.join("changelog"), log).context("cannot write the package's changelog")?;
    let mut deb = Command::new(cargo_deb);
    deb.current_dir(toolchain::workspace())
        .env("SOURCE_DATE_EPOCH", epoch()?.to_string())
        .args([
            "--package",
            "filter-user",
            "--no-build",
            "--locked",
            "--strip",
            "--quiet",
        ])
        .args(["--deb-revision", REVISION, "--output"])
        .arg(finished()?);
    let said = answer(&mut deb)?;
    let package = PathBuf::from(said.lines().last().unwrap_or_default().trim());
    silent(
        Command::new("lintian")
            .args(["--fail-on", "error,warning", "--allow-root"])
            .args(["--suppress-tags", &UNWANTED.join(",")])
            .arg(&package),
    )?;
    say("lintian has nothing to say");
    let contents = answer(Command::new("dpkg-deb").arg("--contents").arg(&package))?;
    say(&format!(
        "{} files",
        contents
            .lines()
            .filter(|line| line.starts_with('-'))
            .count()
    ));
    Ok(package)
}

/// What lintian says of packages that are to go into Debian itself.
const UNWANTED: [&str; 1] = ["initial-upload-closes-no-bugs"];

/// `CHANGELOG.md` as Debian writes it: this release alone.
fn changelog(changes: &str, date: &str) -> String {
    let release = changes
        .split("\n## ")
        .nth(1)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.strip_prefix("* "));
    let items: String = release.map(fold).collect();
    format!(
        "floodwall ({}-{REVISION}) unstable; urgency=medium\n\n{items}\n -- {MAINTAINER}  {date}\n",
        version()
    )
}

/// Whom `Cargo.toml` names too.
const MAINTAINER: &str = "The floodwall authors <floodwall@example.org>";

/// An item in lines of at most 80 characters.
fn fold(item: &str) -> String {
    const WIDTH: usize = 78;
    let mut text = String::from("  *");
    let mut length = 3_usize;
    for word in item.split_whitespace() {
        let more = word.chars().count().saturating_add(1);
        if length.saturating_add(more) > WIDTH {
            text += "\n   ";
            length = 3;
        }
        text.push(' ');
        text += word;
        length = length.saturating_add(more);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changelog_is_the_newest_release_and_folded() {
        let long = "word ".repeat(40);
        let text = format!(
            "# Changelog\n\nWhat.\n\n## Unreleased\n\n* {long}\n* Two.\n\n## 0.0.1\n\n* Old.\n"
        );
        let log = changelog(&text, "Fri, 02 Jan 2026 03:04:05 +0000");
        assert!(
            log.starts_with(&format!("floodwall ({}-1) unstable;", version())),
            "{log}"
        );
        assert!(log.contains("\n  * Two.\n\n -- The"), "{log}");
        let (items, _) = log.split_once("\n -- ").expect("a trailer");
        assert!(
            !log.contains("Old") && items.lines().all(|line| line.len() <= 80),
            "{log}"
        );
        assert!(items.contains("\n    word"), "{log}");
    }
}
