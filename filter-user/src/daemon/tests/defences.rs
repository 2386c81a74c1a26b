//! Defences over maps in memory, on a host that is made up.

mod cookies;

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, time::Duration};

use filter_common::{
    abi::{
        defence::{CookiePort, Defence, PortSet},
        feature::Feature,
    },
    logic::known,
};

use super::*;
use crate::{
    api::types::{DefenceState, DefenceStatus},
    config::defence::DefenceMode,
    core::{cookies::Switch, ports::Ports},
    host::{
        links::Link,
        listeners::{Listeners, Place},
    },
    store::syncookies,
};

fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        mtu: 1_500,
        ethernet: true,
        ..Link::default()
    }
}

fn place(identity: u64) -> Place {
    Place {
        is_open: true,
        identity,
        ..Place::default()
    }
}

fn set(ports: &[u16]) -> Ports {
    ports.iter().copied().collect()
}

/// A host that serves, where defences are enforced.
fn host(config: &str) -> Host {
    serving(&format!("mode = \"enforce\"\n{config}"))
}

/// A host that serves on ports 80 and 443 of TCP, and on 53 of UDP.
pub(super) fn serving(config: &str) -> Host {
    let host = Host::new(&format!("interfaces = [\"eth0\"]\n{config}"));
    let mut scene = host.surroundings.scene();
    scene.links = vec![
        Link {
            ethernet: false,
            ..link(1, "lo")
        },
        link(2, "eth0"),
        link(3, "eth1"),
    ];
    scene.listeners = Some(Listeners {
        tcp: BTreeMap::from([(80, place(1)), (443, place(2))]),
        udp: BTreeMap::from([(53, place(3))]),
        serves: set(&[53]),
    });
    scene.facts.addresses = vec!["192.0.2.1".parse().expect("an address")];
    drop(scene);
    host
}

impl Host {
    /// A daemon that protects its interface.
    pub(super) fn protecting(&self) -> Daemon<Fake> {
        let mut daemon = self.first();
        daemon.protect().expect("protected");
        daemon.tend();
        daemon
    }

    fn syncookies(&self) -> Vec<u32> {
        self.surroundings.scene().syncookies.clone()
    }
}

impl Daemon<Fake> {
    pub(super) fn set_defence(
        &mut self,
        defence: Defence,
        mode: DefenceMode,
    ) -> Result<Outcome, Refusal> {
        self.set_cookies(defence, mode, &[])
    }

    fn set_cookies(
        &mut self,
        defence: Defence,
        mode: DefenceMode,
        ports: &[u16],
    ) -> Result<Outcome, Refusal> {
        self.run(Command::SetDefence {
            defence,
            mode,
            ports: ports.to_vec(),
            services: Vec::new(),
            duration: None,
            reason: String::new(),
        })
    }

    fn told(&self, set: PortSet) -> Ports {
        let words = self.plane.ports.get(&set);
        words.map(|words| Ports::from(&**words)).unwrap_or_default()
    }

    fn holds(&self, defence: Defence) -> bool {
        self.plane.settings.defences_pressed & defence.bit() != 0
    }

    fn answers(&self) -> bool {
        self.plane.settings.defences_always & Defence::Cookies.bit() != 0
    }

    pub(super) fn shown(&mut self, defence: Defence) -> DefenceStatus {
        let mut all = self.defence_status().expect("defences");
        all.remove(defence as usize)
    }

    /// Tends as it does after so much time.
    pub(super) fn tend_at(&mut self, later: Duration) {
        let now = clock::monotonic() + later;
        self.survey(now).expect("a survey");
        self.tell_kernel(now).expect("told");
    }
}

