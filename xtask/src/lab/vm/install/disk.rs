//! A disk with a Debian on it: bootstrapped once from the archive that this machine's apt uses, with the
//! kernel's modules and what the trial needs put in each time.

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    unistd::{Uid, chdir, chroot},
};

use super::Packages;
use crate::lab::vm::{Image, archive, archive::Kernel, guest, image};

/// Where the lab lies on the disk.
pub const LAB: &str = "/usr/local/sbin/lab";
/// Where the package that is tried lies there.
pub const NEW: &str = "/srv/new.deb";
/// Where the one lies that is upgraded from.
pub const OLD: &str = "/srv/old.deb";
/// What a server has that is no more than a server, and no resolver, mailer or firewall.
const INCLUDED: &str = "systemd-sysv,udev,dbus,iproute2,kmod,procps";
/// The disk's size is that of its file, which has holes.
const SIZE: &str = "2G";

/// What the disk has beside Debian: a network, and the trial as a service. The cards but the first
/// wait for nobody.
const FILES: [(&str, &str); 5] = [
    (
        "etc/systemd/network/10-eth0.network",
        "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n",
    ),
    (
        "etc/systemd/network/10-eth1.network",
        "[Match]\nName=eth1\n[Link]\nRequiredForOnline=no\n[Network]\nAddress=198.51.100.1/24\n",
    ),
    (
        "etc/systemd/network/10-eth2.network",
        "[Match]\nName=eth2\n[Link]\nUnmanaged=yes\n",
    ),
    (
        "etc/systemd/system/trial.service",
        "[Unit]\nWants=network-online.target\nAfter=network-online.target multi-user.target\n\
         [Service]\nExecStart=/usr/local/sbin/lab installed\n[Install]\nWantedBy=multi-user.target\n",
    ),
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
];
/// Units that would want the network or apt's lock in the middle of a trial.
const MASKED: [&str; 3] = ["apt-daily.timer", "apt-daily-upgrade.timer", "fstrim.timer"];

/// What configures the network.
const NETWORK: [&str; 2] = [
    "systemd-networkd.service",
    "systemd-networkd-wait-online.service",
];

/// Makes the disk.
pub(super) fn make(kernel: &Kernel, packages: &Packages, folder: &Path) -> Result<Image> {
    let tree = Tree::with(packages, folder)?;
    let tree = tree.path();
    for from in ["lib/modules", "usr/lib/modules"] {
        let from = kernel.folder.join(from);
        if from.is_dir() {
            run(Command::new("cp")
                .arg("-a")
                .args([&from, &tree.join("usr/lib/")]))?;
        }
    }
    run(Command::new("chroot")
        .arg(tree)
        .args(["depmod", &kernel.release]))?;
    enable(tree, &["trial.service"])?;
    let disk = Image::new(folder.join("disk.img"));
    let _ = fs::remove_file(&disk.0);
    run(Command::new("mkfs.ext4")
        .args(["-q", "-F", "-E", "root_owner=0:0", "-d"])
        .args([tree, &disk.0])
        .arg(SIZE))?;
    Ok(disk)
}

fn enable(tree: &Path, units: &[&str]) -> Result<()> {
    run(Command::new("chroot")
        .arg(tree)
        .args(["systemctl", "--quiet", "enable"])
        .args(units))
}

/// A folder that goes when this is dropped.
pub(super) struct Tree(PathBuf);

