//! `floodwall rule`.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{context::Context, exit::Failure, value};
use crate::{
    api::types::{AddRule, RemoveRules, Rules},
    render, rules,
};

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Rule {
    /// Add a rule: drop, pass or limit the packets that match
    Add(Add),
    /// Remove rules that were added
    Del(Delete),
    /// Show the rules in the order in which packets meet them
    List,
}

/// Arguments of `add`.
#[derive(Debug, Args)]
#[command(after_help = LANGUAGE)]
pub struct Add {
    /// Like `drop udp sport 123 length > 400`; quotes may be left out, except around `>` and `<`
    #[arg(required = true, num_args = 1.., value_name = "EXPRESSION")]
    expression: Vec<String>,
    /// How long, like 90s, 1h or 7d; without it, until it is deleted
    #[arg(long = "for", value_parser = value::duration, value_name = "TIME")]
    duration: Option<String>,
    /// Why, at most 200 bytes
    #[arg(long, default_value = "", hide_default_value = true, value_parser = value::clean, value_name = "TEXT")]
    reason: String,
    /// Put it before this rule, not behind all others
    #[arg(long, value_parser = value::rule_id, value_name = "ID")]
    before: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it even where it would cut off this host or its operators
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    trial: value::Trial,
}

const LANGUAGE: &str = "\
Actions:  drop | pass | limit RATE [burst N] [per source]; `shadow` before them only counts
Matches:  any | ip | ip6 | tcp | udp | icmp | icmp6 | proto N, from PREFIX, to PREFIX,
          sport N|N-M|>N|<N, dport …, flags SYN/SYN,ACK, length …, ttl …,
          fragment whole|first|later|any, payload 0xBYTES[/0xMASK] at N";

/// Arguments of `del`.
#[derive(Debug, Args)]
pub struct Delete {
    /// Ids, as `list` shows them
    #[arg(required = true, value_parser = value::rule_id, value_name = "ID")]
    ids: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    trial: value::Trial,
}

impl Rule {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.execute(context),
            Self::Del(Delete {
                ids,
                dry_run,
                trial,
            }) => {
                let body = RemoveRules {
                    ids,
                    dry_run,
                    confirm: trial.confirm,
                };
                let client = context.client()?;
                context.show_outcome(&client.send(Method::POST, "/v1/rules/remove", &body)?)
            }
            Self::List => {
                let rules: Rules = context.client()?.get("/v1/rules", &[])?;
                context.show(&rules, |out, style| {
                    render::rules::render(out, &rules, style)
                })
            }
        }
    }
}

impl Add {
    fn execute(self, context: &Context) -> Result<(), Failure> {
        let expression = self.expression.join(" ");
        expression
            .parse::<rules::Rule>()
            .map_err(|error| Failure::usage(error.pointing()))?;
        let body = AddRule {
            expression,
            duration: self.duration,
            reason: self.reason,
            before: self.before,
            dry_run: self.dry_run,
            force: self.force,
            confirm: self.trial.confirm,
        };
        context.show_outcome(&context.client()?.send(Method::POST, "/v1/rules", &body)?)
    }
}