#[test]
fn by_default_the_kernel_is_told_of_ports_and_addresses() {
    let host = host("");
    let mut daemon = host.protecting();
    assert_eq!(daemon.told(PortSet::TcpOpen), set(&[80, 443]));
    assert_eq!(daemon.told(PortSet::UdpServes), set(&[53]));
    assert!(daemon.told(PortSet::Reflectors).contains(123));
    assert!(daemon.told(PortSet::Cookies).is_empty());
    assert!(daemon.plane.local.is_some());
    for defence in Defence::ALL {
        assert_eq!(daemon.holds(defence), defence != Defence::Cookies);
    }
    assert_eq!(daemon.plane.settings.netns, 7);
    assert_eq!(daemon.plane.settings.cookies.mss, [1_460, 1_440]);
    assert_eq!(host.syncookies(), [1]);

    // What is as it was is not written again.
    daemon.plane.port_writes.clear();
    daemon.tend_at(Duration::from_secs(1));
    assert!(daemon.plane.port_writes.is_empty());
    host.surroundings
        .scene()
        .listeners
        .as_mut()
        .expect("sockets")
        .tcp
        .insert(8080, place(9));
    daemon.tend_at(Duration::from_secs(2));
    assert_eq!(daemon.plane.port_writes, [PortSet::TcpOpen]);
    assert_eq!(daemon.told(PortSet::TcpOpen), set(&[80, 443, 8080]));
    // The kernel adds listeners by itself; now and then all is set right.
    daemon.tend_at(Duration::from_secs(120));
    assert_eq!(daemon.plane.port_writes.len(), 1 + PortSet::ALL.len());
}

#[test]
fn nothing_holds_before_it_is_known_what_is_translated() {
    let host = host("");
    host.surroundings.scene().translated = None;
    let mut daemon = host.protecting();
    assert!(!daemon.holds(Defence::Sockets) && !daemon.holds(Defence::ClosedPorts));
    assert!(daemon.holds(Defence::Icmp));
    let shown = daemon.shown(Defence::Sockets);
    assert_eq!(shown.state, DefenceState::Unable);
    assert!(shown.notes[0].contains("not known yet"), "{shown:?}");
    host.surroundings.scene().translated = Some(Default::default());
    daemon.tend_at(Duration::from_secs(1));
    assert!(daemon.holds(Defence::Sockets) && daemon.holds(Defence::ClosedPorts));
}

#[test]
fn sockets_that_cannot_be_listed_are_as_they_were() {
    let host = host("");
    let mut daemon = host.protecting();
    host.surroundings.scene().listeners = None;
    daemon.tend_at(Duration::from_secs(1));
    assert!(daemon.holds(Defence::Sockets));
    assert_eq!(daemon.told(PortSet::TcpOpen), set(&[80, 443]));
    assert!(daemon.troubles["sockets"].contains("no luck"));
}

#[test]
fn what_is_switched_by_hand_is_an_override_over_restarts() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon
        .set_defence(Defence::Sockets, DefenceMode::On)
        .expect("on");
    assert_ne!(
        daemon.plane.settings.defences_always & Defence::Sockets.bit(),
        0
    );
    let mut daemon = host.again(daemon);
    let status = daemon.status().expect("a status");
    let change = &status.overrides[0];
    assert_eq!(
        (
            change.name.as_str(),
            change.value.as_str(),
            change.file.as_str()
        ),
        ("defence.sockets", "on", "pressure")
    );
    assert_eq!(
        status.defences[Defence::Sockets as usize].state,
        DefenceState::Holding
    );
    let (events, _) = daemon.store.events(None, 100).expect("events");
    assert!(events.iter().any(|event| event.kind == "defence.set"));
    daemon
        .run(Command::AutoDefence {
            defence: Defence::Sockets,
        })
        .expect("given back");
    assert_eq!(
        daemon.plane.settings.defences_always & Defence::Sockets.bit(),
        0
    );
}

#[test]
fn what_was_switched_for_a_time_ends() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon
        .set_defence(Defence::Icmp, DefenceMode::On)
        .expect("on");
    let set = daemon.state.defences.get_mut(&Defence::Icmp);
    set.expect("an override").until = Some(Timestamp::UNIX_EPOCH);
    daemon.work();
    assert!(daemon.state.defences.is_empty());
    let (events, _) = daemon.store.events(None, 1).expect("events");
    assert_eq!(events[0].text, "the defence icmp is the file's again");
}

#[test]
fn a_defence_that_is_off_brings_no_code_and_no_writes() {
    let off = "defences = { cookies = \"off\", sockets = \"off\", closed_ports = \"off\", solicited = \"off\", \
               connections = \"off\", icmp = \"off\", protocols = \"off\" }";
    let host = host(off);
    let daemon = host.protecting();
    assert!(daemon.plane.port_writes.is_empty() && daemon.plane.local.is_none());
    assert!(daemon.plane.companions.egress.is_empty());
    assert!(daemon.plane.companions.sockets.is_none());
    assert_eq!(daemon.plane.settings.defences_pressed, 0);
    let features = daemon.plane.features.last().expect("a program");
    assert_eq!(features & Feature::Sockets.bit(), 0);
}

