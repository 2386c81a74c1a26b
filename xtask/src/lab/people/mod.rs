//! Everybody who uses the sandbox's server, or whom it uses: what a flood does to each of them is
//! what counts.

mod dns;
mod echo;
mod ping;
mod regular;
mod transfer;

use std::time::Duration;

use anyhow::Result;

use super::{
    heard::Heard,
    http::{self, Visitors},
    sandbox::{Ns, Sandbox},
};
use regular::Regular;

pub use echo::GAME;

/// How often each of those who come regularly does.
const INTERVAL: Duration = Duration::from_millis(20);

/// What the server offers, and what it uses itself, outside.
#[derive(Debug)]
pub struct Services {
    web: http::Server,
    _names: [dns::Server; 2],
    _echoes: [echo::Server; 2],
    _stream: transfer::Server,
}

impl Services {
    /// Starts everything that people ask for. The sandbox needs a far end.
    pub fn start(sandbox: &Sandbox, cpu: Option<usize>) -> Result<Self> {
        let (server, outside) = (sandbox.server(), sandbox.client());
        Ok(Self {
            web: http::Server::start(server, cpu)?,
            _names: [
                dns::Server::start(server, cpu)?,
                dns::Server::start(outside, cpu)?,
            ],
            _echoes: [
                echo::Server::start(server, echo::GAME, cpu)?,
                echo::Server::start(outside, echo::TIME, cpu)?,
            ],
            _stream: transfer::Server::start(server, cpu)?,
        })
    }

    /// The web server.
    pub fn web(&self) -> &http::Server {
        &self.web
    }
}

/// What one kind of people noticed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who.
    pub who: &'static str,
    /// What.
    pub heard: Heard,
}

/// People at work; they go when dropped.
#[derive(Debug)]
pub struct People {
    web: Vec<(&'static str, http::Client)>,
    others: Vec<(&'static str, Regular)>,
}

/// Who there is besides those who always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guests {
    /// A partner with a well-known address.
    pub partner: bool,
    /// Fifty times as many visitors of the web as usual.
    pub crowd: bool,
    /// How many requests a second the web's visitors make in all; without it, each follows the
    /// last.
    pub rate: Option<u32>,
}

impl People {
    /// Sets everybody to work.
    pub fn start(sandbox: &Sandbox, guests: Guests, cpu: Option<usize>) -> Result<Self> {
        let (server, outside) = (sandbox.server(), sandbox.client());
        let mut usual = Visitors::usual();
        usual.parallel = 4;
        let mut v6 = Visitors::usual().over_v6();
        v6.parallel = 2;
        if let Some(rate) = guests.rate {
            usual.rate = Some(rate * 2 / 3);
            v6.rate = Some(rate / 3);
        }
        let client = |visitors| http::Client::with(outside, visitors, cpu);
        let far = |visitors| http::Client::with(sandbox.namespace(Ns::Far), visitors, cpu);
        let mut web = vec![
            (WEB, client(usual)?),
            (WEB_V6, client(v6)?),
            ("behind a narrow path", far(Visitors::far())?),
            (
                "behind a narrow path, IPv6",
                far(Visitors::far().over_v6())?,
            ),
        ];
        if guests.partner {
            web.push((PARTNER, client(Visitors::partner())?));
        }
        if guests.crowd {
            web.push((CROWD, client(Visitors::crowd())?));
        }
        let regular =
            |name, namespace, probe| Regular::start(name, namespace, cpu, INTERVAL, probe);
        let others = vec![
            ("DNS in", regular("dns in", outside, dns::ask_server())?),
            ("DNS out", regular("dns out", server, dns::ask_outside())?),
            ("NTP out", regular("ntp out", server, echo::ask_time())?),
            ("game", regular("game", outside, echo::play())?),
            ("ping in", regular("ping in", outside, ping::ping_server())?),
            (
                "ping out",
                regular("ping out", server, ping::ping_outside())?,
            ),
            (STREAM, transfer::fetch(outside, cpu)?),
        ];
        Ok(Self { web, others })
    }

    /// What everybody noticed since the last call.
    pub fn take(&self) -> Vec<Report> {
        let web = self.web.iter().map(|(who, client)| (*who, client.take()));
        let others = self.others.iter().map(|(who, it)| (*who, it.take()));
        web.chain(others)
            .map(|(who, heard)| Report { who, heard })
            .collect()
    }

    /// Lets those who wait be served, and says what everybody noticed.
    pub fn finish(self) -> Result<Vec<Report>> {
        // All at once, not one after the other.
        self.web.iter().for_each(|(_, client)| client.stop());
        self.others.iter().for_each(|(_, regular)| regular.stop());
        let mut reports = Vec::new();
        for (who, client) in self.web {
            let heard = client.finish()?;
            reports.push(Report { who, heard });
        }
        for (who, regular) in self.others {
            let heard = regular.finish()?;
            reports.push(Report { who, heard });
        }
        Ok(reports)
    }
}

/// Visitors of the web server.
pub const WEB: &str = "web";
/// Those over IPv6.
pub const WEB_V6: &str = "web, IPv6";
/// Fifty times as many visitors.
pub const CROWD: &str = "crowd";
/// The listener to a stream that must not stall.
pub const STREAM: &str = "stream";
/// The partner in whose name others forge.
pub const PARTNER: &str = "partner";
