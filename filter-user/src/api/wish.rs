//! What was asked for in words, as a command: the one place where text from the socket is judged.

use std::{sync::Arc, time::Duration};

use filter_common::abi::{
    defence::Defence,
    reason::{Action, Reason},
};
use ipnet::IpNet;

use crate::{
    api::types::{
        AddEntries, AddRule, DetachQuery, ImportQuery, ListKind, Mode, SetDefence, SetLimit,
        SetMode,
    },
    config::{defence, file::check_interface, limit::LimitName, nearest::suggestion, text, units},
    core::{command::Command, refusal::Refusal, rules::RuleId},
    rules::{Rule, SyntaxError},
    stats::reasons,
};

/// To put prefixes on a list.
pub fn add(list: ListKind, wish: AddEntries) -> Result<Command, Refusal> {
    let command = Command::Add {
        list,
        prefixes: prefixes(&wish.prefixes)?,
        duration: duration(wish.duration.as_deref())?,
        reason: reason(&wish.reason)?,
        force: wish.force,
    };
    on_trial(command, wish.confirm.as_deref())
}

/// To take prefixes off a list.
pub fn remove(list: ListKind, wish: &[String]) -> Result<Command, Refusal> {
    Ok(Command::Remove {
        list,
        prefixes: prefixes(wish)?,
    })
}

/// What an import will be, before its prefixes are there.
pub fn import(list: ListKind, query: ImportQuery) -> Result<Command, Refusal> {
    Ok(Command::Import {
        list,
        name: text::list_name(&query.list).map_err(Refusal::invalid)?,
        prefixes: Arc::default(),
        duration: duration(query.duration.as_deref())?,
        reason: reason(&query.reason)?,
        force: query.force,
    })
}

/// To add a rule.
pub fn add_rule(wish: &AddRule) -> Result<Command, Refusal> {
    let rule: Rule = wish
        .expression
        .parse()
        .map_err(|error: SyntaxError| Refusal::invalid(error.to_string()))?;
    let command = Command::AddRule {
        rule: Box::new(rule),
        before: wish.before.as_deref().map(rule_id).transpose()?,
        duration: duration(wish.duration.as_deref())?,
        reason: reason(&wish.reason)?,
        force: wish.force,
    };
    on_trial(command, wish.confirm.as_deref())
}

/// To remove rules.
pub fn remove_rules(wish: &[String]) -> Result<Command, Refusal> {
    if wish.is_empty() {
        return Err(Refusal::invalid("no rule is given; name at least one id"));
    }
    let ids = wish
        .iter()
        .map(|id| rule_id(id))
        .collect::<Result<_, _>>()?;
    Ok(Command::RemoveRules { ids })
}

fn rule_id(text: &str) -> Result<RuleId, Refusal> {
    text.parse()
        .map_err(|error: String| Refusal::invalid(error))
}

/// To set a limit.
pub fn set_limit(name: &str, wish: &SetLimit) -> Result<Command, Refusal> {
    let name = limit_name(name)?;
    let rate = name.measure().parse(&wish.rate).map_err(Refusal::invalid)?;
    let command = Command::SetLimit {
        name,
        rate,
        duration: duration(wish.duration.as_deref())?,
    };
    on_trial(command, wish.confirm.as_deref())
}

/// To say when a defence holds.
pub fn set_defence(name: &str, wish: SetDefence) -> Result<Command, Refusal> {
    let command = Command::SetDefence {
        defence: defence_name(name)?,
        mode: wish.mode.parse().map_err(Refusal::invalid)?,
        ports: wish.ports,
        services: wish.services,
        duration: duration(wish.duration.as_deref())?,
        reason: reason(&wish.reason)?,
    };
    on_trial(command, wish.confirm.as_deref())
}

/// The defence with this name.
pub fn defence_name(name: &str) -> Result<Defence, Refusal> {
    defence::by_name(name).map_err(Refusal::not_found)
}

/// To change the mode.
pub fn set_mode(wish: &SetMode) -> Result<Command, Refusal> {
    if wish.mode == Mode::Monitor && !wish.reasons.is_empty() {
        return Err(Refusal::invalid(
            "monitor mode takes no reasons: nothing is dropped for any of them; name those that \
             should drop with `floodwall mode enforce REASON...`",
        ));
    }
    let reasons = wish
        .reasons
        .iter()
        .map(|name| drop_reason(name))
        .collect::<Result<_, _>>()?;
    let command = Command::SetMode {
        mode: wish.mode,
        reasons,
        duration: duration(wish.duration.as_deref())?,
    };
    on_trial(command, wish.confirm.as_deref())
}

