//! The daemon's own: everything that changes, on one thread.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use filter_common::{
    abi::{entry::EntryValue, lifeline::Lifelines, settings::Settings},
    logic::hash::HashKey,
};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    album::Album,
    handle::Handle,
    interfaces::Protection,
    meter::Meter,
    tables::{Moment, Move, Tables},
};
use crate::{
    api::types::{ListKind, Mode},
    clock,
    config::Config,
    core::{
        actor::Actor,
        facts::Facts,
        lists::{self, End, Note},
        refusal::Refusal,
        settings::{self, Fixed},
        state::{Change, ModeChoice, Set, State},
        why::session_key,
    },
    dataplane::{Dataplane, DataplaneError},
    store::{Restored, Store},
};

/// The configuration, and how to read it again.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file; none if the daemon was started without.
    pub file: Option<PathBuf>,
    /// What the command line says instead of the file.
    pub interfaces: Vec<String>,
    /// Likewise.
    pub mode: Option<Mode>,
    /// Likewise, for `paths.socket`.
    pub socket: Option<PathBuf>,
    /// Likewise, for `paths.bpf`.
    pub bpf: Option<PathBuf>,
}

impl Source {
    /// Reads the configuration.
    pub fn load(&self) -> Result<Config, Refusal> {
        let mut config = match &self.file {
            Some(file) => Config::load(file).map_err(|error| Refusal::failed(error.to_string()))?,
            None => Config::default(),
        };
        if !self.interfaces.is_empty() {
            config.interfaces.clone_from(&self.interfaces);
        }
        if let Some(mode) = self.mode {
            config.mode = mode;
        }
        if let Some(socket) = &self.socket {
            config.paths.socket.clone_from(socket);
        }
        if let Some(bpf) = &self.bpf {
            config.paths.bpf.clone_from(bpf);
        }
        Ok(config)
    }
}

/// Everything that changes.
pub struct Daemon<D> {
    pub(super) plane: D,
    pub(super) store: Store,
    pub(super) state: State,
    pub(super) config: Config,
    pub(super) source: Source,
    pub(super) facts: Facts,
    /// Looks at the host.
    look: fn() -> Facts,
    pub(super) fixed: Fixed,
    pub(super) tables: Tables,
    pub(super) settings: Settings,
    pub(super) lifelines: Lifelines,
    pub(super) protection: BTreeMap<String, Protection>,
    pub(super) meter: Meter,
    pub(super) album: Album,
    pub(super) handle: Handle,
    pub(super) since: Timestamp,
    /// What went wrong at start and stays worth knowing.
    pub(super) losses: Vec<String>,
    /// What goes wrong again and again, by what was tried; said once.
    pub(super) troubles: BTreeMap<&'static str, String>,
    next: Next,
}

/// When periodic work is due.
#[derive(Debug)]
struct Next {
    reading: Instant,
    second: Instant,
    look: Instant,
}

/// Between looks at the host: how long a new session of an administrator is like any other.
const LOOK: Duration = Duration::from_secs(2);
/// Between readings of counters and samples.
const READING: Duration = Duration::from_millis(100);

impl<D: Dataplane> Daemon<D> {
    /// Fills the maps with what is kept, and changes nothing on any interface.
    pub fn prepare(
        mut plane: D,
        taken_over: bool,
        (store, restored): (Store, Restored),
        config: Config,
        source: Source,
        look: fn() -> Facts,
        handle: Handle,
    ) -> Result<Self, Refusal> {
        let found = plane.settings().map_err(failed)?;
        let key = if taken_over { found.key } else { new_key()? };
        let fixed = Fixed {
            key,
            hz: plane.hz(),
        };
        let tables = Tables::new(&mut plane, key).map_err(failed)?;
        let facts = look();
        let lifelines = settings::lifelines(&config, &facts.ssh_ports, fixed.hz)?;
        let now = clock::monotonic();
        let is_new = restored.is_new;
        let mut daemon = Self {
            plane,
            store,
            state: restored.state,
            config,
            source,
            facts,
            look,
            fixed,
            tables,
            settings: found,
            lifelines,
            protection: BTreeMap::new(),
            meter: Meter::default(),
            album: Album::default(),
            handle,
            since: clock::now(),
            losses: restored.losses,
            troubles: BTreeMap::new(),
            next: Next {
                reading: now,
                second: now,
                look: now + LOOK,
            },
        };
        for loss in daemon.losses.clone() {
            tracing::error!("{loss}");
            daemon.tell(&Actor::Daemon, "state.damaged", &loss);
        }
        if taken_over {
            daemon.adopt_emergency(&found)?;
        }
        daemon.restore_entries(taken_over, is_new)?;
        daemon.put_settings()?;
        daemon.put_lifelines()?;
        daemon.refresh_facts();
        Ok(daemon)
    }

