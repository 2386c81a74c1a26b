//! `[[lifeline]]`.

use filter_common::abi::lifeline::RULES;
use ipnet::IpNet;

use super::{
    super::{
        Lifeline,
        schema::{Key, Node, Reader},
        units::Rate,
    },
    port, prefixes, rate,
};

/// Most prefixes in all lifelines: the kernel's rules, less one for new sessions of sshd.
pub const MOST_LIFELINES: usize = RULES - 1;

/// A lifeline as the file has it, before it is known to be whole.
struct Draft {
    from: Option<Vec<IpNet>>,
    protocol: u8,
    port: Option<u16>,
    ceiling: Rate,
}

const LIFELINE: &[Key<Draft>] = &[
    Key {
        name: "from",
        read: |r, draft, node| draft.from = Some(prefixes(r, node)),
    },
    Key {
        name: "protocol",
        read: |r, draft, node| {
            r.value(
                node,
                |node| node.choice(&PROTOCOLS),
                |number| draft.protocol = number,
            );
        },
    },
    Key {
        name: "port",
        read: |r, draft, node| {
            // Something was given; what is wrong with it is said once.
            draft.port = Some(0);
            r.value(node, port, |port| draft.port = Some(port));
        },
    },
    Key {
        name: "ceiling",
        read: |r, draft, node| r.value(node, rate, |ceiling| draft.ceiling = ceiling),
    },
];

/// Protocols that have ports, by their numbers.
const PROTOCOLS: [(&str, u8); 2] = [("tcp", 6), ("udp", 17)];

pub(super) fn lifelines(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<Lifeline> {
    let parsed = reader.array(node, "tables [[lifeline]]", |reader, item| {
        let table = item
            .as_table()
            .ok_or_else(|| format!("{} is not allowed: write [[lifeline]]", item.shown()))?;
        let mut draft = Draft {
            from: None,
            protocol: 6,
            port: None,
            ceiling: Rate::per_second(20_000),
        };
        reader.table(node.path(), table, LIFELINE, &mut draft);
        let from = draft
            .from
            .ok_or("says not from where: write from = [\"198.51.100.0/24\"]")?;
        let port = draft
            .port
            .ok_or("says not to which port: write port = 22")?;
        Ok(Lifeline {
            from,
            protocol: draft.protocol,
            port,
            ceiling: draft.ceiling,
        })
    });
    let mut count = 0_usize;
    for (lifeline, item) in &parsed {
        let before = count;
        count = count.saturating_add(lifeline.from.len());
        if count > MOST_LIFELINES && before <= MOST_LIFELINES {
            let message = format!(
                "more than {MOST_LIFELINES} prefixes in all lifelines: cover them by fewer, wider \
                 ones, or use `floodwall allow add`"
            );
            reader.complain_of(*item, &message);
        }
    }
    parsed.into_iter().map(|(lifeline, _)| lifeline).collect()
}
