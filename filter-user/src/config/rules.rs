//! The file's rules.

use super::{
    Service,
    schema::{Node, Reader},
    text::quote,
};
use crate::rules::{
    Rule, SyntaxError,
    compile::{CompileError, Member, compile},
};

/// Reads an array of rules; each error stands where it is in the rule.
pub fn rules(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<Rule> {
    const EXAMPLE: &str = "\"drop udp sport 123 length > 400\"";
    let mut faults: Vec<(Node<'_>, SyntaxError)> = Vec::new();
    let parsed = reader.array(node, "rules, as [\"drop udp sport 123\"]", |_, item| {
        Ok(item.text(EXAMPLE)?.parse::<Rule>())
    });
    let mut good: Vec<(Rule, Node<'_>)> = Vec::new();
    for (result, item) in parsed {
        match result {
            Err(fault) => faults.push((item, fault)),
            Ok(rule) if good.iter().any(|(other, _)| *other == rule) => {
                let text = rule.to_string();
                reader.complain_of(
                    item,
                    &format!("{} is named twice: leave one out", quote(&text)),
                );
            }
            Ok(rule) => good.push((rule, item)),
        }
    }
    for (item, fault) in faults {
        reader.complain_within(item, fault.place(), fault.message());
    }
    let rules: Vec<Rule> = good.iter().map(|(rule, _)| rule.clone()).collect();
    check_together(reader, node, &good, &rules);
    rules
}

/// What single rules do not show: whether the kernel can take them all.
fn check_together(
    reader: &mut Reader<'_>,
    node: Node<'_>,
    good: &[(Rule, Node<'_>)],
    rules: &[Rule],
) {
    let Err(error) = compile(&members(rules), &[]) else {
        return;
    };
    let message = error.to_string();
    let first = match error {
        CompileError::Crowded { rules } => rules.first().and_then(|index| good.get(*index)),
        CompileError::TooMany { .. }
        | CompileError::TooManyServices { .. }
        | CompileError::ServiceAddresses { .. }
        | CompileError::TooBig => None,
    };
    reader.complain_of(first.map_or(node, |(_, item)| *item), &message);
}

/// What rules and services do not show by themselves: whether one table holds them all.
pub fn check_with_services(rules: &[Rule], services: &[Service]) -> Result<(), CompileError> {
    if services.is_empty() {
        return Ok(());
    }
    let services: Vec<_> = services
        .iter()
        .map(|service| service.matches.clone())
        .collect();
    compile(&members(rules), &services).map(drop)
}

fn members(rules: &[Rule]) -> Vec<Member<'_>> {
    rules
        .iter()
        .map(|rule| Member { rule, ends: false })
        .collect()
}
