//! What this kernel lets us do with BPF, found out by trying and not by its version.

use std::{collections::BTreeMap, io};

use aya::{
    maps::MapType,
    programs::{ProgramType, loaded_programs},
    sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported},
};
use filter_common::abi::{defence::Defence, feature::Feature};

use crate::core::defences::Unable;

/// What trying showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It works.
    Works,
    /// It does not.
    Missing,
    /// Trying failed, so nobody knows.
    Unknown(String),
}

impl Probe {
    fn from<E: std::error::Error>(result: Result<bool, E>) -> Self {
        match result {
            Ok(true) => Self::Works,
            Ok(false) => Self::Missing,
            Err(error) => {
                let causes = std::iter::successors(error.source(), |cause| cause.source());
                let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
                Self::Unknown(text)
            }
        }
    }
}

/// What the kernel can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// XDP programs.
    pub xdp: Probe,
    /// Frames that span buffers, and the helper that tells their length.
    pub fragments: Probe,
    /// Ring buffers, which carry samples.
    pub ring_buffer: Probe,
    /// Maps charged to the control group and not to the limit of locked memory.
    pub memory_cgroup: Probe,
}

impl Kernel {
    /// Tries; loads and drops small programs and maps that are attached to nothing.
    pub fn probe() -> Self {
        let helper = |helper| Probe::from(is_helper_supported(ProgramType::Xdp, helper));
        Self {
            xdp: Probe::from(is_program_supported(ProgramType::Xdp)),
            // Came with `BPF_F_XDP_HAS_FRAGS` in 5.18 (commit 0165cc817075).
            fragments: helper(BpfHelper::BPF_FUNC_xdp_get_buff_len),
            ring_buffer: Probe::from(is_map_supported(MapType::RingBuf)),
            // Came with the accounting in 5.11; libbpf tells it by this helper, too.
            memory_cgroup: helper(BpfHelper::BPF_FUNC_ktime_get_coarse_ns),
        }
    }
}

/// Whether programs at sockets may read memory of the kernel; a lockdown for confidentiality forbids it.
/// What cannot be tried is taken to be so: loading fails in better words.
pub(super) fn can_read_kernel() -> bool {
    let helper = BpfHelper::BPF_FUNC_probe_read_kernel;
    !matches!(
        Probe::from(is_helper_supported(ProgramType::SockOps, helper)),
        Probe::Missing
    )
}

/// Defences that this kernel has no means for, each with a sentence.
pub fn lacking() -> Unable {
    const NEEDS: [(Defence, BpfHelper, &str, &str); 5] = [
        (
            Defence::Cookies,
            BpfHelper::BPF_FUNC_tcp_raw_gen_syncookie_ipv4,
            "SYN cookies",
            "6.0",
        ),
        (
            Defence::Cookies,
            BpfHelper::BPF_FUNC_tcp_gen_syncookie,
            "SYN cookies",
            "6.0",
        ),
        (
            Defence::Cookies,
            BpfHelper::BPF_FUNC_skc_lookup_tcp,
            "look-ups of sockets",
            "5.2",
        ),
        (
            Defence::Sockets,
            BpfHelper::BPF_FUNC_skc_lookup_tcp,
            "look-ups of sockets",
            "5.2",
        ),
        (
            Defence::Icmp,
            BpfHelper::BPF_FUNC_sk_lookup_udp,
            "look-ups of sockets",
            "5.2",
        ),
    ];
    let mut lacking = Unable::new();
    for (defence, helper, what, since) in NEEDS {
        let trouble = match Probe::from(is_helper_supported(ProgramType::Xdp, helper)) {
            Probe::Works => continue,
            Probe::Missing => {
                format!("the kernel has no {what} for XDP: install Linux {since} or later")
            }
            Probe::Unknown(why) => format!(
                "whether the kernel has {what} for XDP could not be tried ({why}): run as root, \
                 outside system-call filters that forbid bpf"
            ),
        };
        lacking.entry(defence).or_insert(trouble);
    }
    lacking
}

/// Features that this kernel has no means for, each with a sentence.
pub fn left_out() -> BTreeMap<Feature, String> {
    let mut left_out = BTreeMap::new();
    for (defence, trouble) in lacking() {
        let feature = match defence {
            Defence::Cookies => Feature::Cookies,
            Defence::Sockets => Feature::Sockets,
            Defence::ClosedPorts => Feature::ClosedPorts,
            Defence::Solicited => Feature::Solicited,
            Defence::Connections => Feature::Connections,
            Defence::Icmp => Feature::Icmp,
            Defence::Protocols => Feature::Protocols,
        };
        left_out.insert(feature, trouble);
    }
    let trouble = match Kernel::probe().fragments {
        Probe::Works => return left_out,
        Probe::Missing => {
            "the kernel has no XDP over several buffers: install Linux 5.18 or later".to_owned()
        }
        Probe::Unknown(why) => {
            format!("whether the kernel has XDP over several buffers could not be tried ({why})")
        }
    };
    left_out.insert(Feature::Frags, trouble);
    left_out
}

/// Names of the programs that are loaded, by id.
pub fn program_names() -> io::Result<BTreeMap<u32, String>> {
    loaded_programs()
        .map(|program| {
            let program = program.map_err(io::Error::other)?;
            Ok((
                program.id(),
                String::from_utf8_lossy(program.name()).into_owned(),
            ))
        })
        .collect()
}
