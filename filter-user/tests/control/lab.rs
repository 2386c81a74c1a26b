//! A server on a socket in a folder of its own, a daemon that only takes notes, and raw requests.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use filter_user::{
    api::{
        peer::Credentials,
        server::{self, Bounds},
        types::*,
    },
    config::Config,
    core::{actor::Actor, command::Command, refusal::Refusal},
    daemon::handle::{Handle, Service},
    detect::{
        Phase, Target, Vector, View,
        output::{Report, SourceReport, Spoofed, VectorReport},
    },
    metrics::{Deliveries, Metrics, Steps},
};
use nix::unistd::{Gid, Group};
use tokio::sync::oneshot;

/// What somebody had carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub actor: Actor,
    pub command: Command,
    pub dry_run: bool,
}

/// What the fake remembers, and what it says next.
#[derive(Debug, Default)]
pub struct Book {
    pub notes: Vec<Note>,
    pub refuse: Option<Refusal>,
    pub events: Vec<Event>,
    pub entries: u64,
}

struct Fake(Arc<Mutex<Book>>);

impl Fake {
    fn refusal(&self) -> Result<(), Refusal> {
        self.0.lock().unwrap().refuse.take().map_or(Ok(()), Err)
    }
}

pub fn time() -> jiff::Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub fn event(id: i64) -> Event {
    Event {
        id,
        at: time(),
        by: "floodwall".to_owned(),
        kind: "test".to_owned(),
        text: format!("event {id}"),
    }
}

fn entry(index: u64) -> Entry {
    let address = std::net::Ipv4Addr::from(0xc000_0200 + u32::try_from(index).unwrap());
    Entry {
        prefix: ipnet::Ipv4Net::from(address).into(),
        kind: ListKind::Block,
        list: "manual".to_owned(),
        reason: String::new(),
        by: "uid 0 (root)".to_owned(),
        since: time(),
        until: None,
        packets: Some(index),
    }
}

/// An incident of less than a minute.
fn report(id: u64) -> Report {
    Report {
        id,
        first: time(),
        detected: time(),
        peak: time(),
        end: Some(time() + jiff::SignedDuration::from_secs(39)),
        vectors: vec![VectorReport {
            vector: Vector::Syn,
            target: Target::Host,
            phase: Phase::Recovering,
            spoofed: Spoofed::Forged,
            usual: 1.0,
            peak_packets: 1e6,
            peak_bits: 1e9,
            mean_packets: 1e5,
            mean_bits: 1e8,
            evidence: "a lot of it".to_owned(),
        }],
        ..Report::default()
    }
}

fn second(age: i64) -> SecondStatus {
    SecondStatus {
        at: time() + jiff::SignedDuration::from_secs(age),
        received: Count::default(),
        passed: Count::default(),
        stopped: Count::default(),
        would_stop: Count::default(),
        classes: BTreeMap::new(),
    }
}

impl Service for Fake {
    fn status(&mut self) -> Result<Status, Refusal> {
        self.refusal()?;
        Ok(Status {
            schema: SCHEMA,
            version: "0.0.0".to_owned(),
            object: String::new(),
            daemon: true,
            since: Some(time()),
            incident: None,
            hit: Vec::new(),
            mode: Mode::Monitor,
            interfaces: Vec::new(),
            totals: Totals::default(),
            reasons: BTreeMap::new(),
            overrides: Vec::new(),
            pending: None,
            held: Vec::new(),
            tables: BTreeMap::new(),
            services: Vec::new(),
            defences: Vec::new(),
            lists: Vec::new(),
            program: None,
            map_memory: 0,
            maps: Vec::new(),
            warnings: Vec::new(),
        })
    }

    fn stats(&mut self) -> Result<Stats, Refusal> {
        self.refusal()?;
        Ok(Stats {
            schema: SCHEMA,
            at: time(),
            seconds: 1.0,
            reasons: BTreeMap::new(),
            rates: Rates::default(),
            totals: Totals::default(),
            lists: Vec::new(),
        })
    }

