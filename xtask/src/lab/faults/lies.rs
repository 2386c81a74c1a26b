//! A clock and a disk that lie, for one process: see `shim.rs`.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim.so"));

/// What the daemon is told.
#[derive(Debug)]
pub struct Lies {
    file: PathBuf,
    library: PathBuf,
}

impl Lies {
    /// None yet, in files in this folder.
    pub fn new(folder: &Path) -> Result<Self> {
        let lies = Self {
            file: folder.join("lies"),
            library: folder.join("shim.so"),
        };
        fs::write(&lies.file, [0; 24])?;
        fs::write(&lies.library, LIBRARY).context("cannot write the library that lies")?;
        Ok(lies)
    }

    /// What makes a process believe them.
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [
            ("FLOODWALL_SHIM", &self.file),
            ("LD_PRELOAD", &self.library),
        ]
    }

    /// By how many seconds the calendar is off from here on.
    pub fn set_clock(&self, seconds: i64) -> Result<()> {
        self.write(0, seconds)
    }

    /// How many milliseconds each wait for the disk takes from here on.
    pub fn set_disk(&self, millis: i64) -> Result<()> {
        self.write(8, millis)
    }

    /// Whether the device that this lies on refuses writes from here on.
    pub fn set_read_only(&self, folder: &Path, is_read_only: bool) -> Result<()> {
        let device = if is_read_only {
            fs::metadata(folder)?.dev()
        } else {
            0
        };
        self.write(16, device.cast_signed())
    }

    fn write(&self, place: u64, word: i64) -> Result<()> {
        let mut file = File::options().write(true).open(&self.file)?;
        file.seek(SeekFrom::Start(place))?;
        file.write_all(&word.to_ne_bytes())
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}
