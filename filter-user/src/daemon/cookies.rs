//! SYN cookies in order: the kernel's setting before the answers, the answers before the setting goes
//! back, and an eye on whether connections come of them.

use std::{
    io,
    time::{Duration, Instant},
};

use filter_common::abi::{
    defence::{Defence, PortSet},
    reason::Reason,
};

use super::{
    meter::happened,
    state::{Daemon, failed},
};
use crate::{
    clock,
    core::{
        actor::Actor,
        cookies::{Step, Switch, WATCH, Want, blame},
        defences,
        refusal::Refusal,
        silence::{self, Count},
        state::{Change, Set},
    },
    dataplane::Dataplane,
    store::syncookies::{self, Kept, Writing},
};

/// `net.ipv4.tcp_syncookies`: accept cookies whether the queue of a listener is full or not.
const ALWAYS: u32 = 2;
/// What Linux has without a word of an administrator.
const USUAL: u32 = 1;
/// How long a cookie is accepted, in seconds.
const COOKIE_LIFE: u64 = 120;
/// How long a disk takes that does not hang.
const HEALTHY: Duration = Duration::from_millis(100);
/// The trouble of a setting that could not be kept anew.
const UNKEPT: &str = "keeping syncookies";

impl<D: Dataplane> Daemon<D> {
    /// Takes the switch up where a daemon before left it, from the kernel's old setting that it kept.
    /// What the controller held is not taken up; cookies that it had sent until `held_until` may still
    /// come back.
    pub(super) fn resume_cookies(
        &mut self,
        answered: bool,
        held_until: u64,
    ) -> Result<(), Refusal> {
        let moment = self.moment()?;
        let drained = held_until.saturating_add(COOKIE_LIFE.saturating_mul(moment.hz));
        self.resume(answered, held_until > 0 && moment.tick < drained);
        Ok(())
    }

    fn resume(&mut self, answered: bool, was_held: bool) {
        let now = clock::monotonic();
        let folder = &self.config.paths.state;
        let kept = match syncookies::read(folder) {
            Ok(None) => return,
            Ok(Some(kept)) => kept,
            Err(error) => {
                self.losses.push(format!(
                    "what net.ipv4.tcp_syncookies was before SYNs were answered could not be read \
                     ({error}): it will be {USUAL}"
                ));
                let kept = Kept::new(USUAL, self.terrain.network.netns);
                if let Err(error) = syncookies::write(folder, &kept) {
                    self.trouble("syncookies", format!("keeping it anew: {error}"));
                }
                kept
            }
        };
        if !kept.is_of(self.terrain.network.netns) {
            // A boot forgets the change; another network namespace is not this daemon's to mend.
            if kept.is_of(kept.netns) {
                self.losses.push(format!(
                    "net.ipv4.tcp_syncookies was changed in another network namespace, where this state \
                     folder was used: there, sysctl -w net.ipv4.tcp_syncookies={}",
                    kept.value
                ));
            }
            if let Err(error) = syncookies::remove(&self.config.paths.state) {
                self.trouble("syncookies", error.to_string());
            }
            return;
        }
        self.terrain.switch = if answered {
            if self.wants_cookies() == Want::On {
                Switch::On(now)
            } else {
                Switch::Draining(now)
            }
        } else if was_held {
            Switch::Draining(now)
        } else {
            match self.restore_setting() {
                Ok(()) => Switch::Off,
                Err(refusal) => {
                    self.trouble("syncookies", refusal.message);
                    Switch::Draining(now)
                }
            }
        };
        self.terrain.ground.answers = self.terrain.switch.answers();
    }

    fn wants_cookies(&self) -> Want {
        let is_hindered = self.terrain.hindrance(Defence::Cookies).is_some();
        // In monitor mode the host stays as it is.
        if is_hindered || !defences::is_answering(&self.config, &self.state) {
            Want::Never
        } else if self.wants_by_hand() || self.wants_held() {
            Want::On
        } else if self.terrain.ground.answers_held {
            // Who held it waited before letting go.
            Want::Never
        } else {
            Want::Off
        }
    }

    /// Whether file or operators want SYNs answered.
    fn wants_by_hand(&self) -> bool {
        defences::is_wanted(&self.config, &self.state, Defence::Cookies)
    }

    /// Whether the controller does.
    fn wants_held(&self) -> bool {
        defences::is_wanted(&self.config, &self.effective(), Defence::Cookies)
    }

