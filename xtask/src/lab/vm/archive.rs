//! Debian's kernels, from the archive that this machine's apt uses, with lists of packages beside
//! those of the system. apt verifies signatures and checksums.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail, ensure};

/// What signs Debian's archives.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Suites of the main archive that have kernels, and of the archive of security updates.
const SUITES: [&str; 5] = ["bullseye", "bookworm", "trixie", "trixie-backports", "sid"];
const SECURITY_SUITES: [&str; 3] = ["bullseye-security", "bookworm-security", "trixie-security"];

/// A kernel, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// `6.1`.
    pub series: String,
    /// `6.1.0-50-amd64`.
    pub release: String,
    /// Where its packages are unpacked.
    pub folder: PathBuf,
}

/// Kernels that are here, and the archive for others.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
    /// Whether the lists of packages are fresh.
    is_fresh: bool,
}

impl Archive {
    /// Keeps everything in a folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            is_fresh: false,
        }
    }

    /// The newest kernel of a series, from the folder if there is one; the newest of all for `newest`.
    pub fn kernel(&mut self, series: &str, is_update: bool) -> Result<Kernel> {
        if !is_update && let Some(kernel) = self.unpacked(series)? {
            return Ok(kernel);
        }
        self.refresh()?;
        let all = self.offered()?;
        let release = newest(&all, series).with_context(|| {
            let mut offered: Vec<String> = all.iter().filter_map(|it| series_of(it)).collect();
            offered.sort_by_key(|it| numbers(it));
            offered.dedup();
            format!(
                "the archive has no kernel {series}; it has {}",
                offered.join(", ")
            )
        })?;
        self.fetch(release)
    }

    /// The newest kernel of a series among those that were unpacked before.
    fn unpacked(&self, series: &str) -> Result<Option<Kernel>> {
        let folder = self.folder.join("kernels");
        let Ok(entries) = fs::read_dir(&folder) else {
            return Ok(None);
        };
        let mut all = Vec::new();
        for entry in entries {
            all.push(entry?.file_name().to_string_lossy().into_owned());
        }
        // Which is the newest of all, only the archive knows.
        let found = newest(&all, series).filter(|_| series != NEWEST);
        Ok(found.and_then(|release| self.named(release)))
    }

    fn named(&self, release: &str) -> Option<Kernel> {
        Some(Kernel {
            series: series_of(release)?,
            release: release.to_owned(),
            folder: self.folder.join("kernels").join(release),
        })
    }

    fn refresh(&mut self) -> Result<()> {
        if self.is_fresh {
            return Ok(());
        }
        eprintln!("vm: asking Debian's archive for kernels …");
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        ensure!(
            Path::new(KEYRING).exists(),
            "{KEYRING} is missing, which verifies Debian's archives: apt-get install \
             debian-archive-keyring"
        );
        let mut sources = String::new();
        for site in sites()? {
            let suites: &[&str] = if site.contains("security") {
                &SECURITY_SUITES
            } else {
                &SUITES
            };
            for suite in suites {
                sources += &format!("deb [signed-by={KEYRING}] {site} {suite} main\n");
            }
        }
        fs::write(self.sources(), sources)?;
        let output = self.apt("apt-get", &["-qq", "update"])?;
        if !output.status.success() {
            // A mirror need not have every suite.
            eprintln!(
                "vm: not every list of packages could be had: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        self.is_fresh = true;
        Ok(())
    }

    /// Releases of kernels for ordinary machines.
    fn offered(&self) -> Result<Vec<String>> {
        let output = self.apt("apt-cache", &["pkgnames", "linux-image-"])?;
        let text = String::from_utf8(output.stdout)?;
        let names = text
            .lines()
            .filter_map(|name| name.strip_prefix("linux-image-"));
        Ok(names.filter(|it| is_plain(it)).map(str::to_owned).collect())
    }

    /// Downloads a kernel's packages, and unpacks them.
    fn fetch(&self, release: &str) -> Result<Kernel> {
        let kernel = self
            .named(release)
            .with_context(|| format!("{release} has no version"))?;
        if kernel.folder.exists() {
            return Ok(kernel);
        }
        eprintln!("vm: fetching Linux {release} …");
        let downloads = self.folder.join("downloads");
        // What an earlier run left may be half a file.
        let _ = fs::remove_dir_all(&downloads);
        fs::create_dir_all(&downloads)?;
        let mut packages = vec![format!("linux-image-{release}")];
        packages.extend(self.parts(release)?);
        let output = self
            .command("apt-get")
            .args(["-qq", "download"])
            .args(&packages)
            .current_dir(&downloads)
            .output()?;
        ensure!(
            output.status.success(),
            "{} cannot be had: {}",
            packages.join(", "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let unfinished = self.folder.join("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        for file in fs::read_dir(&downloads)? {
            let file = file?.path();
            let status = Command::new("dpkg-deb")
                .arg("--extract")
                .args([&file, &unfinished])
                .status()
                .context("dpkg-deb cannot be run")?;
            ensure!(status.success(), "{} cannot be unpacked", file.display());
        }
        fs::remove_dir_all(&downloads)?;
        fs::create_dir_all(self.folder.join("kernels"))?;
        fs::rename(&unfinished, &kernel.folder)?;
        Ok(kernel)
    }

    /// Since 7.2 a kernel is in several packages, which that of the image asks for.
    fn parts(&self, release: &str) -> Result<Vec<String>> {
        let name = format!("linux-image-{release}");
        let output = self.apt("apt-cache", &["show", "--no-all-versions", &name])?;
        let text = String::from_utf8(output.stdout)?;
        let needs = text.lines().find_map(|line| line.strip_prefix("Depends: "));
        let needs = needs.unwrap_or_default().split([',', '|']);
        let names = needs.filter_map(|need| need.split_whitespace().next());
        Ok(names
            .filter(|name| {
                ["linux-binary-", "linux-modules-"]
                    .iter()
                    .any(|it| name.starts_with(it))
            })
            .map(str::to_owned)
            .collect())
    }

    fn sources(&self) -> PathBuf {
        self.folder.join("sources.list")
    }

    /// One of apt's programs over lists of our own.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in [
            format!("Dir::Etc::sourcelist={}", self.sources().display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State::lists={}", self.folder.join("lists").display()),
            format!("Dir::Cache={}", self.folder.join("cache").display()),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // Nobody but root may write to these folders.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        self.command(program)
            .args(arguments)
            .output()
            .with_context(|| format!("{program} cannot be run: this takes Debian or Ubuntu"))
    }
}

/// What stands for the newest kernel of all.
pub const NEWEST: &str = "newest";

/// Debian's archives that this machine's apt uses.
pub fn sites() -> Result<Vec<String>> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(ORIGIN) $(SITE)",
            "Created-By: Packages",
        ])
        .output()
        .context("apt-get cannot be run: this takes Debian")?;
    let text = String::from_utf8(output.stdout)?;
    let mut sites: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Debian "))
        .map(|site| site.trim_end_matches('/').to_owned())
        .collect();
    sites.sort();
    sites.dedup();
    if sites.is_empty() {
        bail!("this machine's apt uses no archive of Debian: run `apt-get update` first");
    }
    Ok(sites)
}

