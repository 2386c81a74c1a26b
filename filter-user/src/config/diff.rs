//! What differs between two texts of the configuration, key by key.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::incidents::Endpoint;
use crate::api::types::KeyChange;

/// The key whose value may hold a secret: it is told by its host alone.
const SECRET: &str = "webhook.url";

/// The keys that differ, by name. Items of an array are told one by one. A text that is not TOML says
/// nothing.
pub fn keys(before: &str, after: &str) -> Vec<KeyChange> {
    let (before, after) = (leaves(before), leaves(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .flat_map(|name| changes(name, before.get(name), after.get(name)))
        .collect()
}

fn changes(name: &str, before: Option<&Value>, after: Option<&Value>) -> Vec<KeyChange> {
    let change = |before: Option<String>, after: Option<String>| KeyChange {
        name: name.to_owned(),
        before,
        after,
    };
    let text = |value: Option<&Value>| match name {
        SECRET => value.map(without_path),
        _ => value.map(ToString::to_string),
    };
    match (before, after) {
        (before, after) if before == after => Vec::new(),
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            let gone = before.iter().filter(|item| !after.contains(item));
            let gone = gone.map(|item| change(text(Some(item)), None));
            let come = after.iter().filter(|item| !before.contains(item));
            let come = come.map(|item| change(None, text(Some(item))));
            let items: Vec<KeyChange> = gone.chain(come).collect();
            if items.is_empty() {
                let order = |items: &[Value]| Some(Value::Array(items.to_vec()).to_string());
                return vec![change(order(before), order(after))];
            }
            items
        }
        (before, after) => vec![change(text(before), text(after))],
    }
}

/// An address as far as others may see it.
fn without_path(value: &Value) -> String {
    match value.as_str() {
        Some("off") => value.to_string(),
        text => match text.map(Endpoint::parse) {
            Some(Ok(endpoint)) => format!("{endpoint:?}"),
            Some(Err(_)) | None => "…".to_owned(),
        },
    }
}

/// Every key with a value that is no table, by its whole name.
fn leaves(text: &str) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    if let Ok(table) = text.parse::<Table>() {
        gather("", &table, &mut all);
    }
    all
}

fn gather(prefix: &str, table: &Table, all: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        if let Value::Table(inner) = value {
            gather(&name, inner, all);
        } else if let Some(named) = named(value) {
            for (own, inner) in named {
                gather(&format!("{name}.{own}"), inner, all);
            }
        } else {
            all.insert(name, value.clone());
        }
    }
}

/// Tables of an array by their names, if each has one.
fn named(value: &Value) -> Option<Vec<(&str, &Table)>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    let named = items.iter().map(|item| {
        let table = item.as_table()?;
        Some((table.get("name")?.as_str()?, table))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str, after: &str) -> Vec<String> {
        let told = keys(before, after).into_iter().map(|change| {
            let [before, after] =
                [change.before, change.after].map(|it| it.unwrap_or_else(|| "-".to_owned()));
            format!("{}: {before} -> {after}", change.name)
        });
        told.collect()
    }

    #[test]
    fn keys_that_differ_are_told_by_their_whole_names() {
        let before = "mode = \"monitor\"\nrules = [\"drop udp\", \"pass tcp\"]\n\
                      [limits.source]\nsyn = \"7/s\"\n[[service]]\nname = \"web\"\nport = 80";
        let after = "mode = \"enforce\"\nrules = [\"pass tcp\", \"drop icmp\"]\n\
                     [limits]\n[[service]]\nname = \"web\"\nport = 443";
        assert_eq!(
            told(before, after),
            [
                "limits.source.syn: \"7/s\" -> -",
                "mode: \"monitor\" -> \"enforce\"",
                "rules: \"drop udp\" -> -",
                "rules: - -> \"drop icmp\"",
                "service.web.port: 80 -> 443",
            ]
        );
        assert!(told(after, after).is_empty());
        assert!(told("# nothing", "").is_empty());
        assert_eq!(told("a = [1, 2]", "a = [2, 1]"), ["a: [1, 2] -> [2, 1]"]);
    }

    #[test]
    fn the_path_of_an_address_is_told_to_nobody() {
        let url = |path: &str| format!("[webhook]\nurl = \"https://example.org/{path}\"");
        assert_eq!(
            told(&url("TOKEN"), &url("OTHER")),
            ["webhook.url: https://example.org/… -> https://example.org/…"]
        );
        for after in [
            "",
            "webhook.url = \"off\"",
            "webhook.url = \"TOKEN\"",
            "webhook.url = [\"TOKEN\"]",
        ] {
            let told = told(&url("TOKEN"), after).join(" ");
            assert!(
                told.contains("webhook.url") && !told.contains("TOKEN"),
                "{told}"
            );
        }
    }
}
