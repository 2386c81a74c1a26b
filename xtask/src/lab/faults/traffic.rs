//! The paced flood of a campaign: packets of listed sources, none of which may arrive, and numbered
//! packets of clean ones, all of which have to.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use etherparse::PacketBuilder;
use serde::Serialize;

use super::super::{
    clock,
    packet_socket::PacketSocket,
    sandbox::{Namespace, Ns, Sandbox, UPLINK, hosts},
};

/// Where the server listens.
pub const PORT: u16 = 9999;
/// By hand, within a prefix by hand, over IPv6, and on an imported list.
pub const LISTED: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66)),
    IpAddr::V6(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0x66)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc1, 0, 0, 0, 0, 0x66)),
    IpAddr::V4(Ipv4Addr::new(198, 18, 7, 7)),
];
/// Known to nobody, in both families, and allowed amid a blocked prefix.
pub const CLEAN: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa7, 0, 0, 0, 0, 7)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)),
];
/// Packets a second from all listed sources.
const LISTED_RATE: u64 = 20_000;
/// From all clean ones.
const CLEAN_RATE: u64 = 2_000;
/// How long it may not be silent.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between slices of the flood.
const SLICE: Duration = Duration::from_micros(500);
/// What is late by more is not caught up with: the ring behind the wire is small.
const LATE: Duration = Duration::from_millis(5);
/// How long the last packet may take to arrive, and a full ring to empty.
const PATIENCE: Duration = Duration::from_secs(10);
/// The number of a packet that says that all before it have been decided.
const MARK: u64 = 1 << 63;

/// What was sent, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Packets of listed sources on the wire while something protected the server.
    pub listed: u64,
    /// Those that arrived.
    pub leaked: u64,
    /// Packets of listed sources on the wire while nothing could protect it.
    pub open: u64,
    /// Those that arrived.
    pub passed: u64,
    /// Packets of clean sources.
    pub clean: u64,
    /// Those that did not arrive.
    pub lost: u64,
    /// How fast they were sent.
    pub pace: Pace,
}

/// How fast the flood was while the wire was whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pace {
    /// How long that was, in milliseconds.
    pub millis: u64,
    /// Packets of listed sources.
    pub listed: u64,
    /// Packets of clean ones.
    pub clean: u64,
    /// Whole intervals of that time in which no packet of either kind was sent.
    pub silent: u64,
}

impl Pace {
    /// Why it was no flood of which anything can be said, if it was none. On a machine that does much else
    /// a test asks for less than the campaign.
    pub fn trouble(&self, is_test: bool) -> Option<String> {
        let least = if is_test { 10 } else { 2 };
        let rate = |packets: u64| packets.saturating_mul(1000) / self.millis.max(1);
        let (listed, clean) = (rate(self.listed), rate(self.clean));
        if listed < LISTED_RATE / least || clean < CLEAN_RATE / least {
            return Some(format!(
                "the flood had {listed} packets a second of listed sources and {clean} of clean ones, \
                 where {LISTED_RATE} and {CLEAN_RATE} were asked for: nothing can be said of it; run it \
                 where less else runs"
            ));
        }
        let (silent, millis) = (self.silent, INTERVAL.as_millis());
        (silent > 0).then(|| format!("{silent} times the flood was silent for {millis} ms"))
    }
}

