//! The operator's rules: those of the file, then those added at run time.

use std::{fmt, str::FromStr};

use filter_common::logic::lines::Line;

use super::{
    actor::CONTROLLER,
    lists::{End, Note},
    refusal::Refusal,
    state::State,
};
use crate::{
    config::{Config, text::quote},
    rules::{
        Rule, ServiceMatch,
        compile::{CompileError, Member, compile},
    },
};

/// A rule that was added at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedRule {
    /// Where it stands among the others: a number that rises along the order.
    pub place: u64,
    /// The rule.
    pub rule: Rule,
    /// What is known of it.
    pub note: Note,
}

impl AddedRule {
    /// Whether it is the controller's.
    pub fn is_by_controller(&self) -> bool {
        self.note.by == CONTROLLER
    }
}

/// The name of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleId {
    /// The rule of the file at this place, the first being 1.
    File(u32),
    /// The rule that was added at run time under this number, which no other gets.
    Added(u32),
}

impl fmt::Display for RuleId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => write!(formatter, "file:{place}"),
            Self::Added(number) => write!(formatter, "{number}"),
        }
    }
}

impl FromStr for RuleId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, make): (&str, fn(u32) -> Self) = match text.strip_prefix("file:") {
            Some(place) => (place, Self::File),
            None => (text, Self::Added),
        };
        let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        match number.parse() {
            Ok(number) if plain => Ok(make(number)),
            _ => Err(format!(
                "{} is no rule: write its id as `floodwall rule list` shows it",
                quote(text)
            )),
        }
    }
}

/// A rule in its place.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Its name.
    pub id: RuleId,
    /// The rule.
    pub rule: &'a Rule,
    /// What is known of it, unless it is the file's.
    pub note: Option<&'a Note>,
}

impl Listed<'_> {
    /// When it ends.
    pub fn until(&self) -> End {
        self.note.and_then(|note| note.until)
    }
}

/// Every rule, in the order in which packets meet them.
pub fn all<'a>(config: &'a Config, state: &'a State) -> Vec<Listed<'a>> {
    let file = config.rules.iter().zip(1..).map(|(rule, place)| Listed {
        id: RuleId::File(place),
        rule,
        note: None,
    });
    let added = in_order(state).into_iter().map(|(number, added)| Listed {
        id: RuleId::Added(number),
        rule: &added.rule,
        note: Some(&added.note),
    });
    file.chain(added).collect()
}

/// The rules that were added, in order: those of the controller behind those of operators.
pub fn in_order(state: &State) -> Vec<(u32, &AddedRule)> {
    let mut added: Vec<_> = state
        .rules
        .iter()
        .map(|(number, added)| (*number, added))
        .collect();
    added.sort_by_key(|(number, added)| (added.is_by_controller(), added.place, *number));
    added
}

/// Where protected services are reached, in the order in which packets meet them.
pub fn services(config: &Config) -> Vec<ServiceMatch> {
    let services = config.services.iter();
    services.map(|service| service.matches.clone()).collect()
}

/// The table that the kernel finds rules and services by.
pub fn table(rules: &[Listed<'_>], services: &[ServiceMatch]) -> Result<Vec<Line>, Refusal> {
    compiled(rules, services).map_err(|error| explain(&error, rules))
}

/// Likewise, with the error as it is.
pub fn compiled(
    rules: &[Listed<'_>],
    services: &[ServiceMatch],
) -> Result<Vec<Line>, CompileError> {
    let members: Vec<Member<'_>> = rules
        .iter()
        .map(|listed| Member {
            rule: listed.rule,
            ends: listed.until().is_some(),
        })
        .collect();
    compile(&members, services)
}

/// Names at most so many rules that are in each other's way.
const NAMED: usize = 20;

/// An error in the names of the rules.
pub fn explain(error: &CompileError, rules: &[Listed<'_>]) -> Refusal {
    match error {
        CompileError::Crowded { rules: crowd } => {
            let names: Vec<String> = crowd
                .iter()
                .take(NAMED)
                .filter_map(|index| rules.get(*index))
                .map(|listed| listed.id.to_string())
                .collect();
            let more = match crowd.len().saturating_sub(names.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Refusal::refused(format!("{error}: rules {}{more}", names.join(", ")))
        }
        CompileError::TooMany { .. }
        | CompileError::TooManyServices { .. }
        | CompileError::ServiceAddresses { .. }
        | CompileError::TooBig => Refusal::refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        for id in [RuleId::File(1), RuleId::Added(7), RuleId::Added(u32::MAX)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in [
            "",
            "0",
            "07",
            "+7",
            "-1",
            "file:",
            "file:0",
            "7 ",
            "4294967296",
        ] {
            assert!(bad.parse::<RuleId>().is_err(), "{bad}");
        }
    }
}