    /// Somebody went to monitor mode while no daemon ran: that is an override like any other.
    fn adopt_emergency(&mut self, found: &Settings) -> Result<(), Refusal> {
        let since = i64::try_from(found.emergency)
            .ok()
            .filter(|since| *since > 0);
        let Some(since) = since.and_then(|since| Timestamp::from_second(since).ok()) else {
            return Ok(());
        };
        let set = Set {
            value: ModeChoice {
                mode: Mode::Monitor,
                reasons: Vec::new(),
            },
            by: "`floodwall mode monitor` without a daemon".to_owned(),
            since,
            until: None,
        };
        let text = "mode is monitor, set while no daemon ran";
        self.keep(
            vec![Change::Mode(Some(set))],
            &Actor::Daemon,
            "mode.set",
            text,
        )
    }

    /// Puts every entry that is kept into the kernel's lists, and takes out what is not. After
    /// damage to the state, or its loss, what the kernel still has is taken over instead.
    ///
    /// All that the kernel has is known before anything is written, for a line of the gate is
    /// written as a whole.
    fn restore_entries(&mut self, taken_over: bool, is_new: bool) -> Result<(), Refusal> {
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
        if is_new || !self.losses.is_empty() {
            for kind in ListKind::ALL {
                self.recover(kind, &present, ends)?;
            }
        }
        let mut kept: Vec<Move> = Vec::new();
        for kind in ListKind::ALL {
            let list = self.state.list(kind);
            kept.extend(list.prefixes().into_iter().map(|prefix| {
                Move {
                    kind,
                    prefix,
                    before: present
                        .remove(&(kind, prefix))
                        .map(|value| ends(value.until)),
                    after: list.end(&prefix),
                }
            }));
        }
        // What goes makes room for what comes.
        let gone = present.into_iter().map(|((kind, prefix), value)| Move {
            kind,
            prefix,
            before: Some(ends(value.until)),
            after: None,
        });
        let moves: Vec<Move> = gone.chain(kept).collect();
        self.tables
            .carry(&mut self.plane, &moves, moment)
            .map_err(failed)
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
    fn keep(
        &mut self,
        changes: Vec<Change>,
        by: &Actor,
        kind: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        self.store.begin().map_err(failed)?;
        let written = self
            .store
            .write(&changes)
            .and_then(|()| self.store.journal(clock::now(), by, kind, text))
            .and_then(|event| self.store.commit().map(|()| event));
        match written {
            Ok(event) => {
                for change in changes {
                    let _ = self.state.apply(change);
                }
                self.handle.publish(event);
                Ok(())
            }
            Err(error) => {
                self.store.rollback();
                Err(failed(error))
            }
        }
    }

    /// Both clocks, now.
    pub(super) fn moment(&mut self) -> Result<Moment, Refusal> {
        let tick = self.plane.tick().map_err(failed)?;
        Ok(Moment {
            now: clock::now(),
            tick,
            hz: self.fixed.hz,
        })
    }

    /// Carries changes out: memory, store, kernel; all, or none.
    pub(super) fn carry_out(
        &mut self,
        changes: Vec<Change>,
        by: &Actor,
        kind: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        let moment = self.moment()?;
        // Each prefix once, however many changes speak of it.
        let mut prefixes: Vec<(ListKind, IpNet)> = changes
            .iter()
            .flat_map(|change| change.prefixes(&self.state))
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let end = |state: &State, (kind, prefix): &(ListKind, IpNet)| state.list(*kind).end(prefix);
        let before: Vec<Option<End>> = prefixes
            .iter()
            .map(|place| end(&self.state, place))
            .collect();
        let mut inverse: Vec<Change> = changes
            .iter()
            .map(|change| self.state.apply(change.clone()))
            .collect();
        inverse.reverse();
        let mut moves: Vec<Move> = prefixes
            .iter()
            .zip(before)
            .map(|(place, before)| Move {
                kind: place.0,
                prefix: place.1,
                before,
                after: end(&self.state, place),
            })
            .filter(|step| step.before != step.after)
            .collect();
        let goes_first = !self.has_room_for_both(&moves);
        moves.sort_by_key(|step| step.after.is_none() != goes_first);

        let result = self.write_all(&changes, &moves, moment, by, kind, text);
        if result.is_err() {
            for change in inverse {
                let _ = self.state.apply(change);
            }
        }
        result
    }

    /// Whether the tables hold what comes beside what goes. If so, what comes is there first, and
    /// an address that both cover is covered throughout.
    fn has_room_for_both(&self, moves: &[Move]) -> bool {
        let room = &self.config.tables;
        [(ListKind::Allow, room.allow), (ListKind::Block, room.block)]
            .into_iter()
            .all(|(kind, room)| {
                let new = moves
                    .iter()
                    .filter(|step| step.kind == kind && step.before.is_none());
                self.tables.entries(kind) + new.count() as u64 <= u64::from(room)
            })
    }

    fn write_all(
        &mut self,
        changes: &[Change],
        moves: &[Move],
        moment: Moment,
        by: &Actor,
        kind: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        self.store.begin().map_err(failed)?;
        let written = self
            .store
            .write(changes)
            .and_then(|()| self.store.journal(moment.now, by, kind, text));
        let event = match written {
            Ok(event) => event,
            Err(error) => {
                self.store.rollback();
                return Err(failed(error));
            }
        };
        if let Err(error) = self.tables.carry(&mut self.plane, moves, moment) {
            self.store.rollback();
            return Err(failed(error));
        }
        let old = self.settings;
        let committed = self
            .put_settings()
            .and_then(|()| self.store.commit().map_err(failed));
        if let Err(refusal) = committed {
            self.tables.take_back(&mut self.plane, moves, moment);
            if let Err(error) = self.plane.set_settings(&old) {
                tracing::error!("taking settings back: {error}");
            }
            self.settings = old;
            self.store.rollback();
            return Err(refusal);
        }
        self.handle.publish(event);
        Ok(())
    }

    /// Writes the settings that configuration and overrides ask for.
    pub(super) fn put_settings(&mut self) -> Result<(), Refusal> {
        let open = self.tables.is_gate_open_v6();
        let settings = settings::settings(
            &self.config,
            &self.state,
            self.fixed,
            &self.facts.ssh_ports,
            open,
        )?;
        self.plane.set_settings(&settings).map_err(failed)?;
        self.settings = settings;
        Ok(())
    }

    /// Adds an event to the journal and tells followers. A journal that cannot be written is
    /// trouble, but no reason to stop.
    pub(super) fn tell(&mut self, by: &Actor, kind: &str, text: &str) {
        tracing::info!(kind, by = %by, "{text}");
        match self.store.journal(clock::now(), by, kind, text) {
            Ok(event) => {
                self.troubles.remove("journal");
                self.handle.publish(event);
            }
            Err(error) => self.trouble("journal", error.to_string()),
        }
    }

    /// Notes trouble, and logs it if it is new.
    pub(super) fn trouble(&mut self, what: &'static str, text: String) {
        if self.troubles.get(what) != Some(&text) {
            tracing::error!("{text}");
            self.troubles.insert(what, text);
        }
    }

    /// Does what is due; tells how long to wait until something is.
    pub fn work(&mut self) -> Duration {
        let now = clock::monotonic();
        if now >= self.next.reading {
            self.next.reading = now + READING;
            self.read(now);
        }
        if now >= self.next.second {
            self.next.second = now + Duration::from_secs(1);
            self.expire();
            self.keep_protected();
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
        match self.plane.counters() {
            Ok(counters) => {
                self.troubles.remove("counters");
                self.meter.read(now, counters);
            }
            Err(error) => self.trouble("counters", error.to_string()),
        }
        let album = &mut self.album;
        self.plane.samples(&mut |sample| album.keep(sample));
    }

    /// Forgets what has ended. The kernel ended it already; if it cannot be forgotten now, it will
    /// be tried again.
    fn expire(&mut self) {
        let changes = self.state.expired(clock::now());
        if changes.is_empty() {
            return;
        }
        let text = match changes.as_slice() {
            [Change::Manual(kind, prefix, _)] => format!("{prefix} on the {kind} ended"),
            [Change::Mode(_)] => "the mode is the file's again".to_owned(),
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
    /// sshd's ports, up to date.
    pub(super) fn refresh_facts(&mut self) {
        let before = std::mem::replace(&mut self.facts, (self.look)());
        match self.facts.warnings.first() {
            Some(warning) => self.trouble("facts", warning.clone()),
            None => {
                self.troubles.remove("facts");
            }
        }
        let ports_moved = before.ssh_ports != self.facts.ssh_ports;
        let put = self.put_sessions().map_err(failed).and_then(|()| {
            if ports_moved {
                self.put_lifelines().and_then(|()| self.put_settings())
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

    /// Writes the lifelines that the configuration asks for.
    pub(super) fn put_lifelines(&mut self) -> Result<(), Refusal> {
        let lifelines = settings::lifelines(&self.config, &self.facts.ssh_ports, self.fixed.hz)?;
        self.plane.set_lifelines(&lifelines).map_err(failed)?;
        self.lifelines = lifelines;
        Ok(())
    }

    fn put_sessions(&mut self) -> Result<(), DataplaneError> {
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

/// A failure in the words of whoever knows it.
pub(super) fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::failed(error.to_string())
}

fn new_key() -> Result<HashKey, Refusal> {
    let mut random = [0; 4];
    for word in &mut random {
        *word = getrandom::u64().map_err(|error| {
            Refusal::failed(format!("the kernel gives no random numbers: {error}"))
        })?;
    }
    Ok(HashKey::from_random(random))
}