/// The limit with this name.
pub fn limit_name(name: &str) -> Result<LimitName, Refusal> {
    name.parse().map_err(Refusal::not_found)
}

/// The reason with this name.
pub fn any_reason(name: &str) -> Result<Reason, Refusal> {
    reasons::by_name(name).ok_or_else(|| {
        let known: Vec<_> = Reason::ALL
            .iter()
            .map(|reason| reasons::name(*reason))
            .collect();
        Refusal::invalid(format!(
            "{} is no reason: {}",
            text::quote(name),
            suggestion(name, &known)
        ))
    })
}

/// The name of an interface, as the kernel would take it.
pub fn interface(name: &str) -> Result<String, Refusal> {
    check_interface(name)
        .map(|()| name.to_owned())
        .map_err(Refusal::invalid)
}

fn drop_reason(name: &str) -> Result<Reason, Refusal> {
    let reason = any_reason(name)?;
    match reason.action() {
        Action::Drop | Action::Answer => Ok(reason),
        Action::Pass => Err(Refusal::invalid(format!(
            "the reason `{name}` passes packets, so it cannot be enforced; `floodwall status` \
             shows those that drop"
        ))),
    }
}

fn prefixes(texts: &[String]) -> Result<Vec<IpNet>, Refusal> {
    if texts.is_empty() {
        return Err(Refusal::invalid("no prefix is given; name at least one"));
    }
    texts
        .iter()
        .map(|text| units::parse_prefix(text).map_err(Refusal::invalid))
        .collect()
}

/// To stop protecting an interface, or all.
pub fn detach(name: Option<&str>, query: &DetachQuery) -> Result<Command, Refusal> {
    let command = Command::Detach {
        interface: name.map(interface).transpose()?,
        duration: duration(query.duration.as_deref())?,
    };
    on_trial(command, query.confirm.as_deref())
}

/// The same, on trial if a time is given in which it is to be confirmed.
pub fn on_trial(command: Command, confirm: Option<&str>) -> Result<Command, Refusal> {
    Ok(match duration(confirm)? {
        Some(within) => Command::Try {
            command: Box::new(command),
            within,
        },
        None => command,
    })
}

fn duration(text: Option<&str>) -> Result<Option<Duration>, Refusal> {
    text.map(units::parse_duration)
        .transpose()
        .map_err(Refusal::invalid)
}

fn reason(text: &str) -> Result<String, Refusal> {
    text::clean(text)
        .map_err(|error| Refusal::invalid(format!("the reason is not usable: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_name_is_answered_with_the_nearest() {
        let refusal = limit_name("source.sin").unwrap_err();
        assert_eq!(
            refusal.message,
            "\"source.sin\" is no limit: did you mean `source.syn`?"
        );
        let refusal = any_reason("blokced").unwrap_err();
        assert_eq!(
            refusal.message,
            "\"blokced\" is no reason: did you mean `blocked`?"
        );
    }

    #[test]
    fn a_reason_that_passes_cannot_be_enforced() {
        let wish = SetMode {
            mode: Mode::Enforce,
            reasons: vec!["clean".to_owned()],
            duration: None,
            confirm: None,
        };
        assert!(
            set_mode(&wish)
                .unwrap_err()
                .message
                .contains("cannot be enforced")
        );
    }

    #[test]
    fn monitor_mode_takes_no_reasons() {
        let wish = SetMode {
            mode: Mode::Monitor,
            reasons: vec!["blocked".to_owned()],
            duration: None,
            confirm: None,
        };
        assert!(
            set_mode(&wish)
                .unwrap_err()
                .message
                .contains("takes no reasons")
        );
    }

    #[test]
    fn host_bits_are_masked() {
        let wish = remove(ListKind::Block, &["192.0.2.77/24".to_owned()]).unwrap();
        let prefixes = vec!["192.0.2.0/24".parse().unwrap()];
        assert_eq!(
            wish,
            Command::Remove {
                list: ListKind::Block,
                prefixes
            }
        );
    }

    #[test]
    fn interface_names_are_those_the_kernel_takes() {
        for bad in ["", ".", "..", "a/b", "a b", "sixteen-letters-", "eth0\n"] {
            assert!(interface(bad).is_err(), "{bad}");
        }
        assert_eq!(interface("eth0.100").unwrap(), "eth0.100");
    }
}
