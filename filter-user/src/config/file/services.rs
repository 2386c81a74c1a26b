//! `[[service]]`.

use filter_common::{abi::service::SERVICES, logic::packet::protocol};
use ipnet::IpNet;

use super::{
    super::{
        Service,
        bytes::ByteRate,
        limit::{LimitRate, Measure},
        schema::{Key, Node, Reader},
        text::{quote, service_name},
        units::Rate,
    },
    budget, port, prefixes,
};
use crate::rules::{
    ServiceMatch,
    compile::{CompileError, compile},
};

/// A service as the file has it, before it is known to be whole. What was given but is wrong is
/// there all the same, so that it is said once.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    to: Option<Vec<IpNet>>,
    protocol: Option<u8>,
    port: Option<u16>,
    packets: Option<Rate>,
    bytes: Option<ByteRate>,
}

const SERVICE: &[Key<Draft>] = &[
    Key {
        name: "name",
        read: |r, draft, node| {
            draft.name = Some(String::new());
            let parse = |node: Node<'_>| service_name(node.text("\"web\"")?);
            r.value(node, parse, |name| draft.name = Some(name));
        },
    },
    Key {
        name: "to",
        read: |r, draft, node| {
            if node.is_empty_array() {
                r.complain_of(node, "names no address: write to = [\"203.0.113.10\"]");
            }
            draft.to = Some(prefixes(r, node));
        },
    },
    Key {
        name: "protocol",
        read: |r, draft, node| {
            draft.protocol = Some(protocol::TCP);
            r.value(node, protocol_number, |number| {
                draft.protocol = Some(number);
            });
        },
    },
    Key {
        name: "port",
        read: |r, draft, node| r.value(node, port, |port| draft.port = Some(port)),
    },
    Key {
        name: "packets",
        read: |r, draft, node| r.value(node, budget, |rate| draft.packets = rate),
    },
    Key {
        name: "bytes",
        read: |r, draft, node| r.value(node, byte_rate, |rate| draft.bytes = rate),
    },
];

pub(super) fn services(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<Service> {
    let parsed = reader.array(node, "tables [[service]]", |reader, item| {
        let table = item
            .as_table()
            .ok_or_else(|| format!("{} is not allowed: write [[service]]", item.shown()))?;
        let mut draft = Draft::default();
        reader.table(item.path(), table, SERVICE, &mut draft);
        draft.whole()
    });
    for (index, (service, item)) in parsed.iter().enumerate() {
        let earlier = parsed.get(..index).unwrap_or_default();
        if index == SERVICES as usize {
            let message =
                format!("more than {SERVICES} services: let one stand for several addresses");
            reader.complain_of(*item, &message);
        }
        if let Some(problem) = conflict(service, earlier.iter().map(|(other, _)| other)) {
            reader.complain_of(*item, &problem);
        }
        if let Err(CompileError::ServiceAddresses { .. }) =
            compile(&[], std::slice::from_ref(&service.matches))
        {
            let error = CompileError::ServiceAddresses { service: index };
            reader.complain_of(*item, &error.to_string());
        }
    }
    parsed.into_iter().map(|(service, _)| service).collect()
}

/// What keeps a service from standing behind those before it.
fn conflict<'s>(service: &Service, earlier: impl Iterator<Item = &'s Service>) -> Option<String> {
    for other in earlier {
        if other.name == service.name && !service.name.is_empty() {
            return Some(format!(
                "two services are named {}: give each a name of its own",
                quote(&service.name)
            ));
        }
        if !service.matches.to.is_empty() && other.matches.covers(&service.matches) {
            return Some(format!(
                "no packet reaches the service {}, for a packet belongs to the first service that \
                 it matches, and {} above takes them all: put {} first",
                quote(&service.name),
                quote(&other.name),
                quote(&service.name)
            ));
        }
    }
    None
}

impl Draft {
    fn whole(self) -> Result<Service, String> {
        let name = self.name.ok_or("has no name: write name = \"web\"")?;
        let to = self
            .to
            .ok_or("says not to where: write to = [\"203.0.113.10\"]")?;
        let protocol = self
            .protocol
            .ok_or("says not of which protocol: write protocol = \"tcp\"")?;
        let has_ports = matches!(protocol, protocol::TCP | protocol::UDP);
        if self.port.is_some() && !has_ports {
            return Err(
                "only \"tcp\" and \"udp\" have ports: leave `port` out, or change `protocol`"
                    .to_owned(),
            );
        }
        Ok(Service {
            name,
            matches: ServiceMatch {
                to,
                protocol,
                port: self.port,
            },
            packets: self.packets,
            bytes: self.bytes,
        })
    }
}

fn protocol_number(node: Node<'_>) -> Result<u8, String> {
    const NAMES: [(&str, u8); 4] = [
        ("tcp", protocol::TCP),
        ("udp", protocol::UDP),
        ("icmp", protocol::ICMP),
        ("icmpv6", protocol::ICMPV6),
    ];
    match node.number(0, u32::from(u8::MAX)) {
        Ok(number) => u8::try_from(number).map_err(|error| error.to_string()),
        Err(_) => node
            .choice(&NAMES)
            .map_err(|error| format!("{error}, or a number up to 255")),
    }
}

fn byte_rate(node: Node<'_>) -> Result<Option<ByteRate>, String> {
    match Measure::Bytes.parse(node.text("\"1Gbit/s\"")?)? {
        Some(LimitRate::Bytes(rate)) => Ok(Some(rate)),
        Some(LimitRate::Packets(_)) | None => Ok(None),
    }
}
