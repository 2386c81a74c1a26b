//! `cargo xtask test`: every test, the privileged ones too, counted by kind.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::clock::Stopwatch;
use crate::libtest::{self, Tally};
use crate::{build, process, setup};

/// Arguments of `test`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only tests with this in their names
    filter: Option<String>,
    /// Only tests of this kind
    #[arg(long)]
    kind: Option<Kind>,
}

/// What a test is about, told by the name of its target or module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Kind {
    /// Random input, in a target or module named `properties`
    Property,
    /// Everything else that needs no root, documentation's examples too
    Unit,
    /// Packets through the loaded program, in a target named `golden…`; root
    Golden,
    /// The real daemon in network namespaces, in a target named `network…`; root
    Network,
    /// Every row of the attack catalogue in short, in a target named `catalogue…`; root
    Catalogue,
}

/// Where network tests are that stand no flood and measure no rate: they wait for the daemon, and for
/// times to end, each in namespaces of its own.
const WAITING: [&str; 12] = [
    "access::",
    "api::",
    "attach::",
    "block::",
    "configuration::",
    "defences::datagrams::",
    "import::",
    "mode::",
    "refusals::",
    "service::",
    "state::",
    "trial::",
];

impl Kind {
    const ALL: [Self; 5] = [
        Self::Property,
        Self::Unit,
        Self::Golden,
        Self::Network,
        Self::Catalogue,
    ];

    fn of(target: &str, test: &str) -> Self {
        if target.starts_with("golden") {
            Self::Golden
        } else if target.starts_with("network") {
            Self::Network
        } else if target.starts_with("catalogue") {
            Self::Catalogue
        } else if target.starts_with("properties")
            || test.split("::").any(|part| part == "properties")
        {
            Self::Property
        } else {
            Self::Unit
        }
    }

    const fn needs_root(self) -> bool {
        matches!(self, Self::Golden) || self.needs_daemon()
    }

    /// Tests that start the daemon.
    const fn needs_daemon(self) -> bool {
        matches!(self, Self::Network | Self::Catalogue)
    }

    /// Tests that run together, and how many at a time if not as many as there are processors. Those that
    /// start the daemon have the machine to themselves, but for those that mostly wait.
    fn batches(self, tests: Vec<String>) -> Vec<(Vec<String>, Option<&'static str>)> {
        if !self.needs_daemon() {
            return vec![(tests, None)];
        }
        let (waiting, alone): (Vec<_>, Vec<_>) = tests.into_iter().partition(|test| {
            self == Self::Network && WAITING.iter().any(|it| test.starts_with(it))
        });
        [(alone, Some("1")), (waiting, Some("2"))]
            .into_iter()
            .filter(|(tests, _)| !tests.is_empty())
            .collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Property => "property",
            Self::Unit => "unit",
            Self::Golden => "golden",
            Self::Network => "network",
            Self::Catalogue => "catalogue",
        })
    }
}

/// A test binary that cargo built.
#[derive(Debug)]
struct Binary {
    /// `filter-common`, the package.
    package: String,
    /// `properties`, the target.
    target: String,
    executable: PathBuf,
    /// Where its tests run, as under `cargo test`.
    folder: PathBuf,
}

/// What cargo built.
#[derive(Debug, Default)]
struct Built {
    binaries: Vec<Binary>,
    daemon: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    tally: Tally,
    cases: u64,
    elapsed: Duration,
}

/// The eBPF program has no tests of its own on the host; all of xtask is built.
const WHAT: [&str; 6] = [
    "--locked",
    "--workspace",
    "--exclude",
    "filter-ebpf",
    "--features",
    "xtask/lab",
];

/// Builds and runs the tests and prints the table. The last line is `N passed, N failed`.
///
/// # Errors
/// If something is missing or does not compile, a test cannot be started, or there is no way to
/// root. Failed tests are no error but an exit code.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure()?;
    let built = build_tests()?;
    let mut rows: BTreeMap<Kind, Row> = Kind::ALL.map(|kind| (kind, Row::default())).into();
    let mut told = process::is_root();
    for (kind, binary, tests) in select(&built, arguments)? {
        if kind.needs_root() && !told {
            println!("test: {kind} tests need root: going on through sudo");
            told = true;
        }
        println!(
            "test: {kind}: {} of {} {}",
            tests.len(),
            binary.package,
            binary.target
        );
        for (tests, threads) in kind.batches(tests) {
            let mut command = test_command(kind, binary, built.daemon.as_deref())?;
            command.args(["--exact", "--show-output"]).args(&tests);
            if let Some(threads) = threads {
                command.args(["--test-threads", threads]);
            }
            let all = u64::try_from(tests.len())?;
            add(
                &mut rows,
                kind,
                execute(command, Some(all), kind.needs_root())?,
            );
        }
    }
    if arguments.kind.is_none_or(|kind| kind == Kind::Unit) {
        println!("test: unit: examples in the documentation");
        let mut command = process::cargo();
        command
            .args(["test", "--quiet", "--doc"])
            .args(WHAT)
            .arg("--")
            .args(&arguments.filter);
        add(&mut rows, Kind::Unit, execute(command, None, false)?);
    }
    if rows.values().all(|row| row.tally == Tally::default()) {
        bail!("no test was run: `cargo xtask test` without a name and a kind runs all");
    }
    Ok(report(&rows))
}

