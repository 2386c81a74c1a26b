//! From counters that only grow to rates over windows of time.
//!
//! A reading against the one before is a [`Tick`]: what came in by class, and what became of it. Those
//! of the last ten seconds are kept, and a [`Window`] is their sum from now back. Steps need not be
//! even: each tick knows its length, and a window takes whole ticks until it is full. Counters that
//! are smaller than before belong to new maps; what lies between cannot be told, and is left out.
//!
//! Memory: at most [`TICKS`] ticks of about 700 bytes, and [`SECONDS`] seconds of 72 bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use filter_common::abi::{
    counter::Counter,
    traffic::{TRAFFIC_CLASSES, TrafficClass},
};

use super::{
    fates::{Fates, Shares},
    input::{Handshakes, Snapshot, Traffic},
    vector::Vector,
};

/// The shortest window: one step.
pub const FAST: Duration = Duration::from_millis(100);
/// The window in which a flood is recognised.
pub const BRISK: Duration = Duration::from_millis(300);
/// The window by which a flood is held to be over.
pub const STEADY: Duration = Duration::from_secs(1);
/// The window of averages.
pub const LONG: Duration = Duration::from_secs(10);

/// Ticks that are kept at most.
const TICKS: usize = 128;
/// Seconds of history that are kept: ten minutes.
pub const SECONDS: usize = 600;
/// TCP ports of which completed handshakes are kept in a tick, those with most.
const PORTS: usize = 16;
/// What was read within this time is one tick.
const SHORTEST: Duration = Duration::from_millis(20);

/// Packets or bytes by class, in the order of [`TrafficClass::ALL`].
pub type ByClass = [f64; TRAFFIC_CLASSES];

/// What happened between two readings, or in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// How long it was, seconds.
    pub seconds: f64,
    /// Packets that came in.
    pub packets: ByClass,
    /// Bytes that came in.
    pub bytes: ByClass,
    /// What became of them, packets.
    pub fates: Shares,
    /// Handshakes that were completed.
    pub handshakes: f64,
}

/// What came at a vector, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Packets a second, or handshakes.
    pub packets: f64,
    /// Bits a second.
    pub bits: f64,
    /// Of the packets, those that went to the stack.
    pub passed: f64,
}

impl Window {
    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.handshakes += other.handshakes;
        for (sum, more) in [
            (&mut self.packets, &other.packets),
            (&mut self.bytes, &other.bytes),
        ] {
            add(sum, more);
        }
        self.fates.add(&other.fates);
    }

    /// Something of the window, a second; nothing in a window without length.
    pub fn per_second(&self, what: f64) -> f64 {
        if self.seconds > 0.0 {
            what / self.seconds
        } else {
            0.0
        }
    }

    /// What came at a vector.
    pub fn rate(&self, vector: Vector) -> Rate {
        let Some(class) = vector.class() else {
            let packets = self.per_second(self.handshakes);
            return Rate {
                packets,
                bits: 0.0,
                passed: packets,
            };
        };
        let class = class as usize;
        let stopped = self.fates.stopped[class].min(self.packets[class]);
        Rate {
            packets: self.per_second(self.packets[class]),
            bits: self.per_second(self.bytes[class]) * 8.0,
            passed: self.per_second(self.packets[class] - stopped),
        }
    }

    /// Packets of all classes, those that were stopped, and bits, each a second.
    pub fn total(&self) -> Second {
        let packets = self.packets.iter().sum();
        let stopped = self.fates.stopped.iter().sum::<f64>();
        Second {
            packets: self.per_second(packets),
            stopped: self.per_second(stopped.min(packets)),
            bits: self.per_second(self.bytes.iter().sum()) * 8.0,
        }
    }
}

/// A second of history, each figure a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Packets that came in.
    pub packets: f64,
    /// Of these, those that were stopped.
    pub stopped: f64,
    /// Bits that came in.
    pub bits: f64,
}

