//! The thread that tells somebody elsewhere of incidents. Nothing that is at the other end, or is not,
//! can hold the daemon up.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _},
    mem,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;
use ureq::{
    Agent,
    tls::{RootCerts, TlsConfig},
};

use crate::{
    api::types::SCHEMA,
    clock,
    config::incidents::{Endpoint, Webhook as Config},
    detect::output::Report,
    metrics::Deliveries,
};

/// Most bytes of a secret.
const MOST_SECRET: u64 = 4_096;
/// Fewest: what is shorter can be guessed.
const LEAST_SECRET: usize = 16;

/// How patient the thread is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// With one attempt, from looking the name up to the answer.
    pub attempt: Duration,
    /// Before the second attempt; twice as long before each further one.
    pub first: Duration,
    /// Before an attempt at most.
    pub longest: Duration,
    /// With a message, before it is given up.
    pub whole: Duration,
    /// Messages that wait; the oldest goes for one more.
    pub room: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(10),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            whole: Duration::from_secs(6 * 3_600),
            room: 64,
        }
    }
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Webhook {
    shared: Arc<Shared>,
    patience: Patience,
}

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    config: Config,
    queue: VecDeque<Message>,
    counts: Deliveries,
    trouble: Option<String>,
    losses: Vec<String>,
    /// Rises with each configuration: what failed under another is tried at once.
    edition: u64,
    is_running: bool,
    is_over: bool,
}

/// What is sent.
#[derive(Clone, Debug)]
struct Message {
    event: &'static str,
    incident: u64,
    body: Vec<u8>,
    born: Instant,
}

#[derive(Serialize)]
struct Body<'a> {
    schema: u32,
    event: &'a str,
    at: jiff::Timestamp,
    host: &'a str,
    version: &'a str,
    incident: &'a Report,
}

/// Why a message did not arrive.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// It may next time.
    Passing(String),
    /// It will not, however often it is sent.
    Final(String),
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Webhook {
    /// For whoever is to be told; the thread begins with the first message.
    pub fn new(config: Config, patience: Patience) -> Self {
        let webhook = Self {
            shared: Arc::new(Shared::default()),
            patience,
        };
        webhook.configure(config);
        webhook
    }

    /// Takes another configuration. What waits goes to the new address, or nowhere if there is none.
    pub fn configure(&self, config: Config) {
        let mut desk = self.shared.desk();
        if desk.config == config {
            return;
        }
        if config.url.is_none() {
            desk.queue.clear();
            desk.trouble = None;
        }
        desk.config = config;
        desk.edition = desk.edition.wrapping_add(1);
        drop(desk);
        self.shared.changed.notify_one();
    }

    /// Has an incident told, if there is somebody to tell.
    pub fn tell(&self, event: &'static str, report: &Report) {
        let mut desk = self.shared.desk();
        if desk.config.url.is_none() {
            return;
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let body = Body {
            schema: SCHEMA,
            event,
            at: clock::now(),
            host: host.trim_end(),
            version: env!("CARGO_PKG_VERSION"),
            incident: report,
        };
        let body = match serde_json::to_vec(&body) {
            Ok(body) => body,
            Err(error) => {
                desk.lose(event, report.id, &error.to_string());
                return;
            }
        };
        if desk.queue.len() >= self.patience.room
            && let Some(oldest) = desk.queue.pop_front()
        {
            let why = format!("{} others wait already", self.patience.room);
            desk.lose(oldest.event, oldest.incident, &why);
        }
        desk.queue.push_back(Message {
            event,
            incident: report.id,
            body,
            born: clock::monotonic(),
        });
        if !desk.is_running {
            desk.is_running = self.start(&mut desk.trouble);
        }
        drop(desk);
        self.shared.changed.notify_one();
    }

    /// Nobody waits for this thread: the other end may take its time.
    fn start(&self, trouble: &mut Option<String>) -> bool {
        let (shared, patience) = (Arc::clone(&self.shared), self.patience);
        let thread = thread::Builder::new()
            .name("webhook".to_owned())
            .spawn(move || work(&shared, &patience));
        match thread {
            Ok(_) => true,
            Err(error) => {
                *trouble = Some(format!("nobody is told of incidents: {error}"));
                false
            }
        }
    }

    /// What is wrong, if something is.
    pub fn trouble(&self) -> Option<String> {
        self.shared.desk().trouble.clone()
    }

    /// What was given up since somebody asked.
    pub fn losses(&self) -> Vec<String> {
        mem::take(&mut self.shared.desk().losses)
    }

    /// How many messages met which end.
    pub fn deliveries(&self) -> Deliveries {
        let desk = self.shared.desk();
        Deliveries {
            waiting: desk.queue.len() as u64,
            ..desk.counts
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.shared.desk().is_over = true;
        self.shared.changed.notify_one();
    }
}

impl Desk {
    fn lose(&mut self, event: &str, incident: u64, why: &str) {
        self.counts.lost = self.counts.lost.saturating_add(1);
        self.losses.push(format!(
            "{event} of incident {incident} was not told to the webhook: {why}"
        ));
    }
}

fn work(shared: &Shared, patience: &Patience) {
    let mut pause = patience.first;
    let mut desk = shared.desk();
    while !desk.is_over {
        let url = desk.config.url.clone();
        let (Some(url), Some(message)) = (url, desk.queue.pop_front()) else {
            desk = wait(shared, desk, None);
            continue;
        };
        let (secret, edition) = (desk.config.secret.clone(), desk.edition);
        drop(desk);
        let sent = send(&url, secret.as_deref(), &message, patience.attempt);
        desk = shared.desk();
        let why = match sent {
            Ok(()) => {
                desk.counts.delivered = desk.counts.delivered.saturating_add(1);
                desk.trouble = None;
                pause = patience.first;
                continue;
            }
            Err(Failure::Final(why)) => {
                desk.counts.failed = desk.counts.failed.saturating_add(1);
                desk.trouble = Some(format!("the webhook {url} takes no incidents: {why}"));
                desk.lose(message.event, message.incident, &why);
                continue;
            }
            Err(Failure::Passing(why)) => why,
        };
        desk.counts.failed = desk.counts.failed.saturating_add(1);
        desk.trouble = Some(format!(
            "the webhook {url} could not be told of incidents: {why}; it is tried again"
        ));
        if message.born.elapsed() >= patience.whole {
            desk.lose(message.event, message.incident, &why);
            continue;
        }
        // Others may have come meanwhile, and taken its place.
        if desk.queue.len() < patience.room {
            desk.queue.push_front(message);
        } else {
            let why = format!("{} others wait already", patience.room);
            desk.lose(message.event, message.incident, &why);
        }
        let until = clock::monotonic() + pause;
        pause = pause.saturating_mul(2).min(patience.longest);
        while !desk.is_over && desk.edition == edition {
            let rest = until.saturating_duration_since(clock::monotonic());
            if rest.is_zero() {
                break;
            }
            desk = wait(shared, desk, Some(rest));
        }
        if desk.edition != edition {
            pause = patience.first;
        }
    }
}

fn wait<'a>(
    shared: &'a Shared,
    desk: MutexGuard<'a, Desk>,
    most: Option<Duration>,
) -> MutexGuard<'a, Desk> {
    match most {
        None => shared
            .changed
            .wait(desk)
            .unwrap_or_else(PoisonError::into_inner),
        Some(most) => {
            let waited = shared.changed.wait_timeout(desk, most);
            waited.unwrap_or_else(PoisonError::into_inner).0
        }
    }
}

