//! `[incidents]`, `[webhook]` and `[metrics]`.

use std::net::SocketAddr;

use super::{
    super::{
        bytes::parse_size,
        incidents::{Endpoint, Incidents, Metrics, Webhook},
        schema::{Key, Node},
        text::{is_hidden, quote},
    },
    absolute_path,
    detection::time,
};

/// Least room: some days of calm, and incidents.
const LEAST_ROOM: u64 = 10_000_000;
/// Most room.
const MOST_ROOM: u64 = 100_000_000_000;
/// Most bytes of an address.
const MOST_URL: usize = 2_048;

pub(super) const INCIDENTS: &[Key<Incidents>] = &[
    Key {
        name: "keep",
        read: |r, incidents, node| r.value(node, time, |time| incidents.keep = time),
    },
    Key {
        name: "seconds",
        read: |r, incidents, node| r.value(node, time, |time| incidents.seconds = time),
    },
    Key {
        name: "room",
        read: |r, incidents, node| r.value(node, room, |room| incidents.room = room),
    },
];

pub(super) const WEBHOOK: &[Key<Webhook>] = &[
    Key {
        name: "url",
        read: |r, webhook, node| r.value(node, url, |url| webhook.url = url),
    },
    Key {
        name: "secret_file",
        read: |r, webhook, node| r.value(node, absolute_path, |path| webhook.secret = Some(path)),
    },
    Key {
        name: "secret",
        read: |r, _, node| {
            let message = "a secret does not belong here, where others may read it: write it into \
                           a file that only root can read, and name that with `secret_file`";
            r.complain_of(node, message);
        },
    },
];

pub(super) const METRICS: &[Key<Metrics>] = &[Key {
    name: "listen",
    read: |r, metrics, node| r.value(node, listen, |listen| metrics.listen = listen),
}];

fn room(node: Node<'_>) -> Result<u64, String> {
    let text = node.text("\"256MB\"")?;
    parse_size(text.trim())
        .filter(|size| (LEAST_ROOM..=MOST_ROOM).contains(size))
        .ok_or_else(|| {
            format!(
                "{} is no room: write bytes from \"10MB\" to \"100GB\"",
                quote(text)
            )
        })
}

/// An address, or `off`. What is wrong is told without it, for it may hold a secret.
fn url(node: Node<'_>) -> Result<Option<Endpoint>, String> {
    let text = node.text("\"https://example.org/hook\"")?;
    if text == "off" {
        return Ok(None);
    }
    if text.len() > MOST_URL || text.contains(is_hidden) {
        return Err(format!(
            "the address is longer than {MOST_URL} bytes, or has hidden characters"
        ));
    }
    Endpoint::parse(text)
        .map(Some)
        .map_err(|error| format!("the address {error}"))
}

/// An address of this host alone with a port, or `off`.
fn listen(node: Node<'_>) -> Result<Option<SocketAddr>, String> {
    let text = node.text("\"127.0.0.1:9815\"")?;
    if text == "off" {
        return Ok(None);
    }
    let Some(address) = text
        .parse::<SocketAddr>()
        .ok()
        .filter(|address| address.port() > 0)
    else {
        return Err(format!(
            "{} is no address with a port: write \"127.0.0.1:9815\", \"[::1]:9815\" or \"off\"",
            quote(text)
        ));
    };
    if !address.ip().is_loopback() {
        return Err(format!(
            "{} can be reached from elsewhere, and metrics ask nobody who they are: write a \
             loopback address, as \"127.0.0.1:9815\", and have a proxy or the monitoring's agent \
             on this host read there",
            quote(text)
        ));
    }
    Ok(Some(address))
}
