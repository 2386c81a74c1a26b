//! How fast and how long an attack has to be, and who has to be there.

use std::time::Duration;

use anyhow::Result;

use super::{
    super::{
        attack::{Attack, Sources, Traffic},
        flood::Pace,
        people::{self, Guests},
    },
    Load, Measured, Site, promise,
};

/// An attack with all that one measurement of it needs.
#[derive(Clone, Debug)]
pub struct Effort {
    /// The attack, its turns as long as there is time for.
    pub attack: Attack,
    /// Packets a second.
    pub pace: u64,
    time: Duration,
    guests: Guests,
}

impl Effort {
    /// Where others have this pace and last so long.
    pub fn of(attack: &Attack, pace: u64, time: Duration) -> Self {
        let (pace, time) = match attack.traffic {
            // Each is three packets and a socket on either side; and what a source may open at once
            // has to be used up first.
            Traffic::Connections => ((pace / 20).max(1000), time * 3),
            Traffic::InTurn { .. } => (pace, time * 3),
            // Packets of six times the size, through a socket.
            Traffic::Album(_) if attack.mtu() > 1500 => ((pace / 6).max(1000), time),
            // "A million new sources a second."
            Traffic::Template(template) if template.sources == Sources::InOrder => (pace * 5, time),
            Traffic::Template(_) | Traffic::Album(_) | Traffic::Crowd => (pace, time),
        };
        Self {
            attack: attack.within(time),
            pace,
            time,
            guests: Guests {
                partner: attack.base_row == promise::PARTNER,
                crowd: matches!(attack.traffic, Traffic::Crowd),
                rate: None,
            },
        }
    }

    /// Measures it at a site.
    pub fn at(&self, site: &Site) -> Result<Measured> {
        site.await_defences(&self.attack)?;
        if self.guests.crowd {
            let mut measured = site.measure(None, self.guests, self.time)?;
            measured.sent = measured.heard(|who| who == people::CROWD).asked();
            return Ok(measured);
        }
        let load = Load::Attack(&self.attack, Pace::PerSecond(self.pace));
        site.measure(Some(load), self.guests, self.time)
    }
}
