//! What defences must know of this host, brought up to date once a second: ports with sockets, own
//! addresses, what leaves by which interface, and whether SYNs are answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use filter_common::abi::{
    defence::{Defence, PortSet},
    settings::Settings,
};

use super::{
    interfaces::Protection,
    state::{Daemon, failed},
};
use crate::{
    api::types::AttachMode,
    clock,
    config::Config,
    core::{
        cookies::{Life, Switch},
        defences::{self, CookieWish, Ground, Unable},
        facts::Part,
        local::Local,
        ports::{Composed, Known, Ports, compose},
        refusal::Refusal,
        silence::{self, Silence},
        state::{Set, State},
    },
    dataplane::{Dataplane, LocalLines},
    host::{links::Link, network::Network, surroundings::Surroundings},
    store::syncookies::{Kept, Writing},
};

/// Between looks at sockets, at least: a little less than the second that they are due in. And so
/// many times as long as the last took.
const LOOK: Duration = Duration::from_millis(900);
const FRUGALITY: u32 = 20;
/// Between times that all is written, whether it changed or not: the kernel adds listeners by itself.
const RENEWAL: Duration = Duration::from_secs(60);

/// What is known of this host, and what of it the kernel was told.
#[derive(Debug)]
pub struct Terrain {
    /// What the settings are made of.
    pub(super) ground: Ground,
    /// What the settings in force were made of.
    pub(super) in_force: Option<Ground>,
    /// How TCP is set up.
    pub(super) network: Network,
    /// Ports with sockets; `None` while they are not known.
    pub(super) known: Option<Known>,
    /// Whether that is all.
    is_known: bool,
    pub(super) composed: Option<Composed>,
    pub(super) local: Option<Local>,
    /// The indices of protected interfaces that are there.
    pub(super) indices: BTreeMap<String, u32>,
    /// The table of own addresses that the kernel has.
    told: Option<Box<LocalLines>>,
    /// The sets of ports that the kernel has.
    written: BTreeMap<PortSet, Ports>,
    /// When all is written anew.
    renewal: Instant,
    look: Instant,
    /// Sockets at the ports that cookies defend.
    identities: BTreeMap<u16, u64>,
    /// What the windows of a port's SYN-ACKs depend on, of every port: its sockets, and the scale of
    /// the kernel's own.
    listeners: BTreeMap<u16, (u64, u32)>,
    pub(super) switch: Switch,
    /// What the kernel's setting was before, while no disk takes it.
    pub(super) unkept: Option<Kept>,
    /// That being written.
    pub(super) writing: Option<Writing>,
    pub(super) life: Life,
    /// Whether answers reach anybody.
    pub(super) silence: Silence,
    /// What operators set of ports where cookies are off for a while, and when that ends.
    pub(super) suspended: BTreeMap<u16, (Instant, Set<bool>)>,
    /// Interfaces whose way out is looked at, by index.
    pub(super) egress: BTreeMap<u32, String>,
    /// Whether it is known that no way out is looked at.
    pub(super) is_egress_bare: bool,
    /// Whether completed handshakes are seen.
    pub(super) sees_handshakes: bool,
    /// The control group that they are seen of, if processes of this host are in others, too.
    pub(super) partial: Option<PathBuf>,
    /// Whether it is known that nothing sees them.
    pub(super) is_bare: bool,
    /// When one of these programs was found taken off, if it is not long ago.
    pub(super) loss: Option<Instant>,
    /// What was not possible at the last try, by defence.
    pub(super) hindrances: Unable,
}

impl Terrain {
    /// Nothing is known yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ground: Ground::default(),
            in_force: None,
            network: Network::default(),
            known: None,
            is_known: false,
            composed: None,
            local: None,
            indices: BTreeMap::new(),
            told: None,
            written: BTreeMap::new(),
            renewal: now + RENEWAL,
            look: now,
            identities: BTreeMap::new(),
            listeners: BTreeMap::new(),
            switch: Switch::default(),
            unkept: None,
            writing: None,
            life: Life::default(),
            silence: Silence::default(),
            suspended: BTreeMap::new(),
            egress: BTreeMap::new(),
            is_egress_bare: false,
            sees_handshakes: false,
            partial: None,
            is_bare: false,
            loss: None,
            hindrances: Unable::new(),
        }
    }

    /// What keeps a defence from holding at the moment, if anything does.
    pub(super) fn hindrance(&self, defence: Defence) -> Option<&String> {
        let hindrances = [&self.ground.unable, &self.hindrances];
        hindrances.iter().find_map(|all| all.get(&defence))
    }
}

