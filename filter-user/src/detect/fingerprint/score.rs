//! What a match catches and what harm it does.

use std::collections::BTreeMap;

use super::{
    calm::{Calm, Weighed},
    condition::fits,
    share::Share,
};
use crate::{detect::input::Observed, rules::rule::Matches};

/// Fewer say nothing.
pub(super) const FEWEST: usize = 50;
/// No service of calm traffic loses more than so many times what calm traffic loses as a whole.
const OF_A_SERVICE: f64 = 10.0;
/// A port is a service if packets of such a weight are of it.
const SERVICE: f64 = 3.0;

/// What a fingerprint is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// The least share of the attack's samples that it catches.
    pub least: f64,
    /// The upper bound of the share of calm traffic that it meets.
    pub most_collateral: f64,
}

/// A match that tells an attack from calm traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint {
    /// The match.
    pub matches: Matches,
    /// The share of the attack's samples that it catches.
    pub caught: f64,
    /// How many samples there were.
    pub samples: usize,
    /// The share of calm traffic that it meets, measured on samples that it was not found by.
    pub calm: Share,
    /// Why it is not to be installed by itself, if it is not.
    pub doubt: Option<String>,
}

/// Says what a match catches, and what harm it does by the half of the calm sample that the search
/// does not look at.
pub(super) fn score(
    matches: Matches,
    attack: &[&Observed],
    calm: &[Weighed<'_>],
    aim: Aim,
) -> Fingerprint {
    let caught = attack.iter().filter(|seen| fits(&matches, seen)).count();
    let unseen = calm.iter().skip(1).step_by(2);
    let hit = unseen.clone().filter(|one| fits(&matches, one.seen));
    let hit = hit
        .map(|one| one.weight)
        .fold(0.0, |sum, weight| sum + weight);
    let share = Share::of(unseen.map(|one| one.weight), hit);
    let doubt = doubt(&matches, share, calm, aim);
    Fingerprint {
        caught: caught as f64 / attack.len().max(1) as f64,
        samples: attack.len(),
        matches,
        calm: share,
        doubt,
    }
}

/// Scores a match that was found before; `None` if it is not as good any more.
pub(super) fn again(
    matches: &Matches,
    attack: &[&Observed],
    calm: &Calm,
    aim: Aim,
) -> Option<Fingerprint> {
    let caught = attack.iter().filter(|seen| fits(matches, seen)).count();
    if attack.len() < FEWEST || (caught as f64) < attack.len() as f64 * aim.least {
        return None;
    }
    let found = score(matches.clone(), attack, &calm.weighed(), aim);
    found.doubt.is_none().then_some(found)
}

fn doubt(matches: &Matches, share: Share, calm: &[Weighed<'_>], aim: Aim) -> Option<String> {
    if share.most > aim.most_collateral {
        return Some(format!(
            "{share} is more than {:.2} %",
            aim.most_collateral * 100.0
        ));
    }
    let (service, lost) = worst_service(matches, calm)?;
    (lost > aim.most_collateral * OF_A_SERVICE)
        .then(|| format!("{:.0} % of calm traffic of {service}", lost * 100.0))
}

/// The port, here or elsewhere, whose calm traffic loses the greatest share.
fn worst_service(matches: &Matches, calm: &[Weighed<'_>]) -> Option<(String, f64)> {
    let mut services: BTreeMap<(u8, u16, &str), (f64, f64)> = BTreeMap::new();
    for one in calm {
        let Some((from, to)) = one.seen.ports else {
            continue;
        };
        let hit = fits(matches, one.seen);
        for key in [(to, "to"), (from, "from")] {
            let service = services
                .entry((one.seen.protocol, key.0, key.1))
                .or_default();
            service.0 += one.weight;
            service.1 += if hit { one.weight } else { 0.0 };
        }
    }
    services
        .into_iter()
        .filter(|(_, (weight, _))| *weight >= SERVICE)
        .map(|((protocol, port, way), (weight, hit))| {
            let name = match protocol {
                6 => format!("tcp {way} port {port}"),
                17 => format!("udp {way} port {port}"),
                other => format!("protocol {other} {way} port {port}"),
            };
            (name, hit / weight)
        })
        .max_by(|one, two| one.1.total_cmp(&two.1))
}