impl Tree {
    /// A Debian with the packages and this program in it.
    pub(super) fn with(packages: &Packages, folder: &Path) -> Result<Self> {
        ensure!(
            Uid::effective().is_root(),
            "a Debian is bootstrapped by root: run it with sudo"
        );
        let suite = suite()?;
        let base = bootstrapped(&suite, folder)?;
        let made = Self::new(folder.join("disk.tree"));
        let tree = made.path();
        run(Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(&base)
            .arg(tree))?;
        for (name, text) in FILES {
            write(&tree.join(name), text.as_bytes())?;
        }
        for name in MASKED {
            symlink("/dev/null", tree.join("etc/systemd/system").join(name))
                .with_context(|| format!("{name} cannot be masked"))?;
        }
        let this = std::env::current_exe().context("cannot find out where this program lies")?;
        let lab = tree.join(LAB.trim_start_matches('/'));
        write(&lab, &image::stripped(&this, folder)?)?;
        run(Command::new("chmod").arg("755").arg(&lab))?;
        let old = packages.old.as_ref().map(|it| (it, OLD));
        for (package, place) in [(&packages.new, NEW)].into_iter().chain(old) {
            fs::copy(package, tree.join(place.trim_start_matches('/')))
                .with_context(|| format!("{} cannot be read", package.display()))?;
        }
        enable(tree, &NETWORK)?;
        Ok(made)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Nothing is there from here on.
    fn new(path: PathBuf) -> Self {
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // It may not be there yet, or be called otherwise by now.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The release of Debian that this machine has, for its programs run there.
fn suite() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("/etc/os-release cannot be read")?;
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(name, _)| *name == key);
        values.next().map(|(_, value)| value.trim_matches('"'))
    };
    match (value("ID"), value("VERSION_CODENAME")) {
        (Some("debian"), Some(name)) => Ok(name.to_owned()),
        _ => bail!(
            "this machine has no release of Debian, and what is built here need not run on one: run \
             this where the package was built"
        ),
    }
}

fn bootstrapped(suite: &str, folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("debian");
    let base = folder.join(suite);
    if base.is_dir() {
        return Ok(base);
    }
    eprintln!("vm: bootstrapping Debian's {suite} …");
    let unfinished = Tree::new(folder.join("unfinished"));
    fs::create_dir_all(&folder)?;
    let sites = archive::sites()?;
    let site = sites.iter().find(|site| !site.contains("security"));
    let site = site.context("this machine's apt uses security updates of Debian alone")?;
    // What it mounts there goes with its namespace, however it ends.
    run(Command::new("unshare")
        .args(["--mount", "--propagation", "private", "debootstrap"])
        .arg("--variant=minbase")
        .arg(format!("--include={INCLUDED}"))
        .arg(suite)
        .arg(&unfinished.0)
        .arg(site))?;
    fs::rename(&unfinished.0, &base)?;
    Ok(base)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

/// Runs what has to succeed; what it says is shown if it does not.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("{program} cannot be run"))?;
    ensure!(
        output.status.success(),
        "{program} fails: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// In the machine, as its first process: goes on to the disk, and lets systemd be the first process.
pub fn enter() -> ! {
    let error = match on_to_the_disk() {
        Ok(()) => anyhow::Error::from(Command::new("/sbin/init").exec()),
        Err(error) => error,
    };
    eprintln!("guest: {error:#}");
    std::process::exit(1)
}

fn on_to_the_disk() -> Result<()> {
    const DISK: &str = "/dev/vda";
    let nothing = None::<&str>;
    mount(
        Some("devtmpfs"),
        "/dev",
        Some("devtmpfs"),
        MsFlags::empty(),
        nothing,
    )
    .context("devtmpfs cannot be mounted")?;
    guest::load_modules()?;
    for _ in 0..100 {
        if Path::new(DISK).exists() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    mount(Some(DISK), "/root", Some("ext4"), MsFlags::empty(), nothing)
        .with_context(|| format!("{DISK} cannot be mounted"))?;
    chdir("/root")?;
    mount(Some("."), "/", nothing, MsFlags::MS_MOVE, nothing)
        .context("the disk cannot be moved")?;
    chroot(".")?;
    chdir("/").context("the disk has no root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_left_over_goes_before_and_after() {
        let path = std::env::temp_dir().join(format!("floodwall-tree-{}", std::process::id()));
        fs::create_dir_all(path.join("left")).unwrap();
        let tree = Tree::new(path.clone());
        assert!(!path.exists());
        fs::create_dir_all(path.join("new")).unwrap();
        drop(tree);
        assert!(!path.exists());
    }
}