/// One attempt.
fn send(
    url: &Endpoint,
    secret: Option<&Path>,
    message: &Message,
    patience: Duration,
) -> Result<(), Failure> {
    let signature = secret
        .map(|path| sign(path, &message.body))
        .transpose()
        .map_err(Failure::Passing)?;
    let certificates = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    let mut config = Agent::config_builder()
        .timeout_global(Some(patience))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("floodwall/", env!("CARGO_PKG_VERSION")))
        .tls_config(certificates);
    if url.is_here() {
        config = config.proxy(None);
    }
    // Made anew each time: what it holds of certificates need not stay in memory.
    let agent: Agent = config.build().into();
    let mut request = agent
        .post(url.url())
        .content_type("application/json")
        .header("x-floodwall-event", message.event)
        .header(
            "x-floodwall-delivery",
            format!("{}-{}", message.incident, message.event),
        );
    if let Some(signature) = &signature {
        request = request.header("x-floodwall-signature", signature);
    }
    match request.send(&message.body[..]) {
        Ok(answer) => judge(answer.status().as_u16()),
        // Without the address, whose path may be a secret.
        Err(error) => Err(Failure::Passing(
            error.to_string().replace(url.url(), &url.to_string()),
        )),
    }
}

fn judge(status: u16) -> Result<(), Failure> {
    match status {
        200..300 => Ok(()),
        300..400 => Err(Failure::Final(format!(
            "it sends elsewhere (HTTP {status}), and that is not followed: put the address it sends \
             to under [webhook] url"
        ))),
        // It took too long, came too early, or there were too many.
        408 | 425 | 429 => Err(Failure::Passing(format!("it answers HTTP {status}"))),
        400..500 => Err(Failure::Final(format!(
            "it answers HTTP {status}: see [webhook] url and secret_file"
        ))),
        _ => Err(Failure::Passing(format!("it answers HTTP {status}"))),
    }
}

/// `sha256=` and the HMAC-SHA256 of the body under the secret (RFC 2104).
fn sign(path: &Path, body: &[u8]) -> Result<String, String> {
    let secret =
        read_secret(path).map_err(|error| format!("the secret {}: {error}", path.display()))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).map_err(|error| error.to_string())?;
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let mut text = "sha256=".to_owned();
    for byte in digest {
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text)
}

/// What the file holds, without the end of its line. It is read each time, so that it can be changed.
fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other(
            "others than its owner may read it: chmod 600",
        ));
    }
    let mut secret = Vec::new();
    file.take(MOST_SECRET + 1).read_to_end(&mut secret)?;
    if secret.len() as u64 > MOST_SECRET {
        return Err(io::Error::other("it is too long"));
    }
    let end = secret.trim_ascii_end().len();
    secret.truncate(end);
    if end < LEAST_SECRET {
        return Err(io::Error::other(
            "it has fewer than 16 bytes: make one with `openssl rand -hex 32`",
        ));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests;
