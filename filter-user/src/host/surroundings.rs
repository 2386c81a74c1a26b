//! What the daemon asks of this host, and the one thing that it changes there; behind a trait, so
//! that tests have a host that they make up.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use ipnet::IpNet;

use super::{
    cgroup, ethtool,
    facts::Facts,
    links::{self, Link},
    listeners::{Listeners, Watch},
    network::{self, Network},
    sockets,
    stack::{self, Card},
    translation,
};
use crate::{
    core::{defences::Unable, ports::Translated},
    dataplane::probe,
    detect::input::Stack,
};

/// A host.
pub trait Surroundings: Send {
    /// What the guards must know.
    fn facts(&mut self) -> Facts;

    /// Which ports have sockets; `protected` are the indices of interfaces with a program.
    fn listeners(&mut self, now: Instant, protected: &BTreeSet<u32>) -> io::Result<Listeners>;

    /// What is translated; `None` while nobody looked yet.
    fn translated(&mut self) -> Option<Translated>;

    /// How TCP is set up.
    fn network(&mut self) -> Network;

    /// The interfaces there are.
    fn links(&mut self) -> io::Result<Vec<Link>>;

    /// Whether the card of an interface takes VLAN tags off frames before anybody sees them.
    fn hides_tags(&mut self, interface: &str) -> bool;

    /// How many queues a card receives by; `None` where CPUs are not bound to queues, or nobody
    /// knows.
    fn queues(&mut self, link: &Link) -> Option<u64>;

    /// The root of the control groups of version 2.
    fn cgroup(&mut self) -> Option<PathBuf>;

    /// Whether every process of this host is in that control group, or below it.
    fn has_all_processes(&mut self, cgroup: &Path) -> bool;

    /// Defences that the kernel has no means for.
    fn lacking(&mut self) -> Unable;

    /// What the stack lost, and how busy the CPUs are.
    fn stack(&mut self) -> Stack;

    /// What the card of an interface says.
    fn card(&mut self, interface: &str) -> Card;

    /// How many healthy connections these sources have, as in [`sockets::healthy`].
    fn healthy(&mut self, sources: &[IpAddr]) -> io::Result<BTreeMap<IpAddr, u32>>;

    /// Whether anybody in a prefix has a healthy connection.
    fn is_any_healthy(&mut self, prefix: IpNet) -> io::Result<bool>;

    /// `net.ipv4.tcp_syncookies`.
    fn syncookies(&mut self) -> io::Result<u32>;

    /// Sets it.
    fn set_syncookies(&mut self, value: u32) -> io::Result<()>;
}

/// The host that this process runs on.
#[derive(Debug)]
pub struct ThisHost {
    watch: Watch,
    translation: translation::Watcher,
    cgroup: Option<PathBuf>,
    lacking: Unable,
    stack: stack::Watch,
}

impl ThisHost {
    /// Looks at what never changes, and begins to watch what does. `cgroup` is where the
    /// configuration says that control groups are.
    pub fn new(cgroup: Option<&Path>) -> io::Result<Self> {
        Ok(Self {
            watch: Watch::default(),
            translation: translation::Watcher::start()?,
            cgroup: cgroup.map(Path::to_owned),
            lacking: probe::lacking(),
            stack: stack::Watch::default(),
        })
    }
}

impl Surroundings for ThisHost {
    fn facts(&mut self) -> Facts {
        Facts::gather()
    }

    fn listeners(&mut self, now: Instant, protected: &BTreeSet<u32>) -> io::Result<Listeners> {
        let names = std::cell::OnceCell::new();
        let name = |index: u32| {
            let names: &BTreeMap<u32, String> = names.get_or_init(|| {
                let links = links::list().unwrap_or_default();
                links.into_iter().map(|it| (it.index, it.name)).collect()
            });
            let name = names.get(&index).cloned();
            name.unwrap_or_else(|| format!("interface {index}"))
        };
        self.watch.look(now, protected, &name)
    }

    fn translated(&mut self) -> Option<Translated> {
        self.translation.latest()
    }

    fn network(&mut self) -> Network {
        network::look()
    }

    fn links(&mut self) -> io::Result<Vec<Link>> {
        links::list()
    }

    fn hides_tags(&mut self, interface: &str) -> bool {
        ethtool::offloads(interface).is_ok_and(|offloads| offloads.rx_vlan)
    }

    fn queues(&mut self, link: &Link) -> Option<u64> {
        // A virtual device is received from by whatever CPU sends.
        if link.kind.is_some() {
            return None;
        }
        let channels = ethtool::channels(&link.name).ok()?;
        Some(u64::from(channels.receiving)).filter(|queues| *queues > 0)
    }

    fn cgroup(&mut self) -> Option<PathBuf> {
        self.cgroup.clone().or_else(cgroup::root)
    }

    fn has_all_processes(&mut self, cgroup: &Path) -> bool {
        cgroup::is_whole(cgroup)
    }

    fn lacking(&mut self) -> Unable {
        self.lacking.clone()
    }

    fn stack(&mut self) -> Stack {
        self.stack.look()
    }

    fn card(&mut self, interface: &str) -> Card {
        stack::card(interface)
    }

    fn healthy(&mut self, sources: &[IpAddr]) -> io::Result<BTreeMap<IpAddr, u32>> {
        sockets::healthy(sources)
    }

