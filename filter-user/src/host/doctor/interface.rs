//! One interface: its driver, queues and offloads, and who else is on it.

use std::{collections::BTreeMap, thread};

use super::Finding;
use crate::{
    config::{AttachPreference, nearest::nearest, text::quote},
    host::{
        ethtool::{self, Channels, Offloads, XdpFeatures},
        links::{Link, XdpMode, XdpProgram},
    },
};

/// The name of our program, as the kernel shows it.
const OURS: &str = "floodwall";
/// The largest packet of a frame that fits one page of 4 KiB beside head room and tail room.
const MOST_IN_ONE_PAGE: u32 = 3498;
/// Drivers with native XDP, for kernels before 6.3, which cannot be asked.
const NATIVE_DRIVERS: [&str; 28] = [
    "atlantic",
    "bnxt_en",
    "ena",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "gve",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "rvu-nicpf",
    "sfc",
    "st_gmac",
    "thunder-nicvf",
    "tun",
    "veth",
    "vif",
    "virtio_net",
    "vmxnet3",
];

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    link: Link,
    driver: Option<String>,
    /// What the driver says; `None` if this kernel cannot ask it.
    features: Option<XdpFeatures>,
    offloads: Option<Offloads>,
    channels: Option<Channels>,
    cpus: u32,
    /// Programs on it, and their names.
    programs: Vec<(XdpProgram, Option<String>)>,
}

/// Looks; `programs` are the names of loaded programs by id.
pub(super) fn look(link: Link, programs: &BTreeMap<u32, String>) -> Seen {
    Seen {
        driver: link.driver(),
        features: ethtool::xdp_features(link.index).ok().flatten(),
        offloads: ethtool::offloads(&link.name).ok(),
        channels: ethtool::channels(&link.name).ok(),
        cpus: thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        programs: link
            .xdp
            .iter()
            .map(|on| (*on, programs.get(&on.id).cloned()))
            .collect(),
        link,
    }
}

/// An interface that is not there.
pub(super) fn unknown(name: &str, links: &[Link]) -> Finding {
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    let remedy = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near}? there are: {}", names.join(", ")),
        None => format!("name one of {}", names.join(", ")),
    };
    Finding::bad(
        format!("{name}: link"),
        format!(
            "there is no interface {} in this network namespace",
            quote(name)
        ),
        remedy,
    )
}

/// Judges.
pub(super) fn judge(seen: &Seen, attach: AttachPreference) -> Vec<Finding> {
    let mut findings = vec![link(&seen.link), driver(seen, attach)];
    findings.extend(mtu(seen, attach));
    findings.extend(sends_back(seen, attach));
    findings.push(queues(seen));
    findings.extend(offloads(seen));
    findings.extend(programs(seen));
    findings
}

fn link(link: &Link) -> Finding {
    let name = &link.name;
    let subject = format!("{name}: link");
    if !link.up {
        return Finding::warning(subject, "it is down", format!("ip link set dev {name} up"));
    }
    if !link.running {
        return Finding::warning(
            subject,
            "it is up, but has no carrier",
            format!("look at the cable or the other end; ip link show dev {name}"),
        );
    }
    Finding::good(subject, "it is up")
}

/// Whether native mode is known to work.
fn is_native(seen: &Seen) -> bool {
    match (&seen.features, &seen.driver) {
        (Some(features), _) => features.native,
        (None, Some(driver)) => NATIVE_DRIVERS.contains(&driver.as_str()),
        (None, None) => false,
    }
}

fn driver(seen: &Seen, attach: AttachPreference) -> Finding {
    let name = &seen.link.name;
    let subject = format!("{name}: driver");
    let driver = seen
        .driver
        .as_deref()
        .map_or("unknown driver".to_owned(), quote);
    if is_native(seen) {
        return Finding::good(subject, format!("{driver} has native XDP"));
    }
    let text = format!(
        "{driver} is not known for native XDP; generic mode is slower and counts aggregates as one \
         packet"
    );
    let lower = match seen.link.kind.as_deref() {
        Some("bridge" | "vlan" | "macvlan" | "ipvlan" | "team" | "vrf") => {
            "protect the interface below it instead"
        }
        Some(_) | None => "use a card whose driver has native XDP",
    };
    match attach {
        AttachPreference::Native => Finding::bad(
            subject,
            text,
            format!("attach = \"auto\" in the configuration, or {lower}"),
        ),
        AttachPreference::Auto | AttachPreference::Generic => {
            Finding::warning(subject, text, lower)
        }
    }
}

/// A veth gives what a program sends back to its other end, which is woken for it only with a program
/// of its own: with GRO alone, frames lie in the ring (`veth_xdp_flush`; tried on Linux 6.18). From here
/// it cannot be seen.
fn sends_back(seen: &Seen, attach: AttachPreference) -> Option<Finding> {
    let is_veth = seen.link.kind.as_deref() == Some("veth");
    (is_veth && attach != AttachPreference::Generic).then(|| {
        Finding::warning(
            format!("{}: answers", seen.link.name),
            "the other end of a veth takes answers with cookies only if it has an XDP program, which \
             cannot be seen from here",
            "attach = \"generic\"; or an XDP program at the other end that passes everything",
        )
    })
}