/// The flood, and who counts it at the server; both end when dropped.
#[derive(Debug)]
pub struct Traffic {
    sender: Arc<Mutex<Sender>>,
    heard: Arc<Mutex<Heard>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What is on the wire.
#[derive(Debug)]
struct Sender {
    wire: Wire,
    listed: Vec<Frame>,
    clean: Vec<Frame>,
    gateway: Frame,
    sent: Counted,
    /// Nothing is attached, for a reason of the fault's.
    is_open: bool,
    /// The wire is cut, and a clean packet on it would be lost whoever filters.
    is_cut: bool,
    marks: u64,
}

/// What the server's stack handed out.
#[derive(Debug, Default)]
struct Heard {
    leaked: u64,
    passed: u64,
    clean: BTreeMap<IpAddr, Numbers>,
    mark: u64,
}

/// Numbers that were seen, each once.
#[derive(Debug, Default)]
struct Numbers {
    bits: Vec<u64>,
    count: u64,
}

impl Numbers {
    fn insert(&mut self, number: u64) {
        let word = (number / 64) as usize;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if let Some(bits) = self.bits.get_mut(word) {
            let bit = 1 << (number % 64);
            self.count += u64::from(*bits & bit == 0);
            *bits |= bit;
        }
    }
}

/// The far side of the server's interface, which a fault may take away.
#[derive(Debug)]
struct Wire {
    namespace: Namespace,
    socket: Option<PacketSocket>,
}

impl Wire {
    /// Whether the frame is on the wire; there may be none.
    fn send(&mut self, frame: &[u8]) -> bool {
        let end = clock::now() + PATIENCE;
        loop {
            if self.socket.is_none() {
                self.socket = PacketSocket::open(&self.namespace, UPLINK).ok();
            }
            let Some(socket) = &self.socket else {
                return false;
            };
            let Err(error) = socket.send(frame) else {
                return true;
            };
            let number = error.downcast_ref::<io::Error>();
            let number = number.and_then(io::Error::raw_os_error);
            // The ring behind the wire is full: what is lost there is nobody's verdict.
            if number == Some(libc::ENOBUFS) && clock::now() < end {
                thread::sleep(Duration::from_micros(200));
                continue;
            }
            if number != Some(libc::ENETDOWN) {
                self.socket = None;
            }
            return false;
        }
    }
}

/// A datagram of one source whose payload changes.
#[derive(Clone, Debug)]
struct Frame(Vec<u8>);

/// Whether the server was open, a number, and the complement of both.
const PAYLOAD: usize = 32;

impl Frame {
    fn new(source: IpAddr) -> Result<Self> {
        let (from, to) = (hosts::GATEWAY, hosts::SERVER);
        let ethernet = PacketBuilder::ethernet2(from.mac, to.mac);
        let ip = match source {
            IpAddr::V4(source) => ethernet.ipv4(source.octets(), to.v4.octets(), 64),
            IpAddr::V6(source) => ethernet.ipv6(source.octets(), to.v6.octets(), 64),
        };
        let mut frame = Vec::new();
        ip.udp(40_000, PORT)
            .write(&mut frame, &payload(0, 0))
            .context("a datagram cannot be made")?;
        Ok(Self(frame))
    }

    fn with(&mut self, open: u64, number: u64) -> &[u8] {
        let start = self.0.len().saturating_sub(PAYLOAD);
        if let Some(place) = self.0.get_mut(start..) {
            place.copy_from_slice(&payload(open, number));
        }
        &self.0
    }
}

/// Each word stands beside its complement, so that the checksum is the same for all.
fn payload(open: u64, number: u64) -> [u8; PAYLOAD] {
    let mut payload = [0; PAYLOAD];
    let words = [open, !open, number, !number];
    for (place, word) in payload.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    payload
}

fn read(payload: &[u8]) -> Option<(u64, u64)> {
    let words: Vec<u64> = payload
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_be_bytes(word.try_into().ok()?)))
        .collect();
    match words.as_slice() {
        [open, not_open, number, not_number] if !open == *not_open && !number == *not_number => {
            Some((*open, *number))
        }
        _ => None,
    }
}

impl Traffic {
    /// Where the flood goes to. A daemon has to see it before it is stopped, for what nobody listens at is
    /// dropped under pressure.
    pub fn listen(sandbox: &Sandbox) -> Result<UdpSocket> {
        sandbox.listen(PORT, 64 << 20)
    }

