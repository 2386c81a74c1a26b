//! What the daemon says of defences.

use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        reason::{Action, Reason},
    },
    logic::{address::Address, packet::protocol},
};

use super::{
    held,
    meter::{happened, observed},
    state::{Daemon, failed},
};
use crate::{
    api::types::{DefenceState, DefenceStatus, Defences, Override, SCHEMA},
    config::{
        Config,
        defence::{DefenceMode, name},
    },
    core::{defences, refusal::Refusal, state::State, why::Question},
    dataplane::{Counters, Dataplane},
    stats::reasons,
};

/// From this share on, bits of what this host asked for are met by chance.
const FULL: f64 = 0.1;

impl<D: Dataplane> Daemon<D> {
    /// All defences.
    pub(super) fn defence_list(&mut self) -> Result<Defences, Refusal> {
        let pressure = self.config.limits.pressure;
        Ok(Defences {
            schema: SCHEMA,
            pressure: pressure.map_or_else(|| "0/s".to_owned(), |rate| rate.to_string()),
            defences: self.defence_status()?,
        })
    }

    /// Each defence, and what it did.
    pub(super) fn defence_status(&mut self) -> Result<Vec<DefenceStatus>, Refusal> {
        let counters = self.plane.counters().map_err(failed)?;
        let pressed = self.plane.pressed().map_err(failed)?;
        let fill = self.fill();
        let each = Defence::ALL.into_iter();
        Ok(each
            .map(|defence| self.one_defence(defence, &counters, pressed > 0, fill))
            .collect())
    }

    /// Which share of the bits of what this host asked for is set; none while nobody notes it.
    fn fill(&mut self) -> Option<f64> {
        if self.terrain.ground.solicited_since == u64::MAX {
            return None;
        }
        self.plane.solicited_fill().ok()
    }

    fn one_defence(
        &self,
        defence: Defence,
        counters: &Counters,
        pressed: bool,
        fill: Option<f64>,
    ) -> DefenceStatus {
        let set = self.state.defences.get(&defence);
        let held = self.state.held.defences.get(&defence);
        let sum = |of: fn(&Counters, Reason) -> filter_common::abi::counter::Counter, action| {
            let reasons = defences::reasons(defence).iter();
            reasons
                .filter(|reason| reason.action() == action)
                .map(|reason| of(counters, *reason).packets)
                .fold(0_u64, u64::saturating_add)
        };
        let accepted = match defence {
            Defence::Cookies => happened(counters, Reason::CookieAccepted).packets,
            Defence::Sockets
            | Defence::ClosedPorts
            | Defence::Solicited
            | Defence::Connections
            | Defence::Icmp
            | Defence::Protocols => 0,
        };
        DefenceStatus {
            name: name(defence).to_owned(),
            mode: defences::mode(&self.config, &self.state, defence).to_string(),
            state: self.defence_state(defence, pressed),
            by: match set {
                Some(set) => set.by.clone(),
                None if is_from_file(&self.config, defence) => "file".to_owned(),
                None => "default".to_owned(),
            },
            until: set.and_then(|set| set.until),
            held: held.map(held::status),
            dropped: sum(happened, Action::Drop),
            answered: sum(happened, Action::Answer),
            accepted,
            would_drop: sum(observed, Action::Drop).saturating_add(sum(observed, Action::Answer)),
            ports: match defence {
                Defence::Cookies => self.defended_ports(),
                Defence::Sockets
                | Defence::ClosedPorts
                | Defence::Solicited
                | Defence::Connections
                | Defence::Icmp
                | Defence::Protocols => Vec::new(),
            },
            notes: self.defence_notes(defence, fill),
        }
    }

    fn defence_state(&self, defence: Defence, pressed: bool) -> DefenceState {
        if !defences::is_possible(&self.config, &self.state, defence) {
            return DefenceState::Off;
        }
        let is_answered = defence == Defence::Cookies && self.terrain.switch.answers();
        if self.terrain.hindrance(defence).is_some() && !is_answered {
            return DefenceState::Unable;
        }
        let settings = self.settings_in_force();
        let holds = if pressed {
            settings.defences_pressed
        } else {
            settings.defences_always
        };
        if holds & defence.bit() != 0 {
            DefenceState::Holding
        } else {
            DefenceState::Waiting
        }
    }

