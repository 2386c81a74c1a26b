//! What happens in a guest: the lab is its first process, and its only one until it starts others.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use filter_user::{
    core::features,
    dataplane::{kernel::effort, probe},
};
use nix::mount::{MsFlags, mount};
use serde::Deserialize;

use super::{
    install,
    message::{Effort, Message},
};
use crate::lab::{clock, process::Process};

/// Where the results go: the second serial port, for the kernel writes to the first.
pub const RESULTS: &str = "/dev/ttyS1";
/// Names of modules, in the order that they are to be loaded in, one a line.
pub const MODULES: &str = "/modules/order";
/// The tests that go through the loaded program.
pub const TESTS: &str = "/golden";
/// The daemon.
pub const DAEMON: &str = "/floodwall";
/// How long the daemon may take until it answers, where every instruction is emulated.
const PATIENCE: Duration = Duration::from_secs(120);
/// The program that sees who completes handshakes.
const SOCKETS: &str = "floodwall_sockets";
const CONFIG: &str = "/run/floodwall.toml";

/// Does everything, and switches the machine off.
pub fn run() -> ! {
    if let Some(tree) = std::env::var_os(install::container::TREE) {
        install::container::enter(tree.as_ref());
    }
    if std::env::var_os(install::DISK).is_some() {
        install::disk::enter();
    }
    let told = prepare().and_then(|mut results| {
        let done = examine(&mut results);
        if let Err(error) = done {
            let text = format!("{error:#}");
            tell(&mut results, &Message::Trouble { text })?;
        }
        tell(&mut results, &Message::Done)
    });
    if let Err(error) = told {
        // The first serial port is the console, which the host keeps.
        eprintln!("guest: {error:#}");
    }
    // SAFETY: nothing needs to be written to any disk.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    std::process::exit(1)
}

/// Mounts what programs expect, loads modules, and opens the way to the host.
fn prepare() -> Result<File> {
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
        ("bpf", "/sys/fs/bpf"),
        ("cgroup2", "/sys/fs/cgroup"),
    ] {
        mount(
            Some(kind),
            place,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("{kind} cannot be mounted at {place}"))?;
    }
    load_modules()?;
    unlock_memory()?;
    run_ip("link set lo up")?;
    File::options()
        .write(true)
        .open(RESULTS)
        .with_context(|| format!("{RESULTS} cannot be opened"))
}

/// Loads what the image has.
pub fn load_modules() -> Result<()> {
    let order = fs::read_to_string(MODULES).context("the order of modules cannot be read")?;
    for name in order.lines() {
        // Whoever needs it will say so.
        if let Err(error) = insert(Path::new(name)) {
            eprintln!("guest: {error:#}");
        }
    }
    Ok(())
}

fn insert(module: &Path) -> Result<()> {
    let file = File::open(module).with_context(|| format!("{} is missing", module.display()))?;
    // SAFETY: the kernel reads the open file, and an empty string of parameters.
    let result =
        unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        bail!("{} cannot be loaded: {error}", module.display());
    }
    Ok(())
}

/// Before Linux 5.11 maps count as locked memory; tests make many.
fn unlock_memory() -> Result<()> {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the kernel reads the limit, which outlives the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
    ensure!(result == 0, "the limit of locked memory cannot be lifted");
    Ok(())
}

/// Tells the host.
pub fn tell(results: &mut File, message: &Message) -> Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    results
        .write_all(line.as_bytes())
        .context("the host cannot be told")
}

fn examine(results: &mut File) -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let release = release.trim().to_owned();
    tell(results, &Message::Up { release })?;
    let mut left_out = Vec::new();
    for (feature, reason) in probe::left_out() {
        let feature = features::name(feature).to_owned();
        left_out.push(feature.clone());
        tell(results, &Message::LeftOut { feature, reason })?;
    }
    for effort::Trial { program, effort } in effort::efforts()? {
        let message = match effort {
            Ok(effort) => Message::Effort(Effort {
                program,
                instructions: effort.instructions,
                micros: u64::try_from(effort.time.as_micros())?,
                stack: effort.stack,
            }),
            // The daemon goes on without, and says so.
            Err(words) if program == SOCKETS => {
                left_out.push(SOCKETS.to_owned());
                Message::LeftOut {
                    feature: SOCKETS.to_owned(),
                    reason: words,
                }
            }
            Err(words) => Message::Refused { program, words },
        };
        tell(results, &message)?;
    }
    attach(results)?;
    test(results, &left_out)
}

/// Interfaces, what they are, and how the daemon should sit on them.
const INTERFACES: [(&str, &str, &str); 3] = [
    ("pair0", "veth", "native"),
    ("eth0", "virtio_net", "native"),
    ("plain0", "dummy", "generic"),
];

#[derive(Deserialize)]
struct Status {
    interfaces: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    name: String,
    attach: Option<String>,
    problem: Option<String>,
}

