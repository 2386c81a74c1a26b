//! The start: what is kept goes back into the kernel, and nothing that was there gets lost.

use std::collections::BTreeMap;

use filter_common::{
    abi::{defence::Defence, entry::EntryValue, reason::Reason, settings::Settings},
    logic::hash::HashKey,
};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::{
    album::Album,
    calendar::Calendar,
    controller::Driver,
    handle::Handle,
    known::{self, Keeping},
    meter::Meter,
    rounds::Next,
    rulebook::Rulebook,
    services::Protected,
    sets::Members,
    state::{Daemon, Source, failed},
    story::{self, Story},
    tables::{Moment, Move, Tables},
    terrain::Terrain,
    trial::InForce,
    unwritten::{Told, Unwritten, unchanged},
    uplinks::Remembered,
};
use crate::{
    api::types::{ListKind, Mode},
    clock,
    config::Config,
    core::{
        actor::Actor,
        decide::mode_text,
        guard::{self, Before},
        lists::{self, End, Note},
        refusal::Refusal,
        settings::{self, Fixed},
        state::{Change, ModeChoice, Set},
        trial::Standing,
    },
    dataplane::Dataplane,
    host::{self, surroundings::Surroundings},
    store::{Restored, Store},
};

impl<D: Dataplane> Daemon<D> {
    /// Fills the maps with what is kept, and changes nothing on any interface.
    pub fn prepare(
        mut plane: D,
        taken_over: bool,
        (store, restored): (Store, Restored),
        config: Config,
        source: Source,
        mut host: Box<dyn Surroundings>,
        handle: Handle,
    ) -> Result<Self, Refusal> {
        let found = plane.settings().map_err(failed)?;
        let moment = Moment {
            now: clock::now(),
            tick: plane.tick().map_err(failed)?,
            hz: plane.hz(),
        };
        let in_force = InForce::of(config, &source, &restored.state, (&found, moment))?;
        let (config, is_mended) = (in_force.config, in_force.is_mended);
        let loaded = plane.program().map_err(failed)?.features;
        // Only what is lost of the state itself is asked back from the kernel.
        let is_damaged = restored.is_unreconciled || !restored.losses.is_empty();
        let mut losses = restored.losses;
        let kept = if taken_over {
            None
        } else {
            known::kept(store.folder(), &mut losses)
        };
        // What is lost of history says nothing of entries.
        let mut untold = Vec::new();
        let story = Story::start(store.folder(), &config, clock::now(), &mut untold)?;
        let story::Kept {
            story,
            interrupted,
            last_end,
        } = story;
        let key = match &kept {
            Some(kept) => kept.key,
            None if taken_over => found.key,
            None => new_key()?,
        };
        let fixed = Fixed {
            key,
            hz: plane.hz(),
            cpus: host::cpus(),
        };
        let tables = Tables::new(&mut plane, key).map_err(failed)?;
        let facts = host.facts();
        let lifelines = settings::lifelines(&config, &facts.ssh_ports, fixed.hz)?;
        let now = clock::monotonic();
        let folder = store.folder().to_owned();
        let day = kept.as_ref().map_or(found.day, |kept| kept.day);
        let is_unreconciled = restored.is_unreconciled;
        // New maps have counted nothing.
        let slots = if taken_over {
            store.slots().map_err(failed)?
        } else {
            BTreeMap::new()
        };
        let remembered = Remembered::read(store.folder(), &mut losses);
        let driver = Driver::new(&config.detection, story.memory().clone(), now);
        let mut daemon = Self {
            plane,
            store,
            state: restored.state,
            config,
            text: in_force.text,
            config_before: in_force.before,
            source,
            facts,
            host,
            terrain: Terrain::new(now),
            fixed,
            tables,
            rulebook: Rulebook {
                bank: found.bank(),
                is_empty: false,
                slots,
                before: None,
            },
            services: Protected::default(),
            features: loaded,
            placed: Members::default(),
            approximate_owners: 0,
            settings: found,
            held: None,
            before: None,
            confirm_by: 0,
            unconfirmed: None,
            last: None,
            emergency: 0,
            lifelines,
            protection: BTreeMap::new(),
            remembered,
            meter: Meter::default(),
            album: Album::default(),
            driver,
            handle,
            since: clock::now(),
            losses,
            troubles: BTreeMap::new(),
            keeping: Keeping::new(folder, day, now),
            story,
            next: Next::new(now),
            unwritten: Unwritten::default(),
            calendar: Calendar::new(clock::now(), now),
        };
        if let Some(kept) = kept {
            daemon.plane.set_known(&kept.lines).map_err(failed)?;
        }
        daemon.forget_days(now)?;
        if taken_over {
            daemon.terrain.ground.solicited_since = found.solicited_since;
        }
        daemon.survey(now)?;
        let answered = taken_over && found.defences_always & Defence::Cookies.bit() != 0;
        let held_until = if taken_over { found.held_until } else { 0 };
        // What is held outlasts its incident by minutes, and the daemon may have been gone for long.
        let held_end = moment.time(held_until);
        let is_told = last_end.is_some_and(|end| held_end.duration_since(end) < LINGER);
        if held_until > 0 && interrupted.is_empty() && !is_told {
            untold.push(UNTOLD_INCIDENT.to_owned());
        }
        daemon.state.bound_pauses(moment.now);
        daemon.resume_cookies(answered, held_until)?;
        for loss in daemon.losses.clone() {
            tracing::error!("{loss}");
            daemon.tell(&Actor::Daemon, "state.damaged", &loss);
        }
        if taken_over {
            daemon.adopt_emergency(&found)?;
            if is_damaged {
                daemon.recover_mode(&found)?;
            }
        }
        daemon.resume_trial(&found)?;
        if is_mended {
            let text = "the file was changed since nobody confirmed it, and is in force";
            let changes = vec![Change::Unconfirmed(None)];
            daemon.keep(changes, &Actor::Daemon, "config.changed", text)?;
        }
        // A program that runs already needs the bits of its sets from the first line written on.
        let built = daemon.builder().map(|build| build()).transpose()?;
        if let Some(built) = &built {
            daemon.tables.expect_sets(built.near());
        }
        daemon.restore_entries(taken_over, is_damaged)?;
        daemon.fit_rules()?;
        daemon.grow_program()?;
        if let Some(built) = built {
            daemon.place(built)?;
        }
        let moment = daemon.moment()?;
        daemon.hush_services()?;
        daemon.resume_rules(&found, moment)?;
        daemon.put_rules(moment)?;
        daemon.put_protocols()?;
        daemon.put_settings()?;
        daemon.put_services()?;
        daemon.keep_slots();
        if is_unreconciled && let Err(error) = daemon.store.reconciled() {
            // The next start asks the kernel once more: it has nothing else by then.
            daemon.trouble("reconciling", error.to_string());
        }
        daemon.put_lifelines()?;
        daemon.refresh_facts();
        daemon.close_interrupted(interrupted, untold);
        Ok(daemon)
    }

