//! Calm for many days: nothing may be done.

use std::time::Duration;

use filter_user::{
    config::detection::Detection,
    detect::{output::News, sketch::Random, view::Memory},
};
use serde::Serialize;

use super::{
    calm::Calm,
    host::Machine,
    trial::{STEP, Tolls},
    world::World,
};

/// Steps where nothing happens.
const SLOW: Duration = Duration::from_secs(10);
/// Steps where something may.
const SOON: Duration = Duration::from_secs(1);
/// Of each hour, so much is looked at in usual steps.
const CLOSE: Duration = Duration::from_secs(10);
const HOUR: u64 = 3_600;

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Month {
    /// What kind of calm.
    pub name: &'static str,
    /// Connections a second that visitors open on average.
    pub visitors: f64,
    /// Days.
    pub days: f64,
    /// Newsletters.
    pub crowds: u32,
    /// Steps of the core.
    pub steps: u64,
    /// Calm packets that the filter took.
    pub dropped: f64,
    /// Of all packets, the share.
    pub harm: f64,
    /// Of all packets, the share that the stack lost.
    pub lost: f64,
    /// Actions.
    pub actions: u32,
    /// Bans.
    pub bans: u32,
    /// Incidents.
    pub incidents: u32,
    /// When and what.
    pub did: Vec<String>,
}

/// How calm is made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What kind of calm.
    pub name: &'static str,
    /// Connections a second that visitors open on average.
    pub visitors: f64,
    /// Whether a CDN is in front.
    pub is_fronted: bool,
    /// Whether visitors become five times as many.
    pub december: bool,
    /// Days.
    pub days: f64,
    /// Newsletters.
    pub crowds: u32,
}

/// Lets it pass.
pub fn run(plan: &Plan, seed: u64) -> Month {
    let mut random = Random::new(seed ^ 0xCA17);
    let mut calm = Calm::new(plan.visitors, plan.is_fronted);
    calm.december = plan.december;
    calm.invite(plan.crowds, plan.days, &mut random);
    let config = Detection::default();
    let (machine, memory) = (Machine::SMALL, Memory::default());
    let mut world = World::new(calm.flows(), machine, config, memory, random.word());
    let mut month = Month {
        name: plan.name,
        visitors: plan.visitors,
        days: plan.days,
        crowds: plan.crowds,
        ..Month::default()
    };
    let mut tolls = Tolls::default();
    let end = Duration::from_secs_f64(plan.days * 86_400.0);
    while world.elapsed() < end {
        let now = world.elapsed();
        calm.set(&mut world.flows, now);
        let is_close = now.as_secs() % HOUR < CLOSE.as_secs() || calm.is_lively(now);
        let is_restless = !world.controller.view().vectors.is_empty();
        let length = match (is_close, is_restless) {
            (true, _) => STEP,
            (false, true) => SOON,
            (false, false) => SLOW,
        };
        let step = world.step(length);
        month.steps += 1;
        tolls.add(&step);
        month.note(&world, &step.output.news);
        if step.calm.stopped > 0.0 {
            month.tell(
                &world,
                format!("{:.0} calm packets dropped", step.calm.stopped),
            );
        }
        let bans = step.output.commands.iter();
        month.bans += bans
            .filter(|command| matches!(command, filter_user::core::command::Command::Add { .. }))
            .count() as u32;
    }
    month.dropped = tolls.calm.stopped;
    month.harm = tolls.calm.harm();
    month.lost = tolls.calm.share(tolls.calm.lost);
    month.actions = tolls.actions;
    month
}

impl Month {
    fn note(&mut self, world: &World, news: &[News]) {
        for news in news {
            match news {
                News::Opened(report) => {
                    self.incidents += 1;
                    for vector in &report.vectors {
                        let text = format!(
                            "{} at {}: {}",
                            vector.vector, vector.target, vector.evidence
                        );
                        self.tell(world, text);
                    }
                }
                News::Closed(report) => {
                    for action in &report.actions {
                        self.tell(world, action.what.clone());
                    }
                }
                News::Notice(text) => self.tell(world, text.clone()),
                News::Updated(_) => {}
            }
        }
    }

    fn tell(&mut self, world: &World, text: String) {
        const MOST: usize = 40;
        if self.did.len() < MOST {
            let hours = world.elapsed().as_secs_f64() / 3_600.0;
            self.did.push(format!(
                "day {:.0}, {:.2} h: {text}",
                (hours / 24.0).floor(),
                hours % 24.0
            ));
        }
    }
}