    fn is_any_healthy(&mut self, prefix: IpNet) -> io::Result<bool> {
        sockets::is_any_healthy(prefix)
    }

    fn syncookies(&mut self) -> io::Result<u32> {
        network::syncookies()
    }

    fn set_syncookies(&mut self, value: u32) -> io::Result<()> {
        network::set_syncookies(value)
    }
}

/// A host that a test makes up.
#[cfg(test)]
pub mod made_up {
    use std::sync::{Arc, Mutex, MutexGuard};

    use super::*;

    /// What there is.
    #[derive(Clone, Debug)]
    pub struct Scene {
        /// What the guards must know.
        pub facts: Facts,
        /// Sockets; none can be listed if `None`.
        pub listeners: Option<Listeners>,
        /// What is translated.
        pub translated: Option<Translated>,
        /// How TCP is set up.
        pub network: Network,
        /// Interfaces.
        pub links: Vec<Link>,
        /// Interfaces that are listed once more, and are gone then.
        pub vanishing: Vec<Link>,
        /// Whether cards hide VLAN tags.
        pub hides_tags: bool,
        /// Queues of each card, if anybody knows.
        pub queues: Option<u64>,
        /// The root of control groups.
        pub cgroup: Option<PathBuf>,
        /// Whether processes of this host are in other groups, too.
        pub is_container: bool,
        /// What the kernel lacks.
        pub lacking: Unable,
        /// What the stack lost.
        pub stack: Stack,
        /// What every card says.
        pub card: Card,
        /// Healthy connections, by source.
        pub healthy: BTreeMap<IpAddr, u32>,
        /// Sources that were asked about, each time.
        pub asked: Vec<Vec<IpAddr>>,
        /// `net.ipv4.tcp_syncookies`, every value that it had, the last at the end.
        pub syncookies: Vec<u32>,
        /// Whether it cannot be written.
        pub is_fixed: bool,
    }

    impl Default for Scene {
        fn default() -> Self {
            Self {
                facts: Facts::default(),
                listeners: Some(Listeners::default()),
                translated: Some(Translated::default()),
                network: Network {
                    netns: 7,
                    timestamps: Some(1),
                    ..Network::default()
                },
                links: Vec::new(),
                vanishing: Vec::new(),
                hides_tags: false,
                queues: None,
                cgroup: Some("/sys/fs/cgroup".into()),
                is_container: false,
                lacking: Unable::new(),
                stack: Stack::default(),
                card: Card::default(),
                healthy: BTreeMap::new(),
                asked: Vec::new(),
                syncookies: vec![1],
                is_fixed: false,
            }
        }
    }

    /// The host; its clones are the same.
    #[derive(Clone, Debug, Default)]
    pub struct MadeUp(Arc<Mutex<Scene>>);

    impl MadeUp {
        /// What there is, to be changed.
        pub fn scene(&self) -> MutexGuard<'_, Scene> {
            self.0.lock().expect("no test panics with it")
        }
    }

    impl Surroundings for MadeUp {
        fn facts(&mut self) -> Facts {
            self.scene().facts.clone()
        }

        fn listeners(&mut self, _: Instant, _: &BTreeSet<u32>) -> io::Result<Listeners> {
            let listeners = self.scene().listeners.clone();
            listeners.ok_or_else(|| io::Error::other("no luck"))
        }

        fn translated(&mut self) -> Option<Translated> {
            self.scene().translated.clone()
        }

        fn network(&mut self) -> Network {
            self.scene().network.clone()
        }

        fn links(&mut self) -> io::Result<Vec<Link>> {
            let mut scene = self.scene();
            let vanishing = std::mem::take(&mut scene.vanishing);
            Ok([scene.links.as_slice(), &vanishing].concat())
        }

        fn hides_tags(&mut self, _: &str) -> bool {
            self.scene().hides_tags
        }

        fn queues(&mut self, _: &Link) -> Option<u64> {
            self.scene().queues
        }

        fn cgroup(&mut self) -> Option<PathBuf> {
            self.scene().cgroup.clone()
        }

        fn has_all_processes(&mut self, _: &Path) -> bool {
            !self.scene().is_container
        }

        fn lacking(&mut self) -> Unable {
            self.scene().lacking.clone()
        }

        fn stack(&mut self) -> Stack {
            self.scene().stack
        }

        fn card(&mut self, _: &str) -> Card {
            self.scene().card
        }

        fn healthy(&mut self, sources: &[IpAddr]) -> io::Result<BTreeMap<IpAddr, u32>> {
            let mut scene = self.scene();
            scene.asked.push(sources.to_vec());
            let healthy = scene.healthy.iter();
            let healthy = healthy.filter(|(source, _)| sources.contains(source));
            Ok(healthy.map(|(source, count)| (*source, *count)).collect())
        }

        fn is_any_healthy(&mut self, prefix: IpNet) -> io::Result<bool> {
            let scene = self.scene();
            let mut healthy = scene.healthy.iter();
            Ok(healthy.any(|(source, count)| *count > 0 && prefix.contains(source)))
        }

        fn syncookies(&mut self) -> io::Result<u32> {
            let last = self.scene().syncookies.last().copied();
            last.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        }

        fn set_syncookies(&mut self, value: u32) -> io::Result<()> {
            let mut scene = self.scene();
            if scene.is_fixed {
                return Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
            }
            scene.syncookies.push(value);
            Ok(())
        }
    }
}