    /// Somebody went to monitor mode while no daemon answered: that is an override like any other.
    pub(super) fn adopt_emergency(&mut self, found: &Settings) -> Result<(), Refusal> {
        if found.emergency == self.emergency {
            return Ok(());
        }
        let since = i64::try_from(found.emergency)
            .ok()
            .filter(|since| *since > 0);
        let since = since
            .and_then(|since| Timestamp::from_second(since).ok())
            .unwrap_or_else(clock::now);
        let set = Set {
            value: ModeChoice {
                mode: Mode::Monitor,
                reasons: Vec::new(),
            },
            by: "`floodwall mode monitor` without a daemon".to_owned(),
            since,
            until: None,
        };
        let mut changes = vec![Change::Mode(Some(set))];
        if let Some(mut trial) = self.state.trial.clone() {
            trial.keep_mode();
            changes.push(Change::Trial(Some(trial)));
        }
        let text = "mode is monitor, set while no daemon answered";
        tracing::warn!("{text}");
        self.keep(changes, &Actor::Daemon, "mode.set", text)?;
        self.emergency = found.emergency;
        Ok(())
    }

    /// After damage to the state, or its loss, what the kernel enforced stays in force, for the
    /// mode may have been among what was lost.
    fn recover_mode(&mut self, found: &Settings) -> Result<(), Refusal> {
        let drops = Reason::all_drops();
        let enforced = found.enforced & drops;
        let file = settings::mode(&self.config, &self.state);
        // A mode that is kept was not lost.
        if self.state.mode.is_some() || enforced == file.enforced() {
            return Ok(());
        }
        let value = ModeChoice {
            mode: if enforced == 0 {
                Mode::Monitor
            } else {
                Mode::Enforce
            },
            reasons: Reason::ALL
                .iter()
                .copied()
                .filter(|reason| enforced != drops && enforced & reason.bit() != 0)
                .collect(),
        };
        let text = format!(
            "mode {} was recovered from the kernel's settings; the file says {}",
            mode_text(&value),
            mode_text(&file)
        );
        tracing::warn!("{text}");
        self.losses.push(text.clone());
        let set = Set {
            value,
            by: "recovered from the kernel".to_owned(),
            since: self.since,
            until: None,
        };
        let change = Change::Mode(Some(set));
        self.keep(vec![change], &Actor::Daemon, "state.recovered", &text)
    }

