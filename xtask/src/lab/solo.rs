//! `attack`: one flood alone, in a sandbox where nobody defends the server.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Write as _, stdout},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{
    attack::{self, Attack},
    flood::{self, Flood, Pace},
    http, interrupt,
    programs::{Lab, Tables},
    sandbox::{self, Ns, Sandbox, hosts},
    thread::last_cpu,
    units::seconds,
};

/// Options of a single attack.
#[derive(Args, Debug)]
pub struct Solo {
    /// The attack; `list` names those there are
    #[arg(value_name = "NAME")]
    name: String,
    /// Packets a second; as fast as this machine can if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    pace: Option<u64>,
    /// How long, such as `5s` or `2m`
    #[arg(long = "for", value_name = "TIME", default_value = "5s", value_parser = seconds)]
    time: Duration,
}

impl Solo {
    /// Whether it only asks what there is.
    pub fn is_list(&self) -> bool {
        self.name == "list"
    }

    /// Names every attack of the catalogue.
    pub fn list() -> Result<()> {
        let mut text = String::from("row  attack\n");
        for attack in attack::all() {
            let Attack {
                row, name, about, ..
            } = attack;
            writeln!(text, "{row:>3}  {name:<24} {about}")?;
        }
        text += "\nv6-NAME is the same over IPv6, as listed; vlan-NAME and qinq-NAME put any of them\n\
                 inside one or two VLAN tags.\n";
        match stdout().write_all(text.as_bytes()) {
            // Who reads the beginning only has what they wanted.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result.context("cannot write the list"),
        }
    }

    /// Runs the attack and says, second by second, what came of it.
    pub fn run(&self) -> Result<()> {
        let attack = attack::named(&self.name)?;
        let sandbox = Sandbox::new(&sandbox::Options::of(&attack))?;
        let _server = http::Server::start(sandbox.server(), None)?;
        // Frames of a generator arrive only where a program runs; this one lets everything in.
        let _program =
            Lab::load(Tables::Tiny)?.attach("pass", sandbox.server(), hosts::SERVER.interface)?;
        println!("{}: {}", attack.name, attack.about);
        let flood = Flood::start(&sandbox, &attack, self.options()?)?;
        let mut last = 0;
        for second in 1..=self.time.as_secs().max(1) {
            interrupt::sleep(Duration::from_secs(1))?;
            let sent = flood.sent();
            println!("{second:>4} s  {:>10}/s", sent.saturating_sub(last));
            last = sent;
        }
        let sent = flood.finish()?;
        let arrived = sandbox.traffic(Ns::Server, hosts::SERVER.interface)?;
        println!(
            "sent {sent}; {} packets reached the server's interface, which sent {}",
            arrived.received, arrived.sent
        );
        Ok(())
    }

    fn options(&self) -> Result<flood::Options> {
        Ok(flood::Options {
            pace: self.pace.map_or(Pace::Full, Pace::PerSecond),
            cpu: Some(last_cpu()?),
            first: false,
        })
    }
}

impl sandbox::Options {
    /// What an attack needs.
    pub fn of(attack: &Attack) -> Self {
        Self {
            mtu: attack.mtu(),
            ..Self::default()
        }
    }
}