    fn entries(
        &mut self,
        _: ListKind,
        _: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<EntryPage, Refusal> {
        self.refusal()?;
        let total = self.0.lock().unwrap().entries;
        let from: u64 = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let to = total.min(from + u64::try_from(limit).unwrap());
        Ok(EntryPage {
            schema: SCHEMA,
            lists: Vec::new(),
            entries: (from..to).map(entry).collect(),
            next: (to < total).then(|| to.to_string()),
            total,
        })
    }

    fn limits(&mut self) -> Result<Limits, Refusal> {
        self.refusal()?;
        Ok(Limits {
            schema: SCHEMA,
            pressure: "20000/s".to_owned(),
            limits: Vec::new(),
        })
    }

    fn defences(&mut self) -> Result<Defences, Refusal> {
        self.refusal()?;
        let defence = DefenceStatus {
            name: "sockets".to_owned(),
            mode: "pressure".to_owned(),
            state: DefenceState::Holding,
            by: "default".to_owned(),
            until: None,
            held: None,
            dropped: 1_234,
            answered: 0,
            accepted: 0,
            would_drop: 0,
            ports: Vec::new(),
            notes: vec!["TCP 8080 is left out".to_owned()],
        };
        Ok(Defences {
            schema: SCHEMA,
            pressure: "20000/s".to_owned(),
            defences: vec![defence],
        })
    }

    fn services(&mut self) -> Result<Services, Refusal> {
        self.refusal()?;
        let service = ServiceStatus {
            name: "web".to_owned(),
            to: vec!["203.0.113.10/32".parse().unwrap()],
            protocol: "tcp".to_owned(),
            port: Some(443),
            packets: "200k/s".to_owned(),
            bytes: "off".to_owned(),
            overloaded: true,
            fair_share: Some(1_250),
            passed: 9,
            dropped_new: 3,
            dropped_heavy: 2,
            dropped_known: 1,
        };
        Ok(Services {
            schema: SCHEMA,
            services: vec![service],
        })
    }

    fn rules(&mut self) -> Result<Rules, Refusal> {
        self.refusal()?;
        let rule = RuleStatus {
            id: "7".to_owned(),
            expression: "drop udp sport 123".to_owned(),
            state: RuleState::Enforced,
            packets: 3,
            bytes: 180,
            by: "uid 0 (root)".to_owned(),
            reason: String::new(),
            since: Some(time()),
            until: None,
        };
        Ok(Rules {
            schema: SCHEMA,
            rules: vec![rule],
        })
    }

    fn config_diff(&mut self, text: Option<&str>) -> Result<ConfigDiff, Refusal> {
        self.refusal()?;
        Ok(ConfigDiff {
            schema: SCHEMA,
            changes: Vec::new(),
            restart: text.map(str::to_owned),
            samples: 7,
            hits: Vec::new(),
        })
    }

    fn why(&mut self, query: &WhyQuery) -> Result<Why, Refusal> {
        self.refusal()?;
        Ok(Why {
            schema: SCHEMA,
            address: query.address,
            action: Action::Pass,
            reason: "clean".to_owned(),
            enforced: true,
            sentence: format!("asked for {:?} {:?}", query.protocol, query.port),
            entries: Vec::new(),
            rules: Vec::new(),
            limits: Vec::new(),
            defences: Vec::new(),
        })
    }

    fn events(&mut self, after: Option<i64>, limit: usize) -> Result<EventPage, Refusal> {
        self.refusal()?;
        let all = self.0.lock().unwrap().events.clone();
        let last = all.last().map_or(0, |event| event.id);
        let events = match after {
            Some(after) => all
                .into_iter()
                .filter(|event| event.id > after)
                .take(limit)
                .collect(),
            None => all[all.len().saturating_sub(limit)..].to_vec(),
        };
        Ok(EventPage {
            schema: SCHEMA,
            events,
            last,
        })
    }

    fn samples(&mut self, _: &SampleQuery) -> Result<SamplePage, Refusal> {
        self.refusal()?;
        let sample = SampledPacket {
            at: time(),
            interface: "eth0".to_owned(),
            queue: 0,
            reason: "blocked".to_owned(),
            dropped: true,
            length: 60,
            summary: "a packet".to_owned(),
            bytes: "00ff".to_owned(),
        };
        Ok(SamplePage {
            schema: SCHEMA,
            samples: vec![sample],
        })
    }

    fn incidents(&mut self, before: Option<u64>, limit: usize) -> Result<IncidentPage, Refusal> {
        self.refusal()?;
        let all = (1..=3)
            .rev()
            .filter(|id| before.is_none_or(|before| *id < before));
        let reports: Vec<Report> = all.map(report).collect();
        let next = reports.get(..limit).filter(|_| reports.len() > limit);
        Ok(IncidentPage {
            schema: SCHEMA,
            incidents: reports.iter().take(limit).map(Into::into).collect(),
            next: next.and_then(|page| page.last()).map(|report| report.id),
            total: 3,
            damaged: Vec::new(),
        })
    }

    fn incident(&mut self, id: u64) -> Result<IncidentDetail, Refusal> {
        self.refusal()?;
        if id > 3 {
            return Err(Refusal::not_found(format!("there is no incident {id}")));
        }
        Ok(IncidentDetail {
            schema: SCHEMA,
            incident: report(id),
            events: vec![event(5)],
            seconds: vec![second(0)],
            next: Some(second(1).at),
            damaged: 0,
        })
    }

    fn history(
        &mut self,
        from: jiff::Timestamp,
        to: jiff::Timestamp,
        limit: usize,
    ) -> Result<HistoryPage, Refusal> {
        self.refusal()?;
        let all = (0..100)
            .map(second)
            .filter(|it| (from..=to).contains(&it.at));
        let mut seconds: Vec<SecondStatus> = all.collect();
        let next = seconds.get(limit).map(|second| second.at);
        seconds.truncate(limit);
        Ok(HistoryPage {
            schema: SCHEMA,
            seconds,
            next,
            damaged: 0,
        })
    }

    fn view(&mut self) -> Result<View, Refusal> {
        self.refusal()?;
        Ok(View {
            at: time(),
            incident: Some(3),
            sources: vec![SourceReport {
                prefix: "198.51.100.7/32".parse().unwrap(),
                packets: 5_000,
                error: 10,
                may_be_forged: true,
            }],
            ..View::default()
        })
    }

    fn metrics(&mut self) -> Result<Metrics, Refusal> {
        Ok(Metrics {
            status: self.status()?,
            view: self.view()?,
            traffic: None,
            good_dropped: 0.0,
            steps: Steps::default(),
            webhook: Deliveries::default(),
        })
    }

    fn execute(
        &mut self,
        actor: &Actor,
        command: Command,
        dry_run: bool,
    ) -> Result<Outcome, Refusal> {
        self.refusal()?;
        let note = Note {
            actor: actor.clone(),
            command,
            dry_run,
        };
        self.0.lock().unwrap().notes.push(note);
        let notes = vec!["noted".to_owned()];
        Ok(Outcome {
            schema: SCHEMA,
            dry_run,
            notes,
            ..Outcome::default()
        })
    }
}

/// Whom the server takes its peers for.
#[derive(Clone, Copy, Debug)]
pub enum As {
    Root,
    Reader,
    Admin,
    Stranger,
}

/// A running server.
pub struct Lab {
    pub folder: tempfile::TempDir,
    pub socket: PathBuf,
    pub handle: Handle,
    pub book: Arc<Mutex<Book>>,
    /// Who connects next, where it is not who does otherwise.
    arriving: Arc<Mutex<VecDeque<As>>>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

/// Groups that this host has, so that roles have names to go by.
fn groups() -> (Group, Group) {
    let mut known = (0..1000).filter_map(|id| Group::from_gid(Gid::from_raw(id)).unwrap());
    (known.next().unwrap(), known.next().unwrap())
}

fn credentials(who: As) -> Credentials {
    let (read, admin) = groups();
    match who {
        As::Root => Credentials {
            uid: 0,
            groups: Vec::new(),
        },
        As::Reader => Credentials {
            uid: 4_000_000,
            groups: vec![77, read.gid.as_raw()],
        },
        As::Admin => Credentials {
            uid: 4_000_000,
            groups: vec![admin.gid.as_raw()],
        },
        As::Stranger => Credentials {
            uid: 4_000_000,
            groups: vec![4_000_000],
        },
    }
}

pub fn config(socket: PathBuf) -> Config {
    let (read, admin) = groups();
    let mut config = Config::default();
    config.paths.socket = socket;
    config.access.read_group = read.name;
    config.access.admin_group = admin.name;
    config.tables.lists_v4 = 60;
    config.tables.lists_v6 = 40;
    config.tables.allow = 10;
    config
}

impl Lab {
    pub fn new(peers: As) -> Self {
        Self::within(peers, Bounds::default())
    }

