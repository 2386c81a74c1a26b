//! The file system that a guest boots into: this program as its first process, what it starts, and the
//! kernel's modules, all in memory.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::guest::{DAEMON, MODULES, TESTS};

/// Devices, classifiers, and the ways to ask for sockets and rules.
const WANTED: [&str; 13] = [
    // What libcrc32c asks for without saying so.
    "crc32c_generic",
    "virtio_pci",
    "virtio_net",
    "veth",
    "dummy",
    "sch_ingress",
    "cls_bpf",
    "tcp_diag",
    "udp_diag",
    "inet_diag",
    "nf_tables",
    "tun",
    "bridge",
];
/// What a disk takes.
const FOR_DISKS: [&str; 4] = ["crc32c_generic", "virtio_pci", "virtio_blk", "ext4"];
/// Folders that are mounted on, or written to.
const FOLDERS: [&str; 12] = [
    "dev", "etc", "modules", "proc", "root", "run", "sys", "tmp", "usr", "usr/bin", "var",
    "var/lib",
];

/// Programs that go into every image.
#[derive(Debug)]
pub struct Programs {
    /// The tests that go through the loaded program.
    pub tests: PathBuf,
    /// The daemon.
    pub daemon: PathBuf,
}

impl Programs {
    /// Builds the image for a kernel that is unpacked in a folder.
    pub fn image(&self, kernel: &Path, scratch: &Path) -> Result<Vec<u8>> {
        let mut archive = Cpio::default();
        for folder in FOLDERS {
            archive.folder(folder)?;
        }
        // The kernel opens it for the first process before anything is mounted.
        archive.entry("dev/console", 0o020_600, (5, 1), &[])?;
        let this = std::env::current_exe().context("cannot find out where this program lies")?;
        let ip = find("ip").context("there is no `ip`: apt-get install iproute2")?;
        let programs: [(&Path, &str); 4] = [
            (&this, "/init"),
            (&self.tests, TESTS),
            (&self.daemon, DAEMON),
            (&ip, "/usr/bin/ip"),
        ];
        let mut libraries = BTreeSet::new();
        for (program, place) in programs {
            libraries.extend(libraries_of(program)?);
            archive.file(place, 0o100_755, &stripped(program, scratch)?)?;
        }
        for library in libraries {
            let bytes = fs::read(&library)
                .with_context(|| format!("{} cannot be read", library.display()))?;
            archive.file(&library.to_string_lossy(), 0o100_755, &bytes)?;
        }
        // Who owns the control socket is looked up there.
        for (name, text) in [
            ("etc/passwd", "root:x:0:0::/root:/bin/false\n"),
            ("etc/group", "root:x:0:\n"),
        ] {
            archive.file(name, 0o100_644, text.as_bytes())?;
        }
        modules(kernel, &WANTED, &mut archive)?;
        archive.end()
    }
}

/// The image that goes on to a disk.
pub fn entrance(kernel: &Path, scratch: &Path) -> Result<Vec<u8>> {
    let mut archive = Cpio::default();
    for folder in ["dev", "modules", "root"] {
        archive.folder(folder)?;
    }
    archive.entry("dev/console", 0o020_600, (5, 1), &[])?;
    let this = std::env::current_exe().context("cannot find out where this program lies")?;
    archive.file("/init", 0o100_755, &stripped(&this, scratch)?)?;
    for library in libraries_of(&this)? {
        let bytes =
            fs::read(&library).with_context(|| format!("{} cannot be read", library.display()))?;
        archive.file(&library.to_string_lossy(), 0o100_755, &bytes)?;
    }
    modules(kernel, &FOR_DISKS, &mut archive)?;
    archive.end()
}

/// Where a program lies.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A program without what only debuggers read, which is most of it.
pub fn stripped(program: &Path, scratch: &Path) -> Result<Vec<u8>> {
    let to = scratch.join("stripped");
    let status = Command::new("strip")
        .arg("-o")
        .args([&to, program])
        .status()
        .context("`strip` cannot be run: apt-get install binutils")?;
    ensure!(status.success(), "{} cannot be stripped", program.display());
    let bytes = fs::read(&to).with_context(|| format!("{} cannot be read", to.display()))?;
    fs::remove_file(&to)?;
    Ok(bytes)
}

/// The libraries of a program, and what loads them.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("`ldd` cannot be run")?;
    ensure!(
        output.status.success(),
        "`ldd {}` fails: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(library).collect())
}

