//! What a match catches and what harm it does.

use std::collections::BTreeMap;

use super::{
    calm::{Calm, Weighed, opens},
    condition::fits,
    share::{CONNECTIONS, Share, TRAFFIC},
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
    /// Likewise of calm connections, if it meets what opens connections: one packet among many, and
    /// the whole connection is lost.
    pub connections: Option<Share>,
    /// Why it is not to be installed by itself, if it is not.
    pub doubt: Option<String>,
}

/// Calm traffic as matches are scored by.
pub(super) struct Known<'c> {
    /// All of it.
    pub all: Vec<Weighed<'c>>,
    /// What opens connections.
    pub openings: Vec<Weighed<'c>>,
}

impl<'c> Known<'c> {
    pub fn of(calm: &'c Calm) -> Self {
        Self {
            all: calm.weighed(),
            openings: calm.openings(),
        }
    }
}

/// Says what a match catches, and what harm it does by the half of the calm samples that the search
/// does not look at.
pub(super) fn score(
    matches: Matches,
    attack: &[&Observed],
    calm: &Known<'_>,
    aim: Aim,
) -> Fingerprint {
    let (mut caught, mut opening) = (0_u32, false);
    for seen in attack.iter().filter(|seen| fits(&matches, seen)) {
        caught = caught.saturating_add(1);
        opening |= opens(seen);
    }
    let of_all = share(&matches, &calm.all);
    let meets = |one: &Weighed<'_>| fits(&matches, one.seen);
    let connections =
        (opening || calm.openings.iter().any(meets)).then(|| share(&matches, &calm.openings));
    let doubt = doubt(&matches, of_all, connections, &calm.all, aim);
    Fingerprint {
        caught: f64::from(caught) / attack.len().max(1) as f64,
        samples: attack.len(),
        matches,
        calm: of_all,
        connections,
        doubt,
    }
}

fn share(matches: &Matches, calm: &[Weighed<'_>]) -> Share {
    let unseen = calm.iter().skip(1).step_by(2);
    let hit = unseen.clone().filter(|one| fits(matches, one.seen));
    let hit = hit
        .map(|one| one.weight)
        .fold(0.0, |sum, weight| sum + weight);
    Share::of(unseen.map(|one| one.weight), hit)
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
    let found = score(matches.clone(), attack, &Known::of(calm), aim);
    found.doubt.is_none().then_some(found)
}

fn doubt(
    matches: &Matches,
    share: Share,
    connections: Option<Share>,
    calm: &[Weighed<'_>],
    aim: Aim,
) -> Option<String> {
    let most = aim.most_collateral;
    let too_much = |told: String| Some(format!("{told} is more than {:.2} %", most * 100.0));
    if share.most > most {
        return too_much(share.tell(TRAFFIC));
    }
    if let Some(share) = connections.filter(|share| share.most > most) {
        return too_much(share.tell(CONNECTIONS));
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