/// Whether a release is one of an ordinary kernel of this suite, and not its debugging, its real-time
/// or its cloud variety, nor a backport of what another suite has.
fn is_plain(release: &str) -> bool {
    let Some(version) = release.strip_suffix("-amd64") else {
        return false;
    };
    let is_whole = version.split('.').count() >= 3;
    let is_variety = ["-rt", "-cloud", ".deb", "-unsigned"]
        .iter()
        .any(|it| version.contains(it));
    is_whole && !is_variety
}

fn newest<'a>(releases: &'a [String], series: &str) -> Option<&'a str> {
    let of_series = releases.iter().filter(|it| {
        series == NEWEST || *it == series || series_of(it).is_some_and(|of| of == series)
    });
    of_series.max_by_key(|it| numbers(it)).map(String::as_str)
}

/// `6.1` of `6.1.0-50-amd64`.
pub fn series_of(release: &str) -> Option<String> {
    let mut parts = release.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    Some(format!("{major}.{minor}"))
}

/// The numbers of a version, in order.
pub fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|it: char| !it.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_of_a_series_is_taken() {
        let all: Vec<String> = [
            "6.1-amd64",
            "6.1.0-9-amd64",
            "6.1.0-50-amd64",
            "6.1.0-51-rt-amd64",
            "6.1.0-0.deb11.52-amd64",
            "6.12.9+deb13-amd64",
            "6.12.117+deb13-amd64",
            "6.12.118+deb13-cloud-amd64",
            "7.3.4+deb13-amd64",
            "5.10.0-46-arm64",
        ]
        .map(str::to_owned)
        .into_iter()
        .filter(|it| is_plain(it))
        .collect();
        assert_eq!(newest(&all, "6.1"), Some("6.1.0-50-amd64"));
        assert_eq!(newest(&all, "6.12"), Some("6.12.117+deb13-amd64"));
        assert_eq!(newest(&all, NEWEST), Some("7.3.4+deb13-amd64"));
        assert_eq!(
            newest(&all, "6.12.9+deb13-amd64"),
            Some("6.12.9+deb13-amd64")
        );
        assert_eq!(newest(&all, "5.10"), None);
        assert_eq!(series_of("6.12.117+deb13-amd64").as_deref(), Some("6.12"));
    }
}
