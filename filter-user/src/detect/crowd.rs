//! Who sends: a few or many, and whether they can be whom they say they are.
//!
//! From what a few seconds of observed packets show:
//! * **concentration**: the share of the eight heaviest sources;
//! * **number**: among n packets of N equally busy sources, n²/2N pairs share a source (the birthday
//!   problem), so that the pairs met tell how many sources there are at least, and so how little
//!   each of them sends at most. Nobody who calls, plays or watches sends a packet and no second;
//! * **hop limits**: what begins with 64, 128 or 255 arrives a little lower, from different distances.
//!   Random ones arrive impossibly far away; a single one from everywhere has one sender;
//! * **addresses that nobody has**, which random ones are one time in seven;
//! * **networks that were not here in calm**.
//!
//! A crowd of visitors looks as scattered and as new as forged sources do. What tells them apart is
//! whom the host has spoken with: the share of [proven](Crowd::vouched) packets, once the few sources
//! that send much by themselves (tunnels, backups) are set aside.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::{
    epoch::{DESTINATIONS, Epoch, Tally, is_odd},
    profile::{Seen, Share},
    threat::Heavy,
};
use crate::render::number;

/// Observed packets before anything is said.
const ENOUGH: u32 = 20;
/// Heavy hosts, and heavy prefixes, that are told.
const HEAVY: usize = 24;
/// Who sends less than this part of what is observed is one of many.
const LIGHT: u32 = 20;
/// The share of proven packets from which on those who proved nothing may be their company.
const VOUCHED: f64 = 0.5;
/// Destinations of one prefix that make it a carpet.
const CARPET: usize = 16;

/// What observed packets show of who sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Crowd {
    /// Observed packets.
    pub samples: u32,
    /// Different sources among the first of these.
    pub sources: usize,
    /// Share of the eight heaviest sources, 0 to 1.
    pub heaviest: f64,
    /// Share of observed packets whose source was observed once.
    pub single: f64,
    /// Packets a second that a source sends at most, on average (95 %).
    pub each: Option<f64>,
    /// Share of packets from proven sources.
    pub proven: f64,
    /// Likewise among sources that send little each.
    pub vouched: Share,
    /// Share of observed packets from addresses that nobody has.
    pub impossible: f64,
    /// Share of observed packets from networks that were not here in calm.
    pub unfamiliar: Option<f64>,
    /// Share of observed packets that come from impossibly far away.
    pub odd_hops: f64,
    /// Share of the most frequent hop limit.
    pub one_hop: f64,
}

impl Crowd {
    /// What was observed shows, where `rate` packets a second come in.
    pub fn of(seen: &Seen, rate: f64, is_ready: bool) -> Self {
        let mut crowd = Self::default();
        let mut hops: BTreeMap<u8, u32> = BTreeMap::new();
        let mut sources: BTreeMap<IpAddr, Tally> = BTreeMap::new();
        let (mut weight, mut proven, mut impossible, mut unfamiliar) = (0.0, 0.0, 0, 0);
        for epoch in seen.epochs() {
            crowd.samples = crowd.samples.saturating_add(epoch.samples);
            weight += epoch.weight;
            proven += epoch.proven;
            impossible += epoch.impossible;
            unfamiliar += epoch.unfamiliar;
            for (hop, count) in &epoch.hops {
                *hops.entry(*hop).or_default() += count;
            }
            for (source, tally) in &epoch.sources {
                sources.entry(*source).or_default().add(*tally);
            }
        }
        if crowd.samples == 0 {
            return crowd;
        }
        let samples = f64::from(crowd.samples);
        let share = |count: u32| f64::from(count) / samples;
        let odd = hops.iter().filter(|(hop, _)| is_odd(**hop));
        crowd.odd_hops = share(odd.map(|(_, count)| count).sum());
        crowd.one_hop = share(hops.values().copied().max().unwrap_or(0));
        crowd.impossible = share(impossible);
        crowd.unfamiliar = is_ready.then(|| share(unfamiliar));
        crowd.proven = if weight > 0.0 { proven / weight } else { 0.0 };
        crowd.count(&sources, rate);
        crowd
    }

