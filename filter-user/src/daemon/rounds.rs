//! What the daemon does again and again: reads counters, ends what has ended, looks at the host.

use std::time::{Duration, Instant};

use super::state::{Daemon, failed};
use crate::{
    clock,
    config::defence,
    core::{actor::Actor, facts::Part, state::Change, why::session_key},
    dataplane::{Dataplane, DataplaneError},
};

/// When periodic work is due.
#[derive(Debug)]
pub struct Next {
    reading: Instant,
    second: Instant,
    look: Instant,
    minute: Instant,
}

/// Between looks at the host: how long a new session of an administrator is like any other.
const LOOK: Duration = Duration::from_secs(2);
/// Between looks at what the program need not have any more.
const MINUTE: Duration = Duration::from_secs(60);
/// Between readings of counters and samples.
const READING: Duration = Duration::from_millis(100);

impl Next {
    /// Everything at once, except a look at the host, which the start took.
    pub fn new(now: Instant) -> Self {
        Self {
            reading: now,
            second: now,
            look: now + LOOK,
            minute: now + MINUTE,
        }
    }
}

impl<D: Dataplane> Daemon<D> {
    /// Does what is due; tells how long to wait until something is.
    pub fn work(&mut self) -> Duration {
        let now = clock::monotonic();
        self.heed_calendar();
        if now >= self.next.reading {
            self.next.reading = now + READING;
            self.read(now);
            // What could not be taken back is tried again less often.
            if !self.troubles.contains_key("trial") {
                self.end_trial();
            }
        }
        if now >= self.next.second {
            self.next.second = now + Duration::from_secs(1);
            self.heed_emergency();
            self.end_trial();
            self.expire();
            self.renew_held();
            self.keep_protected();
            self.tend();
            self.keep_second();
            // Its trouble is told as long as something waits.
            let _ = self.write_down();
            if let Err(error) = self.tables.settle(&mut self.plane) {
                // Bits too many cost time, nothing else.
                tracing::warn!("closing the gate of what is gone: {error}");
            }
        }
        if now >= self.next.minute {
            self.next.minute = now + MINUTE;
            self.shrink_program();
            self.keep_known(now);
            self.remember();
        }
        if now >= self.next.look {
            self.next.look = now + LOOK;
            self.refresh_facts();
        }
        self.next
            .reading
            .saturating_duration_since(clock::monotonic())
    }

    fn read(&mut self, now: Instant) {
        self.read_samples();
        match self.plane.counters() {
            Ok(counters) => {
                self.troubles.remove("counters");
                self.meter.read(now, counters);
                self.step(now, counters);
            }
            Err(error) => self.trouble("counters", error.to_string()),
        }
    }

    /// Forgets what has ended. The kernel ended it already; if it cannot be forgotten now, it will
    /// be tried again.
    ///
    /// What is the controller's goes by itself, for it must be forgotten while the disk is full too.
    fn expire(&mut self) {
        let expired = self.state.expired(clock::now());
        let (fleeting, kept) = expired
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.is_fleeting(&self.state));
        for changes in [fleeting, kept] {
            if !changes.is_empty() {
                self.end(changes);
            }
        }
    }

    fn end(&mut self, changes: Vec<Change>) {
        let text = match changes.as_slice() {
            [Change::Manual(kind, prefix, _)] => format!("{prefix} on the {kind} ended"),
            [Change::Rule(number, _)] => format!("rule {number} ended"),
            [Change::Mode(_)] => "the mode is the file's again".to_owned(),
            [Change::Defence(defence, _)] => {
                format!(
                    "the defence {} is the file's again",
                    defence::name(*defence)
                )
            }
            [Change::HeldDefence(defence, _)] => {
                format!(
                    "the defence {} is not held any more",
                    defence::name(*defence)
                )
            }
            [Change::HeldLimit(name, _)] => format!("limit {name} is back to what it was"),
            [Change::Veto(veto, _)] => format!("the controller may set {veto} again"),
            many => format!("{} entries and overrides ended", many.len()),
        };
        match self.carry_out(changes, &Actor::Daemon, "ended", &text) {
            Ok(()) => {
                self.troubles.remove("expiry");
            }
            Err(refusal) => self.trouble("expiry", refusal.message),
        }
    }

    /// Looks at the host again, and brings the kernel's set of administrators' sessions, and
    /// sshd's ports, up to date. What cannot be read stays as it was.
    pub(super) fn refresh_facts(&mut self) {
        let now = self.host.facts().over(&self.facts);
        let before = std::mem::replace(&mut self.facts, now);
        if self.facts.warnings.is_empty() {
            self.troubles.remove("facts");
        } else {
            self.trouble("facts", self.facts.warnings.join("; "));
        }
        let ports_moved = before.ssh_ports != self.facts.ssh_ports;
        let put = self.put_sessions().map_err(failed).and_then(|()| {
            if ports_moved {
                self.grow_program()
                    .and_then(|()| self.put_lifelines())
                    .and_then(|()| self.put_settings())
            } else {
                Ok(())
            }
        });
        match put {
            Ok(()) => {
                self.troubles.remove("sessions");
            }
            Err(refusal) => self.trouble("sessions", refusal.message),
        }
    }

    fn put_sessions(&mut self) -> Result<(), DataplaneError> {
        if self.facts.unknown.contains(&Part::Sessions) {
            // Those that an earlier daemon found are better than none.
            return Ok(());
        }
        let wanted: Vec<_> = self.facts.sessions.iter().map(session_key).collect();
        let present = self.plane.sessions()?;
        for key in present.iter().filter(|key| !wanted.contains(key)) {
            self.plane.set_session(key, false)?;
        }
        for key in wanted.iter().filter(|key| !present.contains(key)) {
            self.plane.set_session(key, true)?;
        }
        Ok(())
    }
}
