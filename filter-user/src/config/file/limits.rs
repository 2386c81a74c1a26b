//! `[limits]` and `[fragments]`.

use filter_common::abi::settings::{Class, FragmentPolicy};

use super::{
    super::{
        ClassLimit, Fragments, IcmpLimits, Limits,
        limit::{Measure, Sender, class_measure},
        schema::{Key, Node, Reader},
        units::{Rate, RateError},
    },
    budget,
};

pub(super) const LIMITS: &[Key<Limits>] = &[
    Key {
        name: "pressure",
        read: |r, limits, node| r.value(node, pressure, |rate| limits.pressure = rate),
    },
    Key {
        name: "source",
        read: |r, limits, node| r.section(node, SOURCE, limits),
    },
    Key {
        name: "prefix",
        read: |r, limits, node| r.section(node, PREFIX, limits),
    },
    Key {
        name: "icmp",
        read: |r, limits, node| r.section(node, ICMP, &mut limits.icmp),
    },
    Key {
        name: "protocols",
        read: |r, limits, node| r.value(node, budget, |rate| limits.protocols = rate),
    },
];

type Classes = [ClassLimit; Class::ALL.len()];

const SOURCE: &[Key<Limits>] = &[
    Key {
        name: "packets",
        read: |r, limits, node| class(r, &mut limits.source, Class::All, node),
    },
    Key {
        name: "syn",
        read: |r, limits, node| class(r, &mut limits.source, Class::Syn, node),
    },
    Key {
        name: "udp",
        read: |r, limits, node| class(r, &mut limits.source, Class::Udp, node),
    },
    Key {
        name: "icmp",
        read: |r, limits, node| class(r, &mut limits.source, Class::Icmp, node),
    },
    Key {
        name: "bytes",
        read: |r, limits, node| class(r, &mut limits.source, Class::Bytes, node),
    },
    Key {
        name: "connections",
        read: |r, limits, node| connections(r, limits, Sender::Source, node),
    },
];

const PREFIX: &[Key<Limits>] = &[
    Key {
        name: "packets",
        read: |r, limits, node| class(r, &mut limits.prefix.classes, Class::All, node),
    },
    Key {
        name: "syn",
        read: |r, limits, node| class(r, &mut limits.prefix.classes, Class::Syn, node),
    },
    Key {
        name: "udp",
        read: |r, limits, node| class(r, &mut limits.prefix.classes, Class::Udp, node),
    },
    Key {
        name: "icmp",
        read: |r, limits, node| class(r, &mut limits.prefix.classes, Class::Icmp, node),
    },
    Key {
        name: "bytes",
        read: |r, limits, node| class(r, &mut limits.prefix.classes, Class::Bytes, node),
    },
    Key {
        name: "connections",
        read: |r, limits, node| connections(r, limits, Sender::Prefix, node),
    },
    Key {
        name: "ipv4",
        read: |r, limits, node| {
            r.value(node, |node| length(node, 32), |it| limits.prefix.ipv4 = it)
        },
    },
    Key {
        name: "ipv6",
        read: |r, limits, node| {
            r.value(node, |node| length(node, 64), |it| limits.prefix.ipv6 = it)
        },
    },
];

const ICMP: &[Key<IcmpLimits>] = &[
    Key {
        name: "errors",
        read: |r, limits, node| r.value(node, budget, |rate| limits.errors = rate),
    },
    Key {
        name: "echo",
        read: |r, limits, node| r.value(node, budget, |rate| limits.echo = rate),
    },
];

pub(super) const FRAGMENTS: &[Key<Fragments>] = &[
    Key {
        name: "unknown",
        read: |r, fragments, node| {
            let policies = [
                ("pass", FragmentPolicy::Pass),
                ("limit", FragmentPolicy::Limit),
                ("drop", FragmentPolicy::Drop),
            ];
            r.value(
                node,
                |node| node.choice(&policies),
                |policy| fragments.unknown = policy,
            );
        },
    },
    Key {
        name: "limit",
        read: |r, fragments, node| r.value(node, budget, |rate| fragments.limit = rate),
    },
];

fn class(reader: &mut Reader<'_>, limits: &mut Classes, class: Class, node: Node<'_>) {
    let measure = class_measure(class);
    let example = match measure {
        Measure::Packets => "\"200/s\"",
        Measure::Bytes => "\"100MB/s\"",
    };
    let parse = |node: Node<'_>| measure.parse(node.text(example)?);
    reader.value(node, parse, |rate| {
        if let Some(limit) = limits.get_mut(class as usize) {
            *limit = ClassLimit {
                rate,
                by_hand: true,
            };
        }
    });
}

fn connections(reader: &mut Reader<'_>, limits: &mut Limits, sender: Sender, node: Node<'_>) {
    let parse = |node: Node<'_>| Measure::Packets.parse(node.text("\"100/s burst 1000\"")?);
    reader.value(node, parse, |rate| {
        if let Some(limit) = limits.connections.get_mut(sender as usize) {
            *limit = ClassLimit {
                rate,
                by_hand: true,
            };
        }
    });
}

/// The length of a prefix: from 8 on, for shorter ones would put much of the world into one bucket.
fn length(node: Node<'_>, most: u32) -> Result<u8, String> {
    let length = node.number(8, most)?;
    u8::try_from(length).map_err(|error| error.to_string())
}

fn pressure(node: Node<'_>) -> Result<Option<Rate>, String> {
    match node.text("\"20k/s\"")?.parse() {
        Ok(rate) => Ok(Some(rate)),
        Err(RateError::Zero(_)) => Ok(None),
        Err(
            error @ (RateError::Form(_)
            | RateError::ZeroBurst(_)
            | RateError::Fraction(_)
            | RateError::TooFast(_)
            | RateError::BurstTooLong { .. }
            | RateError::Bytes(_)),
        ) => Err(format!(
            "{error}; \"0/s\" lets the default limits hold always"
        )),
    }
}