/// Has the daemon protect three interfaces, the last of which cannot do native mode.
fn attach(results: &mut File) -> Result<()> {
    run_ip("link add pair0 type veth peer name pair1")?;
    run_ip("link add plain0 type dummy")?;
    let names = INTERFACES.map(|(name, _, _)| name);
    for name in names {
        run_ip(&format!("link set {name} up"))?;
    }
    fs::write(
        CONFIG,
        format!(
            "interfaces = {names:?}\n[paths]\nsocket = \"/run/floodwall.socket\"\nstate = \
             \"/run/floodwall\"\nbpf = \"/sys/fs/bpf/floodwall\"\n"
        ),
    )?;
    let log = File::create("/run/floodwall.log")?;
    let mut command = Command::new(DAEMON);
    command
        .args(["run", "--config", CONFIG])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut daemon = Process::spawn(&mut command)?;
    let end = clock::now() + PATIENCE;
    let status = loop {
        thread::sleep(Duration::from_millis(500));
        let output = Command::new(DAEMON)
            .args(["--socket", "/run/floodwall.socket", "status", "--json"])
            .output()
            .context("the daemon cannot be asked")?;
        if let Ok(status) = serde_json::from_slice::<Status>(&output.stdout)
            && status
                .interfaces
                .iter()
                .all(|it| it.attach.is_some() || it.problem.is_some())
        {
            break status;
        }
        if daemon.ended().is_some() || clock::now() >= end {
            let log = fs::read_to_string("/run/floodwall.log").unwrap_or_default();
            bail!("the daemon protects nothing: {log}");
        }
    };
    for (name, driver, wanted) in INTERFACES {
        let found = status.interfaces.iter().find(|it| it.name == name);
        let found = found.map_or("not in status", |it| {
            let attach = it.attach.as_deref().or(it.problem.as_deref());
            attach.unwrap_or("no word")
        });
        let message = Message::Attached {
            driver: driver.to_owned(),
            wanted: wanted.to_owned(),
            found: found.to_owned(),
        };
        tell(results, &message)?;
    }
    drop(daemon);
    let detached = Command::new(DAEMON)
        .args(["detach", "--config", CONFIG])
        .output()?;
    ensure!(
        detached.status.success(),
        "detaching fails: {}",
        String::from_utf8_lossy(&detached.stderr)
    );
    Ok(())
}

/// Tests that are about what may be left out, by names of features or programs.
const ABOUT: [(&str, &str); 6] = [
    ("cookies", "cookies::"),
    ("cookies", "answers_with_cookies_tell"),
    (SOCKETS, "sockets_of_other_namespaces"),
    (SOCKETS, "who_completed_a_handshake"),
    (SOCKETS, "who_begins_to_listen"),
    (SOCKETS, "who_comes_back_on_another_day"),
];

/// Tests that look for more than they know, in a corpus that is not in the image.
const ELSEWHERE: [&str; 1] = ["model::fuzz"];

/// Runs the tests that go through the loaded program.
fn test(results: &mut File, left_out: &[String]) -> Result<()> {
    let started = clock::now();
    let mut command = Command::new(TESTS);
    command
        .arg("--test-threads=1")
        .args(
            ABOUT
                .iter()
                .filter(|(what, _)| left_out.iter().any(|it| it == what))
                .flat_map(|(_, test)| ["--skip", test]),
        )
        .args(ELSEWHERE.iter().flat_map(|test| ["--skip", test]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let errors = File::create("/run/tests.log")?;
    let mut tests = command.stderr(errors).spawn().context("no tests")?;
    let output = tests.stdout.take().context("the tests have no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        tally.note(&line);
        tell(results, &Message::Said { line })?;
    }
    let status = tests.wait()?;
    ensure!(
        tally.is_complete,
        "the tests ended before their time ({status}): {}",
        fs::read_to_string("/run/tests.log").unwrap_or_default()
    );
    let message = Message::Tests {
        passed: tally.passed,
        left_out: tally.left_out.saturating_sub(ELSEWHERE.len() as u64),
        failed: tally.failed,
        seconds: clock::now().saturating_duration_since(started).as_secs(),
    };
    tell(results, &message)
}

/// What the tests' output says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: Vec<String>,
    left_out: u64,
    /// The line with the result has come.
    is_complete: bool,
    /// The test whose result is still to come: what it prints itself comes before that.
    running: Option<String>,
}

impl Tally {
    fn note(&mut self, line: &str) {
        let line = match line.strip_prefix("test ") {
            Some(rest) if rest.starts_with("result: ") => {
                self.is_complete = true;
                let mut parts = rest.split("; ");
                let filtered = parts.find_map(|part| part.strip_suffix(" filtered out"));
                self.left_out = filtered.and_then(|it| it.parse().ok()).unwrap_or(0);
                return;
            }
            Some(rest) => match rest.split_once(" ... ") {
                Some((name, rest)) => {
                    self.running = Some(name.to_owned());
                    rest
                }
                None => return,
            },
            None => line,
        };
        if line.ends_with("ok") {
            self.passed = self
                .passed
                .saturating_add(u64::from(self.running.take().is_some()));
        } else if line.ends_with("FAILED") {
            self.failed.extend(self.running.take());
        }
    }
}

/// Changes the network.
pub fn run_ip(arguments: &str) -> Result<()> {
    let output = Command::new("/usr/bin/ip")
        .args(arguments.split(' '))
        .output()
        .context("`ip` cannot be run")?;
    ensure!(
        output.status.success(),
        "`ip {arguments}` fails: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_what_the_tests_say() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test b::c ... something of its own",
            "FAILED",
            "test d ... ok",
            "failures:",
            "    b::c",
        ] {
            tally.note(line);
        }
        assert!(!tally.is_complete);
        tally.note(
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; \
             finished in 0.10s",
        );
        assert!(tally.is_complete);
        assert_eq!(tally.left_out, 7);
        assert_eq!((tally.passed, tally.failed), (2, vec!["b::c".to_owned()]));
    }
}
