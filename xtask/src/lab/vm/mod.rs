//! `vm`: Debian's kernels, oldest to newest, each in a machine of its own: what they verify, how the
//! daemon attaches, and whether every golden packet meets its fate.

mod archive;
mod effort;
pub mod guest;
mod image;
pub mod install;
mod machine;
mod message;
mod report;

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::{
    archive::{Archive, Kernel, NEWEST},
    effort::Recorded,
    image::Programs,
    message::Message,
    report::Outcome,
};
use super::floodwall;

/// What is tried unless somebody asks for others: what Debian's releases have, and the newest.
const SERIES: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", NEWEST];
/// Names the tests in the environment; `cargo xtask` sets it.
const TESTS_VARIABLE: &str = "FLOODWALL_GOLDEN";
/// Names the workspace's root, and where things are built, likewise.
const WORKSPACE_VARIABLE: &str = "FLOODWALL_WORKSPACE";
const TARGET_VARIABLE: &str = "CARGO_TARGET_DIR";
/// From the workspace's root.
const PAGE: &str = "docs/kernels.md";
const RECORDED: &str = "xtask/src/lab/vm/effort.json";

/// Runs the golden packets on Debian's kernels, in emulated machines.
#[derive(Args, Debug)]
pub struct Vm {
    /// Series like 6.1, or whole releases; 5.10, 6.1, 6.12, 6.18 and the newest if none is given
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
    /// Few of the random frames: for a first look
    #[arg(long)]
    quick: bool,
    /// Nothing but JSON on stdout
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Write the tables into docs/kernels.md
    #[arg(long)]
    markdown: bool,
    /// Take what verifiers spend for what they should
    #[arg(long)]
    record: bool,
    /// Install this Debian package in a machine with Debian on it, and try there what it promises
    #[arg(long, value_name = "DEB", conflicts_with_all = ["quick", "json", "record"])]
    install: Option<PathBuf>,
    /// Upgrade to it from this package of an earlier release
    #[arg(long, value_name = "DEB", requires = "install")]
    from: Option<PathBuf>,
    /// On this machine's own kernel and at its speed, with systemd in namespaces of its own; without
    /// what takes hardware, another clock or a boot
    #[arg(long, requires = "install", conflicts_with = "kernels")]
    container: bool,
    /// Ask the archive for newer kernels, even if there are some here
    #[arg(long)]
    update: bool,
    /// Seconds that a machine may take
    #[arg(long, value_name = "N", default_value_t = 1200, value_parser = clap::value_parser!(u64).range(10..=36_000))]
    patience: u64,
}

impl Vm {
    /// Does it.
    ///
    /// # Errors
    /// If a kernel cannot be had, or anything on one is not as it should be.
    pub fn run(&self) -> Result<()> {
        let variable = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .with_context(|| format!("{name} is not set: run this as `cargo xtask vm`"))
        };
        let workspace = variable(WORKSPACE_VARIABLE)?;
        let folder = variable(TARGET_VARIABLE)?.join("vm");
        fs::create_dir_all(&folder)?;
        let mut archive = Archive::new(&folder);
        if let Some(package) = &self.install {
            let packages = install::Packages {
                new: package.clone(),
                old: self.from.clone(),
            };
            let page = self.markdown.then_some(&workspace);
            if self.container {
                return install::container::run(&packages, &folder, page);
            }
            let series = self.kernels.first().map_or(install::SERIES, |it| it);
            let kernel = archive.kernel(series, self.update)?;
            return install::run(&kernel, &packages, &folder, page);
        }
        let programs = Programs {
            tests: variable(TESTS_VARIABLE)?,
            daemon: floodwall::find()?,
        };
        let path = workspace.join(RECORDED);
        let mut recorded = Recorded::read(&path)?;
        let mut outcomes = Vec::new();
        for series in self.series() {
            let kernel = archive.kernel(series, self.update)?;
            let outcome = examine(&kernel, &programs, &folder, self.bounds())?;
            outcomes.push(outcome);
        }
        self.show(&outcomes, &workspace)?;
        if self.record {
            recorded.record(&outcomes, &path)?;
        }
        judge(&outcomes, &recorded)
    }

    fn series(&self) -> Vec<&str> {
        if self.kernels.is_empty() {
            SERIES.to_vec()
        } else {
            self.kernels.iter().map(String::as_str).collect()
        }
    }

    /// How long a machine may take, and how many random frames are tried there.
    const fn bounds(&self) -> (Duration, u32) {
        let cases = if self.quick { 200 } else { 2_000 };
        (Duration::from_secs(self.patience), cases)
    }

    fn show(&self, outcomes: &[Outcome], workspace: &Path) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(outcomes)?);
            return Ok(());
        }
        report::print(outcomes);
        if self.markdown {
            let page = workspace.join(PAGE);
            let shown = page.display();
            let text =
                fs::read_to_string(&page).with_context(|| format!("{shown} cannot be read"))?;
            let text = report::put_into(&text, outcomes)
                .with_context(|| format!("{shown} lacks the lines between which tables go"))?;
            fs::write(&page, text).with_context(|| format!("{shown} cannot be written"))?;
            println!("wrote {shown}");
        }
        Ok(())
    }
}

