//! The real `floodwall` in a sandbox: the daemon, and everything said to its command line.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use aya::programs::{ProgramFd, loaded_programs};
use filter_user::{
    api::types::{IncidentDetail, IncidentPage},
    detect::output::Action,
};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    clock, interrupt,
    process::Process,
    sandbox::{Ns, Sandbox, hosts},
};

/// How long the daemon may take to answer for the first time.
const START: Duration = Duration::from_secs(20);

/// The database of incidents and of what was learned, in the state folder.
const HISTORY: &str = "history.db";

/// Names the binary in the environment; `cargo xtask` sets it.
pub const VARIABLE: &str = "FLOODWALL_BIN";

/// Where the binary lies: where [`VARIABLE`] says, else beside this one, where cargo puts both.
pub fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    let this = std::env::current_exe().context("cannot find out where this program lies")?;
    // Tests lie one folder deeper than binaries.
    let mut places = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("floodwall"));
    places.find(|path| path.is_file()).with_context(|| {
        format!(
            "there is no floodwall beside {}; run `cargo xtask build`",
            this.display()
        )
    })
}

/// What the daemon is told in its configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    /// `monitor` or `enforce`.
    pub mode: &'static str,
    /// Further tables in TOML, such as `[limits.source]`.
    pub more: String,
}

impl Config {
    /// Defaults in everything but the mode.
    pub fn new(mode: &'static str) -> Self {
        Self {
            mode,
            more: String::new(),
        }
    }
}

/// A daemon that protects the sandbox's server; its process ends when dropped.
#[derive(Debug)]
pub struct Floodwall {
    binary: PathBuf,
    folder: PathBuf,
    environment: Vec<(String, PathBuf)>,
    process: Option<Process>,
}

/// `status --json`, as far as the lab reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// `monitor`, `enforce` or a mixture.
    pub mode: serde_json::Value,
    /// Interfaces under protection.
    pub interfaces: Vec<Interface>,
    /// Sums since the maps were made.
    pub totals: Totals,
    /// By name of reason.
    pub reasons: BTreeMap<String, Reason>,
}

/// One interface.
#[derive(Clone, Debug, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`.
    pub attach: Option<String>,
    /// The kernel's id of the program.
    pub program_id: Option<u32>,
}

/// `defence list --json`, as far as the lab reads it.
#[derive(Debug, Deserialize)]
struct Defences {
    defences: Vec<Defence>,
}

#[derive(Debug, Deserialize)]
struct Defence {
    name: String,
    state: String,
    notes: Vec<String>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Sums over all reasons.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Totals {
    /// All that came in.
    pub received: Count,
    /// Handed to the stack.
    pub passed: Count,
    /// Dropped.
    pub dropped: Count,
    /// Passed, and dropped if everything were enforced.
    #[serde(default)]
    pub would_drop: Count,
}

impl Status {
    /// Packets that were dropped, or would have been if every reason were enforced.
    pub fn dropped(&self) -> u64 {
        self.totals.dropped.packets + self.totals.would_drop.packets
    }
}

/// What happened for one reason.
#[derive(Clone, Debug, Deserialize)]
pub struct Reason {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Floodwall {
    /// Writes a configuration, starts `floodwall run` and waits for it to answer.
    pub fn start(sandbox: &Sandbox, binary: &Path, config: &Config) -> Result<Self> {
        Self::start_with(sandbox, binary, config, &[])
    }

    /// Likewise; every daemon has these in its environment.
    pub fn start_with(
        sandbox: &Sandbox,
        binary: &Path,
        config: &Config,
        environment: &[(&str, &Path)],
    ) -> Result<Self> {
        let own = |(name, value): &(&str, &Path)| ((*name).to_owned(), (*value).to_owned());
        let mut floodwall = Self {
            binary: binary.to_owned(),
            folder: sandbox.folder(),
            environment: environment.iter().map(own).collect(),
            process: None,
        };
        floodwall.write_config(sandbox, config)?;
        floodwall.run(sandbox)?;
        Ok(floodwall)
    }

