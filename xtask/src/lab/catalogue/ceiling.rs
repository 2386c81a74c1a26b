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
    narrowed(|pace| {
        let load = Load::Attack(attack, Pace::PerSecond(pace));
        let measured = site.measure(Some(load), guests, TRIAL)?;
        let is_borne = measured.pages() >= SHARE * calm;
        Ok((is_borne, measured.per_second(measured.sent) as u64))
    })
}

/// Halves the paces until it is known up to which a flood is borne. A trial tells whether it was, and
/// how fast the flood really came.
fn narrowed(mut trial: impl FnMut(u64) -> Result<(bool, u64)>) -> Result<Bears> {
    let pace = |number: u32| (SLOWEST * 2_f64.powf(f64::from(number) / 2.0)) as u64;
    // Below `low` everything was borne, from `high` on nothing.
    let (mut low, mut high, mut best) = (0, PACES, None);
    while low < high {
        let middle = (low + high) / 2;
        let (is_borne, sent) = trial(pace(middle))?;
        if !is_borne {
            high = middle;
            continue;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_within_a_step_of_what_is_borne() {
        for limit in [26_000, 100_000, 431_000, 1_500_000] {
            let mut trials = 0;
            let found = narrowed(|pace| {
                trials += 1;
                Ok((pace <= limit, pace))
            });
            let Ok(Bears::About(found)) = found else {
                panic!("{limit}: {found:?}")
            };
            assert!(found <= limit && found * 3 / 2 > limit, "{limit}: {found}");
            assert!(trials <= 5, "{trials}");
        }
    }

    #[test]
    fn what_is_never_or_always_borne_is_told_apart() {
        let never = narrowed(|pace| Ok((false, pace)));
        assert_eq!(never.expect("no trial fails"), Bears::Less(25_000));
        let always = narrowed(|pace| Ok((true, pace)));
        assert!(matches!(always, Ok(Bears::All(pace)) if pace > 4_000_000));
        let slow = narrowed(|pace| Ok((true, pace.min(300_000))));
        assert_eq!(slow.expect("no trial fails"), Bears::All(300_000));
    }
}