/// Boots a kernel, and takes down what its guest says. A machine that ends before its time is an outcome
/// like others.
fn examine(
    kernel: &Kernel,
    programs: &Programs,
    folder: &Path,
    bounds: (Duration, u32),
) -> Result<Outcome> {
    let release = &kernel.release;
    let console = folder.join(format!("{release}.console"));
    let said = folder.join(format!("{release}.tests"));
    let image = Image::new(folder.join(format!("{release}.initrd")));
    fs::write(&image.0, programs.image(&kernel.folder, folder)?)?;
    let mut outcome = Outcome::new(&kernel.series, release);
    // As it comes, so that somebody who waits can look.
    let mut lines =
        File::create(&said).with_context(|| format!("{} cannot be written", said.display()))?;
    eprintln!("vm: Linux {release} …");
    let (patience, cases) = bounds;
    let setup = machine::Setup {
        kernel,
        image: &image.0,
        console: &console,
        patience,
        words: &format!("panic=-1 FLOODWALL_MODEL_CASES={cases}"),
        hardware: [
            "-smp",
            "1",
            "-no-reboot",
            // No packet leaves the machine.
            "-nic",
            "user,model=virtio-net-pci,restrict=on",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    let done = machine::boot(&setup, |message| {
        if let Message::Said { line } = &message {
            // What is lost there is told by the result, too.
            let _ = writeln!(lines, "{line}");
        }
        outcome.take(message);
        Ok(())
    });
    match done {
        Ok(()) => {}
        Err(error) if error.is::<super::interrupt::Interrupted>() => return Err(error),
        Err(error) => outcome.troubles.push(format!("{error:#}")),
    }
    if !outcome.failed.is_empty() {
        eprintln!("vm: what the tests said is in {}", said.display());
    }
    Ok(outcome)
}

/// A file that goes when this is dropped: images are large, and made in a second.
struct Image(PathBuf);

impl Image {
    const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // It may not be there yet.
        let _ = fs::remove_file(&self.0);
    }
}

fn judge(outcomes: &[Outcome], recorded: &Recorded) -> Result<()> {
    for outcome in outcomes {
        if let Some(release) = recorded.other_release(outcome) {
            eprintln!(
                "vm: what verifiers spend was recorded with {release}, and {} is compared with that: \
                 `cargo xtask vm --record` takes it down anew",
                outcome.release
            );
        }
    }
    let mut failures = 0;
    for outcome in outcomes {
        let is_failure = recorded.is_of(outcome);
        for rise in recorded.rises(outcome) {
            if is_failure {
                failures += 1;
                eprintln!("vm: {rise}");
            } else {
                eprintln!(
                    "vm: WARNING: {rise}. It is no failure, for {} was not recorded; look at what is \
                     left of the million instructions",
                    outcome.release
                );
            }
        }
    }
    let bad = outcomes.iter().filter(|it| !it.is_good()).count();
    let good = outcomes.len().saturating_sub(bad);
    if bad > 0 || failures > 0 {
        bail!(
            "{good} of {} kernels are as they should be, and {failures} programs cost more than \
             recorded of the same release",
            outcomes.len()
        );
    }
    Ok(())
}