    /// Starts the flood and waits until clean packets flow.
    pub fn start(sandbox: &Sandbox, socket: UdpSocket) -> Result<Self> {
        let frames = |sources: &[IpAddr]| -> Result<Vec<Frame>> {
            sources.iter().map(|source| Frame::new(*source)).collect()
        };
        let sender = Arc::new(Mutex::new(Sender {
            wire: Wire {
                namespace: sandbox.namespace(Ns::Wire).clone(),
                socket: None,
            },
            listed: frames(&LISTED)?,
            clean: frames(&CLEAN)?,
            gateway: Frame::new(hosts::GATEWAY.v4.into())?,
            sent: Counted::default(),
            is_open: false,
            is_cut: false,
            marks: 0,
        }));
        let heard = Arc::new(Mutex::new(Heard::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut traffic = Self {
            sender: Arc::clone(&sender),
            heard: Arc::clone(&heard),
            stop: Arc::clone(&stop),
            threads: Vec::new(),
        };
        let ends = Arc::clone(&stop);
        traffic.spawn("server", move || count(&socket, &heard, &ends))?;
        traffic.settle()?;
        traffic.spawn("flood", move || pace(&sender, &stop))?;
        Ok(traffic)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = thread::Builder::new().name(name.into()).spawn(work);
        self.threads
            .push(thread.with_context(|| format!("cannot start the thread {name}"))?);
        Ok(())
    }

    /// Clean sources fall silent, for the wire is about to be cut: all that they sent has arrived.
    pub fn cut(&self) -> Result<()> {
        lock(&self.sender).is_cut = true;
        self.settle()
    }

    /// The wire is whole again.
    pub fn mend(&self) -> Result<()> {
        self.settle()?;
        lock(&self.sender).is_cut = false;
        Ok(())
    }

    /// Listed sources are counted apart from here on, for nothing is attached to stop them.
    pub fn open(&self) {
        lock(&self.sender).is_open = true;
    }

    /// Something is attached again.
    pub fn close(&self) {
        lock(&self.sender).is_open = false;
    }

    /// Packets of listed sources that arrived while nothing was attached, so far.
    pub fn passed(&self) -> u64 {
        lock(&self.heard).passed
    }

    /// Waits until all that was sent has been decided: the gateway cannot be blocked, and the wire
    /// keeps the order.
    fn settle(&self) -> Result<()> {
        let end = clock::now() + PATIENCE;
        loop {
            let mark = {
                let mut sender = lock(&self.sender);
                sender.marks += 1;
                let mark = MARK | sender.marks;
                let Sender { wire, gateway, .. } = &mut *sender;
                wire.send(gateway.with(0, mark));
                mark
            };
            let soon = clock::now() + Duration::from_millis(200);
            while clock::now() < soon {
                if lock(&self.heard).mark >= mark {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(1));
            }
            ensure!(
                clock::now() < end,
                "the gateway is not heard for {} s: the server is cut off",
                PATIENCE.as_secs()
            );
        }
    }

    /// Ends the flood and counts.
    pub fn finish(mut self) -> Result<Counted> {
        lock(&self.sender).is_cut = true;
        self.settle()?;
        self.end()?;
        let sender = lock(&self.sender);
        let heard = lock(&self.heard);
        let arrived: u64 = heard.clean.values().map(|numbers| numbers.count).sum();
        let sent = sender.sent;
        if arrived > sent.clean {
            bail!("{arrived} clean packets arrived of {} sent", sent.clean);
        }
        Ok(Counted {
            leaked: heard.leaked,
            passed: heard.passed,
            lost: sent.clean - arrived,
            ..sent
        })
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread
                .join()
                .map_err(|_| anyhow!("a thread of the flood panicked"))?;
        }
        Ok(())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn count(socket: &UdpSocket, heard: &Mutex<Heard>, stop: &AtomicBool) {
    let mut bytes = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        // Nothing within the time-out is nothing.
        let Ok((length, from)) = socket.recv_from(&mut bytes) else {
            continue;
        };
        let Some((open, number)) = bytes.get(..length).and_then(read) else {
            continue;
        };
        let source = from.ip().to_canonical();
        let mut heard = lock(heard);
        if number & MARK != 0 {
            heard.mark = heard.mark.max(number);
        } else if LISTED.contains(&source) && open != 0 {
            heard.passed += 1;
        } else if LISTED.contains(&source) {
            heard.leaked += 1;
        } else {
            heard.clean.entry(source).or_default().insert(number);
        }
    }
}

fn pace(sender: &Mutex<Sender>, stop: &AtomicBool) {
    let (mut listed, mut clean) = (0, 0);
    let of = |rate: u64, time: Duration| (rate as f64 * time.as_secs_f64()) as u64;
    let begun = clock::now();
    let (mut before, mut interval) = (Duration::ZERO, Interval::default());
    while !stop.load(Ordering::Relaxed) {
        let time = begun.elapsed();
        let late = time.saturating_sub(LATE);
        listed = of(LISTED_RATE, late).max(listed);
        clean = of(CLEAN_RATE, late).max(clean);
        let mut sender = lock(sender);
        let sent = sender.sent;
        while listed < of(LISTED_RATE, time) {
            listed += 1;
            sender.send_listed(listed);
        }
        while clean < of(CLEAN_RATE, time) {
            clean += 1;
            sender.send_clean();
        }
        if !sender.is_cut {
            interval.add(&sent, &sender.sent, time.saturating_sub(before));
            interval.end_into(&mut sender.sent.pace);
        }
        before = time;
        drop(sender);
        thread::sleep(SLICE);
    }
    interval.rest_into(&mut lock(sender).sent.pace);
}

/// A stretch of time in which the flood may not be silent.
#[derive(Debug, Default)]
struct Interval {
    time: Duration,
    listed: u64,
    clean: u64,
}

impl Interval {
    fn add(&mut self, before: &Counted, after: &Counted, time: Duration) {
        let listed = |it: &Counted| it.listed.saturating_add(it.open);
        self.time += time;
        self.listed += listed(after).saturating_sub(listed(before));
        self.clean += after.clean.saturating_sub(before.clean);
    }

    /// Begins anew, if it is over.
    fn end_into(&mut self, pace: &mut Pace) {
        if self.time >= INTERVAL {
            pace.silent += u64::from(self.listed == 0 || self.clean == 0);
            self.rest_into(pace);
        }
    }

    fn rest_into(&mut self, pace: &mut Pace) {
        let Self {
            time,
            listed,
            clean,
        } = std::mem::take(self);
        pace.millis += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        pace.listed += listed;
        pace.clean += clean;
    }
}

impl Sender {
    fn send_listed(&mut self, number: u64) {
        let open = u64::from(self.is_open);
        let place = number as usize % self.listed.len().max(1);
        let Some(frame) = self.listed.get_mut(place) else {
            return;
        };
        if self.wire.send(frame.with(open, number)) {
            self.sent.listed += u64::from(!self.is_open);
            self.sent.open += u64::from(self.is_open);
        }
    }

    fn send_clean(&mut self) {
        let number = self.sent.clean;
        let place = number as usize % self.clean.len().max(1);
        if let Some(frame) = self.clean.get_mut(place)
            && !self.is_cut
            && self.wire.send(frame.with(0, number))
        {
            self.sent.clean += 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_counted_once() {
        let mut numbers = Numbers::default();
        for number in [0, 63, 64, 7, 64, 0, 1_000_000] {
            numbers.insert(number);
        }
        assert_eq!(numbers.count, 5);
    }

    #[test]
    fn a_flood_that_is_too_slow_or_silent_is_none() {
        let mut pace = Pace::default();
        let mut interval = Interval::default();
        let mut after = Counted::default();
        assert!(pace.trouble(true).is_some(), "none was sent");
        for millis in [400, 400, 400, 900] {
            let before = after;
            after.listed += 10 * millis;
            after.open += 2 * millis;
            after.clean += millis;
            interval.add(&before, &after, Duration::from_millis(millis));
            interval.end_into(&mut pace);
        }
        assert_eq!((pace.millis, pace.silent), (1_200, 0));
        interval.rest_into(&mut pace);
        assert_eq!((pace.listed, pace.clean), (12 * 2_100, 2_100));
        assert_eq!(pace.trouble(false), None);

        let slow = Pace {
            listed: pace.listed / 2,
            ..pace
        };
        assert!(
            slow.trouble(false)
                .is_some_and(|it| it.contains("6000 packets"))
        );
        assert_eq!(slow.trouble(true), None);

        // Clean sources alone are half of it.
        let before = after;
        after.listed += 20_000;
        interval.add(&before, &after, INTERVAL);
        interval.end_into(&mut pace);
        assert_eq!(pace.silent, 1);
        assert!(pace.trouble(true).is_some_and(|it| it.contains("silent")));
    }

    #[test]
    fn frames_of_all_numbers_have_the_checksum_of_the_first() {
        for source in LISTED {
            let mut frame = Frame::new(source).expect("a frame");
            let head = frame.0.len() - PAYLOAD;
            let first = frame.0[..head].to_vec();
            let bytes = frame.with(1, 0x0123_4567_89ab_cdef).to_vec();
            assert_eq!(bytes[..head], first);
            assert_eq!(read(&bytes[head..]), Some((1, 0x0123_4567_89ab_cdef)));
            let sum = |bytes: &[u8]| {
                let words = bytes.chunks_exact(2);
                let sum: u64 = words
                    .map(|w| u64::from(u16::from_be_bytes([w[0], w[1]])))
                    .sum();
                sum % 0xffff
            };
            assert_eq!(sum(&payload(0, 0)), sum(&payload(1, 77)));
        }
        assert_eq!(read(&[0; 32]), None);
        assert_eq!(read(&[0; 31]), None);
    }
}
