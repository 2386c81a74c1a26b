//! Writes what a package has beside the binary and is made of the command line itself: a manual page
//! for each command, `floodwall.toml(5)` of the example configuration, and completions.
//!
//! `pages FOLDER YYYY-MM-DD`; the date stands at the foot of each page.

mod configuration;
mod manual;
mod roff;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap_complete::{Shell, generate_to};

/// Every shell that Debian has, and where its completions lie under the folder.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash"),
    (Shell::Zsh, "zsh"),
    (Shell::Fish, "fish"),
];

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder: PathBuf = arguments.next().context("usage: pages FOLDER DATE")?.into();
    let date = arguments.next().context("usage: pages FOLDER DATE")?;
    write(&folder, &date.to_string_lossy())
}

fn write(folder: &Path, date: &str) -> Result<()> {
    let man = make(&folder.join("man"))?;
    let mut pages = manual::pages(filter_user::cli::command(), date)?;
    pages.push(("floodwall.toml.5".to_owned(), configuration::page(date)));
    for (name, text) in pages {
        let path = man.join(name);
        fs::write(&path, roff::tidy(&text))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    for (shell, name) in SHELLS {
        let folder = make(&folder.join(name))?;
        let mut command = filter_user::cli::command();
        generate_to(shell, &mut command, "floodwall", &folder)
            .with_context(|| format!("cannot write completions of {shell}"))?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const DATE: &str = "2026-01-02";

    fn written() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), DATE).expect("written");
        folder
    }

    /// Every command with its sub-commands, as its page is named.
    fn names(command: &clap::Command, prefix: &str, found: &mut Vec<String>) {
        found.push(format!("{prefix}.8"));
        for inner in command.get_subcommands() {
            names(inner, &format!("{prefix}-{}", inner.get_name()), found);
        }
    }

    #[test]
    fn every_command_has_its_page_and_no_other_is_there() {
        let folder = written();
        let mut expected = vec!["floodwall.toml.5".to_owned()];
        names(&filter_user::cli::command(), "floodwall", &mut expected);
        expected.sort();
        let entries = fs::read_dir(folder.path().join("man")).expect("pages");
        let mut found: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("a name")
            })
            .collect();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_option_of_every_command_is_on_its_page() {
        fn check(command: &clap::Command, prefix: &str, folder: &Path) {
            let path = folder.join(format!("man/{prefix}.8"));
            let page = fs::read_to_string(path).expect("a page").replace('\\', "");
            let arguments = command.get_arguments().filter(|it| !it.is_hide_set());
            for long in arguments.filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{long}")), "{prefix}: --{long}");
            }
            for inner in command.get_subcommands() {
                check(inner, &format!("{prefix}-{}", inner.get_name()), folder);
            }
        }
        let folder = written();
        check(&filter_user::cli::command(), "floodwall", folder.path());
    }

    #[test]
    fn completions_name_every_command() {
        let folder = written();
        for file in [
            "bash/floodwall.bash",
            "zsh/_floodwall",
            "fish/floodwall.fish",
        ] {
            let text = fs::read_to_string(folder.path().join(file)).expect("completions");
            for command in filter_user::cli::command().get_subcommands() {
                assert!(
                    text.contains(command.get_name()),
                    "{file}: {}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn every_key_of_the_example_is_on_the_page_of_the_configuration() {
        let page = configuration::page(DATE);
        for key in [
            "interfaces",
            "[limits.source]",
            "[[service]]",
            "max_collateral",
            "read_group",
        ] {
            assert!(page.contains(key), "{key}: {page}");
        }
    }

    /// `cargo xtask package` has mandoc; elsewhere it may be missing.
    #[test]
    fn mandoc_has_nothing_to_say() {
        let folder = written();
        for entry in fs::read_dir(folder.path().join("man")).expect("pages") {
            let path = entry.expect("an entry").path();
            let Ok(output) = Command::new("mandoc")
                .args(["-T", "lint"])
                .arg(&path)
                .output()
            else {
                return;
            };
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.is_empty(), "{said}");
        }
    }
}
