//! Packets from anybody to the protected server, counted where its stack hands them out.
//!
//! They enter where the uplink's wire does, so that they may bear any source, tag or header.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use etherparse::PacketBuilder;
use xtask::lab::{
    clock,
    packet_socket::PacketSocket,
    sandbox::{Sandbox, hosts},
};

use super::{PATIENCE, Protected, fresh, wait_until};

/// Where the receiver listens.
const PORT: u16 = 9999;
/// Packets of one [`Protected::ping`].
const PINGS: u64 = 4;
/// The number of the packet that says that all before it have been decided.
const LAST: u64 = u64::MAX;

/// Counts what arrives at a UDP port of the server.
#[derive(Debug)]
pub struct Receiver {
    heard: Arc<Mutex<BTreeMap<u32, Heard>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// By source, the numbers that arrived.
type Heard = BTreeMap<IpAddr, BTreeSet<u64>>;

impl Receiver {
    /// Listens on all addresses of the server.
    fn start(sandbox: &Sandbox) -> Self {
        let socket = sandbox.listen(PORT, 16 << 20).unwrap();
        let heard = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (heard, stop) = (Arc::clone(&heard), Arc::clone(&stop));
            thread::spawn(move || listen(&socket, &heard, &stop))
        };
        Self {
            heard,
            stop,
            thread: Some(thread),
        }
    }

    fn arrived(&self, run: u32, source: IpAddr) -> BTreeSet<u64> {
        let heard = self.heard.lock().unwrap();
        let by_source = heard.get(&run).and_then(|run| run.get(&source));
        by_source.cloned().unwrap_or_default()
    }

    fn has(&self, run: u32, source: IpAddr, number: u64) -> bool {
        let heard = self.heard.lock().unwrap();
        let by_source = heard.get(&run).and_then(|run| run.get(&source));
        by_source.is_some_and(|numbers| numbers.contains(&number))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(socket: &UdpSocket, heard: &Mutex<BTreeMap<u32, Heard>>, stop: &AtomicBool) {
    let mut bytes = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        // Nothing within the time-out is nothing.
        let Ok((length, from)) = socket.recv_from(&mut bytes) else {
            continue;
        };
        let payload = bytes[..length].try_into();
        let Ok((run, number)) = payload.map(read) else {
            continue;
        };
        let mut heard = heard.lock().unwrap();
        let run: &mut Heard = heard.entry(run).or_default();
        run.entry(from.ip().to_canonical())
            .or_default()
            .insert(number);
    }
}

fn read(payload: [u8; 12]) -> (u32, u64) {
    let [a, b, c, d, number @ ..] = payload;
    (u32::from_be_bytes([a, b, c, d]), u64::from_be_bytes(number))
}

/// A UDP datagram from `source` to the server, as a whole frame.
pub fn frame(source: IpAddr, run: u32, number: u64) -> Vec<u8> {
    let (from, to) = (hosts::GATEWAY, hosts::SERVER);
    let ethernet = PacketBuilder::ethernet2(from.mac, to.mac);
    let ip = match source {
        IpAddr::V4(source) => ethernet.ipv4(source.octets(), to.v4.octets(), 64),
        IpAddr::V6(source) => ethernet.ipv6(source.octets(), to.v6.octets(), 64),
    };
    let mut payload = run.to_be_bytes().to_vec();
    payload.extend(number.to_be_bytes());
    let mut frame = Vec::new();
    ip.udp(40_000, PORT).write(&mut frame, &payload).unwrap();
    frame
}

/// A frame with VLAN tags of these types and numbers, the outer one first.
pub fn tagged(mut frame: Vec<u8>, tags: &[(u16, u16)]) -> Vec<u8> {
    for (kind, number) in tags.iter().rev() {
        let tag = [kind.to_be_bytes(), number.to_be_bytes()].concat();
        frame.splice(12..12, tag);
    }
    frame
}

impl Protected {
    fn receiver(&self) -> &Arc<Receiver> {
        self.receiver
            .get_or_init(|| Arc::new(Receiver::start(&self.sandbox)))
    }

    /// Whether packets from a source arrive: all of some do, or none.
    #[track_caller]
    pub fn passes(&self, source: &str) -> bool {
        let source: IpAddr = source.parse().unwrap();
        let receiver = self.receiver();
        let wire = self.sandbox.wire_socket().unwrap();
        let run = fresh();
        for number in 0..PINGS {
            send(&wire, &frame(source, run, number));
        }
        // The gateway cannot be blocked, and the wire keeps the order.
        let gateway = IpAddr::from(hosts::GATEWAY.v4);
        send(&wire, &frame(gateway, run, LAST));
        wait_until("the gateway is heard", || receiver.has(run, gateway, LAST));
        let mut arrived = receiver.arrived(run, source);
        arrived.remove(&LAST);
        let arrived = arrived.len() as u64;
        assert!(
            arrived == 0 || arrived == PINGS,
            "{arrived} of {PINGS} from {source} arrived"
        );
        arrived == PINGS
    }

    /// Sends a frame as it is to the server's interface.
    pub fn send(&self, frame: &[u8]) {
        send(&self.sandbox.wire_socket().unwrap(), frame);
    }

