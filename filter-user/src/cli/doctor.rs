//! `floodwall doctor`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{
    context::Context,
    exit::{Code, Failure},
    value,
};
use crate::{
    api::types::SCHEMA,
    host::doctor::{self, Finding, Verdict},
    render,
};

/// Arguments.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The interface; those of the configuration if none is named
    #[arg(value_parser = value::interface)]
    interface: Option<String>,
}

/// What was found, as JSON.
#[derive(Serialize)]
struct Report {
    schema: u32,
    findings: Vec<Finding>,
}

impl Doctor {
    /// Does it. Something bad is exit code 1.
    pub fn execute(self, context: &Context) -> Result<ExitCode, Failure> {
        let findings = doctor::examine(self.interface.as_deref(), &context.config);
        let bad = findings
            .iter()
            .any(|finding| finding.verdict == Verdict::Bad);
        let report = Report {
            schema: SCHEMA,
            findings,
        };
        let findings = &report.findings;
        context.show(&report, |out, style| {
            render::doctor::render(out, findings, style)
        })?;
        Ok(if bad {
            ExitCode::from(Code::Failed as u8)
        } else {
            ExitCode::SUCCESS
        })
    }
}
