//! `cargo xtask fuzz`: the fuzz targets guided by coverage, with libFuzzer.
//!
//! The targets are tests of bolero, which `cargo xtask test` runs too, over what was found before
//! and some random input. Here they are built once more, with coverage, and run for as long as one
//! likes. What they reach is kept in `target/fuzz`, what breaks them beside the test, in
//! `__fuzz__`, where every later test run tries it first.

mod openapi;
mod report;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use self::report::{Outcome, Row};
use crate::{process, setup, toolchain};

/// Arguments of `fuzz`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Which; all, one after the other, if none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Name the targets and end
    #[arg(long)]
    list: bool,
    /// Seconds for each
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    time: u64,
    /// Executions for each, at most
    #[arg(long, value_name = "NUMBER")]
    runs: Option<u64>,
    /// Keep the smallest inputs that reach all that was reached, for the tests
    #[arg(long)]
    keep: bool,
    /// Write the table into docs/fuzzing.md
    #[arg(long)]
    markdown: bool,
}

/// A fuzz target.
struct Target {
    name: &'static str,
    package: &'static str,
    /// The target of cargo that it is in.
    binary: &'static str,
    test: &'static str,
    /// Where its source is, in the package.
    folder: &'static str,
    what: &'static str,
    needs_root: bool,
}

const fn target(
    name: &'static str,
    [package, binary, test, folder]: [&'static str; 4],
    what: &'static str,
) -> Target {
    Target {
        name,
        package,
        binary,
        test,
        folder,
        what,
        needs_root: false,
    }
}

const TARGETS: [Target; 12] = [
    target(
        "packet",
        ["filter-common", "fuzz", "packet", "tests"],
        "packet parser, sanity and quoted packets, beside another parser",
    ),
    Target {
        needs_root: true,
        ..target(
            "kernel",
            [
                "filter-user",
                "golden",
                "model::fuzz::kernel",
                "tests/golden/model",
            ],
            "frames through the loaded program: verdict, reason and counters are the model's",
        )
    },
    target(
        "rules",
        ["filter-user", "fuzz", "text::rules", "tests/fuzz"],
        "rule language: what is read is written and read again",
    ),
    target(
        "configuration",
        ["filter-user", "fuzz", "text::configuration", "tests/fuzz"],
        "configuration file",
    ),
    target(
        "lists",
        ["filter-user", "fuzz", "text::lists", "tests/fuzz"],
        "imported lists, in pieces of any size",
    ),
    target(
        "values",
        ["filter-user", "fuzz", "text::values", "tests/fuzz"],
        "rates, durations, prefixes",
    ),
    target(
        "terminal",
        ["filter-user", "fuzz", "text::terminal", "tests/fuzz"],
        "text that reaches a terminal",
    ),
    target(
        "api",
        ["filter-user", "control", "fuzz::api", "tests/control"],
        "control socket: requests of the words of its own document",
    ),
    target(
        "noise",
        ["filter-user", "control", "fuzz::noise", "tests/control"],
        "control socket: bytes that are no HTTP",
    ),
    target(
        "state",
        ["filter-user", "fuzz", "damage::state", "tests/fuzz"],
        "damaged `floodwall.db`",
    ),
    target(
        "history",
        ["filter-user", "fuzz", "damage::history", "tests/fuzz"],
        "damaged `history.db`",
    ),
    target(
        "seconds",
        [
            "filter-user",
            "fuzz",
            "damage::block_of_seconds",
            "tests/fuzz",
        ],
        "blocks of the history",
    ),
];

impl Target {
    /// Where bolero looks for what was found.
    fn found(&self) -> PathBuf {
        toolchain::workspace()
            .join(self.package)
            .join(self.folder)
            .join("__fuzz__")
            .join(self.test.replace("::", "__"))
    }

    /// Where libFuzzer keeps what it reached.
    fn corpus(&self) -> PathBuf {
        toolchain::target_dir().join("fuzz/corpus").join(self.name)
    }
}

/// What bolero's part for libFuzzer needs.
const FLAGS: &str = "--cfg fuzzing --cfg fuzzing_libfuzzer";
/// Cargo runs this instead of the compiler: coverage for the crates of this workspace, and for those
/// that read text for them. All others would lead the fuzzer into what is not under test, and their
/// counters cost time, in the build and after every input. Build scripts and the eBPF program are of
/// other targets.
const WRAPPER: &str = r#"#!/bin/sh
case "$CARGO_PKG_NAME $*" in
filter-*" --target TRIPLE "* | toml*" --target TRIPLE "* | winnow*" --target TRIPLE "* | \
    serde_json*" --target TRIPLE "* | ipnet*" --target TRIPLE "*)
    exec "$@" -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*) exec "$@" ;;
esac
"#;

