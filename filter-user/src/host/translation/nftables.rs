//! Rules of nftables, as `nft --json` prints them (libnftables-json(5)).

use serde_json::Value;

use super::{Found, Protocols};
use crate::core::ports::Ports;

/// What was read.
#[derive(Debug, PartialEq)]
pub(super) struct Read {
    pub(super) found: Found,
    /// Whether there are translations that only iptables can show.
    pub(super) is_of_iptables: bool,
}

/// Reads a rule set.
pub(super) fn read(text: &str) -> Result<Read, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let objects = document
        .get("nftables")
        .and_then(Value::as_array)
        .ok_or("it is no rule set")?;
    let mut read = Read {
        found: Found::default(),
        is_of_iptables: false,
    };
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let table = rule.get("table").and_then(Value::as_str);
        let statements = rule.get("expr").and_then(Value::as_array);
        for statement in statements.into_iter().flatten() {
            let Some((name, value)) = statement.as_object().and_then(|it| it.iter().next()) else {
                continue;
            };
            match name.as_str() {
                "dnat" | "redirect" | "tproxy" => {
                    let (protocols, ports) = matched(statements.into_iter().flatten());
                    read.found.translate(protocols, ports.as_ref());
                }
                "masquerade" | "snat" => {
                    read.found.sources = true;
                    read.found.own_sources |=
                        value.get("flags").is_some() || value.get("port").is_some();
                }
                "xt" => read.is_of_iptables |= table == Some("nat"),
                _ => {}
            }
        }
    }
    Ok(read)
}

/// What statements of a rule say of protocol and destination port; no ports if they do not say.
fn matched<'a>(statements: impl Iterator<Item = &'a Value>) -> (Protocols, Option<Ports>) {
    let mut protocols = Protocols::BOTH;
    let mut ports = None;
    for condition in statements.filter_map(|it| it.get("match")) {
        let is_equal = condition.get("op").and_then(Value::as_str) == Some("==");
        let (Some(left), Some(right)) = (condition.get("left"), condition.get("right")) else {
            continue;
        };
        if !is_equal {
            continue;
        }
        if let Some(payload) = left.get("payload") {
            let word = |key| payload.get(key).and_then(Value::as_str).unwrap_or_default();
            match (word("protocol"), word("field")) {
                (transport @ ("tcp" | "udp" | "th"), "dport") => {
                    protocols = narrowed(protocols, Protocols::named(transport));
                    ports = numbers(right);
                }
                ("ip", "protocol") | ("ip6", "nexthdr") => {
                    protocols = narrowed(protocols, named(right));
                }
                _ => {}
            }
        } else if left.pointer("/meta/key").and_then(Value::as_str) == Some("l4proto") {
            protocols = narrowed(protocols, named(right));
        }
    }
    (protocols, ports)
}

fn narrowed(one: Protocols, other: Protocols) -> Protocols {
    Protocols {
        tcp: one.tcp && other.tcp,
        udp: one.udp && other.udp,
    }
}

/// Protocols by name or number, one or a set of them.
fn named(value: &Value) -> Protocols {
    let one = |value: &Value| match (value.as_str(), value.as_u64()) {
        (Some(name), _) if !name.starts_with('@') => Protocols::named(name),
        (None, Some(number)) => Protocols::named(&number.to_string()),
        _ => Protocols::BOTH,
    };
    match value.get("set").and_then(Value::as_array) {
        Some(members) => members.iter().map(one).fold(
            Protocols {
                tcp: false,
                udp: false,
            },
            |all, one| Protocols {
                tcp: all.tcp || one.tcp,
                udp: all.udp || one.udp,
            },
        ),
        None => one(value),
    }
}

/// Ports: a number, a range, or a set of both.
fn numbers(value: &Value) -> Option<Ports> {
    let mut ports = Ports::default();
    let port = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let mut put = |value: &Value| -> Option<()> {
        match value
            .get("range")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
        {
            Some([first, last]) => ports.insert_range(port(first)?, port(last)?),
            Some(_) => return None,
            None => ports.insert(port(value)?),
        }
        Some(())
    };
    match value.get("set").and_then(Value::as_array) {
        Some(members) => members.iter().try_for_each(&mut put)?,
        None => put(value)?,
    }
    Some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(table: &str, statements: &str) -> Read {
        let text = format!(
            r#"{{"nftables": [{{"metainfo": {{"json_schema_version": 1}}}},
                {{"table": {{"family": "ip", "name": "{table}"}}}},
                {{"rule": {{"family": "ip", "table": "{table}", "chain": "c", "handle": 4,
                    "expr": [{statements}]}}}}]}}"#
        );
        read(&text).expect("a rule set")
    }

    fn dport(protocol: &str, right: &str) -> String {
        format!(
            r#"{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "{protocol}",
                "field": "dport"}}}}, "right": {right}}}}}"#
        )
    }

    fn ports(ports: &[u16]) -> Ports {
        ports.iter().copied().collect()
    }

    #[test]
    fn ports_that_rules_name_are_translated() {
        let to = r#"{"dnat": {"addr": "172.17.0.2", "port": 80}}"#;
        for (right, expected) in [
            ("8080", ports(&[8080])),
            (r#"{"range": [80, 82]}"#, ports(&[80, 81, 82])),
            (
                r#"{"set": [80, {"range": [443, 444]}]}"#,
                ports(&[80, 443, 444]),
            ),
        ] {
            let found = rule("x", &format!("{}, {to}", dport("tcp", right))).found;
            assert_eq!(
                (found.tcp, found.udp),
                (expected, Ports::default()),
                "{right}"
            );
            assert!(!found.sources);
        }
        let redirect = format!(
            "{}, {}",
            dport("udp", "53"),
            r#"{"redirect": {"port": 5353}}"#
        );
        assert_eq!(rule("x", &redirect).found.udp, ports(&[53]));
    }

    #[test]
    fn what_is_not_named_is_all() {
        let to = r#"{"dnat": {"addr": "172.17.0.2"}}"#;
        let found = rule("x", to).found;
        assert_eq!((found.tcp, found.udp), (Ports::all(), Ports::all()));
        let set = format!("{}, {to}", dport("tcp", r#""@published""#));
        let found = rule("x", &set).found;
        assert_eq!((found.tcp, found.udp), (Ports::all(), Ports::default()));
        let tcp =
            r#"{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}"#;
        let found = rule("x", &format!("{tcp}, {to}")).found;
        assert_eq!((found.tcp, found.udp), (Ports::all(), Ports::default()));
        let both = tcp.replace("\"tcp\"", r#"{"set": ["tcp", "udp"]}"#);
        let found = rule("x", &format!("{both}, {}, {to}", dport("th", "53"))).found;
        assert_eq!((found.tcp, found.udp), (ports(&[53]), ports(&[53])));
        let not = dport("tcp", "22").replace("==", "!=");
        assert_eq!(rule("x", &format!("{not}, {to}")).found.tcp, Ports::all());
    }

    #[test]
    fn sources_and_iptables_are_noticed() {
        let read = rule("x", r#"{"masquerade": null}"#);
        assert!(read.found.sources && !read.found.own_sources && !read.is_of_iptables);
        let read = rule("x", r#"{"masquerade": {"flags": "fully-random"}}"#);
        assert!(read.found.own_sources);
        let target = r#"{"xt": {"type": "target", "name": "DNAT"}}"#;
        assert!(rule("nat", target).is_of_iptables);
        assert!(!rule("filter", r#"{"xt": null}"#).is_of_iptables);
        assert!(super::read("{}").is_err() && super::read("").is_err());
    }
}