    /// Puts every entry that is kept into the kernel's lists, and takes out what is not. After
    /// damage to the state, or its loss, what the kernel still has is taken over instead.
    ///
    /// All that the kernel has is known before anything is written, for a line of the gate is
    /// written as a whole.
    fn restore_entries(&mut self, taken_over: bool, is_damaged: bool) -> Result<(), Refusal> {
        let moment = self.moment()?;
        let mut present: BTreeMap<(ListKind, IpNet), EntryValue> = BTreeMap::new();
        for kind in ListKind::ALL.into_iter().filter(|_| taken_over) {
            for (key, value) in self.plane.entries(kind.id()).map_err(failed)? {
                if let Some(prefix) = lists::prefix(&key) {
                    self.tables.adopt(kind, &prefix);
                    present.insert((kind, prefix), value);
                }
            }
        }
        let ends = |tick: u64| -> End { (tick != EntryValue::NEVER).then(|| moment.time(tick)) };
        let stood = |value: EntryValue| Standing {
            end: ends(value.until),
            absent: value.absent,
        };
        if is_damaged {
            for kind in ListKind::ALL {
                self.recover(kind, &present, ends)?;
            }
        }
        self.fit_entries();
        self.adopt_bans(&present, ends);
        let mut kept: Vec<Move> = Vec::new();
        for kind in ListKind::ALL {
            let mut prefixes = self.state.list(kind).prefixes();
            if let Some(trial) = &self.state.trial {
                let entries = trial.inverse.entries.keys();
                let removed = entries.filter(|(of, _)| *of == kind);
                prefixes.extend(removed.map(|(_, prefix)| *prefix));
                prefixes.sort_unstable();
                prefixes.dedup();
            }
            kept.extend(prefixes.into_iter().map(|prefix| Move {
                kind,
                prefix,
                before: present.remove(&(kind, prefix)).map(stood),
                after: self.state.standing(kind, &prefix),
            }));
        }
        let gone = present.into_iter().map(|((kind, prefix), value)| Move {
            kind,
            prefix,
            before: Some(stood(value)),
            after: None,
        });
        let mut moves: Vec<Move> = gone.chain(kept).collect();
        self.order(&mut moves);
        self.tables
            .carry(&mut self.plane, &moves, moment)
            .map_err(failed)
    }