/// Builds all test binaries, and the daemon that the network tests start.
fn build_tests() -> Result<Built> {
    let mut command = process::cargo();
    command
        .args([
            "test",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .args(WHAT);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests do not compile");
    }
    let mut built = Built::default();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: Value = serde_json::from_str(line).context("cargo's messages are no JSON")?;
        built.note(&message);
    }
    Ok(built)
}

impl Built {
    /// Takes an executable out of one of cargo's messages, if it is about one.
    fn note(&mut self, message: &Value) -> Option<()> {
        let executable = PathBuf::from(message["executable"].as_str()?);
        let target = message["target"]["name"].as_str()?.to_owned();
        if message["profile"]["test"] == Value::Bool(true) {
            let folder = Path::new(message["manifest_path"].as_str()?)
                .parent()?
                .to_owned();
            let package = folder.file_name()?.to_string_lossy().into_owned();
            self.binaries.push(Binary {
                package,
                target,
                executable,
                folder,
            });
        } else if target == "floodwall" {
            self.daemon = Some(executable);
        }
        Some(())
    }
}

/// The tests asked for, by kind and binary, those without root first.
fn select<'a>(
    built: &'a Built,
    arguments: &Arguments,
) -> Result<Vec<(Kind, &'a Binary, Vec<String>)>> {
    let mut selected = Vec::new();
    for binary in &built.binaries {
        let output = Command::new(&binary.executable)
            .args(["--list", "--format", "terse"])
            .current_dir(&binary.folder)
            .output()
            .with_context(|| format!("cannot start {}", binary.executable.display()))?;
        if !output.status.success() {
            bail!("{} does not list its tests", binary.executable.display());
        }
        let mut by_kind: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        for test in libtest::listed(&String::from_utf8(output.stdout)?) {
            let kind = Kind::of(&binary.target, &test);
            let is_wanted = arguments.kind.is_none_or(|wanted| wanted == kind)
                && arguments
                    .filter
                    .as_ref()
                    .is_none_or(|filter| test.contains(filter));
            if is_wanted {
                by_kind.entry(kind).or_default().push(test);
            }
        }
        selected.extend(
            by_kind
                .into_iter()
                .map(|(kind, tests)| (kind, binary, tests)),
        );
    }
    selected.sort_by_key(|(kind, _, _)| *kind);
    Ok(selected)
}

/// The binary with what cargo would set for it, as root if its kind needs that.
fn test_command(kind: Kind, binary: &Binary, daemon: Option<&Path>) -> Result<Command> {
    let executable = binary.executable.as_os_str();
    let target = crate::toolchain::target_dir();
    let mut variables: Vec<(&str, &OsStr)> = vec![
        ("CARGO_MANIFEST_DIR", binary.folder.as_os_str()),
        ("CARGO_TARGET_DIR", target.as_os_str()),
    ];
    match daemon {
        Some(daemon) => variables.push((build::DAEMON_VARIABLE, daemon.as_os_str())),
        None if kind.needs_daemon() => bail!("cargo built no daemon for the {kind} tests"),
        None => {}
    }
    let kept: Vec<_> = ["CI", "RUST_BACKTRACE", "RUST_LOG"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .collect();
    variables.extend(kept.iter().map(|(name, value)| (*name, value.as_os_str())));
    let mut command = if kind.needs_root() {
        process::as_root(executable, &variables)?
    } else {
        let mut command = Command::new(executable);
        command.envs(variables);
        command
    };
    command.current_dir(&binary.folder);
    Ok(command)
}

/// Runs a test binary, or cargo with many (`expected` is `None`), and counts.
///
/// What it writes is shown if a test failed or was left out; with `live`, each test is named as
/// it ends.
fn execute(mut command: Command, expected: Option<u64>, live: bool) -> Result<Row> {
    let watch = Stopwatch::start();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let stdout = child.stdout.take().context("a test has no stdout")?;
    let mut stderr = child.stderr.take().context("a test has no stderr")?;
    let complaints = thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut row = Row::default();
    let mut output = String::new();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        row.tally.add(libtest::summary(&line).unwrap_or_default());
        row.cases = row
            .cases
            .saturating_add(libtest::cases(&line).unwrap_or_default());
        if live && line.starts_with("test ") && !line.starts_with("test result") {
            println!("  {line}");
        }
        output.push_str(&line);
        output.push('\n');
    }
    let status = child.wait()?;
    let complaints = complaints.join().unwrap_or_else(|_| Ok(Vec::new()))?;
    row.elapsed = watch.elapsed();
    // One that never came to an end has failed.
    let Tally {
        passed,
        failed,
        ignored,
    } = row.tally;
    let ended = passed.saturating_add(failed).saturating_add(ignored);
    let lost = expected.map_or(0, |expected| expected.saturating_sub(ended));
    row.tally.failed = failed.saturating_add(lost);
    if !status.success() && row.tally.failed == 0 {
        row.tally.failed = 1;
    }
    if row.tally.failed > 0 || ignored > 0 {
        println!("{output}{}", String::from_utf8_lossy(&complaints));
        println!("test: this run ended with {status}, {ignored} ignored, {lost} without a result");
    }
    Ok(row)
}