    /// Takes the next step to where the switch should be.
    pub(super) fn switch_cookies(&mut self, now: Instant) -> Result<(), Refusal> {
        // Where nothing receives SYNs, nothing answers them, and the setting need not be changed.
        let want = if self.is_protecting() {
            self.wants_cookies()
        } else {
            Want::Never
        };
        let before = self.terrain.switch;
        let mut step = before.next(now, want);
        if want == Want::On {
            self.terrain.ground.answers_held = !self.wants_by_hand();
        }
        let done = match step {
            Step::Stay if before.answers() => self.keep_setting(),
            Step::Stay | Step::End => Ok(()),
            Step::Begin | Step::Resume => self.change_setting(),
            Step::Restore => self.restore_setting(),
        };
        match done {
            Ok(()) => {
                self.troubles.remove("syncookies");
            }
            Err(refusal) => {
                self.trouble("syncookies", refusal.message);
                if step != Step::Stay {
                    return Ok(());
                }
                // The kernel accepts no cookies any more: whoever were answered would be locked out.
                step = Step::End;
            }
        }
        self.terrain.switch = before.done(step, now);
        self.terrain.ground.answers = self.terrain.switch.answers();
        let text = match step {
            Step::Stay => return Ok(()),
            Step::Begin | Step::Resume => {
                "SYNs are answered with cookies; net.ipv4.tcp_syncookies is 2 meanwhile"
            }
            Step::End => "SYNs are not answered any more; those that were have two minutes",
            Step::Restore => "net.ipv4.tcp_syncookies is as it was before SYNs were answered",
        };
        if step == Step::End
            && let Err(refusal) = self.put_settings()
        {
            self.terrain.switch = before;
            self.terrain.ground.answers = before.answers();
            return Err(refusal);
        }
        self.tell(&Actor::Daemon, "cookies.switched", text);
        Ok(())
    }

    /// Keeps what the setting was, on the disk, and only then changes it; or in memory, if the disk
    /// takes nothing: a flood that fills it with logs must not end what stops the flood.
    fn change_setting(&mut self) -> Result<(), Refusal> {
        let folder = self.config.paths.state.clone();
        let old = self.host.syncookies().map_err(unreadable)?;
        let kept = syncookies::read(&folder).ok().flatten();
        let kept = kept.or_else(|| self.terrain.unkept.clone());
        // What is kept is older than what this daemon wrote.
        if kept.is_none() || old != ALWAYS {
            let netns = self.terrain.network.netns;
            let new = Kept::new(old, netns);
            match (self.keep_aside(&new), kept.filter(|kept| kept.is_of(netns))) {
                (Some(Ok(())), _) => {
                    self.terrain.unkept = None;
                    self.troubles.remove(UNKEPT);
                }
                // What it was before is not lost, and a full disk is no reason to answer nobody.
                (Some(Err(error)), Some(kept)) => self.trouble(
                    UNKEPT,
                    format!(
                        "somebody set net.ipv4.tcp_syncookies to {old} while SYNs are answered, and that \
                         could not be kept in {} ({error}): it will be {} again",
                        folder.display(),
                        kept.value
                    ),
                ),
                (failed @ (Some(Err(_)) | None), _) => {
                    let why = match failed {
                        Some(Err(error)) => error.to_string(),
                        _ => "the disk is slow".to_owned(),
                    };
                    self.terrain.unkept = Some(new);
                    self.trouble(
                        UNKEPT,
                        format!(
                            "SYNs are answered, and that net.ipv4.tcp_syncookies was {old} could not \
                             be kept in {} ({why}): it will be {old} again, unless floodwall is \
                             killed before there is room",
                            folder.display()
                        ),
                    );
                }
            }
        }
        self.host.set_syncookies(ALWAYS).map_err(|error| {
            failed(format!(
                "SYNs are not answered, for net.ipv4.tcp_syncookies cannot be set to {ALWAYS}: {error}"
            ))
        })
    }

    /// Keeps what the setting was, on a thread of its own; `None` if that takes longer than a healthy
    /// disk does. What is under way is waited for first, and does for the same value alone.
    fn keep_aside(&mut self, kept: &Kept) -> Option<io::Result<()>> {
        let mut under_way = self.terrain.writing.take();
        if let Some(other) = under_way.take_if(|it| it.kept() != kept)
            && other.wait(HEALTHY).is_none()
        {
            self.terrain.writing = Some(other);
            return None;
        }
        let writing = match under_way {
            Some(writing) => writing,
            None => match Writing::begin(&self.config.paths.state, kept) {
                Ok(writing) => writing,
                Err(error) => return Some(Err(error)),
            },
        };
        let result = writing.wait(HEALTHY);
        if result.is_none() {
            self.terrain.writing = Some(writing);
        }
        result
    }