/// Of a line like `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007ffff7dc0000)`.
fn library(line: &str) -> Option<PathBuf> {
    let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
    Some(PathBuf::from(path))
}

/// Puts the wanted modules into an archive, each behind those that it needs.
fn modules(kernel: &Path, wanted: &[&str], archive: &mut Cpio) -> Result<()> {
    let mut files = Vec::new();
    for folder in ["lib/modules", "usr/lib/modules"] {
        list(&kernel.join(folder), &mut files)?;
    }
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        put(name, &files, archive, &mut order)?;
    }
    archive.file(MODULES, 0o100_644, order.join("\n").as_bytes())
}

fn put(name: &str, files: &[PathBuf], archive: &mut Cpio, order: &mut Vec<String>) -> Result<()> {
    let place = format!("/modules/{name}.ko");
    let is_it = |file: &&PathBuf| module_name(file).as_deref() == Some(name);
    // What is in no file is built in, or not made for this kernel; whoever needs it will say so.
    let Some(file) = files.iter().find(is_it) else {
        return Ok(());
    };
    if order.contains(&place) {
        return Ok(());
    }
    let bytes = unpacked(file)?;
    for needed in needs(&bytes) {
        put(&needed, files, archive, order)?;
    }
    archive.file(&place, 0o100_644, &bytes)?;
    order.push(place);
    Ok(())
}

fn unpacked(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|it| it == "ko") {
        return fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
    }
    let output = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(file)
        .output()
        .context("`xz` cannot be run: apt-get install xz-utils")?;
    ensure!(output.status.success(), "{} is no module", file.display());
    Ok(output.stdout)
}

/// `veth` of `…/veth.ko.xz`; names are written with underscores or hyphens.
fn module_name(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let (name, _) = name.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

/// The modules that a module needs, which it carries in the section `.modinfo` (`modinfo -F depends`).
fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let rest = module.get(at + KEY.len()..).unwrap_or_default();
    let value = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value).replace('-', "_");
    let names = names.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// An archive as the kernel unpacks it (`Documentation/driver-api/early-userspace/buffer-format.rst`).
#[derive(Debug, Default)]
struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<PathBuf>,
}

impl Cpio {
    fn folder(&mut self, path: &str) -> Result<()> {
        if self.folders.insert(PathBuf::from(path)) {
            self.entry(path, 0o040_755, (0, 0), &[])?;
        }
        Ok(())
    }

    /// A file, and the folders above it.
    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let path = path.trim_start_matches('/');
        let mut above: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
        above.reverse();
        for folder in above.into_iter().filter(|it| !it.as_os_str().is_empty()) {
            self.folder(&String::from_utf8_lossy(folder.as_os_str().as_bytes()))?;
        }
        self.entry(path, mode, (0, 0), bytes)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), bytes: &[u8]) -> Result<()> {
        self.entries = self.entries.saturating_add(1);
        let size = u32::try_from(bytes.len()).with_context(|| format!("{name} is too large"))?;
        let length = u32::try_from(name.len())?.saturating_add(1);
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            length,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(bytes);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_tells_what_it_needs() {
        let module = b"\x7fELF\0license=GPL\0depends=virtio,net-failover\0retpoline=Y\0";
        assert_eq!(needs(module), ["virtio", "net_failover"]);
        assert_eq!(needs(b"\0depends=\0"), Vec::<String>::new());
        assert_eq!(
            module_name(Path::new("a/net-failover.ko.xz")).as_deref(),
            Some("net_failover")
        );
    }

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let lines = [
            "\tlinux-vdso.so.1 (0x00007fff)",
            "\tlibc.so.6 => /lib/libc.so.6 (0x00007f)",
            "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)",
        ];
        let found: Vec<PathBuf> = lines.into_iter().filter_map(library).collect();
        assert_eq!(
            found,
            ["/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from)
        );
    }

    #[test]
    fn an_archive_has_the_folders_above_a_file_once() {
        let mut archive = Cpio::default();
        archive.file("/a/b/c", 0o100_644, b"12345").unwrap();
        archive.file("/a/b/d", 0o100_644, b"").unwrap();
        let bytes = archive.end().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(
            text.matches("070701").count(),
            5,
            "a, a/b, two files, the end"
        );
        assert!(text.contains("12345"));
    }
}
