//! Arguments that are judged before anybody is asked.

use clap::Args;

use crate::{
    config::{
        defence::{self, DefenceMode},
        limit::LimitName,
        text, units,
    },
    core::rules::RuleId,
};

/// What every change takes.
#[derive(Debug, Default, Args)]
pub struct Trial {
    /// Take it back unless `floodwall confirm` says within this time, like 120s, to keep it
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub confirm: Option<String>,
}

/// An address or a prefix; kept as it was typed, for the daemon's words about it.
pub fn prefix(text: &str) -> Result<String, String> {
    units::parse_prefix(text).map(|_| text.to_owned())
}

/// A time like `90s`, `1h`, `7d`.
pub fn duration(text: &str) -> Result<String, String> {
    units::parse_duration(text).map(|_| text.to_owned())
}

/// A rate like `200/s burst 400` or `100MB/s`, as the limit of this name counts, or `off`.
pub fn limit(name: &str, text: &str) -> Result<String, String> {
    let name: LimitName = name.parse()?;
    name.measure().parse(text).map(|_| text.to_owned())
}

/// The name of a limit.
pub fn limit_name(text: &str) -> Result<String, String> {
    text.parse::<LimitName>().map(|_| text.to_owned())
}

/// The name of a defence.
pub fn defence_name(text: &str) -> Result<String, String> {
    defence::by_name(text).map(|found| defence::name(found).to_owned())
}

/// When a defence holds.
pub fn defence_mode(text: &str) -> Result<String, String> {
    text.parse::<DefenceMode>().map(|_| text.to_owned())
}

/// The name of a service.
pub fn service_name(text: &str) -> Result<String, String> {
    text::service_name(text)
}

/// The id of a rule.
pub fn rule_id(text: &str) -> Result<String, String> {
    text.parse::<RuleId>().map(|_| text.to_owned())
}

/// Text that is kept and shown.
pub fn clean(text: &str) -> Result<String, String> {
    text::clean(text)
}

/// The name of an imported list.
pub fn list_name(text: &str) -> Result<String, String> {
    text::list_name(text)
}

/// The name of an interface.
pub fn interface(text: &str) -> Result<String, String> {
    crate::api::wish::interface(text).map_err(|refusal| refusal.message)
}