fn add(rows: &mut BTreeMap<Kind, Row>, kind: Kind, more: Row) {
    let row = rows.entry(kind).or_default();
    row.tally.add(more.tally);
    row.cases = row.cases.saturating_add(more.cases);
    row.elapsed = row.elapsed.saturating_add(more.elapsed);
}

/// Prints the table and the last line.
fn report(rows: &BTreeMap<Kind, Row>) -> ExitCode {
    println!();
    println!(
        "{:<10}{:>8}{:>8}{:>8}{:>8}{:>10}",
        "kind", "tests", "rows", "passed", "failed", "took"
    );
    let mut total = Tally::default();
    for (
        kind,
        Row {
            tally,
            cases,
            elapsed,
        },
    ) in rows
    {
        // A test left out is a failure: nothing is skipped in silence.
        let failed = tally.failed.saturating_add(tally.ignored);
        let tests = tally.passed.saturating_add(failed);
        let rows = if *cases == 0 {
            "-".to_owned()
        } else {
            cases.to_string()
        };
        let took = format!("{:.1} s", elapsed.as_secs_f64());
        println!(
            "{kind:<10}{tests:>8}{rows:>8}{:>8}{failed:>8}{took:>10}",
            tally.passed
        );
        total.add(Tally {
            passed: tally.passed,
            failed,
            ignored: 0,
        });
    }
    println!();
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_told_by_target_and_module() {
        assert_eq!(Kind::of("properties", "bucket"), Kind::Property);
        assert_eq!(
            Kind::of("filter_common", "bucket::properties::refills"),
            Kind::Property
        );
        assert_eq!(
            Kind::of("filter_common", "bucket::tests::properties_differ"),
            Kind::Unit
        );
        assert_eq!(Kind::of("golden", "packets"), Kind::Golden);
        assert_eq!(Kind::of("network", "block"), Kind::Network);
        assert_eq!(Kind::of("catalogue", "tcp::row_01"), Kind::Catalogue);
    }

    #[test]
    fn what_measures_runs_alone_and_no_test_is_lost() {
        let tests = || {
            ["state::a", "faults::b", "trial::c"]
                .map(str::to_owned)
                .to_vec()
        };
        let batch = |tests: &[&str], threads| {
            let tests: Vec<String> = tests.iter().map(|&test| test.to_owned()).collect();
            (tests, threads)
        };
        assert_eq!(
            Kind::Network.batches(tests()),
            [
                batch(&["faults::b"], Some("1")),
                batch(&["state::a", "trial::c"], Some("2")),
            ]
        );
        assert_eq!(Kind::Catalogue.batches(tests()), [(tests(), Some("1"))]);
        assert_eq!(Kind::Unit.batches(tests()), [(tests(), None)]);
    }

    #[test]
    fn test_binaries_and_the_daemon_are_taken_from_the_messages_of_cargo() {
        let mut built = Built::default();
        let mut note = |text: &str| {
            built.note(&serde_json::from_str(text).expect("the message is JSON"));
        };
        note(r#"{"reason":"compiler-artifact","executable":null,"target":{"name":"nix"}}"#);
        note(r#"{"reason":"build-finished","success":true}"#);
        note(
            r#"{"executable":"/t/deps/network-1","manifest_path":"/w/xtask/Cargo.toml",
                "target":{"name":"network"},"profile":{"test":true}}"#,
        );
        note(
            r#"{"executable":"/t/floodwall","manifest_path":"/w/filter-user/Cargo.toml",
                "target":{"name":"floodwall"},"profile":{"test":false}}"#,
        );
        let [network] = built.binaries.as_slice() else {
            panic!("one binary: {built:?}")
        };
        assert_eq!(
            (network.package.as_str(), network.target.as_str()),
            ("xtask", "network")
        );
        assert_eq!(network.folder, Path::new("/w/xtask"));
        assert_eq!(built.daemon.as_deref(), Some(Path::new("/t/floodwall")));
    }
}