/// With `--target`, the flags are not those of build scripts.
fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Fuzzes, and prints a table.
///
/// # Errors
/// If something is missing or does not compile, or there is no way to root.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.list {
        for target in &TARGETS {
            println!("{:<14} {}", target.name, target.what);
        }
        println!("{:<14} {}", openapi::NAME, openapi::WHAT);
        return Ok(ExitCode::SUCCESS);
    }
    let (chosen, with_openapi) = choose(&arguments.targets)?;
    setup::ensure()?;
    setup::cxx()?;
    // All of them first: a target that does not compile is told at once, and a campaign of hours runs
    // what was there when it began.
    let built = chosen
        .into_iter()
        .map(|target| Ok((target, build(target)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    // Each row at once: a campaign that is ended early has been of use.
    let mut done = |row| {
        rows.push(row);
        if arguments.markdown {
            report::write(&rows, &names())?;
        }
        anyhow::Ok(())
    };
    for (target, executable) in built {
        let outcome = fuzz(target, &executable, arguments)?;
        if arguments.keep {
            keep(target, &executable)?;
        }
        done(Row {
            name: target.name,
            what: target.what,
            outcome,
        })?;
    }
    if with_openapi {
        done(Row {
            name: openapi::NAME,
            what: openapi::WHAT,
            outcome: openapi::run(arguments.time)?,
        })?;
    }
    report::print(&rows);
    Ok(if rows.iter().all(|row| row.outcome.open == 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Every target, in order.
fn names() -> Vec<&'static str> {
    let names = TARGETS.iter().map(|target| target.name);
    names.chain([openapi::NAME]).collect()
}

/// Those that coverage guides, and whether the daemon's document is asked for.
fn choose(names: &[String]) -> Result<(Vec<&'static Target>, bool)> {
    if names.is_empty() {
        return Ok((TARGETS.iter().collect(), true));
    }
    let by_name = |name: &String| {
        TARGETS
            .iter()
            .find(|target| target.name == name)
            .with_context(|| format!("there is no target {name}: `cargo xtask fuzz --list`"))
    };
    let guided = names.iter().filter(|name| *name != openapi::NAME);
    let chosen = guided.map(by_name).collect::<Result<_>>()?;
    Ok((chosen, names.iter().any(|name| name == openapi::NAME)))
}

/// Builds the test binary with coverage.
fn build(target: &Target) -> Result<PathBuf> {
    let Target {
        name,
        package,
        binary,
        ..
    } = target;
    println!("fuzz: {name}: building {package} {binary} with coverage (minutes at first)");
    let mut cargo = process::cargo();
    cargo
        .args(["test", "--locked", "--no-run", "--profile", "fuzz"])
        .args([
            "--package",
            package,
            "--test",
            binary,
            "--target",
            &triple(),
        ])
        .args(["--message-format", "json-render-diagnostics", "--quiet"])
        .arg("--target-dir")
        .arg(toolchain::target_dir().join("fuzz"))
        .env("RUSTFLAGS", FLAGS)
        .env("RUSTC_WRAPPER", wrapper()?)
        .env("BOLERO_FUZZER", "libfuzzer");
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "{binary} does not compile");
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == *binary)
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .with_context(|| format!("cargo built no test {binary}"))
}

/// Writes the wrapper, unless it lies there: cargo compiles all again if its name or time changes.
fn wrapper() -> Result<PathBuf> {
    let folder = toolchain::target_dir().join("fuzz");
    let path = folder.join("with-coverage");
    let text = WRAPPER.replace("TRIPLE", &triple());
    if !fs::read_to_string(&path).is_ok_and(|there| there == text) {
        fs::create_dir_all(&folder)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    Ok(path)
}

/// The test with libFuzzer's own arguments.
fn engine(target: &Target, executable: &Path, arguments: &[String]) -> Result<Command> {
    let arguments = arguments.join(" ");
    let folder = toolchain::workspace().join(target.package);
    // The last two are for processes that libFuzzer starts itself, to merge.
    let variables: [(&str, &OsStr); 5] = [
        ("BOLERO_LIBFUZZER_ARGS", arguments.as_ref()),
        ("BOLERO_FUZZER", "libfuzzer".as_ref()),
        ("CARGO_MANIFEST_DIR", folder.as_os_str()),
        ("BOLERO_LIBTEST_HARNESS", "1".as_ref()),
        ("BOLERO_TEST_NAME", target.test.as_ref()),
    ];
    // Databases are damaged and opened anew for every input: in memory, if there is a place.
    let memory = Path::new("/dev/shm");
    let mut command = if target.needs_root {
        process::as_root(executable.as_os_str(), &variables)?
    } else {
        let mut command = Command::new(executable);
        command.envs(variables);
        if memory.is_dir() {
            command.env("TMPDIR", memory);
        }
        command
    };
    command
        .args([target.test, "--exact", "--nocapture", "--test-threads=1"])
        .current_dir(folder);
    Ok(command)
}

fn fuzz(target: &Target, executable: &Path, arguments: &Arguments) -> Result<Outcome> {
    let (corpus, crashes) = (target.corpus(), target.found().join("crashes"));
    let kept = target.found().join("corpus");
    for folder in [&corpus, &crashes, &kept] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    println!(
        "fuzz: {}: {}, for {} s",
        target.name, target.what, arguments.time
    );
    let mut options = vec![
        corpus.display().to_string(),
        kept.display().to_string(),
        format!("-artifact_prefix={}/", crashes.display()),
        format!("-max_total_time={}", arguments.time),
        "-timeout=25".to_owned(),
        "-print_final_stats=1".to_owned(),
    ];
    options.extend(arguments.runs.map(|runs| format!("-runs={runs}")));
    let mut child = engine(target, executable, &options)?
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", executable.display()))?;
    let stderr = child.stderr.take().context("a target has no stderr")?;
    let mut outcome = Outcome::default();
    let mut said = Vec::new();
    for line in BufReader::new(stderr).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        note(&mut outcome, &line);
        said.push(line);
    }
    let status = child.wait()?;
    outcome.open = fs::read_dir(&crashes)?.count();
    if outcome.open == 0 {
        // Empty folders are not kept by git, and would only be asked about.
        let _ = fs::remove_dir(&crashes);
    }
    let _ = fs::remove_dir(&kept);
    if outcome.open > 0 || !status.success() {
        println!("{}", said.join("\n"));
    }
    ensure!(
        outcome.executions() > 0 || outcome.open > 0,
        "{} executed nothing ({status})",
        target.name
    );
    Ok(outcome)
}

/// Takes figures out of a line of libFuzzer's, or of a target that counts more than inputs.
fn note(outcome: &mut Outcome, line: &str) {
    if let Some(number) = line.strip_prefix("compared: ") {
        outcome.compared = number.parse().ok().or(outcome.compared);
    }
    if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
        outcome.inputs = number.trim().parse().unwrap_or_default();
    }
    // `Done 123 runs in 4 second(s)`.
    if let Some(rest) = line.strip_prefix("Done ") {
        let mut words = rest.split(' ').map(str::parse);
        outcome.inputs = words.next().and_then(Result::ok).unwrap_or(outcome.inputs);
        outcome.seconds = words.nth(2).and_then(Result::ok).unwrap_or_default();
    }
    // `#4096 pulse  cov: 812 ft: …`.
    if let Some((_, rest)) = line.split_once(" cov: ") {
        let edges = rest.split(' ').next().and_then(|word| word.parse().ok());
        outcome.edges = edges.or(outcome.edges);
    }
}

/// Leaves few inputs beside the test that reach every edge that all of them reach.
fn keep(target: &Target, executable: &Path) -> Result<()> {
    let fresh = toolchain::target_dir().join("fuzz/kept").join(target.name);
    let kept = target.found().join("corpus");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh)?;
    let options = [
        "-set_cover_merge=1".to_owned(),
        "-use_counters=0".to_owned(),
        fresh.display().to_string(),
        target.corpus().display().to_string(),
        kept.display().to_string(),
    ];
    fs::create_dir_all(&kept)?;
    process::run_quietly(&mut engine(target, executable, &options)?)?;
    fs::remove_dir_all(&kept)?;
    fs::create_dir_all(&kept)?;
    for input in fs::read_dir(&fresh)? {
        let input = input?;
        fs::copy(input.path(), kept.join(input.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_libfuzzer_prints() {
        let mut outcome = Outcome::default();
        for line in [
            "#2048\tpulse  cov: 700 ft: 1200 corp: 50/1Kb lim: 21 exec/s: 1024 rss: 50Mb",
            "#4096\tDONE   cov: 812 ft: 1500 corp: 60/2Kb lim: 21 exec/s: 1024 rss: 50Mb",
            "Done 4100 runs in 4 second(s)",
            "stat::number_of_executed_units: 4100",
        ] {
            note(&mut outcome, line);
        }
        let mut expected = Outcome {
            inputs: 4100,
            compared: None,
            edges: Some(812),
            seconds: 4,
            open: 0,
        };
        assert_eq!(outcome, expected);
        note(&mut outcome, "compared: 32000");
        expected.compared = Some(32_000);
        assert_eq!(outcome, expected);
    }

    #[test]
    fn every_target_is_a_test_where_it_says() {
        for target in &TARGETS {
            let (module, test) = target.test.rsplit_once("::").unwrap_or(("", target.test));
            let package = toolchain::workspace().join(target.package);
            let file = match module.rsplit("::").next() {
                Some("") | None => package.join("tests").join(format!("{}.rs", target.binary)),
                Some(module) => package.join(target.folder).join(format!("{module}.rs")),
            };
            let text = fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(
                text.contains(&format!("fn {test}() {{")),
                "{} has no test {test}",
                file.display()
            );
        }
    }
}