    fn count(&mut self, sources: &BTreeMap<IpAddr, Tally>, rate: f64) {
        let mut counts: Vec<u32> = sources.values().map(|tally| tally.packets).collect();
        let sum: u32 = counts.iter().sum();
        if sum == 0 {
            return;
        }
        let told = f64::from(sum);
        self.sources = sources.len();
        self.vouch(sources.values(), sum);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let heaviest: u32 = counts.iter().take(8).sum();
        // Sources beyond the room are not among those told apart.
        self.heaviest = f64::from(heaviest) / f64::from(self.samples).max(1.0);
        let single = counts.iter().filter(|count| **count == 1).count();
        self.single = single as f64 / told;
        let pairs: f64 = counts
            .iter()
            .map(|count| f64::from(*count) * (f64::from(*count) - 1.0) / 2.0)
            .sum();
        // Upper bound of a Poisson mean of which `pairs` were met.
        let most = pairs + 1.96 * (pairs + 1.0).sqrt() + 2.0;
        let least = told * (told - 1.0) / 2.0 / most;
        self.each = (least > 1.0).then(|| rate / least);
    }

    fn vouch<'a>(&mut self, sources: impl Iterator<Item = &'a Tally>, sum: u32) {
        let mut light = Tally::default();
        for tally in sources.filter(|tally| tally.packets <= (sum / LIGHT).max(1)) {
            light.add(*tally);
        }
        let packets = f64::from(light.packets);
        self.vouched = Share::of(f64::from(light.proven) / packets.max(1.0), packets);
    }

    /// Whether, of many sources, as many as half may have proven their address: what is observed
    /// does not say otherwise.
    pub fn is_vouched(&self) -> bool {
        self.samples >= ENOUGH && self.vouched.share > 0.0 && self.vouched.most >= VOUCHED
    }

    /// Whether enough was observed to say anything.
    pub const fn is_known(&self) -> bool {
        self.samples >= ENOUGH
    }

    /// Whether a few sources send most of it.
    pub fn is_few(&self) -> bool {
        self.samples >= ENOUGH && self.heaviest >= 0.8
    }

    /// Whether most of it is of proven sources.
    pub fn is_proven(&self) -> bool {
        self.samples >= ENOUGH / 2 && self.proven >= 0.7
    }

    /// Whether many send it, none of them much.
    pub fn is_many(&self) -> bool {
        self.samples >= ENOUGH && self.sources >= ENOUGH as usize && self.heaviest < 0.5
    }

    /// How much speaks for forged sources, 0 to 1, and what. Of a crowd that is `known` by its
    /// handshakes, it says nothing that its sources are many and new.
    pub fn forgery(&self, known: bool) -> (f64, Vec<String>) {
        let mut sum = 0.0;
        let mut words = Vec::new();
        if !self.is_many() {
            return (sum, words);
        }
        let percent = |share: f64| (share * 100.0).round();
        if self.impossible >= 0.04 {
            sum += 1.0;
            let share = percent(self.impossible);
            words.push(format!(
                "{share} % of sources are addresses that nobody has"
            ));
        }
        if self.odd_hops >= 0.3 {
            sum += 1.0;
            let share = percent(self.odd_hops);
            words.push(format!("{share} % of hop limits are of no system"));
        } else if self.one_hop >= 0.95 {
            sum += 0.4;
            let sources = number::grouped(self.sources as u64);
            let share = percent(self.one_hop);
            words.push(format!(
                "{share} % of {sources} sources are equally far away"
            ));
        }
        if known {
            return (f64::min(sum, 1.0), words);
        }
        if let Some(each) = self.each
            && each < 2.0
            && self.single >= 0.9
        {
            sum += 0.6;
            words.push(format!(
                "{} % of {} sources were met once; each sends under {each:.2} packets/s",
                percent(self.single),
                number::grouped(self.sources as u64)
            ));
        }
        if let Some(unfamiliar) = self.unfamiliar
            && unfamiliar >= 0.7
        {
            sum += 0.4;
            let share = percent(unfamiliar);
            words.push(format!("{share} % come from networks that were never here"));
        }
        (f64::min(sum, 1.0), words)
    }
}

