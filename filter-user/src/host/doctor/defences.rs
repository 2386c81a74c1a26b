//! What hinders defences that do not ask who sent a packet.

use std::path::PathBuf;

use filter_common::abi::defence::Defence;

use super::Finding;
use crate::{
    config::{
        Config,
        defence::{DefenceMode, name},
    },
    core::{defences::Unable, ports::Translated},
    dataplane::probe,
    host::{
        cgroup,
        network::{self, Network},
        translation,
    },
};

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Defences that the file switches off.
    off: Vec<Defence>,
    lacking: Unable,
    network: Network,
    /// The root of the control groups.
    cgroup: Option<PathBuf>,
    translated: Translated,
}

/// Looks.
pub(super) fn look(config: &Config) -> Seen {
    let is_off = |defence: &Defence| {
        // Cookies are switched on when they are needed.
        *defence != Defence::Cookies && config.defences.mode(*defence) == DefenceMode::Off
    };
    Seen {
        off: Defence::ALL.into_iter().filter(is_off).collect(),
        lacking: probe::lacking(),
        network: network::look(),
        cgroup: config.paths.cgroup.clone().or_else(cgroup::root),
        translated: translation::look(),
    }
}

/// Judges.
pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let on = Defence::ALL.into_iter().filter(|it| !seen.off.contains(it));
    let mut findings: Vec<Finding> = on.map(|defence| of_defence(seen, defence)).collect();
    findings.push(timestamps(&seen.network));
    findings.extend(conntrack(&seen.network));
    findings.push(translation_of(&seen.translated));
    findings
}

fn of_defence(seen: &Seen, defence: Defence) -> Finding {
    let subject = format!("defence {}", name(defence));
    if let Some(why) = seen.lacking.get(&defence) {
        let remedy = format!("without it: floodwall defence set {} off", name(defence));
        return Finding::warning(subject, why, remedy);
    }
    match (defence, &seen.network.fixed_syncookies) {
        (Defence::Cookies, Some(why)) => Finding::warning(
            subject,
            why,
            "sysctl -w net.ipv4.tcp_syncookies=2 must work where floodwall runs",
        ),
        (Defence::Connections, _) if seen.cgroup.is_none() => Finding::warning(
            subject,
            "no cgroup2 is mounted, so that completed handshakes are not seen",
            "mount -t cgroup2 none /sys/fs/cgroup, or name it with [paths] cgroup",
        ),
        _ => Finding::good(subject, "can hold"),
    }
}

fn timestamps(network: &Network) -> Finding {
    let subject = "net.ipv4.tcp_timestamps";
    if network.timestamps == Some(2) {
        return Finding::good(subject, "cookies keep window scaling and SACK");
    }
    Finding::warning(
        subject,
        "connections that are opened while SYNs are answered with cookies have neither window \
         scaling nor SACK, for the kernel's timestamps have a secret offset, or are off",
        "sysctl -w net.ipv4.tcp_timestamps=2",
    )
}

/// Nothing to say of a host that takes up connections in their midst, or tracks none.
fn conntrack(network: &Network) -> Option<Finding> {
    network.strict_conntrack.then(|| {
        Finding::warning(
            "nf_conntrack_tcp_loose",
            "connection tracking takes up no connection that it did not see begin, so that those of \
             cookies hang",
            "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1",
        )
    })
}

fn translation_of(translated: &Translated) -> Finding {
    let subject = "translation";
    if translated.words.is_empty() && translated.tcp.is_empty() && translated.udp.is_empty() {
        return Finding::good(subject, "this host translates neither addresses nor ports");
    }
    let mut found = translated.words.clone();
    for (protocol, ports) in [("TCP", &translated.tcp), ("UDP", &translated.udp)] {
        if !ports.is_empty() {
            found.push(format!("destinations of {protocol} {ports} are translated"));
        }
    }
    Finding::warning(
        subject,
        format!("{}; such ports are left out of defences", found.join("; ")),
        "floodwall defence list, which says what each leaves out",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn healthy() -> Seen {
        Seen {
            network: Network {
                timestamps: Some(2),
                ..Network::default()
            },
            cgroup: Some("/sys/fs/cgroup".into()),
            ..Seen::default()
        }
    }

    #[test]
    fn a_healthy_host_can_hold_every_defence() {
        let findings = judge(&healthy());
        assert!(findings.iter().all(|it| it.verdict == Verdict::Good));
        let named = findings
            .iter()
            .filter(|it| it.subject.starts_with("defence "));
        assert_eq!(named.count(), Defence::ALL.len());
    }

    #[test]
    fn each_trouble_is_one_finding_with_its_remedy() {
        type Change = fn(&mut Seen);
        let cases: [(Change, &str, &str); 7] = [
            (
                |s| {
                    let why = "the kernel has no look-ups".to_owned();
                    s.lacking.insert(Defence::Sockets, why);
                },
                "defence sockets",
                "set sockets off",
            ),
            (
                |s| s.network.fixed_syncookies = Some("read-only".to_owned()),
                "defence cookies",
                "sysctl -w net.ipv4.tcp_syncookies=2",
            ),
            (
                |s| s.cgroup = None,
                "defence connections",
                "mount -t cgroup2",
            ),
            (
                |s| s.network.timestamps = Some(1),
                "tcp_timestamps",
                "tcp_timestamps=2",
            ),
            (
                |s| s.network.strict_conntrack = true,
                "nf_conntrack_tcp_loose",
                "tcp_loose=1",
            ),
            (
                |s| s.translated.tcp.insert(8080),
                "translation",
                "defence list",
            ),
            (
                |s| s.translated.words.push("sources are translated".to_owned()),
                "translation",
                "defence list",
            ),
        ];
        for (change, subject, remedy) in cases {
            let mut seen = healthy();
            change(&mut seen);
            let mut findings = judge(&seen);
            findings.retain(|it| it.verdict != Verdict::Good);
            let [finding] = findings.as_slice() else {
                panic!("{findings:?}");
            };
            assert!(finding.subject.contains(subject), "{finding:?}");
            let found = finding.remedy.as_deref().unwrap_or_default();
            assert!(found.contains(remedy), "{finding:?}");
        }
    }

    #[test]
    fn what_the_file_switches_off_is_not_looked_at() {
        let mut seen = healthy();
        seen.off = vec![Defence::Connections];
        seen.cgroup = None;
        assert!(judge(&seen).iter().all(|it| it.verdict == Verdict::Good));
    }
}
