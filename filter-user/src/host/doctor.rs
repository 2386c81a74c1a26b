//! Whether this host can be protected.

use serde::Serialize;

use crate::config::Config;

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, but not well.
    Warning,
    /// Does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub subject: String,
    /// How good.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
    /// What mends it.
    pub remedy: Option<String>,
}

/// Looks at the host, and at an interface or those of the configuration.
pub fn examine(_interface: Option<&str>, _config: &Config) -> Vec<Finding> {
    Vec::new()
}