fn mtu(seen: &Seen, attach: AttachPreference) -> Option<Finding> {
    let Link { name, mtu, .. } = &seen.link;
    let subject = format!("{name}: MTU");
    if !is_native(seen) || attach == AttachPreference::Generic {
        return None;
    }
    if *mtu <= MOST_IN_ONE_PAGE {
        return Some(Finding::good(
            subject,
            format!("{mtu} bytes fit one buffer"),
        ));
    }
    match seen.features {
        Some(XdpFeatures {
            fragments: true, ..
        }) => Some(Finding::good(
            subject,
            format!("{mtu} bytes; the driver hands over all buffers"),
        )),
        Some(_) | None => Some(Finding::warning(
            subject,
            format!(
                "{mtu} bytes are more than one buffer, and the driver is not known to hand over \
                 several: it may refuse native mode"
            ),
            format!("ip link set dev {name} mtu 1500, or attach = \"generic\""),
        )),
    }
}

fn queues(seen: &Seen) -> Finding {
    let Link {
        name, rx_queues, ..
    } = &seen.link;
    let subject = format!("{name}: queues");
    let (receiving, most) = match seen.channels {
        Some(channels) if channels.receiving > 0 => (channels.receiving, channels.most),
        Some(_) | None => (*rx_queues, *rx_queues),
    };
    let text = format!("{receiving} receive, for {} CPUs", seen.cpus);
    if receiving > 1 || seen.cpus == 1 {
        return Finding::good(subject, text);
    }
    let text = format!("{text}: one CPU takes a flood alone");
    if most > 1 {
        let wanted = most.min(seen.cpus);
        return Finding::warning(
            subject,
            text,
            format!("ethtool -L {name} combined {wanted}"),
        );
    }
    Finding::warning(
        subject,
        text,
        "give the interface more queues where it is made, or a card with several",
    )
}

fn offloads(seen: &Seen) -> Vec<Finding> {
    let name = &seen.link.name;
    let Some(offloads) = seen.offloads else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let subject = format!("{name}: VLAN offload");
    findings.push(if offloads.rx_vlan {
        Finding::warning(
            subject,
            "the card takes VLAN tags off, so that XDP sees none and cannot tell VLANs apart",
            format!("ethtool -K {name} rxvlan off"),
        )
    } else {
        Finding::good(subject, "off: XDP sees VLAN tags")
    });
    if offloads.lro {
        findings.push(Finding::warning(
            format!("{name}: LRO"),
            "the card joins segments; drivers refuse native XDP with it or switch it off",
            format!("ethtool -K {name} lro off"),
        ));
    }
    // A virtual device has none, and one queue needs none.
    let several = seen.channels.is_some_and(|channels| channels.receiving > 1);
    if several && seen.link.kind.is_none() && !offloads.rx_hash {
        findings.push(Finding::warning(
            format!("{name}: receive hashing"),
            "off: flows may not be spread over the queues",
            format!("ethtool -K {name} rxhash on"),
        ));
    }
    findings
}

