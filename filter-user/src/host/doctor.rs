//! Looks over the host, and says what helps and what hinders, each with a remedy.
//!
//! In each of the parts one function looks and another judges what was seen. Nothing is changed,
//! and no link is touched.

mod defences;
mod interface;
mod system;

use serde::{Deserialize, Serialize};

use super::{addresses, links};
use crate::{config::Config, dataplane::probe};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What: `kernel`, `bpffs`, `eth0: queues`.
    pub subject: String,
    /// How it is.
    pub verdict: Verdict,
    /// In one sentence.
    pub text: String,
    /// The command or the change that mends it.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but worse than it could, or nobody could tell.
    Warning,
    /// It does not work.
    Bad,
}

impl Finding {
    fn good(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            verdict: Verdict::Good,
            text: text.into(),
            remedy: None,
        }
    }

    fn warning(
        subject: impl Into<String>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self {
            subject: subject.into(),
            verdict: Verdict::Warning,
            text: text.into(),
            remedy,
        }
    }

    fn bad(subject: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Bad,
            ..Self::warning(subject, text, remedy)
        }
    }
}

/// Looks over the host and an interface; without a name, over those of the configuration, or those
/// that default routes go through.
pub fn examine(interface: Option<&str>, config: &Config) -> Vec<Finding> {
    let mut findings = system::judge(&system::look(config));
    findings.extend(defences::judge(&defences::look(config)));
    let links = match links::list() {
        Ok(links) => links,
        Err(error) => {
            findings.push(Finding::bad(
                "interfaces",
                format!("interfaces cannot be listed: {error}"),
                "allow netlink sockets (AF_NETLINK) where floodwall runs; `ip link` must work there",
            ));
            return findings;
        }
    };
    let names = match interface {
        Some(name) => vec![name.to_owned()],
        None if config.default_route => {
            links::uplinks(&links, &addresses::ways().unwrap_or_default().interfaces)
        }
        None => config.interfaces.clone(),
    };
    if names.is_empty() {
        findings.push(Finding::warning(
            "interfaces",
            "no interface is named, so none was looked at",
            "floodwall doctor IFACE, or interfaces = [\"eth0\"] in the configuration",
        ));
    }
    // Without the right to ask, programs have ids and no names.
    let programs = probe::program_names().unwrap_or_default();
    for name in &names {
        match links.iter().find(|link| link.name == *name) {
            Some(link) => findings.extend(interface::judge(
                &interface::look(link.clone(), &programs),
                config.attach,
            )),
            None => findings.push(interface::unknown(name, &links)),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_be_examined() {
        let findings = examine(Some("lo"), &Config::default());
        assert!(findings.iter().any(|finding| finding.subject == "lo: link"));
        let unmended =
            |finding: &&Finding| finding.verdict != Verdict::Good && finding.remedy.is_none();
        assert_eq!(findings.iter().find(unmended), None);
    }

    #[test]
    fn without_an_interface_it_says_so() {
        let findings = examine(None, &Config::default());
        assert!(
            findings
                .iter()
                .any(|finding| finding.subject == "interfaces")
        );
    }

    #[test]
    fn an_unknown_interface_is_bad_and_those_there_are_named() {
        let findings = examine(Some("nosuch0"), &Config::default());
        let last = findings.last().unwrap();
        assert_eq!(
            (last.verdict, last.subject.as_str()),
            (Verdict::Bad, "nosuch0: link")
        );
        assert!(last.remedy.as_deref().unwrap().contains("lo"));
    }

    #[test]
    fn findings_are_json_in_snake_case() {
        let json = serde_json::to_value(Finding::good("kernel", "6.1")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "subject": "kernel", "verdict": "good", "text": "6.1", "remedy": null
            })
        );
    }
}
