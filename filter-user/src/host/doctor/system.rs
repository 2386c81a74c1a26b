//! The kernel, its settings, folders and groups.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::{AccessFlags, Group, access},
};

use super::Finding;
use crate::{
    config::Config,
    dataplane::probe::{Kernel, Probe},
};

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
/// Locked memory below which the default tables do not fit a kernel that counts them against it.
const ENOUGH_LOCKED: u64 = 256 << 20;

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct System {
    /// The kernel's release, if it can be read.
    release: Option<String>,
    /// Effective capabilities, as bits.
    capabilities: u64,
    kernel: Kernel,
    /// The soft limit of locked memory in bytes; `None` without limit.
    locked_memory: Option<u64>,
    btf: bool,
    /// `net.core.bpf_jit_enable`, if this process may read it.
    jit: Option<i64>,
    /// `net.ipv4.tcp_syncookies` of this network namespace.
    syncookies: Option<i64>,
    pins: Place,
    state: Place,
    /// Groups of the configuration, and whether they are there.
    groups: Vec<(String, bool)>,
}

/// A folder of the configuration.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    /// The deepest part of the path that is there.
    there: PathBuf,
    /// Whether that part is in a bpffs.
    bpffs: bool,
    /// Whether this process may write there.
    writable: bool,
}

impl Place {
    fn look(path: &Path) -> Self {
        let there = path
            .ancestors()
            .find(|part| part.exists())
            .unwrap_or(Path::new("/"));
        Self {
            path: path.to_owned(),
            there: there.to_owned(),
            bpffs: statfs(there).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC),
            writable: access(there, AccessFlags::W_OK | AccessFlags::X_OK).is_ok(),
        }
    }
}

/// Looks.
pub(super) fn look(config: &Config) -> System {
    let myself = procfs::process::Process::myself();
    let status = myself
        .as_ref()
        .ok()
        .and_then(|process| process.status().ok());
    let limits = myself
        .as_ref()
        .ok()
        .and_then(|process| process.limits().ok());
    let group = |name: &String| (name.clone(), matches!(Group::from_name(name), Ok(Some(_))));
    System {
        release: fs::read_to_string("/proc/sys/kernel/osrelease")
            .ok()
            .map(|text| text.trim().to_owned()),
        capabilities: status.map_or(0, |status| status.capeff),
        kernel: Kernel::probe(),
        locked_memory: limits.and_then(|limits| match limits.max_locked_memory.soft_limit {
            procfs::process::LimitValue::Unlimited => None,
            procfs::process::LimitValue::Value(bytes) => Some(bytes),
        }),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        jit: setting("net/core/bpf_jit_enable"),
        syncookies: setting("net/ipv4/tcp_syncookies"),
        pins: Place::look(&config.paths.bpf),
        state: Place::look(&config.paths.state),
        groups: [&config.access.read_group, &config.access.admin_group]
            .map(group)
            .into(),
    }
}