    fn defence_notes(&self, defence: Defence, fill: Option<f64>) -> Vec<String> {
        if !defences::is_possible(&self.config, &self.state, defence) {
            return Vec::new();
        }
        let mut notes: Vec<String> = self
            .terrain
            .hindrance(defence)
            .cloned()
            .into_iter()
            .collect();
        let composed = self.terrain.composed.as_ref();
        let tcp = || composed.iter().flat_map(|it| it.tcp_left_out.clone());
        let udp = || composed.iter().flat_map(|it| it.udp_left_out.clone());
        let known = self.terrain.known.as_ref();
        let translated = || known.iter().flat_map(|it| it.translated.words.clone());
        match defence {
            Defence::Cookies => {
                let ports = composed.map(|composed| composed.get(PortSet::Cookies));
                match ports.filter(|_| self.terrain.switch.answers()) {
                    Some(ports) if ports.is_empty() => {
                        notes.push("nobody listens at the ports that it is to defend".to_owned());
                    }
                    Some(ports) => notes.push(format!("defends TCP {ports}")),
                    None => {}
                }
                if !defences::is_answering(&self.config, &self.state) {
                    notes.push(format!(
                        "{} is only watched: nothing is answered, and net.ipv4.tcp_syncookies stays \
                         as it is",
                        reasons::name(Reason::CookieAnswered)
                    ));
                }
                notes.extend(tcp());
                notes.extend(self.partial_sight());
                notes.extend(composed.iter().flat_map(|it| it.cookies_left_out.clone()));
            }
            Defence::Sockets => notes.extend(tcp().chain(translated())),
            Defence::ClosedPorts => {
                notes.extend(tcp().chain(udp()).chain(translated()));
                if self.terrain.ground.solicited_since == u64::MAX {
                    notes.push(
                        "closed ports of UDP wait until what this host asks for is noted"
                            .to_owned(),
                    );
                }
            }
            Defence::Solicited => {
                notes.extend(udp());
                notes.extend(fill.map(|fill| {
                    format!(
                        "what this host asked for fills {:.1} % of its table",
                        fill * 100.0
                    )
                }));
            }
            Defence::Connections => notes.extend(self.partial_sight()),
            Defence::Icmp | Defence::Protocols => {}
        }
        let left_out = self.terrain.local.iter().flat_map(|local| &local.left_out);
        let left_out: Vec<String> = left_out.map(ToString::to_string).collect();
        let asks_for_addresses = matches!(
            defence,
            Defence::Cookies | Defence::Sockets | Defence::ClosedPorts | Defence::Solicited
        );
        if asks_for_addresses && !left_out.is_empty() {
            notes.push(format!(
                "what goes to {} of this host's addresses is not looked at, for they found no place: \
                 {}",
                left_out.len(),
                shortened(&left_out)
            ));
        }
        notes
    }

    /// The sentence for handshakes of which not all are seen.
    fn partial_sight(&self) -> Option<String> {
        let cgroup = self.terrain.partial.as_ref()?;
        Some(format!(
            "only handshakes of programs below {} are seen, which is not the root of cgroup2: run \
             floodwall in the host's namespace of control groups (docker: --cgroupns=host)",
            cgroup.display()
        ))
    }

    /// Defences that somebody switched.
    pub(super) fn defence_overrides(&self) -> Vec<Override> {
        let file = State::default();
        let defences = self.state.defences.iter().map(|(defence, set)| Override {
            name: format!("defence.{}", name(*defence)),
            value: set.value.to_string(),
            file: defences::mode(&self.config, &file, *defence).to_string(),
            by: set.by.clone(),
            since: set.since,
            until: set.until,
        });
        let ports = self.state.cookie_ports.iter().map(|(port, set)| {
            let wish = defences::CookieWish::of(&self.config, &file);
            let word = |on| {
                if on {
                    DefenceMode::On
                } else {
                    DefenceMode::Off
                }
                .to_string()
            };
            Override {
                name: format!("defence.{}.{port}", name(Defence::Cookies)),
                value: word(set.value),
                file: word(wish.contains(*port)),
                by: set.by.clone(),
                since: set.since,
                until: set.until,
            }
        });
        defences.chain(ports).collect()
    }

    /// What an operator should know.
    pub(super) fn defence_warnings(&mut self) -> Vec<String> {
        let mut warnings = self.cookie_warnings();
        for defence in Defence::ALL {
            if defences::is_possible(&self.config, &self.state, defence)
                && let Some(why) = self.terrain.hindrance(defence)
            {
                warnings.push(format!(
                    "the defence {} does not hold: {why}",
                    name(defence)
                ));
            }
        }
        let is_wanted = defences::is_wanted(&self.config, &self.state, Defence::Solicited);
        if let Some(fill) = self.fill().filter(|fill| is_wanted && *fill >= FULL) {
            warnings.push(format!(
                "what this host asked for fills {:.0} % of its table, so that answers that nobody \
                 asked for are met by chance: who sends so many requests? `ss -uanp` may tell",
                fill * 100.0
            ));
        }
        warnings
    }