impl<D: Dataplane> Daemon<D> {
    /// Looks at the host, tells the kernel what changed, and switches what is to be switched.
    pub(super) fn tend(&mut self) {
        let now = clock::monotonic();
        let result = self.survey(now).and_then(|()| self.tell_kernel(now));
        match result {
            Ok(()) => {
                self.troubles.remove("defences");
            }
            Err(refusal) => self.trouble("defences", refusal.message),
        }
    }

    /// Looks, and changes nothing.
    pub(super) fn survey(&mut self, now: Instant) -> Result<(), Refusal> {
        let links = match self.host.links() {
            Ok(links) => links,
            Err(error) => {
                return Err(failed(format!(
                    "listing the interfaces of this host: {error}"
                )));
            }
        };
        let protected: Vec<&Link> = links
            .iter()
            .filter(|link| self.config.interfaces.contains(&link.name))
            .collect();
        self.terrain.indices = protected
            .iter()
            .map(|link| (link.name.clone(), link.index))
            .collect();
        let mut unable = self.host.lacking();
        let mut hindrances = Unable::new();
        if self.terrain.silence.holds(now) {
            hindrances.insert(Defence::Cookies, silence::SAID.to_owned());
        }
        self.look_at_sockets(now, &protected, &mut hindrances);
        self.terrain.network = self.host.network();
        let network = &self.terrain.network;
        let ground = &mut self.terrain.ground;
        let mtu = protected.iter().map(|link| link.mtu).filter(|mtu| *mtu > 0);
        let mtu = mtu.min().unwrap_or(1_500).min(u32::from(u16::MAX));
        ground.mss = [mtu.saturating_sub(40), mtu.saturating_sub(60)];
        ground.timestamps = network.timestamps == Some(2);
        ground.netns = network.netns;
        ground.receiving = receiving(
            self.host.as_mut(),
            &protected,
            &self.protection,
            network.online,
        );
        if let Some(why) = &network.fixed_syncookies {
            unable.entry(Defence::Cookies).or_insert(why.clone());
        }
        if let Some(why) = hidden_tags(self.host.as_mut(), &links, &protected) {
            unable.entry(Defence::Cookies).or_insert(why);
        }
        if self.host.cgroup().is_none() {
            let why = "no cgroup2 is mounted, so that completed handshakes are not seen: mount -t \
                       cgroup2 none /sys/fs/cgroup, or name it with [paths] cgroup";
            unable.entry(Defence::Connections).or_insert(why.to_owned());
        }
        self.terrain.ground.unable = unable;
        self.terrain.hindrances = hindrances;
        self.attach_all(now, &links);
        let terrain = &mut self.terrain;
        terrain.ground.hindered = terrain.hindrances.keys().copied().collect();
        Ok(())
    }

    fn look_at_sockets(&mut self, now: Instant, protected: &[&Link], hindrances: &mut Unable) {
        if now >= self.terrain.look {
            let indices: BTreeSet<u32> = protected.iter().map(|link| link.index).collect();
            let found = self.host.listeners(now, &indices);
            let took = clock::monotonic().saturating_duration_since(now);
            self.terrain.look = now + LOOK.max(took.saturating_mul(FRUGALITY));
            match found {
                Ok(found) => {
                    let known = self.terrain.known.get_or_insert_default();
                    known.tcp = found.tcp;
                    known.udp = found.udp;
                    known.serves = found.serves;
                    self.troubles.remove("sockets");
                }
                // What was known a second ago is better than nothing.
                Err(error) => self.trouble(
                    "sockets",
                    format!(
                        "the sockets of this host cannot be listed ({error}): they are taken to be as \
                         they were"
                    ),
                ),
            }
        }
        let translated = self.host.translated();
        let is_known = translated.is_some() && self.terrain.known.is_some();
        if let (Some(known), Some(translated)) = (&mut self.terrain.known, translated) {
            known.translated = translated;
        }
        self.terrain.is_known = is_known;
        self.recompose();
        let addresses = !self.facts.unknown.contains(&Part::Addresses);
        self.terrain.local = addresses.then(|| Local::of(&self.facts.addresses));
        let missing = match (is_known, addresses) {
            (false, _) => "the sockets of this host, and what it translates, are not known yet",
            (true, false) => "the addresses of this host are not known",
            (true, true) => return,
        };
        for defence in [
            Defence::Cookies,
            Defence::Sockets,
            Defence::ClosedPorts,
            Defence::Solicited,
        ] {
            hindrances.insert(defence, missing.to_owned());
        }
    }