#[test]
fn what_the_kernel_cannot_do_is_left_out_with_a_word() {
    let host = host("");
    host.surroundings
        .scene()
        .lacking
        .insert(Defence::Sockets, "an old kernel".to_owned());
    let mut daemon = host.protecting();
    assert!(!daemon.holds(Defence::Sockets) && daemon.holds(Defence::ClosedPorts));
    let features = daemon.plane.features.last().expect("a program");
    assert_eq!(features & Feature::Sockets.bit(), 0);
    assert_eq!(daemon.shown(Defence::Sockets).state, DefenceState::Unable);
    let warnings = daemon.status().expect("a status").warnings;
    let word = "the defence sockets does not hold: an old kernel";
    assert!(warnings.iter().any(|it| it == word), "{warnings:?}");
    let refusal = daemon
        .set_defence(Defence::Sockets, DefenceMode::On)
        .expect_err("refused");
    assert!(refusal.message.contains("an old kernel"), "{refusal}");
}

#[test]
fn without_control_groups_connections_are_not_counted() {
    let host = host("");
    host.surroundings.scene().cgroup = None;
    let mut daemon = host.protecting();
    assert!(!daemon.holds(Defence::Connections));
    let shown = daemon.shown(Defence::Connections);
    assert!(shown.notes[0].contains("mount -t cgroup2"), "{shown:?}");
    let host = super::defences::host("");
    let daemon = host.protecting();
    assert_eq!(
        daemon.plane.companions.sockets.as_deref(),
        Some(Path::new("/sys/fs/cgroup"))
    );
}

#[test]
fn requests_count_from_when_every_way_out_is_seen() {
    let host = host("");
    let mut daemon = host.first();
    daemon.protect().expect("protected");
    // The second interface refuses.
    daemon.plane.fails_in = Some(1);
    daemon.tend();
    assert_eq!(daemon.plane.settings.solicited_since, u64::MAX);
    assert!(!daemon.holds(Defence::Solicited));
    let shown = daemon.shown(Defence::Solicited);
    assert!(shown.notes[0].contains("leaves by eth1"), "{shown:?}");

    daemon.plane.tick = 2_000_000;
    daemon.tend_at(Duration::from_secs(1));
    assert_eq!(daemon.plane.settings.solicited_since, 2_000_000);
    assert!(daemon.holds(Defence::Solicited));
    let egress = &daemon.plane.companions.egress;
    assert_eq!(egress.len(), 2, "the loopback is none");

    // One that comes is looked at from its first packet on.
    daemon.plane.tick = 3_000_000;
    host.surroundings.scene().links.push(link(4, "eth2"));
    daemon.tend_at(Duration::from_secs(2));
    assert!(daemon.plane.companions.egress.contains("eth2"));
    assert_eq!(daemon.plane.settings.solicited_since, 2_000_000);
}

#[test]
fn a_program_that_somebody_takes_off_is_put_back_and_requests_count_anew() {
    let host = host("");
    let mut daemon = host.protecting();
    assert_eq!(daemon.plane.settings.solicited_since, 1_000_000);
    let lost = |daemon: &mut Daemon<Fake>| {
        let (events, _) = daemon.store.events(None, 100).expect("events");
        let lost = events.iter().filter(|event| event.kind == "program.lost");
        lost.map(|event| event.text.clone()).collect::<Vec<_>>()
    };
    daemon.tend_at(Duration::from_secs(1));
    assert_eq!(lost(&mut daemon), Vec::<String>::new());

    daemon.plane.companions.egress.remove("eth1");
    daemon.plane.tick = 2_000_000;
    daemon.tend_at(Duration::from_secs(2));
    assert_eq!(daemon.plane.settings.solicited_since, 2_000_000);
    assert!(daemon.plane.companions.egress.contains("eth1"));
    let [text] = &lost(&mut daemon)[..] else {
        panic!("{:?}", lost(&mut daemon));
    };
    assert!(text.contains("egress of eth1 was taken off"), "{text}");
    let warnings = daemon.status().expect("a status").warnings;
    assert!(warnings.contains(text), "{warnings:?}");

    // Where it cannot be put back, nothing is judged by what was not noted.
    daemon.plane.companions.egress.remove("eth1");
    daemon.plane.companions.refusing.insert("eth1".to_owned());
    daemon.tend_at(Duration::from_secs(3));
    assert_eq!(daemon.plane.settings.solicited_since, u64::MAX);
    assert!(!daemon.holds(Defence::Solicited));
    daemon.plane.companions.refusing.clear();
    daemon.tend_at(Duration::from_secs(4));
    assert!(daemon.holds(Defence::Solicited));

    daemon.plane.companions.sockets = None;
    daemon.tend_at(Duration::from_secs(5));
    assert!(daemon.plane.companions.sockets.is_some());
    assert!(lost(&mut daemon).iter().any(|it| it.contains("handshakes")));
    daemon.tend_at(Duration::from_secs(70));
    assert_eq!(daemon.troubles, BTreeMap::new());
}