    pub fn within(peers: As, bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("run/control.sock");
        let config = config(socket.clone());
        let bound = server::bind(&socket, &config.access).unwrap();
        let (handle, jobs) = Handle::new(64);
        let book = Arc::new(Mutex::new(Book::default()));
        let mut fake = Fake(Arc::clone(&book));
        thread::spawn(move || jobs.into_iter().for_each(|job| job(&mut fake)));
        let (stop, stopped) = oneshot::channel();
        let calls = handle.clone();
        let arriving = Arc::new(Mutex::new(VecDeque::new()));
        let arrivals = Arc::clone(&arriving);
        let server = thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let shutdown = async {
                // Also when the lab is dropped.
                let _ = stopped.await;
            };
            let identify = Arc::new(move |_: &_| {
                let arrived = arrivals.lock().unwrap().pop_front();
                Ok(credentials(arrived.unwrap_or(peers)))
            });
            let serving = server::serve_within(bound, &config, calls, shutdown, bounds, identify);
            runtime.block_on(serving).unwrap();
        });
        let (stop, server) = (Some(stop), Some(server));
        Self {
            folder,
            socket,
            handle,
            book,
            arriving,
            stop,
            server,
        }
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// As somebody else than who connects otherwise.
    pub fn connect_as(&self, who: As) -> UnixStream {
        self.arriving.lock().unwrap().push_back(who);
        self.connect()
    }

    /// A request without a body.
    pub fn ask(&self, method: &str, target: &str) -> Answer {
        self.send(method, target, "")
    }

    /// A request.
    pub fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        answer(&mut stream)
    }

    /// What has been carried out so far.
    pub fn notes(&self) -> Vec<Note> {
        self.book.lock().unwrap().notes.clone()
    }

    /// The command that a request led to.
    pub fn command(&self, method: &str, target: &str, body: &str) -> Command {
        let before = self.notes().len();
        let answer = self.send(method, target, body);
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.body);
        let outcome: Outcome = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(outcome.notes, ["noted"]);
        let notes = self.notes();
        assert_eq!(notes.len(), before + 1);
        notes.last().unwrap().command.clone()
    }

    /// Stops the server, as the daemon does.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The error in it.
    pub fn error(&self) -> ErrorBody {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Reads until the server closes, which resets the connection if some of what it was sent is unread.
pub fn answer(stream: &mut UnixStream) -> Answer {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset && !bytes.is_empty() => {}
        ended => drop(ended.unwrap()),
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .map_or(0, |status| status.parse().unwrap());
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
