//! Where a benchmark ran.

use std::{fmt, fs};

/// The machine, as it describes itself.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's name.
    pub model: String,
    /// The kernel's version, without what whoever built it added: `6.18.44`.
    pub kernel: String,
    /// The processor that was measured on.
    pub cpu: usize,
}

impl Machine {
    /// This one.
    pub fn this(cpu: usize) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            model: model.map_or_else(
                || "unknown processor".to_owned(),
                |(_, name)| name.trim().to_owned(),
            ),
            kernel: kernel
                .split(['-', '\n'])
                .next()
                .unwrap_or_default()
                .to_owned(),
            cpu,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Linux {}, CPU {}", self.model, self.kernel, self.cpu)
    }
}