#[test]
fn an_interface_that_goes_while_it_is_attached_to_is_no_loss() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon.plane.tick = 2_000_000;
    host.surroundings.scene().vanishing = vec![link(9, "veth9")];
    daemon.plane.companions.refusing.insert("veth9".to_owned());
    daemon.tend_at(Duration::from_secs(1));
    assert!(daemon.holds(Defence::Solicited));
    assert_eq!(daemon.plane.settings.solicited_since, 1_000_000);

    // One that is there and refuses is.
    host.surroundings.scene().links.push(link(9, "veth9"));
    daemon.tend_at(Duration::from_secs(2));
    assert_eq!(daemon.plane.settings.solicited_since, u64::MAX);
}

#[test]
fn an_interface_with_another_name_was_seen_all_the_time() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon.plane.tick = 2_000_000;
    host.surroundings.scene().links[2].name = "lan0".to_owned();
    daemon.tend_at(Duration::from_secs(1));
    let egress = &daemon.plane.companions.egress;
    assert!(egress.contains("lan0") && !egress.contains("eth1"));
    assert_eq!(daemon.plane.settings.solicited_since, 1_000_000);
}

#[test]
fn what_nobody_needs_any_more_is_taken_off() {
    let host = host("defences.cookies = \"off\"");
    let mut daemon = host.protecting();
    let mut off = |defence| {
        daemon.set_defence(defence, DefenceMode::Off).expect("off");
        let companions = &daemon.plane.companions;
        (companions.egress.len(), companions.sockets.is_some())
    };
    assert_eq!(off(Defence::Icmp), (2, true));
    assert_eq!(off(Defence::Connections), (2, false));
    assert_eq!(off(Defence::Solicited), (2, false));
    assert_eq!(off(Defence::ClosedPorts), (0, false));
    assert_eq!(daemon.plane.settings.solicited_since, u64::MAX);
    daemon
        .set_defence(Defence::Solicited, DefenceMode::On)
        .expect("on");
    assert_eq!(daemon.plane.companions.egress.len(), 2);
    // One that went leaves no pin behind.
    host.surroundings.scene().links.pop();
    daemon.tend_at(Duration::from_secs(1));
    assert_eq!(daemon.plane.companions.egress.len(), 1);
}

#[test]
fn what_leaves_is_looked_at_for_cookies_alone() {
    let off = "defences = { cookies = \"off\", solicited = \"off\", closed_ports = \"off\" }";
    let host = host(off);
    let mut daemon = host.protecting();
    assert!(daemon.plane.companions.egress.is_empty());
    let mut set = |mode| {
        daemon.set_defence(Defence::Cookies, mode).expect("set");
        daemon.plane.companions.egress.len()
    };
    assert_eq!(set(DefenceMode::On), 2);
    assert_eq!(set(DefenceMode::Off), 0);
    assert_eq!(
        set(DefenceMode::Auto),
        2,
        "before the controller holds them"
    );
}

