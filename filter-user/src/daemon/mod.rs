//! The daemon: one thread that owns everything that changes, and the control socket beside it.

mod album;
mod calendar;
mod companions;
mod controller;
mod cookies;
mod defences;
mod diff;
mod fit;
pub mod handle;
mod held;
mod interfaces;
mod known;
mod limits;
pub mod meter;
mod observe;
mod program;
mod reload;
mod rounds;
mod rulebook;
mod service;
mod services;
mod sets;
mod start;
pub mod state;
mod story;
pub mod tables;
mod terrain;
#[cfg(test)]
mod tests;
mod trial;
mod unwritten;
mod uplinks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    handle::{Handle, Job},
    state::{Daemon, Source},
};
use crate::{
    api::server,
    clock,
    config::Config,
    core::{actor::Actor, command::Command, features},
    dataplane::{bpffs::PinFolder, kernel::Kernel},
    host::{
        self,
        surroundings::{Surroundings, ThisHost},
    },
    metrics,
    store::Store,
};

/// Jobs that may wait for the daemon's thread.
const QUEUE: usize = 128;

/// Runs the daemon until SIGTERM or SIGINT. The filter stays attached.
pub fn run(source: Source) -> anyhow::Result<()> {
    let config = source
        .load()
        .map_err(|refusal| anyhow::anyhow!(refusal.message))?;
    check_interfaces(&source.interfaces)?;
    let (handle, queue) = Handle::new(QUEUE);
    let socket = server::bind(&config.paths.socket, &config.access)?;
    let metrics = config.metrics.listen.map(|address| {
        metrics::server::bind(address).map_err(|error| {
            format!(
                "metrics cannot be served at {address}: {error}; name another address with \
                 [metrics] listen, and restart"
            )
        })
    });
    let metrics = metrics.transpose();
    let mut daemon = start(&config, source, handle.clone())?;
    let metrics = metrics.unwrap_or_else(|trouble| {
        // No reason to leave this host without a filter.
        daemon.trouble("metrics", trouble);
        None
    });
    tracing::info!(socket = %socket.path().display(), "{}", daemon.greeting());
    let stop = Arc::new(AtomicBool::new(false));
    let worker = {
        let stop = Arc::clone(&stop);
        thread::Builder::new()
            .name("floodwall".to_owned())
            .spawn(move || {
                attend(&mut daemon, &queue, &stop);
                daemon.end_draining();
                daemon.rest();
                daemon.farewell()
            })
            .context("starting the daemon's thread")?
    };
    notify(&[NotifyState::Ready]);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the threads of the control socket")?;
    if let Some(listener) = metrics {
        runtime.spawn(metrics::server::serve(listener, handle.clone()));
    }
    let served = runtime.block_on(serve(socket, &config, handle));
    notify(&[NotifyState::Stopping]);
    stop.store(true, Ordering::Relaxed);
    // Connections that are still open hold handles; they need not be waited for.
    runtime.shutdown_background();
    match worker.join() {
        Ok(farewell) => tracing::info!("{farewell}"),
        Err(_) => anyhow::bail!("the daemon's thread panicked; the filter stays attached"),
    }
    served
}

/// Restores what is kept, fills the maps, and attaches: in this order.
fn start(config: &Config, source: Source, handle: Handle) -> anyhow::Result<Daemon<Kernel>> {
    let folder = PinFolder::open(&config.paths.bpf)?;
    let kept = Store::open(&config.paths.state, clock::now())?;
    // Ports of sshd are looked for later.
    let host = ThisHost::new(config.paths.cgroup.as_deref())
        .context("watching what this host translates")?;
    let mut host: Box<dyn Surroundings> = Box::new(host);
    let features = features::wanted(config, &kept.1.state, None, &host.lacking());
    let kernel = Kernel::load_with(folder, &config.tables, config.attach, features)?;
    let taken_over = kernel.taken_over();
    let mut daemon = Daemon::prepare(
        kernel,
        taken_over,
        kept,
        config.clone(),
        source,
        host,
        handle,
    )?;
    daemon.protect_first()?;
    daemon.tend();
    daemon.put_in_force()?;
    Ok(daemon)
}

/// Names on the command line that are unknown are refused before anything is touched: somebody has just
/// typed them. Those of the configuration are waited for, for a boot reads it before drivers are there.
fn check_interfaces(typed: &[String]) -> anyhow::Result<()> {
    let links = host::links::list().context("listing the interfaces of this host")?;
    for name in typed {
        if !links.iter().any(|link| link.name == *name) {
            let known: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
            anyhow::bail!(
                "there is no interface {name}; there are: {}",
                known.join(", ")
            );
        }
    }
    Ok(())
}

/// The daemon's thread: jobs as they come, periodic work when it is due, and links when they change.
fn attend(daemon: &mut Daemon<Kernel>, queue: &mpsc::Receiver<Job>, stop: &AtomicBool) {
    let watchdog = sd_notify::watchdog_enabled().map(|period| period / 2);
    let mut fed = clock::monotonic();
    let links_changed = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&links_changed);
    // Without a watch, looking once a second has to do.
    let _watcher = host::links::watch(move |_| noted.store(true, Ordering::Relaxed))
        .inspect_err(|error| tracing::warn!("cannot watch for links that come and go: {error}"));
    while !stop.load(Ordering::Relaxed) {
        let wait = daemon.work();
        if links_changed.swap(false, Ordering::Relaxed) {
            daemon.keep_protected();
            daemon.tend();
        }
        if watchdog.is_some_and(|period| fed.elapsed() >= period) {
            notify(&[NotifyState::Watchdog]);
            fed = clock::monotonic();
        }
        match queue.recv_timeout(wait.min(Duration::from_millis(100))) {
            Ok(job) => job(daemon),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

async fn serve(socket: server::Socket, config: &Config, handle: Handle) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("watching for SIGHUP")?;
    let reloads = handle.clone();
    let shutdown = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hangup.recv() => reload(&reloads).await,
            }
        }
    };
    server::serve(socket, config, handle, shutdown).await
}

/// What SIGHUP asks for.
async fn reload(handle: &Handle) {
    notify(&[NotifyState::Reloading]);
    let result = handle
        .call(|service| service.execute(&Actor::Daemon, Command::Reload, false))
        .await;
    if let Err(refusal) = result {
        tracing::error!("the reload failed: {refusal}");
    }
    notify(&[NotifyState::Ready]);
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}

impl Daemon<Kernel> {
    /// Makes these maps the ones that the next start finds.
    fn put_in_force(&mut self) -> anyhow::Result<()> {
        Ok(self.plane.put_in_force()?)
    }
}