/// What happened in a step.
#[derive(Clone, Debug)]
pub struct Tick {
    /// When it ended, by the time that never jumps.
    pub end: Duration,
    /// What happened.
    pub window: Window,
    /// Handshakes completed by TCP port, of the ports with most.
    pub ports: Vec<(u16, f64)>,
}

#[derive(Debug)]
struct Reading {
    elapsed: Duration,
    traffic: Traffic,
    handshakes: BTreeMap<u16, Handshakes>,
}

/// The meter.
#[derive(Debug, Default)]
pub struct Rates {
    last: Option<Reading>,
    fates: Fates,
    ticks: VecDeque<Tick>,
    second: Window,
    /// By class, packets a second: newest last.
    history: VecDeque<[f32; TRAFFIC_CLASSES]>,
    totals: VecDeque<Second>,
    seconds: usize,
}

impl Rates {
    /// Takes a reading; `false` if nothing can be told from it: the first one, one of no time, or
    /// one of new maps.
    pub fn read(&mut self, snapshot: &Snapshot) -> bool {
        let Some(last) = &self.last else {
            self.rebase(snapshot);
            return false;
        };
        let passed = snapshot.elapsed.saturating_sub(last.elapsed);
        if passed < SHORTEST {
            return false;
        }
        let before = last.traffic;
        let fates = self.fates.read(snapshot, &before);
        let shrank =
            |(new, old): (&Counter, &Counter)| new.packets < old.packets || new.bytes < old.bytes;
        if snapshot.traffic.iter().zip(&before).any(shrank) {
            self.rebase(snapshot);
            return false;
        }
        let Some(fates) = fates else {
            self.rebase(snapshot);
            return false;
        };
        let (handshakes, ports) = handshakes(&snapshot.handshakes, &last.handshakes);
        let grown = |of: fn(&Counter) -> u64| {
            let mut by_class = [0.0; TRAFFIC_CLASSES];
            for (class, (new, old)) in by_class
                .iter_mut()
                .zip(snapshot.traffic.iter().zip(&before))
            {
                *class = of(new).saturating_sub(of(old)) as f64;
            }
            by_class
        };
        let window = Window {
            seconds: passed.as_secs_f64(),
            packets: grown(|counter| counter.packets),
            bytes: grown(|counter| counter.bytes),
            fates,
            handshakes,
        };
        self.remember(&window);
        self.ticks.push_back(Tick {
            end: snapshot.elapsed,
            window,
            ports,
        });
        let keep = |tick: &Tick| snapshot.elapsed.saturating_sub(tick.end) < LONG;
        while self.ticks.len() > TICKS || self.ticks.front().is_some_and(|tick| !keep(tick)) {
            self.ticks.pop_front();
        }
        self.rebase(snapshot);
        true
    }

    fn rebase(&mut self, snapshot: &Snapshot) {
        self.fates.rebase(snapshot);
        self.last = Some(Reading {
            elapsed: snapshot.elapsed,
            traffic: snapshot.traffic,
            handshakes: snapshot.handshakes.clone(),
        });
    }

    fn remember(&mut self, window: &Window) {
        self.second.add(window);
        if self.second.seconds < 0.95 {
            return;
        }
        let second = std::mem::take(&mut self.second);
        // A gap in the readings is as many seconds of its mean.
        let times = (second.seconds.round().max(1.0) as usize).min(SECONDS);
        for _ in 0..times {
            if self.history.len() >= SECONDS {
                self.history.pop_front();
                self.totals.pop_front();
            }
            self.history.push_back(
                second
                    .packets
                    .map(|packets| second.per_second(packets) as f32),
            );
            self.totals.push_back(second.total());
            self.seconds = self.seconds.wrapping_add(1);
        }
    }

    /// The newest tick.
    pub fn newest(&self) -> Option<&Tick> {
        self.ticks.back()
    }

    /// What happened in the last ticks, together about as long as `length`.
    pub fn over(&self, length: Duration) -> Window {
        self.between(Duration::ZERO, length)
    }

