//! The daemon's own: everything that changes, on one thread.

use std::{collections::BTreeMap, path::PathBuf};

use filter_common::abi::{lifeline::Lifelines, settings::Settings};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    album::Album,
    calendar::Calendar,
    controller::Driver,
    handle::Handle,
    interfaces::Protection,
    known::Keeping,
    meter::Meter,
    rounds::Next,
    rulebook::Rulebook,
    services::Protected,
    sets::{Built, Members},
    story::Story,
    tables::{Moment, Move, Tables},
    terrain::Terrain,
    unwritten::{Told, Unwritten, unchanged},
    uplinks::Remembered,
};
use crate::{
    api::types::{ListKind, Mode},
    clock,
    config::Config,
    core::{
        actor::Actor,
        facts::Facts,
        refusal::Refusal,
        settings::{self, Fixed},
        state::{Change, State},
        trial::{Last, Standing},
    },
    dataplane::{Before, Dataplane},
    host::surroundings::Surroundings,
    store::Store,
};

/// How long what is held stays in force without a word of the daemon, in seconds.
const ALIVE: u64 = 5;

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
        self.parse(&self.text()?)
    }

    /// What the file says; nothing without one.
    pub fn text(&self) -> Result<String, Refusal> {
        match &self.file {
            Some(file) => Config::read(file).map_err(|error| Refusal::failed(error.to_string())),
            None => Ok(String::new()),
        }
    }

    /// What a text of the file would mean.
    pub fn parse(&self, text: &str) -> Result<Config, Refusal> {
        let mut config = match &self.file {
            Some(file) => {
                Config::parse(text, file).map_err(|error| Refusal::failed(error.to_string()))?
            }
            None => Config::default(),
        };
        if !self.interfaces.is_empty() {
            config.interfaces.clone_from(&self.interfaces);
            config.default_route = false;
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
    /// Of which this is the text.
    pub(super) text: String,
    /// What it said before it was read again, while that waits for confirmation.
    pub(super) config_before: Option<Config>,
    pub(super) source: Source,
    pub(super) facts: Facts,
    /// This host, as far as it can be asked.
    pub(super) host: Box<dyn Surroundings>,
    pub(super) terrain: Terrain,
    pub(super) fixed: Fixed,
    pub(super) tables: Tables,
    pub(super) rulebook: Rulebook,
    /// What the kernel was told of services.
    pub(super) services: Protected,
    /// What the program in force can do.
    pub(super) features: u64,
    /// What the big sets in force were built of.
    pub(super) placed: Members,
    /// Leaves and runs of theirs that name the first of several lists only.
    pub(super) approximate_owners: usize,
    /// What file and operators say.
    pub(super) settings: Settings,
    /// The same with what the controller holds, while it holds anything.
    pub(super) held: Option<Settings>,
    /// What the kernel was told of the policy before what waits for confirmation.
    pub(super) before: Option<Before>,
    /// The tick by which that wants to be confirmed; 0 if nothing does.
    pub(super) confirm_by: u64,
    /// What was taken back last because nobody confirmed it, until an operator changes something.
    pub(super) unconfirmed: Option<String>,
    /// What an operator did last, since this daemon started.
    pub(super) last: Option<Last>,
    /// The moment of an emergency that is an override already, until the kernel's settings no
    /// longer speak of it.
    pub(super) emergency: u64,
    pub(super) lifelines: Lifelines,
    pub(super) protection: BTreeMap<String, Protection>,
    /// Interfaces that default routes went through, on the disk.
    pub(super) remembered: Remembered,
    pub(super) meter: Meter,
    pub(super) album: Album,
    pub(super) driver: Driver,
    pub(super) handle: Handle,
    pub(super) since: Timestamp,
    /// What went wrong at start and stays worth knowing.
    pub(super) losses: Vec<String>,
    /// What goes wrong again and again, by what was tried; said once.
    pub(super) troubles: BTreeMap<&'static str, String>,
    /// Who is known good.
    pub(super) keeping: Keeping,
    /// What becomes of what the controller tells.
    pub(super) story: Story,
    pub(super) next: Next,
    /// What is in force and not on the disk.
    pub(super) unwritten: Unwritten,
    pub(super) calendar: Calendar,
}

impl<D: Dataplane> Daemon<D> {
    /// Both clocks, now.
    pub(super) fn moment(&mut self) -> Result<Moment, Refusal> {
        let tick = self.plane.tick().map_err(failed)?;
        Ok(Moment {
            now: clock::now(),
            tick,
            hz: self.fixed.hz,
        })
    }

    /// Carries changes out: memory, store, kernel; all, or none. What no restart is to find goes by
    /// the store, so that it works while the disk is full.
    pub(super) fn carry_out(
        &mut self,
        changes: Vec<Change>,
        by: &Actor,
        kind: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        self.heed_emergency();
        let moment = self.moment()?;
        let is_fleeting = *by == Actor::Controller
            || changes.iter().all(|change| change.is_fleeting(&self.state));
        // Each prefix once, however many changes speak of it.
        let mut prefixes: Vec<(ListKind, IpNet)> = changes
            .iter()
            .flat_map(|change| change.prefixes(&self.state))
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let standing =
            |state: &State, (kind, prefix): &(ListKind, IpNet)| state.standing(*kind, prefix);
        let before: Vec<Option<Standing>> = prefixes
            .iter()
            .map(|place| standing(&self.state, place))
            .collect();
        let confirm_by = self.confirm_by(&changes, moment);
        let confirm_by = std::mem::replace(&mut self.confirm_by, confirm_by);
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
                after: standing(&self.state, place),
            })
            .filter(|step| step.before != step.after)
            .collect();
        self.order(&mut moves);

        let result = self.clear_new_lists(&changes, &inverse).and_then(|()| {
            if is_fleeting {
                self.put_all(&changes, &moves, moment)
            } else {
                self.write_all(&changes, &moves, moment, by, kind, text)
            }
        });
        if result.is_ok() && is_fleeting {
            self.keep_next_rule(&changes);
            if !text.is_empty() {
                self.tell(by, kind, text);
            }
        }
        if result.is_ok() && self.state.trial.is_none() {
            self.config_before = None;
        }
        if result.is_err() {
            for change in inverse {
                let _ = self.state.apply(change);
            }
            self.confirm_by = confirm_by;
            if let Err(refusal) = self.put_services() {
                tracing::error!("taking ceilings of services back: {refusal}");
            }
            if let Err(refusal) = self.put_sets() {
                tracing::error!("taking imported lists back: {refusal}");
            }
        }
        result
    }

    /// Puts what comes before what goes, so that an address that both cover is covered throughout;
    /// or behind it, if the tables do not hold both.
    pub(super) fn order(&self, moves: &mut [Move]) {
        let goes_first = !self.has_room_for_both(moves);
        moves.sort_by_key(|step| step.after.is_none() != goes_first);
    }

    /// Whether the tables hold what comes beside what goes.
    fn has_room_for_both(&self, moves: &[Move]) -> bool {
        ListKind::ALL.into_iter().all(|kind| {
            let new = moves
                .iter()
                .filter(|step| step.kind == kind && step.before.is_none());
            let (room, _) = self.config.tables.room(kind);
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
        let told = Told {
            at: moment.now,
            by,
            kind,
            text,
        };
        let builder = self.builder();
        if let Err(error) = self.write_down().and_then(|()| self.store.begin()) {
            return self.put_unwritten(&error, changes, moves, moment, told);
        }
        let store = &mut self.store;
        let (written, built) = beside(builder, || {
            store
                .write(changes)
                .and_then(|()| store.journal(moment.now, by, kind, text))
        });
        let event = match written {
            Ok(event) => event,
            Err(error) => {
                self.store.rollback();
                return self.put_unwritten(&error, changes, moves, moment, told);
            }
        };
        let built = match built.transpose() {
            Ok(built) => built,
            Err(refusal) => {
                self.store.rollback();
                return Err(refusal);
            }
        };
        let old = self.rows();
        let carried = self
            .grow_program()
            .and_then(|()| self.arm(changes))
            .and_then(|()| {
                let carried = self.tables.carry(&mut self.plane, moves, moment);
                carried.map_err(failed)
            });
        if let Err(refusal) = carried {
            if self.settings != old.0 {
                self.take_settings_back(old);
            }
            self.store.rollback();
            return Err(refusal);
        }
        let rulebook = self.rulebook.clone();
        let committed = built
            .map_or(Ok(()), |built| self.place(built))
            .and_then(|()| self.put_changed_rules(changes, moment))
            .and_then(|()| self.put_settings())
            .and_then(|()| self.put_services())
            .and_then(|()| match self.store.commit() {
                Ok(()) => Ok(true),
                Err(error) if self.may_wait(changes, told) => {
                    self.store.rollback();
                    self.wait_for_disk(&error, changes, told);
                    Ok(false)
                }
                Err(error) => Err(unchanged(&error)),
            });
        if let Err(refusal) = committed {
            self.tables.take_back(&mut self.plane, moves, moment);
            self.rulebook = rulebook;
            self.take_settings_back(old);
            self.store.rollback();
            return Err(refusal);
        }
        if committed == Ok(true) {
            self.handle.publish(event);
        }
        Ok(())
    }

    /// Writes to the kernel alone what moves no imported list.
    pub(super) fn put_all(
        &mut self,
        changes: &[Change],
        moves: &[Move],
        moment: Moment,
    ) -> Result<(), Refusal> {
        self.grow_program()?;
        let carried = self.tables.carry(&mut self.plane, moves, moment);
        carried.map_err(failed)?;
        let old = self.rows();
        let rulebook = self.rulebook.clone();
        let has_rules = changes.iter().any(Change::is_of_rules);
        let rules = if has_rules {
            self.put_rules(moment)
        } else {
            Ok(())
        };
        let put = rules.and_then(|()| {
            if changes.iter().any(Change::is_of_settings) {
                self.put_settings().and_then(|()| self.put_services())
            } else {
                Ok(())
            }
        });
        if put.is_err() {
            self.tables.take_back(&mut self.plane, moves, moment);
            self.rulebook = rulebook;
            self.take_settings_back(old);
        }
        put
    }

    /// Both rows of settings in force.
    const fn rows(&self) -> (Settings, Option<Settings>) {
        (self.settings, self.held)
    }

    fn take_settings_back(&mut self, (settings, held): (Settings, Option<Settings>)) {
        if let Err(refusal) = self.write_settings(settings, held) {
            tracing::error!("taking settings back: {refusal}");
            self.settings = settings;
            self.held = held;
        }
    }

    /// Keeps the number of the next rule, if it can be: without that, a restart gives numbers of the
    /// controller's rules to others.
    fn keep_next_rule(&mut self, changes: &[Change]) {
        let next = changes
            .iter()
            .filter(|change| matches!(change, Change::NextRule(_)));
        let next: Vec<Change> = next.cloned().collect();
        if !next.is_empty()
            && let Err(error) = self.store.write(&next)
        {
            tracing::warn!("{error}");
        }
    }

    /// Writes rules into the kernel's other bank if changes are about rules.
    fn put_changed_rules(&mut self, changes: &[Change], moment: Moment) -> Result<(), Refusal> {
        if !changes.iter().any(Change::is_of_rules) {
            return Ok(());
        }
        self.put_rules(moment)?;
        self.store.write_slots(&self.rulebook.slots).map_err(failed)
    }

    /// Writes the settings that configuration and overrides ask for.
    pub(super) fn put_settings(&mut self) -> Result<(), Refusal> {
        self.put_before()?;
        if self.state.trial.is_none() {
            self.rulebook.before = None;
        }
        let rule_bank = self.rulebook.rule_bank();
        let mut settings = self.compose_settings(&self.config, &self.state, rule_bank)?;
        settings.confirm_by = self.confirm_by;
        let held = if self.state.held.is_any() {
            settings.held_until = self.held_until()?;
            let effective = self.state.effective(&self.config);
            Some(self.compose_settings(&self.config, &effective, rule_bank)?)
        } else {
            None
        };
        self.write_settings(settings, held)?;
        self.terrain.in_force = Some(self.terrain.ground.clone());
        Ok(())
    }

    /// `rule_bank` as in [`Settings::rule_bank`].
    pub(super) fn compose_settings(
        &self,
        config: &Config,
        state: &State,
        rule_bank: u32,
    ) -> Result<Settings, Refusal> {
        let settings = settings::settings(
            config,
            state,
            self.fixed,
            &self.facts.ssh_ports,
            self.tables.is_gate_open_v6(),
            &self.terrain.ground,
        )?;
        Ok(Settings {
            rule_bank,
            day: self.keeping.day,
            ..settings
        })
    }

    /// The tick until which the kernel takes it that this daemon is alive, or at which all that is
    /// held ends, whichever comes first.
    fn held_until(&mut self) -> Result<u64, Refusal> {
        let moment = self.moment()?;
        let alive = moment
            .tick
            .saturating_add(ALIVE.saturating_mul(self.fixed.hz));
        Ok(alive.min(moment.until(self.state.held.end())))
    }

    /// Says once more that this daemon is alive, so that what is held stays so.
    pub(super) fn renew_held(&mut self) {
        if self.held.is_none() {
            return;
        }
        let renewed = self.held_until().and_then(|held_until| {
            let settings = Settings {
                held_until,
                ..self.settings
            };
            self.write_settings(settings, self.held)
        });
        match renewed {
            Ok(()) => {
                self.troubles.remove("held");
            }
            Err(refusal) => self.trouble("held", refusal.message),
        }
    }

    /// The settings that packets meet.
    pub(super) fn settings_in_force(&self) -> &Settings {
        self.held.as_ref().unwrap_or(&self.settings)
    }

    /// The overrides in effect: with what the controller holds.
    pub(super) fn effective(&self) -> State {
        self.state.effective(&self.config)
    }

    /// Writes settings, except that an emergency which is no override yet stays in force: it came
    /// while this daemon was busy, and will be heeded next. What is held is written before the row that
    /// says so.
    pub(super) fn write_settings(
        &mut self,
        mut settings: Settings,
        held: Option<Settings>,
    ) -> Result<(), Refusal> {
        let found = self.plane.settings().map_err(failed)?;
        if found.emergency != self.emergency && found.emergency > 0 {
            settings.enforced = 0;
            settings.held_until = 0;
            settings.confirm_by = 0;
            settings.emergency = found.emergency;
        }
        if let Some(settings) = held.filter(|held| self.held.as_ref() != Some(held)) {
            self.held = None;
            self.plane.set_held(&settings).map_err(failed)?;
        }
        self.plane.set_settings(&settings).map_err(failed)?;
        self.settings = settings;
        self.held = held;
        if settings.emergency == 0 {
            self.emergency = 0;
        }
        Ok(())
    }

    /// Takes over monitor mode that somebody set in the kernel while this daemon did not answer.
    pub(super) fn heed_emergency(&mut self) {
        let heeded = self.plane.settings().map_err(failed).and_then(|found| {
            if found.emergency == 0 {
                return Ok(());
            }
            self.settings.enforced = found.enforced;
            self.adopt_emergency(&found)?;
            self.put_settings()
        });
        match heeded {
            Ok(()) => {
                self.troubles.remove("emergency");
            }
            Err(refusal) => self.trouble(
                "emergency",
                format!(
                    "monitor mode was set without the daemon, and that could not be noted: \
                     {refusal}"
                ),
            ),
        }
    }

    /// Adds an event to the journal and tells followers. A journal that cannot be written is
    /// trouble, but no reason to stop.
    pub(super) fn tell(&mut self, by: &Actor, kind: &str, text: &str) {
        tracing::info!(kind, by = %by, "{text}");
        match self.store.note(clock::now(), by, kind, text) {
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

    /// Writes the policies of IP protocols that the configuration asks for.
    pub(super) fn put_protocols(&mut self) -> Result<(), Refusal> {
        let policies = self.config.protocols.policies();
        self.plane.set_protocols(&policies).map_err(failed)
    }

    /// Writes the lifelines that the configuration asks for.
    pub(super) fn put_lifelines(&mut self) -> Result<(), Refusal> {
        let lifelines = settings::lifelines(&self.config, &self.facts.ssh_ports, self.fixed.hz)?;
        self.plane.set_lifelines(&lifelines).map_err(failed)?;
        self.lifelines = lifelines;
        Ok(())
    }
}

/// Builds sets, if there is something to build, while something else is done.
fn beside<T>(
    builder: Option<impl FnOnce() -> Result<Built, Refusal> + Send>,
    other: impl FnOnce() -> T,
) -> (T, Option<Result<Built, Refusal>>) {
    std::thread::scope(|scope| {
        let building = builder.map(|build| scope.spawn(build));
        let done = other();
        let join = |building: std::thread::ScopedJoinHandle<'_, _>| {
            let built = building.join();
            built.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (done, building.map(join))
    })
}

/// A failure in the words of whoever knows it.
pub(super) fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::failed(error.to_string())
}
