//! What network tests stand on: a server in a sandbox that the real daemon protects, the real
//! command line, and packets that are counted where the server's own stack hands them out.

mod traffic;

use std::{
    cell::OnceCell,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::{fs::chown, net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use xtask::lab::{
    clock, floodwall,
    process::Process,
    sandbox::{Ns, Sandbox, hosts},
};

pub use traffic::{Receiver, Report, Stream, frame, tagged};

/// How long anything may take before a test gives up. Machines that build meanwhile are slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The user and the group that own nothing.
const NOBODY: u32 = 65534;

/// Waits until something is so.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = clock::now() + PATIENCE;
    while !is_so() {
        assert!(
            clock::now() < end,
            "{what}: not within {} seconds",
            PATIENCE.as_secs()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// What the configuration file says beside the paths.
#[derive(Clone, Debug)]
pub struct Config {
    interfaces: Vec<String>,
    mode: &'static str,
    keys: String,
    tables: String,
}

impl Config {
    /// The server's interface, in this mode.
    pub fn new(mode: &'static str) -> Self {
        Self {
            interfaces: vec![hosts::SERVER.interface.to_owned()],
            mode,
            keys: String::new(),
            tables: String::new(),
        }
    }

    /// Other interfaces.
    pub fn interfaces(mut self, names: &[&str]) -> Self {
        self.interfaces = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// A line before all tables.
    pub fn key(mut self, line: &str) -> Self {
        self.keys += &format!("{line}\n");
        self
    }

    /// Lines behind `[paths]`.
    pub fn table(mut self, lines: &str) -> Self {
        self.tables += &format!("{lines}\n");
        self
    }
}

/// How a command ended, and what it wrote.
#[derive(Clone, Debug)]
pub struct Said {
    #[expect(dead_code, reason = "shown where an assertion fails")]
    line: String,
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Said {
    /// It has to have ended with this exit code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// It has to have written this, to either.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        // What is long is broken into lines on a terminal only; errors of clap have several.
        assert!(
            self.stdout.contains(words) || self.stderr.contains(words),
            "`{words}` is missing: {self:#?}"
        );
        self
    }

    /// Standard output, which has to be JSON and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:#?}"))
    }
}

/// A sandbox whose server the real daemon protects. Dropping it ends the daemon, and everything
/// in the sandbox with it.
#[derive(Debug)]
pub struct Protected {
    // In this order: the daemon ends before its interface goes.
    daemon: Option<Process>,
    receiver: OnceCell<Arc<Receiver>>,
    /// The namespaces.
    pub sandbox: Sandbox,
    binary: PathBuf,
    resolver: Option<&'static str>,
    service: Option<String>,
}

impl Protected {
    /// Everything is enforced.
    pub fn enforcing() -> Self {
        Self::with(&Config::new("enforce"))
    }

    /// With a configuration.
    pub fn with(config: &Config) -> Self {
        let mut protected = Self::unstarted(config);
        protected.start();
        protected
    }

    /// With a configuration and no daemon yet.
    pub fn unstarted(config: &Config) -> Self {
        let protected = Self {
            daemon: None,
            receiver: OnceCell::new(),
            sandbox: Sandbox::new(&Default::default()).unwrap(),
            binary: floodwall::find().unwrap(),
            resolver: None,
            service: None,
        };
        protected.write_config(config);
        protected
    }

    /// The daemon will find this name server in `/etc/resolv.conf`.
    pub fn set_resolver(&mut self, address: &'static str) {
        self.resolver = Some(address);
    }

    /// A file in the sandbox's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.sandbox.folder().join(name)
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.file("floodwall.toml")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.file("state")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.file("control.sock")
    }

    /// The folder of pins.
    pub fn pins(&self) -> PathBuf {
        self.sandbox.bpf().join("floodwall")
    }

    /// Writes the configuration file, which the next start or reload reads.
    pub fn write_config(&self, config: &Config) {
        fs::write(self.config_file(), self.text(config)).unwrap();
    }

    /// A configuration as text.
    pub fn text(&self, config: &Config) -> String {
        let Config {
            interfaces,
            mode,
            keys,
            tables,
        } = config;
        format!(
            "interfaces = {interfaces:?}\nmode = \"{mode}\"\n{keys}\n[paths]\nsocket = {:?}\n\
             state = {:?}\nbpf = {:?}\n\n{tables}",
            self.socket(),
            self.state(),
            self.pins()
        )
    }

    /// The daemon will be nobody with these capabilities, as `cap_bpf,cap_net_admin`, where nothing
    /// under `/proc/sys` can be written but this host's way with SYN cookies, as in its service.
    pub fn set_service(&mut self, capabilities: &str) {
        for folder in [self.pins(), self.state()] {
            fs::create_dir_all(&folder).unwrap();
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        // For the socket.
        chown(self.sandbox.folder(), Some(NOBODY), Some(NOBODY)).unwrap();
        self.service = Some(capabilities.to_owned());
    }

    /// In its mount namespace, before it is nobody.
    fn service_command(&self, capabilities: &str) -> Command {
        const CONFINED: &str = "\
            mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && \
            cookies=/proc/sys/net/ipv4/tcp_syncookies && \
            mount --bind $cookies $cookies && mount -o remount,bind,rw $cookies && exec \"$@\"";
        let caps = capabilities.replace("cap_", "+");
        let mut command = self.sandbox.command(Ns::Server, "unshare");
        command
            .args(["--mount", "sh", "-c", CONFINED, "sh", "setpriv"])
            .args(["--reuid=65534", "--regid=65534", "--groups=0"])
            .arg("--no-new-privs")
            .arg(format!("--bounding-set=-all,{caps}"))
            .arg(format!("--inh-caps=-all,{caps}"))
            .arg(format!("--ambient-caps=-all,{caps}"))
            .arg(self.binary_for_all());
        command
    }

    /// A copy of the binary: where it was built, nobody else may be let in.
    fn binary_for_all(&self) -> PathBuf {
        let binary = self.file("floodwall");
        if !binary.exists() {
            fs::copy(&self.binary, &binary).unwrap();
        }
        binary
    }

    fn run_command(&self, config: &Path) -> Command {
        let mut command = match self.resolver {
            None => match &self.service {
                Some(capabilities) => self.service_command(capabilities),
                None => self.sandbox.command(Ns::Server, &self.binary),
            },
            Some(address) => {
                let file = self.file("resolv.conf");
                fs::write(&file, format!("nameserver {address}\n")).unwrap();
                let mut command = self.sandbox.command(Ns::Server, "unshare");
                command
                    .args(["--mount", "sh", "-c"])
                    .arg("mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"")
                    .arg(file)
                    .arg(&self.binary);
                command
            }
        };
        command.args(["run", "--config"]).arg(config);
        command.stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file("log"))
            .unwrap();
        let mut command = self.run_command(&self.config_file());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.daemon = Some(Process::spawn(&mut command).unwrap());
        wait_until("the daemon answers", || {
            let ended = self.daemon.as_mut().and_then(Process::ended);
            assert!(ended.is_none(), "the daemon ended:\n{}", self.log());
            let status = self.cli("status --json");
            status.code == 0 && status.json()["daemon"] == true
        });
    }

    /// Starts a daemon that has to end by itself, and gives what it said.
    pub fn start_that_fails(&self, config: &Path) -> Said {
        let path = self.file("failing-log");
        let log = File::create(&path).unwrap();
        let mut command = self.run_command(config);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = Process::spawn(&mut command).unwrap();
        let status = process.wait(PATIENCE);
        let log = fs::read_to_string(&path).unwrap();
        let status = status.unwrap_or_else(|| panic!("it did not end:\n{log}"));
        Said {
            line: format!("run --config {}", config.display()),
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: log,
        }
    }

    /// Asks the daemon to stop, and waits for it.
    pub fn terminate(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.signal(Signal::SIGTERM).unwrap();
        let status = daemon.wait(PATIENCE).expect("the daemon does not stop");
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Kills the daemon, which cannot prepare for that.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.signal(Signal::SIGKILL).unwrap();
        daemon.wait(PATIENCE).expect("the daemon outlives SIGKILL");
    }

    /// Sends the daemon a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.daemon.as_mut().unwrap().signal(signal).unwrap();
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// Whether the daemon runs.
    pub fn runs(&mut self) -> bool {
        self.daemon
            .as_mut()
            .is_some_and(|daemon| daemon.ended().is_none())
    }

    /// What the daemons wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// A command line over the socket, its words divided by white space.
    pub fn cli(&self, line: &str) -> Said {
        self.cli_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// A command line over the socket.
    pub fn cli_words(&self, words: &[&str]) -> Said {
        let mut command = self.sandbox.command(Ns::Server, &self.binary);
        command.arg("--socket").arg(self.socket()).args(words);
        said(command, &words.join(" "), b"")
    }

    /// A command line with something on its standard input.
    pub fn cli_fed(&self, line: &str, input: &[u8]) -> Said {
        let mut command = self.sandbox.command(Ns::Server, &self.binary);
        command
            .arg("--socket")
            .arg(self.socket())
            .args(line.split_whitespace());
        said(command, line, input)
    }

    /// A command line that finds everything through the configuration, as without a daemon.
    pub fn cli_configured(&self, line: &str) -> Said {
        let mut command = self.sandbox.command(Ns::Server, &self.binary);
        command
            .arg("--config")
            .arg(self.config_file())
            .args(line.split_whitespace());
        said(command, line, b"")
    }

    /// A command line as somebody else: user `nobody`, in these groups.
    pub fn cli_as_nobody(&self, groups: &str, line: &str) -> Said {
        let binary = self.binary_for_all();
        let mut command = self.sandbox.command(Ns::Server, "setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", groups])
            .arg(binary)
            .arg("--socket")
            .arg(self.socket())
            .args(line.split_whitespace());
        said(command, line, b"")
    }

    /// A command that has to succeed, and its JSON.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        self.cli(&format!("{line} --json")).ends(0).json()
    }

    /// `status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.json("status")
    }

    /// Packets that were counted for a reason: dropped, or, for one that passes, passed.
    #[track_caller]
    pub fn count(&self, reason: &str) -> u64 {
        let count = &self.status()["reasons"][reason]["packets"];
        count
            .as_u64()
            .unwrap_or_else(|| panic!("{reason}: {count}"))
    }

    /// The prefixes on a list, in order.
    #[track_caller]
    pub fn listed(&self, noun: &str) -> Vec<String> {
        strings(&self.json(&format!("{noun} list"))["entries"], "prefix")
    }

    /// The override of this name, or null.
    #[track_caller]
    pub fn override_of(&self, name: &str) -> Value {
        let status = self.status();
        let all = status["overrides"].as_array().unwrap();
        let found = all.iter().find(|change| change["name"] == name);
        found.cloned().unwrap_or(Value::Null)
    }

    /// How `status` says that an interface is attached: `native`, `generic` or null.
    #[track_caller]
    pub fn attachment(&self, interface: &str) -> Value {
        let status = self.status();
        let all = status["interfaces"].as_array().unwrap();
        let found = all.iter().find(|it| it["name"] == interface);
        found.map_or(Value::Null, |it| it["attach"].clone())
    }

    /// The id of the XDP program on an interface of the server, as the kernel tells it.
    pub fn program_on(&self, interface: &str) -> Option<u64> {
        let links = self.ip(Ns::Server, &format!("-j -d link show dev {interface}"));
        let links: Value = serde_json::from_str(&links).unwrap();
        links[0]["xdp"]["prog"]["id"].as_u64()
    }

    /// Runs `ip` in a namespace.
    #[track_caller]
    pub fn ip(&self, ns: Ns, line: &str) -> String {
        let mut command = self.sandbox.command(ns, "ip");
        command.args(line.split_whitespace());
        said(command, &format!("ip {line}"), b"").ends(0).stdout
    }

    /// What the control socket answers to a request, its status and its body, as `curl
    /// --unix-socket` would get it.
    pub fn http(&self, method: &str, path: &str) -> (u16, Value) {
        let mut socket = UnixStream::connect(self.socket()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: floodwall\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

fn said(mut command: Command, line: &str, input: &[u8]) -> Said {
    let mut child = command
        .env_remove("FLOODWALL_SOCKET")
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without reading all of it.
    let feeder = thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said {
        line: line.to_owned(),
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// One field of each object in an array.
pub fn strings(array: &Value, field: &str) -> Vec<String> {
    let items = array.as_array().unwrap();
    let text = |item: &Value| item[field].as_str().unwrap().to_owned();
    items.iter().map(text).collect()
}

/// A number that no other call in this process gives.
pub fn fresh() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}