    /// What happened in a window of `length` that ended about `ago`.
    pub fn between(&self, ago: Duration, length: Duration) -> Window {
        let mut sum = Window::default();
        let Some(now) = self.ticks.back().map(|tick| tick.end) else {
            return sum;
        };
        // A tick that is a little longer than its due does not call for another.
        let enough = length.as_secs_f64() * 0.95;
        for tick in self.ticks.iter().rev() {
            if now.saturating_sub(tick.end) < ago {
                continue;
            }
            sum.add(&tick.window);
            if sum.seconds >= enough {
                break;
            }
        }
        sum
    }

    /// Handshakes completed a second by TCP port, over about a second, most first.
    pub fn ports(&self) -> Vec<(u16, f64)> {
        let mut sums: BTreeMap<u16, f64> = BTreeMap::new();
        let mut seconds = 0.0;
        for tick in self.ticks.iter().rev() {
            for (port, count) in &tick.ports {
                *sums.entry(*port).or_default() += count;
            }
            seconds += tick.window.seconds;
            if seconds >= 0.95 {
                break;
            }
        }
        let mut ports: Vec<_> = sums
            .into_iter()
            .map(|(port, count)| (port, count / f64::max(seconds, f64::MIN_POSITIVE)))
            .collect();
        ports.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ports.truncate(PORTS);
        ports
    }

    /// How long ago a vector rose above `level` without falling below it since, as far back as
    /// history goes; zero if it is not above.
    pub fn since_above(&self, vector: Vector, level: f64) -> Duration {
        let Some(now) = self.ticks.back().map(|tick| tick.end) else {
            return Duration::ZERO;
        };
        let mut began = now;
        for tick in self.ticks.iter().rev() {
            if tick.window.rate(vector).packets <= level {
                return now.saturating_sub(began);
            }
            began = tick
                .end
                .saturating_sub(Duration::from_secs_f64(tick.window.seconds));
        }
        let ticks = now.saturating_sub(began);
        let Some(class) = vector.class() else {
            return ticks;
        };
        let known = ticks.as_secs() as usize;
        let older = self.history.iter().rev().skip(known);
        let more = older
            .take_while(|second| f64::from(second[class as usize]) > level)
            .count();
        ticks + Duration::from_secs(more as u64)
    }

    /// The last ten minutes by the second, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &Second> {
        self.totals.iter()
    }

    /// How many seconds of history there ever were.
    pub const fn seconds(&self) -> usize {
        self.seconds
    }

    /// Packets that a class brought in the newest tick, and those of them that were stopped.
    pub fn fresh(&self, class: TrafficClass) -> (f64, f64) {
        self.newest().map_or((0.0, 0.0), |tick| {
            let packets = tick.window.packets[class as usize];
            let stopped = tick.window.fates.stopped[class as usize];
            (packets, stopped.min(packets))
        })
    }
}

/// Adds by class.
pub fn add(sum: &mut ByClass, more: &ByClass) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Handshakes completed between two readings, in all and by port.
fn handshakes(
    new: &BTreeMap<u16, Handshakes>,
    old: &BTreeMap<u16, Handshakes>,
) -> (f64, Vec<(u16, f64)>) {
    // A valid cookie that came back is completed by the kernel too, and may be counted there.
    let grown = |new: &Handshakes, old: &Handshakes| {
        let accepted = new.accepted.saturating_sub(old.accepted);
        accepted.max(new.completed.saturating_sub(old.completed)) as f64
    };
    let mut ports: Vec<_> = new
        .iter()
        // What a port has when it is read first was not completed since the reading before: the counters
        // are as old as the maps.
        .filter_map(|(port, new)| Some((*port, grown(new, old.get(port)?))))
        .filter(|(_, count)| *count > 0.0)
        .collect();
    let all = ports.iter().map(|(_, count)| count).sum();
    ports.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ports.truncate(PORTS);
    (all, ports)
}

#[cfg(test)]
mod tests;
