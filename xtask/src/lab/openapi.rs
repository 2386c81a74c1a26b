//! The daemon on a socket of TCP, where a fuzzer of APIs can ask it.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::{
    floodwall::{self, Config, Floodwall},
    process::Process,
    sandbox::{Options, Sandbox},
};

/// How much longer than it was told schemathesis may take, to report.
const REPORT: Duration = Duration::from_secs(120);

/// Arguments of `openapi`.
#[derive(Args, Debug)]
pub struct Openapi {
    /// The program
    #[arg(long)]
    schemathesis: PathBuf,
    /// Seconds for all of it
    #[arg(long, default_value_t = 60)]
    time: u64,
}

impl Openapi {
    /// Has the daemon asked whatever its document describes.
    pub fn run(&self) -> Result<()> {
        let sandbox = Sandbox::new(&Options::default())?;
        let binary = floodwall::find()?;
        let mut daemon = Floodwall::start(&sandbox, &binary, &Config::new("monitor"))?;
        // Both ends of TCP are in the server's namespace: nobody else of this machine can ask.
        let listener = sandbox
            .server()
            .run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?
            .context("cannot listen")?;
        let url = format!("http://{}", listener.local_addr()?);
        let socket = daemon.socket();
        thread::spawn(move || forward(&listener, &socket));
        let mut fuzzer = sandbox.server().command(&self.schemathesis);
        fuzzer
            .args(["run", &format!("{url}/v1/openapi.json"), "--url", &url])
            .args(["--max-time", &self.time.to_string()])
            .args(["--checks", "all", "--continue-on-failure", "--no-color"])
            // What prefixes, rules and times look like is more than a schema can say: so much of what
            // fits it is refused.
            .args(["--exclude-checks", "positive_data_acceptance"])
            // A stream of events does not end.
            .args(["--exclude-path", "/v1/events"])
            .args(["--request-timeout", "20", "--warnings", "off"])
            .current_dir(sandbox.folder())
            .stdin(Stdio::null());
        let mut fuzzer = Process::spawn(&mut fuzzer)?;
        let patience = Duration::from_secs(self.time).saturating_add(REPORT);
        let ended = fuzzer.wait(patience).context("schemathesis does not end")?;
        if let Some(status) = daemon.process().and_then(Process::ended) {
            bail!("the daemon ended ({status}):\n{}", daemon.log_text());
        }
        daemon.text(&["status"])?;
        if !ended.success() {
            bail!("schemathesis found something, or could not run ({ended})");
        }
        Ok(())
    }
}

/// Hands every connection on, both ways, until the process ends.
fn forward(listener: &TcpListener, socket: &Path) {
    for stream in listener.incoming().flatten() {
        let Ok(daemon) = UnixStream::connect(socket) else {
            continue;
        };
        // Whatever fails here shows as an answer that did not come.
        let _ = pump(stream, daemon);
    }
}

fn pump(fuzzer: TcpStream, daemon: UnixStream) -> io::Result<()> {
    let (mut requests, mut to_daemon) = (fuzzer.try_clone()?, daemon.try_clone()?);
    let (mut answers, mut to_fuzzer) = (daemon, fuzzer);
    thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut to_daemon);
        let _ = to_daemon.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut to_fuzzer);
        let _ = to_fuzzer.shutdown(Shutdown::Write);
    });
    Ok(())
}