/// Hosts and prefixes that send most, most first, at most [`HEAVY`] of each kind.
pub fn heavy(seen: &Seen, now: Duration) -> Vec<Heavy> {
    let seconds = seen.epochs().last().map_or(0.0, |epoch| {
        now.saturating_sub(epoch.began).as_secs_f64().max(0.1)
    });
    let samples: u32 = seen.epochs().map(|epoch| epoch.samples).sum();
    let weight: f64 = seen.epochs().map(|epoch| epoch.weight).sum();
    if samples == 0 || seconds <= 0.0 {
        return Vec::new();
    }
    // What one observed packet stands for on average.
    let unit = (weight / f64::from(samples)).max(1.0);
    let mut neighbours: BTreeMap<IpNet, u32> = BTreeMap::new();
    for epoch in seen.epochs() {
        for source in epoch.sources.keys() {
            for length in lengths(*source) {
                if let Ok(net) = IpNet::new(*source, *length) {
                    *neighbours.entry(net.trunc()).or_default() += 1;
                }
            }
        }
    }
    let mut sums: BTreeMap<IpNet, (f64, f64)> = BTreeMap::new();
    for epoch in seen.epochs() {
        for host in epoch.hosts.top(HEAVY) {
            let sum = sums.entry(IpNet::from(host.key)).or_default();
            sum.0 += host.count.saturating_sub(host.error) as f64;
            sum.1 += host.error as f64;
        }
        for prefix in epoch.prefixes.top(HEAVY) {
            // A prefix says more than its hosts once several of them send.
            let many = neighbours.get(&prefix.key).is_some_and(|count| *count >= 3);
            if many || prefix.key.max_prefix_len() == 128 && prefix.key.prefix_len() == 64 {
                let sum = sums.entry(prefix.key).or_default();
                sum.0 += prefix.count.saturating_sub(prefix.error) as f64;
                sum.1 += prefix.error as f64;
            }
        }
    }
    let mut heavy: Vec<Heavy> = sums
        .into_iter()
        // One or two observed packets are chance.
        .filter(|(_, (packets, _))| *packets >= 2.5 * unit && *packets >= 0.005 * weight)
        .map(|(prefix, (packets, error))| Heavy {
            prefix,
            rate: packets / seconds,
            error: (1.96 * (packets * unit).sqrt() + error) / seconds,
        })
        .collect();
    heavy.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(a.prefix.cmp(&b.prefix)));
    heavy.truncate(2 * HEAVY);
    heavy
}

const fn lengths(source: IpAddr) -> &'static [u8] {
    match source {
        IpAddr::V4(_) => &[24],
        IpAddr::V6(_) => &[48],
    }
}

/// The prefix (IPv4 /24, IPv6 /64) over whose addresses it is spread, if it is.
pub fn carpet(seen: &Seen) -> Option<IpNet> {
    let mut nets: BTreeMap<IpNet, (BTreeMap<IpAddr, u32>, u32)> = BTreeMap::new();
    let mut all = 0;
    let epochs: Vec<&Epoch> = seen.epochs().collect();
    for epoch in &epochs {
        all += epoch.samples;
        for (destination, count) in epoch.destinations.iter().take(DESTINATIONS) {
            let length = if destination.is_ipv4() { 24 } else { 64 };
            let Ok(net) = IpNet::new(*destination, length) else {
                continue;
            };
            let (hosts, sum) = nets.entry(net.trunc()).or_default();
            *hosts.entry(*destination).or_default() += count;
            *sum += count;
        }
    }
    let (net, (hosts, sum)) = nets.into_iter().max_by_key(|(_, (_, sum))| *sum)?;
    let most = hosts.values().copied().max().unwrap_or(0);
    let is_spread =
        hosts.len() >= CARPET && most * 4 <= sum && f64::from(sum) >= 0.7 * f64::from(all);
    is_spread.then_some(net)
}
