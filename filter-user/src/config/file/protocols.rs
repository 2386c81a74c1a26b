//! `[protocols]`.

use filter_common::abi::defence::ProtocolPolicy;

use super::super::{
    protocols::{Named, Protocols, protocol_with_policy},
    schema::{Node, Reader, join},
};

/// What stands for all protocols that are not named.
const DEFAULT: &str = "default";

const POLICIES: [(&str, ProtocolPolicy); 3] = [
    ("pass", ProtocolPolicy::Pass),
    ("limit", ProtocolPolicy::Limit),
    ("drop", ProtocolPolicy::Drop),
];

/// Policies by the protocol's name or number.
pub(super) fn protocols(reader: &mut Reader<'_>, node: Node<'_>) -> Protocols {
    let mut protocols = Protocols::default();
    let Some(table) = node.as_table() else {
        let message = format!("{} is not allowed: write a table [protocols]", node.shown());
        reader.complain_of(node, &message);
        return protocols;
    };
    for (name, value) in table {
        let path = join(node.path(), name.get_ref());
        let child = node.child(&path, value);
        if name.get_ref() == DEFAULT {
            let policy = |node: Node<'_>| node.choice(&POLICIES);
            reader.value(child, policy, |policy| protocols.default = policy);
            continue;
        }
        let number = match protocol_with_policy(name.get_ref()) {
            Ok(number) => number,
            Err(message) => {
                let message = format!("`{}`: {message}", node.path());
                reader.complain(&name.span(), message);
                continue;
            }
        };
        if protocols.named.contains_key(&number) {
            let message = format!(
                "{} is named twice, by name and number: leave one out",
                Named(number)
            );
            reader.complain_of(child, &message);
            continue;
        }
        reader.value(
            child,
            |node| node.choice(&POLICIES),
            |policy| {
                protocols.named.insert(number, policy);
            },
        );
    }
    protocols
}