#[test]
fn a_table_of_requests_that_fills_up_is_told() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon.plane.companions.fill = 0.02;
    let shown = daemon.shown(Defence::Solicited);
    assert!(
        shown.notes.iter().any(|note| note.contains("fills 2.0 %")),
        "{shown:?}"
    );
    let is_told = |daemon: &mut Daemon<Fake>| {
        let warnings = daemon.status().expect("a status").warnings;
        warnings.iter().any(|warning| warning.contains("fills"))
    };
    assert!(!is_told(&mut daemon));
    daemon.plane.companions.fill = 0.11;
    assert!(is_told(&mut daemon));
}

#[test]
fn other_sockets_at_a_port_have_no_stamp() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    assert_eq!(daemon.plane.stamps_cleared, 1);
    daemon.tend_at(Duration::from_secs(1));
    assert_eq!(daemon.plane.stamps_cleared, 1);
    host.surroundings
        .scene()
        .listeners
        .as_mut()
        .expect("sockets")
        .tcp
        .insert(443, place(77));
    daemon.tend_at(Duration::from_secs(2));
    assert_eq!(daemon.plane.stamps_cleared, 2);
}

#[test]
fn other_sockets_at_a_port_have_windows_of_their_own() {
    let host = host("");
    let mut daemon = host.protecting();
    assert_eq!(daemon.plane.windows_forgotten, [80, 443]);
    daemon.tend_at(Duration::from_secs(1));
    assert_eq!(daemon.plane.windows_forgotten, [80, 443]);
    host.surroundings
        .scene()
        .listeners
        .as_mut()
        .expect("sockets")
        .tcp
        .insert(443, place(77));
    daemon.tend_at(Duration::from_secs(2));
    assert_eq!(daemon.plane.windows_forgotten, [80, 443, 443]);
    // Larger buffers for all, as by a sysctl.
    host.surroundings.scene().network.window_scale = 12;
    daemon.tend_at(Duration::from_secs(3));
    assert_eq!(daemon.plane.windows_forgotten, [80, 443, 443, 80, 443]);
}

#[test]
fn a_kernel_that_refuses_ports_is_told_and_nothing_holds() {
    let host = host("");
    let mut daemon = host.protecting();
    host.surroundings
        .scene()
        .listeners
        .as_mut()
        .expect("sockets")
        .tcp
        .insert(8080, place(9));
    daemon.plane.fails_in = Some(0);
    daemon.tend_at(Duration::from_secs(1));
    assert!(!daemon.holds(Defence::Sockets) && daemon.holds(Defence::Icmp));
    let shown = daemon.shown(Defence::Sockets);
    assert!(shown.notes[0].contains("refused a write"), "{shown:?}");
    daemon.tend_at(Duration::from_secs(2));
    assert!(daemon.holds(Defence::Sockets));
    assert!(daemon.told(PortSet::TcpOpen).contains(8080));
}

#[test]
fn why_says_what_is_known_of_a_source_and_who_looks() {
    let host = host("");
    let mut daemon = host.protecting();
    let query = |protocol: &str, port| WhyQuery {
        address: "198.51.100.7".parse().expect("an address"),
        protocol: Some(protocol.to_owned()),
        port: Some(port),
    };
    let said = daemon.why(&query("tcp", 22)).expect("an answer").defences;
    assert!(said[0].contains("not proven"), "{said:?}");
    assert!(
        said.contains(
            &"closed_ports holds under pressure: it drops its SYN: nobody listens at this port"
                .to_owned()
        )
    );
    let address: std::net::IpAddr = "198.51.100.7".parse().expect("an address");
    let address = Address::from(address);
    daemon.plane.companions.proven.insert(address);
    let said = daemon.why(&query("tcp", 22)).expect("an answer").defences;
    assert!(said[0].contains("is proven"), "{said:?}");
    let places = known::Places::of(&address, &daemon.fixed.key);
    let mut table = vec![known::Line::default(); 1 << known::LINES_LOG2];
    for place in &places.masks {
        table[places.line as usize][place.word as usize] |= place.bit(1) | place.bit(2);
    }
    daemon.plane.companions.known = table;
    let said = daemon.why(&query("udp", 53)).expect("an answer").defences;
    assert!(said[0].contains("known good"), "{said:?}");
    assert!(said.iter().any(|it| it.contains("a socket is bound")));
    assert!(said.iter().any(|it| it.starts_with("solicited")));
    assert!(!said.iter().any(|it| it.starts_with("sockets")));
}