    /// Starts a paced stream, `pps` packets a second from each source: from some that must not
    /// get through, and from some that must.
    pub fn stream(&self, listed: &[&str], clean: &[&str], pps: u64) -> Stream {
        let parse = |sources: &[&str]| -> Vec<IpAddr> {
            sources.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (listed, clean) = (parse(listed), parse(clean));
        let receiver = Arc::clone(self.receiver());
        let run = fresh();
        let wire = Arc::new(self.sandbox.wire_socket().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (wire, stop) = (Arc::clone(&wire), Arc::clone(&stop));
            let sources = [listed.clone(), clean.clone()].concat();
            thread::spawn(move || pace(&wire, &sources, run, pps, &stop))
        };
        let stream = Stream {
            receiver,
            wire,
            listed,
            clean,
            run,
            stop,
            thread: Some(thread),
        };
        if let Some(first) = stream.clean.first().copied() {
            wait_until("the stream flows", || {
                !stream.receiver.arrived(run, first).is_empty()
            });
        }
        stream
    }
}

/// Numbered packets from several sources at a steady pace.
#[derive(Debug)]
pub struct Stream {
    receiver: Arc<Receiver>,
    wire: Arc<PacketSocket>,
    listed: Vec<IpAddr>,
    clean: Vec<IpAddr>,
    run: u32,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Moments>>,
}

/// How a stream fared.
#[derive(Clone, Debug)]
pub struct Report {
    /// Packets that each source sent.
    pub sent: u64,
    /// From before the first packet until all were decided.
    pub time: Duration,
    /// When each was sent.
    moments: Moments,
    /// Packets from listed sources that got through, by source; only those with any.
    pub leaked: BTreeMap<IpAddr, u64>,
    /// Packets from clean sources that did not, by source; only those with any.
    pub lost: BTreeMap<IpAddr, u64>,
}

impl Stream {
    /// Ends it and counts, when a last packet of the gateway says that all before were decided.
    pub fn finish(mut self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().unwrap();
        let moments = thread.join().unwrap();
        let sent = moments.sent.len() as u64;
        // A run of its own, for the gateway may be one of the sources.
        let (mark, gateway) = (fresh(), IpAddr::from(hosts::GATEWAY.v4));
        send(&self.wire, &frame(gateway, mark, LAST));
        wait_until("the end of the stream is heard", || {
            self.receiver.has(mark, gateway, LAST)
        });
        let arrived = |source: &IpAddr| self.receiver.arrived(self.run, *source).len() as u64;
        let leaked = self.listed.iter().map(|source| (*source, arrived(source)));
        let lost = self.clean.iter();
        let lost = lost.map(|source| (*source, sent - arrived(source)));
        Report {
            sent,
            time: clock::now().duration_since(moments.start),
            leaked: leaked.filter(|(_, leaked)| *leaked > 0).collect(),
            lost: lost.filter(|(_, lost)| *lost > 0).collect(),
            moments,
        }
    }
}

impl Report {
    /// Packets of a clean source that got through.
    pub fn passed(&self, source: &str) -> u64 {
        let lost = self.lost.get(&source.parse().unwrap());
        self.sent - lost.copied().unwrap_or_default()
    }

    /// Packets that a limit of so many a second and such a burst lets through of those that a
    /// source sent when it did. A machine with other work sends late, and what a full bucket could
    /// not take in is nobody's due.
    pub fn due(&self, rate: u64, burst: u64) -> u64 {
        let (rate, burst) = (rate as f64, burst as f64);
        let (mut tokens, mut before, mut due) = (burst, Duration::ZERO, 0);
        for moment in &self.moments.sent {
            let refilled = (*moment - before).as_secs_f64() * rate;
            tokens = burst.min(tokens + refilled);
            before = *moment;
            if tokens >= 1.0 {
                tokens -= 1.0;
                due += 1;
            }
        }
        due
    }
}

/// When the packets of a stream were sent.
#[derive(Clone)]
struct Moments {
    start: Instant,
    /// After the start, each packet of one source.
    sent: Vec<Duration>,
}

impl fmt::Debug for Moments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pauses = self.sent.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = pauses.max().unwrap_or_default();
        formatter
            .debug_struct("Moments")
            .field("longest_pause", &longest)
            .finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends until it is stopped, and then what was due by then.
fn pace(wire: &PacketSocket, sources: &[IpAddr], run: u32, pps: u64, stop: &AtomicBool) -> Moments {
    let start = clock::now();
    let mut sent: Vec<Duration> = Vec::new();
    let due = || {
        let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap();
        usize::try_from(elapsed * pps / 1_000_000).unwrap()
    };
    let mut end = None;
    loop {
        if end.is_none() && stop.load(Ordering::Relaxed) {
            end = Some(due().max(1));
        }
        let wanted = end.unwrap_or_else(due);
        // What is late is caught up with in small bursts, for the ring behind the wire is small.
        for _ in sent.len()..wanted.min(sent.len() + 20) {
            for source in sources {
                send(wire, &frame(*source, run, sent.len() as u64));
            }
            sent.push(start.elapsed());
        }
        if end.is_some_and(|end| sent.len() >= end) {
            return Moments { start, sent };
        }
        thread::sleep(Duration::from_micros(500));
    }
}

/// Sends a frame, again where the ring behind the wire was full: what is lost there is nobody's
/// verdict.
fn send(wire: &PacketSocket, frame: &[u8]) {
    let end = clock::now() + PATIENCE;
    while let Err(error) = wire.send(frame) {
        assert!(clock::now() < end, "{error:#}");
        thread::sleep(Duration::from_micros(200));
    }
}