    /// Writes the configuration file, which `reload` will read.
    pub fn write_config(&self, sandbox: &Sandbox, config: &Config) -> Result<()> {
        let Config { mode, more } = config;
        let text = format!(
            "interfaces = [\"{}\"]\nmode = \"{mode}\"\n\n[paths]\nsocket = {:?}\nstate = {:?}\nbpf = {:?}\n\n{more}",
            hosts::SERVER.interface,
            self.socket(),
            self.state(),
            pins(sandbox),
        );
        let path = self.config();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Starts the daemon, again if it has ended.
    pub fn run(&mut self, sandbox: &Sandbox) -> Result<()> {
        self.spawn(sandbox)?;
        self.wait_until_ready()
    }

    /// Starts the daemon and does not wait for it.
    pub fn spawn(&mut self, sandbox: &Sandbox) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .with_context(|| format!("cannot write {}", self.log().display()))?;
        let mut command = sandbox.command(Ns::Server, &self.binary);
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args([
                OsStr::new("run"),
                OsStr::new("--config"),
                self.config().as_os_str(),
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the daemon's log")?)
            .stderr(log);
        self.process = Some(Process::spawn(&mut command)?);
        Ok(())
    }

    /// Kills the daemon, which cannot prepare for that.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("no daemon runs")?;
        process.signal(Signal::SIGKILL)?;
        process
            .wait(START)
            .context("the daemon outlives SIGKILL")
            .map(drop)
    }

    /// Ends the daemon at once and starts another over what it left but for what it learned, which has
    /// to find out anew whether there is an attack, and what meets it.
    pub fn restart(&mut self, sandbox: &Sandbox) -> Result<()> {
        self.process = None;
        for end in ["", "-wal", "-shm"] {
            let path = self.state().join(format!("{HISTORY}{end}"));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.run(sandbox)
    }

    /// Waits until the daemon answers.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let end = clock::now() + START;
        loop {
            let ended = self.process.as_mut().and_then(Process::ended);
            if let Some(status) = ended {
                bail!(
                    "floodwall run ended at once ({status}):\n{}",
                    self.log_text()
                );
            }
            let Err(error) = self.status() else {
                return Ok(());
            };
            if clock::now() > end {
                bail!(
                    "floodwall run does not answer: {error:#}\n{}",
                    self.log_text()
                );
            }
            interrupt::sleep(Duration::from_millis(50))?;
        }
    }

    /// Ends the daemon and takes away what it leaves in place: pins, and with them the filter,
    /// and its state.
    pub fn uninstall(mut self, sandbox: &Sandbox) -> Result<()> {
        self.process = None;
        for folder in [pins(sandbox), self.state()] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("cannot remove {}", folder.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The daemon's process, while it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// What the daemon has written so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// A command line, to be run as it is.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line and returns how it ended and what it wrote.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)
            .output()
            .with_context(|| format!("cannot run {}", self.binary.display()))
    }

    /// Runs a command line that has to succeed and returns what it wrote.
    pub fn text(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        if !output.status.success() {
            // With `--json`, errors are on stdout, too.
            let said = [output.stderr, output.stdout].concat();
            bail!(
                "`floodwall {}` failed ({}): {}; the daemon wrote: {}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&said).trim(),
                self.log_text().trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a command line with `--json` and reads its answer.
    pub fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let mut with_json = arguments.to_vec();
        with_json.push("--json");
        let text = self.text(&with_json)?;
        serde_json::from_str(&text)
            .with_context(|| format!("`floodwall {}` wrote no such JSON", with_json.join(" ")))
    }

    /// Switches every defence on that does not ask who sent a packet, and waits until it holds.
    pub fn defend(&self) -> Result<()> {
        let defences: Defences = self.json(&["defence", "list"])?;
        for Defence { name, .. } in &defences.defences {
            self.text(&["defence", "set", name, "on"])?;
        }
        let end = clock::now() + START;
        loop {
            let defences: Defences = self.json(&["defence", "list"])?;
            let waiting = |it: &&Defence| it.state != "holding";
            let Some(Defence { name, state, notes }) = defences.defences.iter().find(waiting)
            else {
                return Ok(());
            };
            if clock::now() > end {
                bail!("the defence {name} is {state}: {}", notes.join("; "));
            }
            interrupt::sleep(Duration::from_millis(100))?;
        }
    }

    /// `floodwall status --json`.
    pub fn status(&self) -> Result<Status> {
        self.json(&["status"])
    }

    /// What the controller did since a moment, in order.
    pub fn actions(&self, since: Timestamp) -> Result<Vec<Action>> {
        let page: IncidentPage = self.json(&["incident", "list"])?;
        let mut actions = Vec::new();
        for incident in page.incidents.iter().rev() {
            if incident.end.is_some_and(|end| end < since) {
                continue;
            }
            let id = incident.id.to_string();
            let detail: IncidentDetail = self.json(&["incident", "show", &id])?;
            let of_late = detail.incident.actions.into_iter();
            actions.extend(of_late.filter(|action| action.at >= since));
        }
        Ok(actions)
    }

    /// The program on the server's interface, as the kernel runs it.
    pub fn program(&self) -> Result<ProgramFd> {
        let status = self.status()?;
        let id = status
            .interfaces
            .iter()
            .find(|interface| interface.name == hosts::SERVER.interface)
            .and_then(|interface| interface.program_id)
            .context("floodwall has no program on the server's interface")?;
        for program in loaded_programs() {
            let program = program.context("cannot list the kernel's programs")?;
            if program.id() == id {
                return program
                    .fd()
                    .with_context(|| format!("cannot open program {id}"));
            }
        }
        bail!("the kernel has no program {id}, which floodwall reports")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("floodwall.toml")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("floodwall.log")
    }
}

fn pins(sandbox: &Sandbox) -> PathBuf {
    sandbox.bpf().join("floodwall")
}