fn setting(name: &str) -> Option<i64> {
    fs::read_to_string(Path::new("/proc/sys").join(name))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Judges.
pub(super) fn judge(system: &System) -> Vec<Finding> {
    let mut findings = vec![rights(system)];
    findings.extend(kernel(system));
    findings.push(jit(system));
    findings.extend(locked_memory(system));
    findings.push(pins(&system.pins));
    findings.push(state(&system.state));
    findings.push(syncookies(system));
    findings.extend(
        system
            .groups
            .iter()
            .map(|(name, there)| group(name, *there)),
    );
    findings
}

fn rights(system: &System) -> Finding {
    let has = |capability: u32| system.capabilities.checked_shr(capability).unwrap_or(0) & 1 == 1;
    // CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, not for CAP_NET_ADMIN. The verifier asks
    // for CAP_PERFMON where a program computes with pointers, as this one does.
    let may_load = has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
    if may_load && has(CAP_NET_ADMIN) {
        if has(CAP_SYS_PTRACE) {
            return Finding::good("rights", "this process may load and attach programs");
        }
        return Finding::warning(
            "rights",
            "this process may load and attach programs, but not see which sockets sshd holds \
             (CAP_SYS_PTRACE): ports of SSH other than 22 stay unknown",
            "run as root, or with CAP_SYS_PTRACE too",
        );
    }
    Finding::bad(
        "rights",
        "this process may not load programs (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON), so much \
         could not be tried",
        "sudo floodwall doctor",
    )
}

fn kernel(system: &System) -> Vec<Finding> {
    let release = system.release.as_deref().unwrap_or("of unknown release");
    let newer = "install a kernel of 5.18 or later: apt install linux-image-amd64, then reboot";
    let mut findings = vec![Finding::good("kernel", format!("Linux {release}"))];
    let features = [
        ("XDP programs", &system.kernel.xdp),
        ("ring buffers", &system.kernel.ring_buffer),
    ];
    for (name, probe) in features {
        let subject = format!("kernel: {name}");
        findings.push(match probe {
            Probe::Works => Finding::good(subject, "there"),
            Probe::Missing => Finding::bad(subject, "the kernel has none", newer),
            Probe::Unknown(why) => untried(&subject, why),
        });
    }
    let subject = "kernel: XDP over several buffers";
    findings.push(match &system.kernel.fragments {
        Probe::Works => Finding::good(subject, "there"),
        Probe::Missing => Finding::warning(
            subject,
            "the kernel has none: native mode takes no jumbo frames on most cards",
            newer,
        ),
        Probe::Unknown(why) => untried(subject, why),
    });
    findings.push(if system.btf {
        Finding::good("kernel: BTF", "there")
    } else {
        Finding::warning(
            "kernel: BTF",
            "/sys/kernel/btf/vmlinux is missing; filtering works, programs that look into the \
             kernel do not",
            "use the distribution's kernel, or build with CONFIG_DEBUG_INFO_BTF=y",
        )
    });
    findings
}

fn untried(subject: &str, why: &str) -> Finding {
    Finding::warning(
        subject,
        format!("could not be tried: {why}"),
        "run as root, outside containers and system-call filters that forbid bpf",
    )
}

fn jit(system: &System) -> Finding {
    let subject = "net.core.bpf_jit_enable";
    match system.jit {
        Some(0) => Finding::bad(
            subject,
            "BPF is interpreted, several times slower than compiled",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Some(_) => Finding::good(subject, "BPF is compiled"),
        None => Finding::warning(
            subject,
            "is not shown in this network namespace, so BPF may be interpreted",
            "nsenter --net=/proc/1/ns/net sysctl net.core.bpf_jit_enable: it should say 1",
        ),
    }
}

/// Nothing to say of a kernel that does not count maps against the limit.
fn locked_memory(system: &System) -> Option<Finding> {
    let bytes = system.locked_memory?;
    if system.kernel.memory_cgroup != Probe::Missing || bytes >= ENOUGH_LOCKED {
        return None;
    }
    Some(Finding::warning(
        "locked memory",
        format!("this kernel counts tables as locked memory, of which {bytes} bytes are allowed"),
        "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
    ))
}

fn pins(place: &Place) -> Finding {
    let path = place.path.display();
    if !place.bpffs {
        let usual = Path::new("/sys/fs/bpf");
        let mount_point = if place.path.starts_with(usual) {
            usual
        } else {
            place.path.parent().unwrap_or(usual)
        };
        return Finding::warning(
            "bpffs",
            format!(
                "{path} is not in a bpffs, so pins have no place; the daemon mounts one where \
                     it may"
            ),
            format!("mount -t bpf bpf {}", mount_point.display()),
        );
    }
    if !place.writable {
        return Finding::bad(
            "bpffs",
            format!("{path} is in a bpffs that this process may not write to"),
            "run as root; in a unit with ProtectKernelTunables=yes create the folder beforehand \
             and name it in ReadWritePaths=",
        );
    }
    Finding::good("bpffs", format!("{path} is in a bpffs"))
}

fn state(place: &Place) -> Finding {
    let path = place.path.display();
    let there = place.there.display();
    if !place.there.is_dir() {
        return Finding::bad(
            "state folder",
            format!("{path} is no folder, because {there} is a file"),
            format!("mv {there} {there}.old"),
        );
    }
    if !place.writable {
        return Finding::bad(
            "state folder",
            format!("{path} cannot be written ({there} is read-only here)"),
            "run as root, or set [paths] state to a folder that can be written",
        );
    }
    Finding::good("state folder", format!("{path} can be written"))
}

fn syncookies(system: &System) -> Finding {
    let subject = "net.ipv4.tcp_syncookies";
    match system.syncookies {
        Some(0) => Finding::warning(
            subject,
            "the kernel's own defence against SYN floods is off",
            "sysctl -w net.ipv4.tcp_syncookies=1",
        ),
        Some(_) => Finding::good(subject, "the kernel's own defence against SYN floods is on"),
        None => Finding::warning(
            subject,
            "cannot be read, so the kernel may have no SYN cookies",
            "use a kernel with CONFIG_SYN_COOKIES=y",
        ),
    }
}

fn group(name: &str, there: bool) -> Finding {
    let subject = format!("group {name}");
    if there {
        return Finding::good(subject, "there");
    }
    Finding::warning(
        subject,
        "there is no such group, so nobody but root has its rights",
        format!("groupadd --system {name}"),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn place(path: &str) -> Place {
        Place {
            path: path.into(),
            there: path.into(),
            bpffs: true,
            writable: true,
        }
    }

    fn healthy() -> System {
        System {
            release: Some("6.1.0".into()),
            capabilities: [CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_PTRACE]
                .iter()
                .map(|bit| 1 << bit)
                .sum(),
            kernel: Kernel {
                xdp: Probe::Works,
                fragments: Probe::Works,
                ring_buffer: Probe::Works,
                memory_cgroup: Probe::Works,
            },
            locked_memory: Some(8 << 20),
            btf: true,
            jit: Some(1),
            syncookies: Some(1),
            pins: place("/sys/fs/bpf/floodwall"),
            state: place("/"),
            groups: vec![("floodwall".into(), true)],
        }
    }

    /// The one finding that is not good.
    fn trouble(system: &System) -> Finding {
        let mut findings = judge(system);
        findings.retain(|finding| finding.verdict != Verdict::Good);
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.remove(0)
    }

    #[test]
    fn a_healthy_host_has_nothing_but_good_findings() {
        assert!(
            judge(&healthy())
                .iter()
                .all(|finding| finding.verdict == Verdict::Good)
        );
    }

    #[test]
    fn each_trouble_is_one_finding_with_its_remedy() {
        type Change = fn(&mut System);
        let cases: [(Change, Verdict, &str, &str); 15] = [
            (
                |s| s.capabilities = 1 << CAP_BPF,
                Verdict::Bad,
                "rights",
                "sudo",
            ),
            (
                |s| s.capabilities &= !(1 << CAP_PERFMON),
                Verdict::Bad,
                "rights",
                "sudo",
            ),
            (
                |s| s.capabilities &= !(1 << CAP_SYS_PTRACE),
                Verdict::Warning,
                "rights",
                "CAP_SYS_PTRACE",
            ),
            (
                |s| s.kernel.xdp = Probe::Missing,
                Verdict::Bad,
                "XDP programs",
                "5.18",
            ),
            (
                |s| s.kernel.fragments = Probe::Missing,
                Verdict::Warning,
                "several buffers",
                "5.18",
            ),
            (
                |s| s.kernel.ring_buffer = Probe::Unknown("EPERM".into()),
                Verdict::Warning,
                "ring buffers",
                "root",
            ),
            (
                |s| s.btf = false,
                Verdict::Warning,
                "BTF",
                "CONFIG_DEBUG_INFO_BTF",
            ),
            (
                |s| s.jit = Some(0),
                Verdict::Bad,
                "bpf_jit_enable",
                "sysctl -w",
            ),
            (
                |s| s.kernel.memory_cgroup = Probe::Missing,
                Verdict::Warning,
                "locked memory",
                "LimitMEMLOCK",
            ),
            (
                |s| s.pins.bpffs = false,
                Verdict::Warning,
                "bpffs",
                "mount -t bpf bpf /sys/fs/bpf",
            ),
            (
                |s| s.pins.writable = false,
                Verdict::Bad,
                "bpffs",
                "ReadWritePaths",
            ),
            (
                |s| s.state.writable = false,
                Verdict::Bad,
                "state folder",
                "[paths] state",
            ),
            (
                |s| s.syncookies = Some(0),
                Verdict::Warning,
                "tcp_syncookies",
                "sysctl -w",
            ),
            (
                |s| s.groups = vec![("adm".into(), false)],
                Verdict::Warning,
                "group adm",
                "groupadd --system adm",
            ),
            (
                |s| s.jit = None,
                Verdict::Warning,
                "bpf_jit_enable",
                "nsenter",
            ),
        ];
        for (change, verdict, subject, remedy) in cases {
            let mut system = healthy();
            change(&mut system);
            let finding = trouble(&system);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.subject.contains(subject), "{finding:?}");
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
    fn a_bpffs_elsewhere_is_mounted_elsewhere() {
        let mut system = healthy();
        system.pins = Place {
            bpffs: false,
            ..place("/run/x/pins")
        };
        assert_eq!(
            trouble(&system).remedy.as_deref(),
            Some("mount -t bpf bpf /run/x")
        );
    }

    #[test]
    fn folders_that_are_not_there_are_judged_by_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::look(&folder.path().join("a/b"));
        assert_eq!(place.there, folder.path());
        assert!(place.writable && !place.bpffs);
    }

    #[test]
    fn a_state_folder_that_is_a_file_is_bad() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let finding = state(&Place::look(file.path()));
        assert_eq!(finding.verdict, Verdict::Bad);
        assert!(finding.text.contains("no folder"));
    }
}
