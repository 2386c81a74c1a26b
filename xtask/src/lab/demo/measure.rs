//! Reads all counters once a second.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    super::{
        clock,
        flood::Flood,
        floodwall::{Floodwall, Totals},
        http::Client,
        interrupt,
        sandbox::{Ns, Sandbox, hosts},
    },
    phase::Measured,
};

/// Takes the difference between two readings of all counters.
pub struct Meter<'a> {
    sandbox: &'a Sandbox,
    floodwall: &'a Floodwall,
    client: &'a Client,
    last: Reading,
}

struct Reading {
    at: Instant,
    sent: u64,
    visitors: u64,
    totals: Totals,
}

impl<'a> Meter<'a> {
    /// Reads the counters for the first time.
    pub fn new(sandbox: &'a Sandbox, floodwall: &'a Floodwall, client: &'a Client) -> Result<Self> {
        let last = read(sandbox, floodwall, None)?;
        Ok(Self {
            sandbox,
            floodwall,
            client,
            last,
        })
    }

    /// Begins anew: what happened since the last reading belongs to no phase.
    pub fn start(&mut self, flood: Option<&Flood>) -> Result<()> {
        self.last = read(self.sandbox, self.floodwall, flood)?;
        self.client.take();
        Ok(())
    }

    /// Waits until `time` after the last reading, and says what happened since.
    pub fn next(&mut self, time: Duration, flood: Option<&Flood>) -> Result<Measured> {
        let due = self.last.at + time;
        interrupt::sleep(due.saturating_duration_since(clock::now()))?;
        let now = read(self.sandbox, self.floodwall, flood)?;
        let last = &self.last;
        let received = now
            .totals
            .received
            .packets
            .saturating_sub(last.totals.received.packets);
        let measured = Measured {
            time: now.at - last.at,
            sent: now.sent.saturating_sub(last.sent),
            // Everything that is not the visitors' is the flood's.
            arrived: received.saturating_sub(now.visitors.saturating_sub(last.visitors)),
            dropped: now
                .totals
                .dropped
                .packets
                .saturating_sub(last.totals.dropped.packets),
            would_drop: now
                .totals
                .would_drop
                .packets
                .saturating_sub(last.totals.would_drop.packets),
            heard: self.client.take(),
        };
        self.last = now;
        Ok(measured)
    }
}

fn read(sandbox: &Sandbox, floodwall: &Floodwall, flood: Option<&Flood>) -> Result<Reading> {
    Ok(Reading {
        at: clock::now(),
        sent: flood.map_or(0, Flood::sent),
        visitors: sandbox.traffic(Ns::Client, hosts::CLIENT.interface)?.sent,
        totals: floodwall.status()?.totals,
    })
}