fn programs(seen: &Seen) -> Vec<Finding> {
    let name = &seen.link.name;
    let subject = format!("{name}: XDP");
    if seen.programs.is_empty() {
        return vec![Finding::good(subject, "no program is on it")];
    }
    let judged = seen.programs.iter().map(|(program, called)| {
        let XdpProgram { id, mode } = program;
        let mode = match mode {
            XdpMode::Native => "native",
            XdpMode::Generic => "generic",
            XdpMode::Hardware => "hardware",
        };
        match called.as_deref() {
            Some(OURS) => Finding::good(&subject, format!("floodwall is on it, {mode} (id {id})")),
            Some(other) => Finding::bad(
                &subject,
                format!(
                    "another program is on it: {} (id {id}, {mode})",
                    quote(other)
                ),
                format!(
                    "bpftool prog show id {id}; `ip link set dev {name} xdp off` takes it away, if \
                     nobody needs it and no link holds it"
                ),
            ),
            None => Finding::warning(
                &subject,
                format!("a program is on it (id {id}, {mode}) whose name cannot be read"),
                format!("sudo bpftool prog show id {id}; ip -details link show dev {name}"),
            ),
        }
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn healthy() -> Seen {
        Seen {
            link: Link {
                index: 2,
                name: "eth0".into(),
                up: true,
                running: true,
                mtu: 1500,
                rx_queues: 8,
                tx_queues: 8,
                ..Link::default()
            },
            driver: Some("ice".into()),
            features: Some(XdpFeatures {
                native: true,
                fragments: true,
            }),
            offloads: Some(Offloads {
                rx_vlan: false,
                lro: false,
                rx_hash: true,
            }),
            channels: Some(Channels {
                receiving: 4,
                most: 8,
            }),
            cpus: 4,
            programs: vec![],
        }
    }

    fn troubles(seen: &Seen, attach: AttachPreference) -> Vec<Finding> {
        let mut findings = judge(seen, attach);
        findings.retain(|finding| finding.verdict != Verdict::Good);
        findings
    }

    #[test]
    fn a_healthy_interface_has_nothing_but_good_findings() {
        assert_eq!(troubles(&healthy(), AttachPreference::Auto), []);
        let mut with_ours = healthy();
        with_ours.programs = vec![(
            XdpProgram {
                id: 5,
                mode: XdpMode::Native,
            },
            Some("floodwall".into()),
        )];
        assert_eq!(troubles(&with_ours, AttachPreference::Native), []);
    }

    #[test]
    fn each_trouble_is_one_finding_with_its_remedy() {
        type Change = fn(&mut Seen);
        let cases: [(Change, Verdict, &str, &str); 13] = [
            (
                |s| s.link.up = false,
                Verdict::Warning,
                "link",
                "ip link set dev eth0 up",
            ),
            (
                |s| s.link.running = false,
                Verdict::Warning,
                "link",
                "cable",
            ),
            (
                |s| s.link.kind = Some("veth".into()),
                Verdict::Warning,
                "answers",
                "attach = \"generic\"",
            ),
            (
                |s| {
                    s.features = Some(XdpFeatures {
                        native: false,
                        fragments: false,
                    })
                },
                Verdict::Warning,
                "driver",
                "card",
            ),
            (
                |s| (s.features, s.driver) = (None, Some("e1000".into())),
                Verdict::Warning,
                "driver",
                "card",
            ),
            (
                |s| {
                    (s.link.mtu, s.features) = (
                        9000,
                        Some(XdpFeatures {
                            native: true,
                            fragments: false,
                        }),
                    );
                },
                Verdict::Warning,
                "MTU",
                "mtu 1500",
            ),
            (
                |s| (s.link.mtu, s.features) = (9000, None),
                Verdict::Warning,
                "MTU",
                "mtu 1500",
            ),
            (
                |s| {
                    s.channels = Some(Channels {
                        receiving: 1,
                        most: 8,
                    })
                },
                Verdict::Warning,
                "queues",
                "ethtool -L eth0 combined 4",
            ),
            (
                |s| (s.channels, s.link.rx_queues) = (None, 1),
                Verdict::Warning,
                "queues",
                "more queues",
            ),
            (
                |s| {
                    s.offloads = Some(Offloads {
                        rx_vlan: true,
                        lro: false,
                        rx_hash: true,
                    })
                },
                Verdict::Warning,
                "VLAN offload",
                "rxvlan off",
            ),
            (
                |s| {
                    s.offloads = Some(Offloads {
                        rx_vlan: false,
                        lro: true,
                        rx_hash: true,
                    })
                },
                Verdict::Warning,
                "LRO",
                "lro off",
            ),
            (
                |s| s.offloads = Some(Offloads::default()),
                Verdict::Warning,
                "receive hashing",
                "rxhash on",
            ),
            (
                |s| {
                    let on = XdpProgram {
                        id: 17,
                        mode: XdpMode::Generic,
                    };
                    s.programs = vec![(on, Some("katran".into()))];
                },
                Verdict::Bad,
                "XDP",
                "bpftool prog show id 17",
            ),
        ];
        for (change, verdict, subject, remedy) in cases {
            let mut seen = healthy();
            change(&mut seen);
            let findings = troubles(&seen, AttachPreference::Auto);
            assert_eq!(findings.len(), 1, "{findings:?}");
            let finding = &findings[0];
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert_eq!(finding.subject, format!("eth0: {subject}"));
            assert!(
                finding
                    .remedy
                    .as_deref()
                    .unwrap_or_default()
                    .contains(remedy),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn native_or_nothing_is_bad_where_there_is_no_native() {
        let mut bridge = healthy();
        bridge.features = Some(XdpFeatures {
            native: false,
            fragments: false,
        });
        bridge.link.kind = Some("bridge".into());
        let findings = troubles(&bridge, AttachPreference::Native);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].verdict, Verdict::Bad);
        assert!(findings[0].remedy.as_deref().unwrap().contains("below it"));
    }

    #[test]
    fn an_old_kernel_is_judged_by_its_drivers() {
        let mut old = healthy();
        old.features = None;
        assert_eq!(troubles(&old, AttachPreference::Auto), []);
    }

    #[test]
    fn a_misspelt_interface_gets_the_nearest() {
        let links = [healthy().link];
        let finding = unknown("eht0", &links);
        assert!(finding.remedy.unwrap().starts_with("did you mean eth0?"));
    }
}