    /// Composes the sets of ports anew.
    pub(super) fn recompose(&mut self) {
        let known = self
            .terrain
            .known
            .as_ref()
            .filter(|_| self.terrain.is_known);
        let state = self.effective();
        self.terrain.composed = known.map(|known| compose(&self.config, &state, known));
    }

    /// Whether the program sits on any interface.
    pub(super) fn is_protecting(&self) -> bool {
        let mut all = self.protection.values();
        all.any(|protection| matches!(protection, Protection::On(_)))
    }

    /// Writes what changed: what the settings rely on goes first.
    pub(super) fn tell_kernel(&mut self, now: Instant) -> Result<(), Refusal> {
        self.switch_cookies(now)?;
        if now >= self.terrain.renewal {
            self.terrain.renewal = now + RENEWAL;
            self.terrain.written.clear();
        }
        if self.needs_tables()
            && let Err(refusal) = self.write_tables()
        {
            for defence in [
                Defence::Cookies,
                Defence::Sockets,
                Defence::ClosedPorts,
                Defence::Solicited,
            ] {
                let hindrances = &mut self.terrain.hindrances;
                hindrances.insert(defence, refusal.message.clone());
            }
        }
        let terrain = &mut self.terrain;
        terrain.ground.hindered = terrain.hindrances.keys().copied().collect();
        if self.settings_are_stale() {
            self.grow_program()?;
            self.put_settings()?;
        }
        self.prove_life(now)
    }

    /// Whether anything looks into the tables of ports and addresses.
    fn needs_tables(&self) -> bool {
        let tabled = [Defence::Sockets, Defence::ClosedPorts, Defence::Solicited];
        let looks = |config: &Config, state: &State| {
            let mut tabled = tabled.iter();
            tabled.any(|defence| defences::is_possible(config, state, *defence))
        };
        // What may come back looks into them too.
        let before = self.config_before.as_ref().unwrap_or(&self.config);
        self.terrain.switch.is_in_use()
            || defences::is_wanted(&self.config, &self.effective(), Defence::Cookies)
            || looks(&self.config, &self.state)
            || self
                .state
                .before_trial()
                .is_some_and(|state| looks(before, &state))
    }

    pub(super) fn write_tables(&mut self) -> Result<(), Refusal> {
        let Some(composed) = &self.terrain.composed else {
            return Ok(());
        };
        for set in PortSet::ALL {
            let mut ports = composed.get(set).clone();
            if set == PortSet::Cookies && self.terrain.switch.is_in_use() {
                let state = self.effective();
                let wish = CookieWish::of(&self.config, &state);
                if !wish.is_any() {
                    // They hold a little longer than they are wanted.
                    ports = self.terrain.written.get(&set).cloned().unwrap_or_default();
                    ports.remove(&wish.off.iter().copied().collect());
                }
            }
            if self.terrain.written.get(&set) != Some(&ports) {
                self.terrain.written.remove(&set);
                self.plane.set_ports(set, ports.words()).map_err(failed)?;
                self.terrain.written.insert(set, ports);
            }
        }
        self.forget_windows()?;
        self.forget_stamps()?;
        if let Some(local) = &self.terrain.local {
            let is_new = self.terrain.told.as_ref() != Some(&local.table);
            if is_new {
                self.terrain.told = None;
                self.plane.set_local(&local.table).map_err(failed)?;
                self.terrain.told = Some(local.table.clone());
            }
        }
        Ok(())
    }