    /// What is known of a source, and which defences would look at its packet.
    pub(super) fn why_defences(&mut self, question: Question) -> Vec<String> {
        let mut said = Vec::new();
        let source = Address::from(question.address);
        let is_good = self.plane.is_known_good(&source);
        if let (Ok(is_good), Ok(is_proven)) = (is_good, self.plane.is_proven(&source)) {
            said.push(match (is_good, is_proven) {
                (true, _) => "the source is known good: it goes first where there is a ceiling",
                (false, true) => {
                    "the address is proven: it completed a handshake today or yesterday, so that it is not made up"
                }
                (false, false) => {
                    "the address is not proven: it completed no handshake, so it may be forged"
                }
            }
            .to_owned());
        }
        for defence in Defence::ALL {
            said.extend(self.why_defence(defence, question));
        }
        said
    }

    fn why_defence(&self, defence: Defence, question: Question) -> Option<String> {
        let is_tcp = question.protocol == protocol::TCP;
        let is_udp = question.protocol == protocol::UDP;
        let is_icmp = matches!(question.protocol, protocol::ICMP | protocol::ICMPV6);
        let composed = self.terrain.composed.as_ref();
        let is_in = |set: PortSet| {
            let port = question.port?;
            Some(composed?.get(set).contains(port))
        };
        let says = match defence {
            Defence::Cookies if is_tcp => match (self.terrain.switch.answers(), question.port) {
                (false, _) => return None,
                (true, Some(port)) if self.defended_ports().contains(&port) => {
                    "answers its SYN with a cookie"
                }
                (true, Some(_)) => return None,
                (true, None) => "answers its SYN with a cookie, at the ports that it defends",
            },
            Defence::Sockets if is_tcp => match is_in(PortSet::TcpLeftOut) {
                Some(true) => "leaves this port out",
                Some(false) | None => "drops it if it opens no connection and belongs to none",
            },
            Defence::ClosedPorts if is_tcp => {
                match (is_in(PortSet::TcpLeftOut), is_in(PortSet::TcpOpen)) {
                    (Some(true), _) => "leaves this port out",
                    (_, Some(true)) => "passes it: somebody listens at this port",
                    (_, Some(false)) => "drops its SYN: nobody listens at this port",
                    (_, None) => "drops its SYN where nobody listens",
                }
            }
            Defence::ClosedPorts if is_udp => {
                match (is_in(PortSet::UdpLeftOut), is_in(PortSet::UdpOpen)) {
                    (Some(true), _) => "leaves this port out",
                    (_, Some(true)) => "passes it: a socket is bound to this port",
                    (_, Some(false)) => {
                        "drops it, unless this host asked: no socket is at this port"
                    }
                    (_, None) => "drops it where no socket is, unless this host asked",
                }
            }
            Defence::Solicited if is_udp => match is_in(PortSet::UdpLeftOut) {
                Some(true) => "leaves this port out",
                Some(false) | None => {
                    "drops it if it comes from a reflector's port and this host did not ask"
                }
            },
            Defence::Connections if is_tcp => {
                "drops its SYN while the source completes too many handshakes"
            }
            Defence::Icmp if is_icmp => "limits errors that belong to no flow, and echo",
            Defence::Protocols if !(is_tcp || is_udp || is_icmp) => "has a policy for its protocol",
            Defence::Cookies
            | Defence::Sockets
            | Defence::ClosedPorts
            | Defence::Solicited
            | Defence::Connections
            | Defence::Icmp
            | Defence::Protocols => return None,
        };
        let settings = self.settings_in_force();
        let when = if settings.defences_always & defence.bit() != 0 {
            "holds"
        } else if settings.defences_pressed & defence.bit() != 0 {
            "holds under pressure"
        } else {
            return None;
        };
        Some(format!("{} {when}: it {says}", name(defence)))
    }
}

fn is_from_file(config: &Config, defence: Defence) -> bool {
    config.defences.mode(defence) != crate::config::defence::Defences::default().mode(defence)
}

/// The first few of many.
fn shortened(addresses: &[String]) -> String {
    const MOST: usize = 3;
    let first = addresses.get(..MOST.min(addresses.len()));
    let text = first.unwrap_or_default().join(", ");
    if addresses.len() > MOST {
        format!("{text}, …")
    } else {
        text
    }
}