    /// Somebody may have set it meanwhile, as a reload of all sysctls does.
    fn keep_setting(&mut self) -> Result<(), Refusal> {
        if let Some(kept) = self.terrain.unkept.clone()
            && matches!(self.keep_aside(&kept), Some(Ok(())))
        {
            self.terrain.unkept = None;
            self.troubles.remove(UNKEPT);
        }
        if self.host.syncookies().map_err(unreadable)? == ALWAYS {
            return Ok(());
        }
        self.change_setting()
    }

    fn restore_setting(&mut self) -> Result<(), Refusal> {
        // Else it would be kept after it was forgotten.
        if let Some(writing) = self.terrain.writing.take()
            && writing.wait(HEALTHY).is_none()
        {
            self.terrain.writing = Some(writing);
            return Err(failed(
                "net.ipv4.tcp_syncookies is put back as soon as the disk has taken what it was",
            ));
        }
        let folder = &self.config.paths.state;
        let netns = self.terrain.network.netns;
        let host = &mut self.host;
        let unkept = self.terrain.unkept.as_ref();
        let put_back = match unkept.filter(|kept| kept.is_of(netns)) {
            // What was written meanwhile, or before it, must not be found by the next start.
            Some(kept) => host
                .set_syncookies(kept.value)
                .and_then(|()| syncookies::remove(folder)),
            None => {
                syncookies::put_back(folder, netns, |value| host.set_syncookies(value)).map(drop)
            }
        };
        put_back.map_err(|error| {
            failed(format!(
                "net.ipv4.tcp_syncookies could not be put back ({error}); it will be tried again"
            ))
        })?;
        self.terrain.unkept = None;
        self.troubles.remove(UNKEPT);
        Ok(())
    }

    /// Leaves no setting changed that nobody needs: there may be no other start for long. What the
    /// controller holds ends with it.
    pub(super) fn end_draining(&mut self) {
        let ends = self.terrain.switch.answers() && self.terrain.ground.answers_held;
        if ends {
            self.terrain.ground.answers = false;
            if let Err(refusal) = self.put_settings() {
                tracing::error!("{refusal}");
                return;
            }
        }
        if (ends || matches!(self.terrain.switch, Switch::Draining(_)))
            && let Err(refusal) = self.restore_setting()
        {
            tracing::error!("{refusal}");
            self.restore_unkept();
        }
    }

    /// Sets what is in memory alone, which nobody knows after the end, also while the disk hangs. If
    /// that write is done after all, the next start sets the same once more.
    fn restore_unkept(&mut self) {
        let netns = self.terrain.network.netns;
        let unkept = self.terrain.unkept.as_ref();
        if let Some(kept) = unkept.filter(|kept| kept.is_of(netns))
            && let Err(error) = self.host.set_syncookies(kept.value)
        {
            tracing::error!(
                "net.ipv4.tcp_syncookies could not be put back ({error}): sysctl -w \
                 net.ipv4.tcp_syncookies={}",
                kept.value
            );
        }
    }

    /// Switches cookies off at ports where valid ones come back and no connection follows.
    pub(super) fn prove_life(&mut self, now: Instant) -> Result<(), Refusal> {
        self.give_back(now)?;
        self.listen_for_silence(now)?;
        let ports = self.defended_ports();
        if ports.is_empty() || !self.terrain.sees_handshakes {
            self.terrain.life.rest();
            return Ok(());
        }
        let cookies = self.plane.cookie_ports(&ports).map_err(failed)?;
        let readings: Vec<_> = ports.into_iter().zip(cookies).collect();
        // Where not all of them are seen, those that never were prove nothing.
        let sees_all = self.terrain.partial.is_none();
        let lifeless = self.terrain.life.observe(now, &readings, sees_all);
        if lifeless.is_empty() {
            return Ok(());
        }
        let since = clock::now();
        let mut changes = Vec::new();
        for port in &lifeless {
            let pause = self.terrain.life.fail(*port);
            if let Some(set) = self.state.cookie_ports.get(port) {
                let before = (now + pause, set.clone());
                self.terrain.suspended.insert(*port, before);
            }
            let set = Set {
                value: false,
                by: WATCH.to_owned(),
                since,
                until: Some(since + pause),
            };
            changes.push(Change::CookiePort(*port, Some(set)));
        }
        let text = self.lifeless(&lifeless);
        tracing::error!("{text}");
        self.carry_out(changes, &Actor::Daemon, "cookies.failed", &text)?;
        self.recompose();
        self.write_tables()
    }

