//! The fastest flood during which nearly as many pages are served as in calm.

use std::time::Duration;

use anyhow::Result;

use super::{
    super::{
        attack::{Attack, Traffic},
        flood::Pace,
        people::Guests,
    },
    Load, Measured, Site,
};

/// How much of the calm rate must still be completed.
const SHARE: f64 = 0.95;
/// How long each pace is tried.
const TRIAL: Duration = Duration::from_secs(1);
/// Paces that are tried, by rising number: each 1.41 times the last.
const PACES: u32 = 16;
const SLOWEST: f64 = 25_000.0;

/// What can be borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bears {
    /// Not even the slowest flood that is tried.
    Less(u64),
    /// So many packets a second, and not much more.
    About(u64),
    /// As many as come; the generator is not faster.
    All(u64),
}

/// Searches, with floodwall and without. Visitors come at half the rate that the server can serve
/// in calm: one at its limit has nothing to spare for any flood, however little it costs.
pub fn of(sites: &[Site; 3], attack: &Attack, calm: &[Measured; 3]) -> Result<Option<[Bears; 2]>> {
    match attack.traffic {
        Traffic::Template(_) | Traffic::Album(_) => {}
        Traffic::InTurn { .. } | Traffic::Connections | Traffic::Crowd => return Ok(None),
    }
    let [with, without, _] = sites;
    let slowest = calm.iter().map(Measured::pages).fold(f64::MAX, f64::min);
    let guests = Guests {
        rate: Some((slowest / 2.0) as u32),
        ..Guests::default()
    };
    Ok(Some([
        search(with, attack, guests)?,
        search(without, attack, guests)?,
    ]))
}

fn search(site: &Site, attack: &Attack, guests: Guests) -> Result<Bears> {
    let calm = site.measure(None, guests, TRIAL)?.pages();
    let pace = |number: u32| (SLOWEST * 2_f64.powf(f64::from(number) / 2.0)) as u64;
    // Below `low` everything was borne, from `high` on nothing.
    let (mut low, mut high, mut best) = (0, PACES, None);
    while low < high {
        let middle = (low + high) / 2;
        let load = Load::Attack(attack, Pace::PerSecond(pace(middle)));
        let measured = site.measure(Some(load), guests, TRIAL)?;
        if measured.pages() < SHARE * calm {
            high = middle;
            continue;
        }
        let sent = measured.per_second(measured.sent) as u64;
        best = best.max(Some(sent));
        low = middle + 1;
        if sent < pace(middle) / 4 * 3 {
            return Ok(Bears::All(sent));
        }
    }
    Ok(match best {
        None => Bears::Less(pace(0)),
        Some(sent) if high == PACES => Bears::All(sent),
        Some(sent) => Bears::About(sent),
    })
}
