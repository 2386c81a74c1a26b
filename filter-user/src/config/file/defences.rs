//! `[defences]`.

use std::collections::BTreeSet;

use filter_common::abi::defence::Defence;

use super::{
    super::{
        defence::{CookiePorts, DefenceMode, Defences, LeftOut},
        schema::{Key, Node, Reader},
        text::quote,
    },
    budget, port, rate,
};

pub(super) const DEFENCES: &[Key<Defences>] = &[
    Key {
        name: "cookies",
        read: |r, defences, node| mode(r, defences, Defence::Cookies, node),
    },
    Key {
        name: "sockets",
        read: |r, defences, node| mode(r, defences, Defence::Sockets, node),
    },
    Key {
        name: "closed_ports",
        read: |r, defences, node| mode(r, defences, Defence::ClosedPorts, node),
    },
    Key {
        name: "solicited",
        read: |r, defences, node| mode(r, defences, Defence::Solicited, node),
    },
    Key {
        name: "connections",
        read: |r, defences, node| mode(r, defences, Defence::Connections, node),
    },
    Key {
        name: "icmp",
        read: |r, defences, node| mode(r, defences, Defence::Icmp, node),
    },
    Key {
        name: "protocols",
        read: |r, defences, node| mode(r, defences, Defence::Protocols, node),
    },
    Key {
        name: "cookie_ports",
        read: |r, defences, node| defences.cookie_ports = cookie_ports(r, node),
    },
    Key {
        name: "answers",
        read: |r, defences, node| r.value(node, rate, |rate| defences.answers = rate),
    },
    Key {
        name: "answers_prefix",
        read: |r, defences, node| r.value(node, rate, |rate| defences.answers_prefix = rate),
    },
    Key {
        name: "known",
        read: |r, defences, node| r.value(node, budget, |rate| defences.known = rate),
    },
    Key {
        name: "left_out",
        read: |r, defences, node| defences.left_out = left_out(r, node),
    },
];

fn mode(reader: &mut Reader<'_>, defences: &mut Defences, defence: Defence, node: Node<'_>) {
    let choices: Vec<_> = DefenceMode::of(defence)
        .iter()
        .map(|mode| (mode.word(), *mode))
        .collect();
    reader.value(
        node,
        |node| node.choice(&choices),
        |mode| {
            if let Some(slot) = defences.modes.get_mut(defence as usize) {
                *slot = mode;
            }
        },
    );
}

/// `"all"`, or an array of ports.
fn cookie_ports(reader: &mut Reader<'_>, node: Node<'_>) -> CookiePorts {
    if node.choice(&[("all", ())]).is_ok() {
        return CookiePorts::All;
    }
    let parsed = reader.array(node, "ports, as [443, 80], or \"all\"", |_, item| {
        port(item)
    });
    CookiePorts::Some(parsed.into_iter().map(|(port, _)| port).collect())
}

fn left_out(reader: &mut Reader<'_>, node: Node<'_>) -> LeftOut {
    let parsed = reader.array(node, "ports, as [\"tcp/8080\"]", |_, item| side(item));
    let of = |tcp: bool| -> BTreeSet<u16> {
        let ports = parsed.iter().map(|(side, _)| side);
        ports
            .filter(|(is_tcp, _)| *is_tcp == tcp)
            .map(|(_, port)| *port)
            .collect()
    };
    LeftOut {
        tcp: of(true),
        udp: of(false),
    }
}

/// Whether it is one of TCP, and the port.
fn side(node: Node<'_>) -> Result<(bool, u16), String> {
    let text = node.text("\"tcp/8080\"")?;
    let parts = text.split_once('/');
    let parsed = parts.and_then(|(protocol, port)| {
        let is_tcp = match protocol {
            "tcp" => true,
            "udp" => false,
            _ => return None,
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0)?;
        Some((is_tcp, port))
    });
    parsed.ok_or_else(|| {
        format!(
            "{} names no port: write the protocol and a number up to 65535, as \"tcp/8080\" or \
             \"udp/5000\"",
            quote(text)
        )
    })
}