    /// Other sockets at a port may have other windows.
    fn forget_windows(&mut self) -> Result<(), Refusal> {
        let terrain = &mut self.terrain;
        let Some(known) = &terrain.known else {
            return Ok(());
        };
        let scale = terrain.network.window_scale;
        let places = known.tcp.iter();
        let listeners: BTreeMap<u16, (u64, u32)> = places
            .map(|(port, place)| (*port, (place.identity, scale)))
            .collect();
        let is_other =
            |(port, about): &(&u16, &(u64, u32))| terrain.listeners.get(port) != Some(about);
        let others: Vec<u16> = listeners
            .iter()
            .filter(is_other)
            .map(|(port, _)| *port)
            .collect();
        if !others.is_empty() {
            self.plane.forget_windows(&others).map_err(failed)?;
        }
        terrain.listeners = listeners;
        Ok(())
    }

    /// Other sockets at a port that cookies defend have no stamp yet.
    fn forget_stamps(&mut self) -> Result<(), Refusal> {
        let terrain = &mut self.terrain;
        let (Some(known), Some(cookies)) = (&terrain.known, terrain.written.get(&PortSet::Cookies))
        else {
            return Ok(());
        };
        let identity = |port| known.tcp.get(&port).map(|place| (port, place.identity));
        let identities: BTreeMap<u16, u64> = cookies.iter().filter_map(identity).collect();
        let known_before =
            |(port, identity): (&u16, &u64)| terrain.identities.get(port) == Some(identity);
        if !identities.iter().all(known_before) {
            self.plane.clear_stamps().map_err(failed)?;
        }
        terrain.identities = identities;
        Ok(())
    }

    /// Whether defences in the kernel are not those that they should be: what holds depends on more
    /// than on what an operator changed.
    fn settings_are_stale(&self) -> bool {
        let ground = &self.terrain.ground;
        let is_stale = |state: &State, settings: &Settings| {
            let sets = defences::sets(&self.config, state, ground);
            sets != (settings.defences_always, settings.defences_pressed)
        };
        let held = self.held.as_ref();
        is_stale(&self.state, &self.settings)
            || held.is_some_and(|held| is_stale(&self.effective(), held))
            || self.terrain.in_force.as_ref() != Some(&self.terrain.ground)
    }

    /// The ports that cookies defend in the kernel.
    pub(super) fn defended_ports(&self) -> Vec<u16> {
        let ports = self.terrain.written.get(&PortSet::Cookies);
        let ports = ports.filter(|_| self.terrain.switch.answers());
        ports
            .map(|ports| ports.iter().collect())
            .unwrap_or_default()
    }
}

/// How many CPUs receive at the same time: as many as the cards have queues, and no more than run.
/// In the stack, other CPUs may take over from those of the queues (RPS).
fn receiving(
    host: &mut dyn Surroundings,
    protected: &[&Link],
    protection: &BTreeMap<String, Protection>,
    online: u64,
) -> u64 {
    let queues = |link: &&Link| match protection.get(&link.name) {
        Some(Protection::On(attachment)) if attachment.mode == AttachMode::Native => {
            host.queues(link)
        }
        Some(Protection::On(_)) => None,
        // Nothing arrives by it.
        Some(Protection::Off(_) | Protection::Detached) | None => Some(0),
    };
    let all: Option<u64> = protected.iter().map(queues).sum();
    match all {
        Some(queues) if queues > 0 => queues.min(online),
        Some(_) | None => online,
    }
}

/// Why answers would go the wrong way: cards that take tags off frames hide them from the program.
fn hidden_tags(host: &mut dyn Surroundings, links: &[Link], protected: &[&Link]) -> Option<String> {
    let is_vlan = |link: &&Link| link.kind.as_deref() == Some("vlan");
    let bare = protected.iter().find_map(|below| {
        let above = links
            .iter()
            .filter(is_vlan)
            .find(|link| link.below == Some(below.index))?;
        host.hides_tags(&below.name)
            .then_some((&below.name, &above.name))
    });
    bare.map(|(below, above)| {
        format!(
            "{below} takes VLAN tags off frames, so that answers would not reach {above}: ethtool -K \
             {below} rxvlan off"
        )
    })
}
