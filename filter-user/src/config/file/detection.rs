//! `[detection]`.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        Config,
        detection::{Act, Detection},
        schema::{Key, Node, Reader, join},
        text::quote,
        units::parse_duration,
    },
    rate,
};
use crate::detect::Vector;

/// Most actions a minute.
const MOST_ACTIONS: u32 = 6_000;
const ACTS: [(&str, Act); 2] = [("suggest", Act::Suggest), ("apply", Act::Apply)];

const DETECTION: &[Key<Detection>] = &[
    Key {
        name: "act",
        read: |r, detection, node| {
            r.value(node, |node| node.choice(&ACTS), |act| detection.act = act);
        },
    },
    Key {
        name: "fingerprints",
        read: |r, detection, node| {
            r.value(
                node,
                |node| node.choice(&ACTS),
                |act| detection.fingerprints = act,
            );
        },
    },
    Key {
        name: "max_collateral",
        read: |r, detection, node| {
            r.value(node, share, |share| detection.max_collateral = share);
        },
    },
    Key {
        name: "recover",
        read: |r, detection, node| r.value(node, time, |time| detection.recover = time),
    },
    Key {
        name: "actions",
        read: |r, detection, node| {
            r.value(
                node,
                |node| node.number(1, MOST_ACTIONS),
                |actions| detection.actions = actions,
            );
        },
    },
    Key {
        name: "ban",
        read: |r, detection, node| r.value(node, time, |time| detection.ban = time),
    },
    Key {
        name: "ban_most",
        read: |r, detection, node| r.value(node, time, |time| detection.ban_most = time),
    },
    Key {
        name: "floor",
        read: |r, detection, node| detection.floor = rates(r, node),
    },
    Key {
        name: "ceiling",
        read: |r, detection, node| detection.ceiling = rates(r, node),
    },
];

/// Reads the section, and whether its keys go together.
pub(super) fn detection(reader: &mut Reader<'_>, config: &mut Config, node: Node<'_>) {
    reader.section(node, DETECTION, &mut config.detection);
    let detection = &config.detection;
    if detection.ban > detection.ban_most {
        let message = "`ban` is longer than `ban_most`: make the first ban shorter, or the longest \
                       longer";
        reader.complain_of(node, message);
    }
    for (vector, floor) in &detection.floor {
        if detection.ceiling.get(vector).is_some_and(|top| top < floor) {
            let message = format!(
                "the ceiling of {vector} is below its floor: nothing below a floor is an attack, \
                 and everything above a ceiling is one"
            );
            reader.complain_of(node, &message);
        }
    }
}

/// Packets a second by the names of vectors.
fn rates(reader: &mut Reader<'_>, node: Node<'_>) -> BTreeMap<Vector, f64> {
    let mut rates = BTreeMap::new();
    let Some(table) = node.as_table() else {
        let message = format!(
            "{} is not allowed: write a table [{}]",
            node.shown(),
            node.path()
        );
        reader.complain_of(node, &message);
        return rates;
    };
    for (name, value) in table {
        let mut all = Vector::ALL.into_iter();
        match all.find(|vector| vector.name() == name.get_ref().as_ref()) {
            Some(vector) => {
                let path = join(node.path(), vector.name());
                reader.value(node.child(&path, value), rate, |rate| {
                    rates.insert(vector, rate.packets as f64);
                });
            }
            None => reader.unknown(node.path(), name, &Vector::ALL.map(Vector::name)),
        }
    }
    rates
}

pub(super) fn time(node: Node<'_>) -> Result<Duration, String> {
    parse_duration(node.text("\"60s\"")?)
}

/// Per cent of a whole, above none and up to ten.
fn share(node: Node<'_>) -> Result<f64, String> {
    const MOST: f64 = 10.0;
    let text = node.text("\"0.5%\"")?;
    let number = text.trim().strip_suffix('%').map(str::trim_end);
    let digits = |number: &&str| number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    number
        .filter(digits)
        .and_then(|number| number.parse::<f64>().ok())
        .filter(|share| *share > 0.0 && *share <= MOST)
        .map(|share| share / 100.0)
        .ok_or_else(|| {
            format!(
                "{} is no share: write per cent above 0% and up to {MOST}%, as \"0.5%\"",
                quote(text)
            )
        })
}
