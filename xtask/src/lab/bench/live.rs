//! A flood at full speed over a veth, each packet from another forged source: how much each program
//! lets the machine absorb.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::super::{
    attack, clock,
    flood::{Flood, Options, Pace},
    floodwall::{Config, Floodwall},
    interrupt,
    programs::{Lab, Tables},
    sandbox::{Ns, Sandbox, hosts},
};

/// The flood.
const FLOOD: &str = "syn-random";
/// Where all of its sources lie, which floodwall is told to block: no limit of one source meets a
/// source that sends once.
const SOURCES: &str = "128.0.0.0/2";

/// How long a turn is.
const TURN: Duration = Duration::from_secs(2);
/// How long a flood goes on before it is measured.
const SETTLING: Duration = Duration::from_millis(300);

/// What was absorbed in front of one program.
#[derive(Clone, Debug)]
pub struct Absorbed {
    /// The program.
    pub subject: &'static str,
    /// Packets a second that reached the interface, one figure a turn, ascending.
    pub rates: Vec<u64>,
}

impl Absorbed {
    /// Nothing yet.
    pub fn none(subject: &'static str) -> Self {
        Self {
            subject,
            rates: Vec::new(),
        }
    }

    /// The turn in the middle.
    pub fn median(&self) -> u64 {
        self.rates
            .get(self.rates.len() / 2)
            .copied()
            .unwrap_or_default()
    }

    /// The best turn.
    pub fn best(&self) -> u64 {
        self.rates.last().copied().unwrap_or_default()
    }
}

/// Floods the sandbox's server, whose interface each program takes so many times in turn.
pub fn measure(sandbox: &Sandbox, binary: &Path, cpu: usize, turns: u32) -> Result<Vec<Absorbed>> {
    let mut bare = Absorbed::none("bare XDP_DROP");
    let mut filter = Absorbed::none("floodwall");
    let mut stack = Absorbed::none("ordinary stack");
    for _ in 0..turns {
        {
            let _link = attached(sandbox, "bare_drop")?;
            bare.rates.push(rate(sandbox, cpu, TURN)?);
        }
        {
            let floodwall = Floodwall::start(sandbox, binary, &Config::new("enforce"))?;
            // So much of the address space is not blocked without a second thought.
            floodwall.text(&["block", "add", SOURCES, "--for", "1h", "--force"])?;
            filter.rates.push(rate(sandbox, cpu, TURN)?);
            floodwall.uninstall(sandbox)?;
        }
        {
            let _link = attached(sandbox, "pass")?;
            stack.rates.push(rate(sandbox, cpu, TURN)?);
        }
    }
    let mut all = vec![bare, filter, stack];
    for absorbed in &mut all {
        absorbed.rates.sort_unstable();
    }
    Ok(all)
}

/// Puts one of the lab's programs at the server's interface, until the link is dropped.
pub fn attached(sandbox: &Sandbox, program: &str) -> Result<aya::programs::links::FdLink> {
    Lab::load(Tables::Tiny)?.attach(program, sandbox.server(), hosts::SERVER.interface)
}

/// Packets a second that reach the server's interface in a flood at full speed, in a turn so long.
pub fn rate(sandbox: &Sandbox, cpu: usize, turn: Duration) -> Result<u64> {
    let attack = attack::named(FLOOD)?;
    let options = Options {
        pace: Pace::Full,
        cpu: Some(cpu),
        first: false,
    };
    let flood = Flood::start(sandbox, &attack, options)?;
    interrupt::sleep(SETTLING)?;
    let received = || sandbox.traffic(Ns::Server, hosts::SERVER.interface);
    let (begun, before) = (clock::now(), received()?.received);
    interrupt::sleep(turn)?;
    let (time, after) = (begun.elapsed(), received()?.received);
    flood.finish()?;
    Ok((after.saturating_sub(before) as f64 / time.as_secs_f64()) as u64)
}
