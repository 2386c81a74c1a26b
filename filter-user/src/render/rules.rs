//! `floodwall rule list`.

use std::io::{self, Write};

use super::{Columns, Style, number, safe, table, until};
use crate::api::types::{RuleState, RuleStatus, Rules};

/// Rules in order, with what they met.
pub fn render(out: &mut impl Write, rules: &Rules, style: &Style) -> io::Result<()> {
    if rules.rules.is_empty() {
        return writeln!(out, "No rule.");
    }
    let columns = Columns {
        names: &[
            "id", "packets", "bytes", "state", "until", "by", "rule", "reason",
        ],
        numbers: &[1, 2],
    };
    table(out, style, &columns, rules.rules.iter().map(cells))
}

fn cells(rule: &RuleStatus) -> Vec<String> {
    let state = match rule.state {
        RuleState::Enforced => "enforced",
        RuleState::Shadow => "shadow",
        RuleState::Watched => "watched",
    };
    vec![
        safe(&rule.id),
        number::grouped(rule.packets),
        number::grouped(rule.bytes),
        state.to_owned(),
        until(rule.until),
        safe(&rule.by),
        safe(&rule.expression),
        safe(&rule.reason),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::types::SCHEMA,
        render::tests::{at, plain},
    };

    #[test]
    fn rules_are_shown_in_order_with_what_they_met() {
        let rule = |id: &str, expression: &str, state| RuleStatus {
            id: id.to_owned(),
            expression: expression.to_owned(),
            state,
            packets: 1234,
            bytes: 98_765,
            by: "file".to_owned(),
            reason: String::new(),
            since: None,
            until: None,
        };
        let added = RuleStatus {
            by: "uid 0 (root)".to_owned(),
            reason: "ntp\x07".to_owned(),
            until: Some(at("2026-01-02T03:04:05Z")),
            ..rule("7", "shadow drop udp sport 123", RuleState::Shadow)
        };
        let mut rules = Rules {
            schema: SCHEMA,
            rules: vec![
                rule("file:1", "pass tcp dport 443", RuleState::Enforced),
                added,
            ],
        };
        let expected = "\
ID      PACKETS   BYTES  STATE     UNTIL                 BY            RULE                       REASON
file:1    1,234  98,765  enforced  for ever              file          pass tcp dport 443
7         1,234  98,765  shadow    2026-01-02 03:04:05Z  uid 0 (root)  shadow drop udp sport 123  ntp\\u{7}
";
        assert_eq!(plain(|out, style| render(out, &rules, style)), expected);
        rules.rules.clear();
        assert_eq!(plain(|out, style| render(out, &rules, style)), "No rule.\n");
    }
}