    /// Bans that the kernel has with an end ahead, and nobody keeps, are an earlier daemon's controller's:
    /// they go on until then, for who was banned a moment ago is no better now, and a kernel that
    /// forgot them would have to be shown again. Nothing that is protected is among them.
    fn adopt_bans(
        &mut self,
        present: &BTreeMap<(ListKind, IpNet), EntryValue>,
        ends: impl Fn(u64) -> End,
    ) {
        let (room, _) = self.config.tables.room(ListKind::Ban);
        for ((kind, prefix), value) in present {
            let bans = self.state.list(ListKind::Ban);
            let is_live = |until: &Timestamp| *until > self.since;
            let (ListKind::Ban, Some(until)) = (kind, ends(value.until).filter(is_live)) else {
                continue;
            };
            if bans.end(prefix).is_some() || bans.entries() >= room as usize {
                continue;
            }
            let before = Before {
                list: bans,
                without: None,
            };
            if guard::harm(ListKind::Ban, &[*prefix], before, &self.config, &self.facts).is_some() {
                continue;
            }
            let note = Note {
                reason: "banned before the restart".to_owned(),
                by: Actor::Controller.to_string(),
                since: self.since,
                until: Some(until),
            };
            let _ = self
                .state
                .apply(Change::Manual(ListKind::Ban, *prefix, Some(note)));
        }
    }

    fn recover(
        &mut self,
        kind: ListKind,
        present: &BTreeMap<(ListKind, IpNet), EntryValue>,
        ends: impl Fn(u64) -> End,
    ) -> Result<(), Refusal> {
        let list = self.state.list(kind);
        let changes: Vec<Change> = present
            .iter()
            .filter(|((of, prefix), _)| *of == kind && list.end(prefix).is_none())
            .map(|((_, prefix), value)| {
                let note = Note {
                    reason: "recovered from the kernel's tables".to_owned(),
                    by: Actor::Daemon.to_string(),
                    since: self.since,
                    until: ends(value.until),
                };
                Change::Manual(kind, *prefix, Some(note))
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let text = format!(
            "{} entries of the {kind} were recovered from the kernel's tables; imported lists \
             among them are entries by hand now",
            changes.len()
        );
        tracing::warn!("{text}");
        self.losses.push(text.clone());
        self.keep(changes, &Actor::Daemon, "state.recovered", &text)
    }

    /// Changes memory and store, for what the kernel already has.
    pub(super) fn keep(
        &mut self,
        changes: Vec<Change>,
        by: &Actor,
        kind: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        let at = clock::now();
        let told = Told { at, by, kind, text };
        let written = self
            .write_down()
            .and_then(|()| self.store.begin())
            .and_then(|()| {
                let written = self
                    .store
                    .write(&changes)
                    .and_then(|()| self.store.journal(at, by, kind, text))
                    .and_then(|event| self.store.commit().map(|()| event));
                written.inspect_err(|_| self.store.rollback())
            });
        match written {
            Ok(event) => self.handle.publish(event),
            Err(error) if self.may_wait(&changes, told) => {
                self.wait_for_disk(&error, &changes, told);
            }
            Err(error) => return Err(unchanged(&error)),
        }
        for change in changes {
            let _ = self.state.apply(change);
        }
        Ok(())
    }
}

/// How long something may be held behind the end of its incident.
const LINGER: SignedDuration = SignedDuration::from_mins(10);
/// What is said where the kernel knows of an incident that no file does: a daemon that ends in order
/// writes it, and one that saw it end holds nothing.
const UNTOLD_INCIDENT: &str = "the last floodwall ended amid an incident that it could not write to the \
    disk, which was full or slow: what it held against it fades within seconds, its bans go on until \
    their end, and `floodwall events` has what could be noted";

fn new_key() -> Result<HashKey, Refusal> {
    let mut random = [0; 4];
    for word in &mut random {
        *word = getrandom::u64().map_err(|error| {
            Refusal::failed(format!("the kernel gives no random numbers: {error}"))
        })?;
    }
    Ok(HashKey::from_random(random))
}
