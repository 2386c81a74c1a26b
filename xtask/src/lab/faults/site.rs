//! A server under the paced flood, the real daemon that protects it, and what its operator does and
//! is told.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::Signal,
};
use serde_json::Value;

use super::{
    super::{
        clock,
        floodwall::{Config, Floodwall},
        interrupt,
        process::Process,
        sandbox::{Ns, Sandbox, hosts},
    },
    lies::Lies,
    traffic::Traffic,
};

/// How long anything may take before a fault has done harm. Machines that build meanwhile are slow.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What the configuration says: packets go to a port that a controller might close.
pub const USUAL: &str = "[detection]\nact = \"suggest\"\n";

/// The server.
#[derive(Debug)]
pub struct Site {
    // In this order: the flood, the daemon, its disk, the namespaces.
    traffic: Option<Traffic>,
    /// The daemon.
    pub floodwall: Floodwall,
    disk: Disk,
    lies: Option<Lies>,
    /// The namespaces.
    pub sandbox: Sandbox,
    binary: PathBuf,
}

/// The state folder's file system, of the site's own; gone when dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    fn mount(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let size = Some("size=32m,mode=700");
        mount(
            Some("tmpfs"),
            &folder,
            Some("tmpfs"),
            MsFlags::empty(),
            size,
        )
        .with_context(|| format!("cannot mount a tmpfs on {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Leaves no byte, until [`Self::make_room`].
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler())?;
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        Ok(())
    }

    /// There is room again.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("cannot empty the disk")
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Whether it can only be read. Refused while files are open for writing.
    pub fn set_read_only(&self, is_read_only: bool) -> Result<()> {
        let mut flags = MsFlags::MS_REMOUNT;
        if is_read_only {
            flags |= MsFlags::MS_RDONLY;
        }
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>)
            .with_context(|| format!("cannot remount {}", self.0.display()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

impl Site {
    /// A protected server, with the lists that listed sources are on, and the flood under way. The
    /// daemon may have a clock and a disk that lie.
    pub fn new(binary: &Path, lies: bool) -> Result<Self> {
        let sandbox = Sandbox::new(&Default::default())?;
        let disk = Disk::mount(sandbox.folder().join("state"))?;
        let config = config("");
        let lies = if lies {
            Some(Lies::new(&sandbox.folder())?)
        } else {
            None
        };
        let environment = lies.as_ref().map(Lies::environment);
        let environment = environment.as_ref().map_or(&[][..], |it| &it[..]);
        let socket = Traffic::listen(&sandbox)?;
        let floodwall = Floodwall::start_with(&sandbox, binary, &config, environment)?;
        let mut site = Self {
            traffic: None,
            floodwall,
            disk,
            lies,
            sandbox,
            binary: binary.to_owned(),
        };
        let words = [
            "block",
            "add",
            "198.51.100.0/24",
            "3fff::/20",
            "2001:db8:c1::66",
        ];
        site.say(&words)?;
        site.say(&["allow", "add", "198.51.100.10"])?;
        let list = site.write("feed.txt", &feed(0))?;
        site.import(&list)?;
        site.traffic = Some(Traffic::start(&site.sandbox, socket)?);
        Ok(site)
    }

    /// The flood.
    pub fn traffic(&self) -> Result<&Traffic> {
        self.traffic.as_ref().context("the flood is over")
    }

    /// Ends the flood, for good.
    pub fn end_traffic(&mut self) -> Result<Traffic> {
        self.traffic.take().context("the flood is over")
    }

    /// The disk that the state folder lies on.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What the daemon is told of clock and disk.
    pub fn lies(&self) -> Result<&Lies> {
        self.lies.as_ref().context("this daemon is told the truth")
    }

    /// A file in the site's folder.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.sandbox.folder().join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Replaces the list that a listed source is on.
    pub fn import(&self, list: &Path) -> Result<()> {
        let list = list.to_string_lossy();
        self.say(&["block", "import", &list, "--list", "feed"])?;
        Ok(())
    }

    /// A command that has to succeed, and what it wrote.
    pub fn say(&self, words: &[&str]) -> Result<String> {
        let output = self.floodwall.output(words)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(
            output.status.success(),
            "`floodwall {}` failed: {}",
            words.join(" "),
            said.trim()
        );
        Ok(said)
    }

    /// A command that has to succeed without a daemon.
    pub fn say_offline(&self, words: &[&str], config: &Path) -> Result<()> {
        let mut command = self.sandbox.command(Ns::Server, &self.binary);
        command
            .arg("--config")
            .arg(config)
            .args(words)
            .stdin(Stdio::null());
        let output = command.output().context("cannot run floodwall")?;
        ensure!(
            output.status.success(),
            "`floodwall {}` failed: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// A command that has to fail and say why.
    pub fn refuses(&self, words: &[&str], why: &str) -> Result<()> {
        let output = self.floodwall.output(words)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(
            !output.status.success() && said.contains(why),
            "`floodwall {}` was to be refused with `{why}` and said: {}",
            words.join(" "),
            said.trim()
        );
        Ok(())
    }

    /// `status --json`.
    pub fn status(&self) -> Result<Value> {
        self.floodwall.json(&["status"])
    }

    /// Waits until `status` says this.
    pub fn hears(&self, words: &str) -> Result<()> {
        self.until(&format!("status says `{words}`"), || {
            Ok(self.say(&["status"])?.contains(words))
        })
    }

    /// Waits until `status` does not say this any more.
    pub fn hears_no_more(&self, words: &str) -> Result<()> {
        self.until(&format!("status no longer says `{words}`"), || {
            Ok(!self.say(&["status"])?.contains(words))
        })
    }

    /// Waits until the daemon's log says this.
    pub fn reads(&self, words: &str) -> Result<()> {
        self.until(&format!("the log says `{words}`"), || {
            Ok(self.floodwall.log_text().contains(words))
        })
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = clock::now() + PATIENCE;
        while !is_so()? {
            if clock::now() > end {
                let status = self
                    .say(&["status"])
                    .unwrap_or_else(|error| format!("{error:#}"));
                bail!(
                    "{what}: not within {} s; status: {status}; the daemon wrote: {}",
                    PATIENCE.as_secs(),
                    self.floodwall.log_text()
                );
            }
            interrupt::sleep(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Waits until `status` shows the interface attached, and a command works.
    pub fn is_healthy(&self) -> Result<()> {
        self.until("the interface is attached", || {
            let status = self.status()?;
            let interface = &status["interfaces"][0];
            Ok(status["daemon"] == true && interface["attach"] == "native")
        })?;
        let spare = "10.200.200.200";
        self.say(&["block", "add", spare])?;
        ensure!(
            self.say(&["block", "list"])?.contains(spare),
            "an entry that was added is not listed"
        );
        self.say(&["block", "del", spare])?;
        Ok(())
    }

    /// Kills the daemon, which cannot prepare for that.
    pub fn kill(&mut self) -> Result<()> {
        self.floodwall.kill()
    }

    /// Starts the daemon over what the last one left.
    pub fn start(&mut self) -> Result<()> {
        self.floodwall.run(&self.sandbox)
    }

    /// Starts the daemon, and does not wait for it.
    pub fn begin_to_start(&mut self) -> Result<()> {
        self.floodwall.spawn(&self.sandbox)
    }

    /// Asks the daemon to stop, and waits for it.
    pub fn stop(&mut self) -> Result<()> {
        let process = self.floodwall.process().context("no daemon runs")?;
        process.signal(Signal::SIGTERM)?;
        let status = process.wait(PATIENCE).context("the daemon does not stop")?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }

    /// Sends the daemon a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        let process = self.floodwall.process().context("no daemon runs")?;
        process.signal(signal)
    }

    /// Another daemon with this configuration, which has to end by itself and say why.
    pub fn is_turned_away(&self, config: &str, why: &str) -> Result<()> {
        let path = self.write("other.toml", config)?;
        let log = self.sandbox.folder().join("other.log");
        let file = File::create(&log)?;
        let mut command = self.sandbox.command(Ns::Server, &self.binary);
        command.args(["run", "--config"]).arg(path);
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut process = Process::spawn(&mut command)?;
        let ended = process.wait(PATIENCE);
        let said = fs::read_to_string(&log)?;
        let status = ended.with_context(|| format!("another daemon goes on: {said}"))?;
        ensure!(
            !status.success() && said.contains(why),
            "another daemon was to be turned away with `{why}`; it ended with {status}: {said}"
        );
        Ok(())
    }

    /// Writes the configuration with these tables beside the usual.
    pub fn configure(&self, more: &str) -> Result<()> {
        self.floodwall.write_config(&self.sandbox, &config(more))
    }

    /// Likewise, with these keys above all tables.
    pub fn configure_above(&self, keys: &str, more: &str) -> Result<()> {
        self.configure(more)?;
        let path = self.floodwall.config();
        let text = fs::read_to_string(&path)?;
        fs::write(&path, format!("{keys}{text}"))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Runs `ip` in a namespace.
    pub fn ip(&self, ns: Ns, line: &str) -> Result<String> {
        let output = self
            .sandbox
            .command(ns, "ip")
            .args(line.split_whitespace())
            .output()
            .context("cannot run `ip`")?;
        ensure!(
            output.status.success(),
            "`ip {line}`: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The id of the program on the server's interface, as the kernel tells it.
    pub fn program(&self) -> Result<Option<u64>> {
        let line = format!("-j -d link show dev {}", hosts::SERVER.interface);
        let links: Value = serde_json::from_str(&self.ip(Ns::Server, &line)?)?;
        Ok(links[0]["xdp"]["prog"]["id"].as_u64())
    }
}

/// The configuration with these tables beside the usual.
pub fn config(more: &str) -> Config {
    Config {
        mode: "enforce",
        more: format!("{USUAL}{more}"),
    }
}

/// A version of the list that a listed source is on: as one prefix or as halves, among others.
pub fn feed(version: u32) -> String {
    let mut text = String::from(if version.is_multiple_of(2) {
        "198.18.0.0/16\n"
    } else {
        "198.18.0.0/17\n198.18.128.0/17\n"
    });
    for number in 0..2_000_u32 {
        let number = version.wrapping_mul(2_000) % 60_000 + number;
        // Writing to a text cannot fail.
        let _ = writeln!(text, "10.7.{}.{}", number >> 8 & 255, number & 255);
    }
    text
}

/// So many prefixes, none of them beside another.
pub fn many(count: u32) -> String {
    (0..count)
        .map(|number| {
            let [_, a, b, c] = (number * 2).to_be_bytes();
            format!("11.{a}.{b}.{c}\n")
        })
        .collect()
}
