//! Conditions that samples of an attack suggest.

use std::{collections::BTreeMap, net::IpAddr};

use filter_common::logic::{
    address::Family,
    packet::{TcpFlags, protocol},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::condition::Condition;
use crate::{
    detect::input::Observed,
    rules::{
        range::{Number, Span},
        rule::{Flags, Pieces},
    },
};

/// Shares of the samples that ranges are to hold.
const HELD: [f64; 4] = [0.5, 0.9, 0.99, 1.0];
/// Ranges above such a share of the samples are widened, for a sample seldom meets the ends.
const WIDENED: f64 = 0.95;

/// Conditions on headers that hold for at least a share of the samples, which are of one protocol.
pub(super) fn headers(samples: &[&Observed], least: f64) -> Vec<Condition> {
    let mut found = Vec::new();
    let common = Common {
        samples,
        least: ((samples.len() as f64 * least) as usize).max(1),
    };
    let source = |seen: &Observed| seen.ports.map(|(port, _)| port);
    let destination = |seen: &Observed| seen.ports.map(|(_, port)| port);
    found.extend(common.numbers(destination).map(Condition::DestinationPort));
    found.extend(common.numbers(source).map(Condition::SourcePort));
    found.extend(
        common
            .numbers(|seen| Some(seen.length))
            .map(Condition::Length),
    );
    found.extend(common.numbers(|seen| Some(seen.hops)).map(Condition::Hops));
    if samples.iter().any(|seen| seen.protocol == protocol::TCP) {
        let flags = common.values(|seen| seen.ports.map(|_| seen.flags.0));
        found.extend(flags.filter_map(|flags| Flags::new(flags, u8::MAX).map(Condition::Flags)));
        // What opens a connection, whatever ECN adds (RFC 3168, section 6.1.1).
        let opening = Flags::new(TcpFlags::SYN, TcpFlags::SYN | TcpFlags::ACK);
        found.extend(opening.map(Condition::Flags));
    }
    let pieces = [Pieces::Whole, Pieces::First, Pieces::Later, Pieces::Any];
    found.extend(pieces.map(Condition::Fragment));
    found.extend([Family::V4, Family::V6].map(Condition::Family));
    let hosts = common.values(|seen| Some(IpNet::from(seen.destination)));
    found.extend(hosts.map(Condition::Destination));
    found.extend(shared_prefix(samples).map(Condition::Destination));
    found
}

struct Common<'a> {
    samples: &'a [&'a Observed],
    /// In so many samples something must be.
    least: usize,
}

impl Common<'_> {
    /// The values that are common.
    fn values<T: Ord>(&self, of: impl Fn(&Observed) -> Option<T>) -> impl Iterator<Item = T> {
        let mut counts: BTreeMap<T, usize> = BTreeMap::new();
        for value in self.samples.iter().filter_map(|seen| of(seen)) {
            *counts.entry(value).or_default() += 1;
        }
        let least = self.least;
        let common = counts.into_iter().filter(move |(_, count)| *count >= least);
        common.map(|(value, _)| value)
    }

    /// Common values, and the shortest ranges that hold shares of the samples.
    fn numbers<N: Number>(
        &self,
        of: impl Fn(&Observed) -> Option<N>,
    ) -> impl Iterator<Item = Span<N>> {
        let mut sorted: Vec<N> = self.samples.iter().filter_map(|seen| of(seen)).collect();
        sorted.sort_unstable();
        let mut spans: Vec<Span<N>> = self.values(of).map(Span::one).collect();
        for share in HELD {
            let held = (self.samples.len() as f64 * share).ceil() as usize;
            let span = shortest(&sorted, held.clamp(1, sorted.len().max(1)));
            let span = span.map(|span| {
                if share > WIDENED {
                    widened(span, held)
                } else {
                    span
                }
            });
            spans.extend(span.filter(|span| !span.is_all()));
        }
        spans.dedup();
        spans.into_iter()
    }
}

/// The shortest range that holds so many numbers, the lowest of several.
fn shortest<N: Number>(sorted: &[N], held: usize) -> Option<Span<N>> {
    let width = |ends: &(N, N)| {
        let (first, last): (u32, u32) = (ends.0.into(), ends.1.into());
        last.saturating_sub(first)
    };
    let last = sorted.iter().skip(held.saturating_sub(1));
    let ends = sorted.iter().copied().zip(last.copied());
    let (first, last) = ends.min_by_key(width)?;
    Span::new(first, last)
}

/// Of n numbers in a range, the least and the greatest are about 1 / n of it away from its ends.
fn widened<N: Number>(span: Span<N>, samples: usize) -> Span<N> {
    let (first, last): (u32, u32) = (span.first().into(), span.last().into());
    if first == last {
        return span;
    }
    let gap = (last - first).div_ceil((samples as u32).max(1));
    let most: u32 = N::MOST.into();
    let first = N::try_from(first.saturating_sub(gap)).unwrap_or(span.first());
    let last = N::try_from(last.saturating_add(gap).min(most)).unwrap_or(span.last());
    Span::new(first, last).unwrap_or(span)
}

/// The longest prefix of all destinations, if it says something and they are not one.
fn shared_prefix(samples: &[&Observed]) -> Option<IpNet> {
    let first = samples.first()?.destination;
    let mut shared = IpNet::from(first);
    for seen in samples {
        shared = match (shared, seen.destination) {
            (IpNet::V4(net), IpAddr::V4(address)) => {
                let same = (net.addr().to_bits() ^ address.to_bits()).leading_zeros() as u8;
                Ipv4Net::new(net.addr(), same.min(net.prefix_len()))
                    .ok()?
                    .into()
            }
            (IpNet::V6(net), IpAddr::V6(address)) => {
                let same = (net.addr().to_bits() ^ address.to_bits()).leading_zeros() as u8;
                Ipv6Net::new(net.addr(), same.min(net.prefix_len()))
                    .ok()?
                    .into()
            }
            (IpNet::V4(_), IpAddr::V6(_)) | (IpNet::V6(_), IpAddr::V4(_)) => return None,
        };
    }
    let length = shared.prefix_len();
    (8..shared.max_prefix_len())
        .contains(&length)
        .then(|| shared.trunc())
}