    /// Has nothing answered where answers reach nobody.
    fn listen_for_silence(&mut self, now: Instant) -> Result<(), Refusal> {
        /// Ports that are looked at: a look is a call for each.
        const MOST: usize = 256;
        // Where nobody tells of handshakes, calm and silence are the same.
        let Some(composed) = self.terrain.composed.as_ref() else {
            return Ok(());
        };
        if !self.terrain.sees_handshakes {
            return Ok(());
        }
        let ports: Vec<u16> = composed.get(PortSet::TcpOpen).iter().take(MOST).collect();
        let readings = self.plane.cookie_ports(&ports).map_err(failed)?;
        let answers = self.terrain.switch.answers();
        let mut count = Count::default();
        for reading in readings {
            count.accepted = count.accepted.saturating_add(reading.accepted);
            count.completed = count.completed.saturating_add(reading.completed);
        }
        if answers {
            let counters = self.plane.counters().map_err(failed)?;
            count.answered = happened(&counters, Reason::CookieAnswered).packets;
        }
        if self.terrain.silence.observe(now, answers, count) {
            tracing::error!("{}", silence::SAID);
            self.tell(&Actor::Daemon, "cookies.failed", silence::SAID);
        }
        Ok(())
    }

    /// What an operator set is in force again where a pause has ended, unless somebody said otherwise
    /// meanwhile.
    fn give_back(&mut self, now: Instant) -> Result<(), Refusal> {
        let paused = &self.state.cookie_ports;
        let over = |port: &u16| paused.get(port).is_none_or(|set| set.by != WATCH);
        let ended = self.terrain.suspended.extract_if(.., |port, _| over(port));
        let is_over = |until: &Option<_>| until.is_some_and(|until| until <= clock::now());
        let changes: Vec<Change> = ended
            .filter(|(port, (until, set))| {
                *until <= now && !paused.contains_key(port) && !is_over(&set.until)
            })
            .map(|(port, (_, set))| Change::CookiePort(port, Some(set)))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let text = "what was set of cookies at ports is in force again after a pause";
        self.carry_out(changes, &Actor::Daemon, "cookies.resumed", text)?;
        self.recompose();
        self.write_tables()
    }

    fn lifeless(&self, ports: &[u16]) -> String {
        let list: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let known = self.terrain.known.as_ref();
        let translates = known.is_some_and(|known| !known.translated.words.is_empty());
        format!(
            "cookies are off for a while at TCP {}: valid ones came back from several sources, and no \
             connection came of them for a second. To blame is likely: {}. They are tried again by \
             themselves; once that is mended, at once with `floodwall defence set cookies on --port \
             {}`",
            list.join(", "),
            blame(self.terrain.network.strict_conntrack, translates),
            list.join(" --port "),
        )
    }

    /// What an operator should know of cookies.
    pub(super) fn cookie_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let set = self.state.cookie_ports.iter();
        let failed: Vec<u16> = set
            .filter(|(_, set)| set.by == WATCH)
            .map(|(port, _)| *port)
            .collect();
        if !failed.is_empty() {
            warnings.push(self.lifeless(&failed));
        }
        if self.terrain.switch.answers() && !self.terrain.ground.timestamps {
            warnings.push(
                "connections that are opened while SYNs are answered have neither window scaling nor \
                 SACK, for the kernel's timestamps have a secret offset: sysctl -w \
                 net.ipv4.tcp_timestamps=2"
                    .to_owned(),
            );
        }
        if self.terrain.switch.answers() && !self.terrain.sees_handshakes {
            warnings.push(
                "SYNs are answered, and whether connections come of it is not seen: watch that \
                 clients get through"
                    .to_owned(),
            );
        }
        let unseen: Vec<String> = self
            .terrain
            .life
            .unseen()
            .iter()
            .map(u16::to_string)
            .collect();
        if !unseen.is_empty() {
            warnings.push(format!(
                "SYNs to TCP {} are answered, and whether connections come of it is not seen, for only \
                 processes of this container's control group are: watch that clients get through, or \
                 name the host's cgroup2 with [paths] cgroup",
                unseen.join(", ")
            ));
        }
        warnings
    }
}

fn unreadable(error: io::Error) -> Refusal {
    failed(format!("net.ipv4.tcp_syncookies cannot be read: {error}"))
}
