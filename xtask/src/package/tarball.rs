//! The tarball, for systems that are no Debian: a static binary and what belongs to it.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::pages::files;
use super::{answer, epoch, finished, fresh, say, version};
use crate::{process, setup, toolchain};

/// What both packages have, and where it comes from in the workspace: pages as they lie there, for they link to
/// each other.
const SHARED: [(&str, &str); 16] = [
    ("etc/floodwall/floodwall.toml", "packaging/floodwall.toml"),
    (
        "etc/sysctl.d/60-floodwall.conf",
        "packaging/floodwall.sysctl",
    ),
    (
        "usr/lib/systemd/system/floodwall.service",
        "packaging/floodwall.service",
    ),
    (
        "usr/lib/sysusers.d/floodwall.conf",
        "packaging/floodwall.sysusers",
    ),
    (
        "usr/lib/tmpfiles.d/floodwall.conf",
        "packaging/floodwall.tmpfiles",
    ),
    ("usr/share/doc/floodwall/README.md", "README.md"),
    ("usr/share/doc/floodwall/SECURITY.md", "SECURITY.md"),
    (
        "usr/share/doc/floodwall/docs/architecture.md",
        "docs/architecture.md",
    ),
    (
        "usr/share/doc/floodwall/docs/catalogue.md",
        "docs/catalogue.md",
    ),
    (
        "usr/share/doc/floodwall/docs/controller.md",
        "docs/controller.md",
    ),
    (
        "usr/share/doc/floodwall/docs/defences.md",
        "docs/defences.md",
    ),
    ("usr/share/doc/floodwall/docs/fuzzing.md", "docs/fuzzing.md"),
    ("usr/share/doc/floodwall/docs/kernels.md", "docs/kernels.md"),
    (
        "usr/share/doc/floodwall/docs/packages.md",
        "docs/packages.md",
    ),
    (
        "usr/share/doc/floodwall/docs/reliability.md",
        "docs/reliability.md",
    ),
    (
        "usr/share/doc/floodwall/docs/floodwall.example.toml",
        "docs/floodwall.example.toml",
    ),
];

/// What the Debian package has in forms of its own.
const OTHERS: [(&str, &str); 4] = [
    ("usr/share/doc/floodwall/CHANGELOG.md", "CHANGELOG.md"),
    ("usr/share/doc/floodwall/LICENSE-MIT", "LICENSE-MIT"),
    ("usr/share/doc/floodwall/LICENSE-APACHE", "LICENSE-APACHE"),
    ("usr/share/doc/floodwall/LICENSE-GPL2", "LICENSE-GPL2"),
];

/// What was generated, and where it goes.
const GENERATED: [(&str, &str); 4] = [
    ("man", "usr/share/man"),
    ("bash", "usr/share/bash-completion/completions"),
    ("zsh", "usr/share/zsh/site-functions"),
    ("fish", "usr/share/fish/vendor_completions.d"),
];

/// Makes it, and gives where it lies.
pub fn make() -> Result<PathBuf> {
    let binary = build()?;
    let name = format!("floodwall-{}-{ARCH}-linux-musl", version());
    let above = toolchain::target_dir().join("release/package/tarball");
    let folder = above.join(&name);
    fresh(&folder)?;
    let program = folder.join("usr/bin/floodwall");
    copy(&binary, &program)?;
    process::run(Command::new("strip").arg(&program))?;
    for (to, from) in SHARED.iter().chain(&OTHERS) {
        copy(&toolchain::workspace().join(from), &folder.join(to))?;
    }
    for (from, to) in GENERATED {
        for file in files(&toolchain::target_dir().join("release/package").join(from))? {
            let name = file.file_name().context("files have names")?;
            let name = name.to_string_lossy();
            let below = if from == "man" {
                let section = name.trim_end_matches(".gz").rsplit('.').next();
                format!("man{}/{name}", section.unwrap_or_default())
            } else {
                name.trim_end_matches(".bash").to_owned()
            };
            copy(&file, &folder.join(to).join(below))?;
        }
    }
    let tarball = finished()?.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ])
    .args(["--mode=u+rwX,go+rX,go-w", "--use-compress-program=gzip -9n"])
    .arg(format!("--mtime=@{}", epoch()?))
    .arg("--file")
    .arg(&tarball)
    .arg("--directory")
    .arg(&above)
    .arg(&name);
    process::run(&mut tar)?;
    Ok(tarball)
}

/// Builds the daemon without any library of the system.
fn build() -> Result<PathBuf> {
    let target = format!("{ARCH}-unknown-linux-musl");
    setup::musl(&target)?;
    let mut cargo = process::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "filter-user"]);
    process::run(cargo.args(["--target", &target]))?;
    let binary = toolchain::target_dir()
        .join(&target)
        .join("release/floodwall");
    // That it starts, and needs nothing.
    let here = answer(Command::new(crate::build::daemon()).arg("--version"))?;
    let there = answer(Command::new(&binary).arg("--version"))?;
    if here != there {
        bail!("the static binary has another eBPF object inside: {there}, and not {here}");
    }
    let headers = answer(
        Command::new("readelf")
            .args(["--wide", "--program-headers"])
            .arg(&binary),
    )?;
    if headers.contains("INTERP") {
        bail!("{} is not static", binary.display());
    }
    say("the static binary needs no library, and has the same eBPF object");
    Ok(binary)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> String {
        fs::read_to_string(toolchain::workspace().join(path)).unwrap()
    }

    /// What a page links to in its own folder or the one above.
    fn links(text: &str) -> impl Iterator<Item = &str> {
        let links = text.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split([')', '#']).next());
        links.filter(|link| !link.is_empty() && !link.contains("://"))
    }

    #[test]
    fn what_a_page_links_to_is_shipped_where_it_looks_for_it() {
        let pages = SHARED.iter().filter(|(to, _)| to.ends_with(".md"));
        let mut found = 0;
        for (to, from) in pages {
            let folder = Path::new(to).parent().unwrap();
            let text = read(from);
            for link in links(&text) {
                let wanted = match link.strip_prefix("../") {
                    Some(link) => folder.parent().unwrap().join(link),
                    None => folder.join(link),
                };
                assert!(
                    SHARED.iter().any(|(to, _)| wanted == Path::new(to)),
                    "{from} links to {link}, which is not shipped"
                );
                found += 1;
            }
        }
        assert!(found > 10, "{found} links");
    }

    #[test]
    fn the_debian_package_has_the_same_in_the_same_places() {
        let manifest = read("filter-user/Cargo.toml");
        for (to, from) in SHARED {
            let asset = format!("[\"../{from}\", \"{to}\", \"644\"],");
            assert!(manifest.contains(&asset), "{asset} is missing");
            let is_listed = manifest.contains(&format!("\"/{to}\""));
            assert_eq!(is_listed, to.starts_with("etc/"), "conf-files: {to}");
        }
    }
}
