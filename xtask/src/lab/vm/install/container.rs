//! `vm --install --container`: the same Debian on this machine's own kernel and at its own speed: systemd is
//! the first process of namespaces of its own, with cards that are veth pairs. What needs hardware, another
//! clock or a boot is left to the machine.

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, pivot_root},
};

use super::{
    CARD, Packages,
    disk::{LAB, Tree},
    report::Report,
};
use crate::lab::{
    bench::Machine,
    clock, interrupt,
    process::Process,
    vm::{guest, machine},
};

/// Tells the first process of the namespaces where its Debian is.
pub const TREE: &str = "FLOODWALL_TREE";
/// Tells the trial that it is in one.
pub const INSIDE: &str = "FLOODWALL_CONTAINER";
/// Programs there.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// How long systemd may take to have started everything.
const BOOTS: Duration = Duration::from_secs(60);
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// What there is of devices.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Does it, and prints the table.
///
/// # Errors
/// If anything is not as it has to be.
pub fn run(packages: &Packages, folder: &Path, page: Option<&PathBuf>) -> Result<()> {
    let tree = Tree::with(packages, folder)?;
    let group = Group::new()?;
    eprintln!("vm: Debian in a container …");
    let mut report = Report::default();
    let told = {
        let container = Container::start(tree.path(), &group)?;
        container.wait_until_up()?;
        container.listen(&mut report)
    };
    report.print();
    told?;
    let kernel = Machine::this(0).kernel;
    report.write(
        page,
        [BEGIN, END],
        &format!("Linux {kernel}, in a container"),
    )?;
    report.judge()
}

/// The lines between which the table goes.
const BEGIN: &str = "<!-- begin of what `cargo xtask vm --install --container` writes -->";
const END: &str = "<!-- end of it -->";

/// The namespaces, which end with this.
struct Container {
    /// `unshare`, whose end is that of the first process and so of all.
    process: Process,
}

impl Container {
    fn start(tree: &Path, group: &Group) -> Result<Self> {
        let this = std::env::current_exe().context("cannot find out where this program lies")?;
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(group.0.join("cgroup.procs"))
            .args(["unshare", "--mount", "--propagation", "private"])
            .args(["--pid", "--net", "--uts", "--ipc", "--cgroup"])
            .args(["--fork", "--kill-child"])
            .arg(this)
            .env(TREE, tree)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        machine::die_with_this(&mut command);
        let process = Process::spawn(&mut command)?;
        Ok(Self { process })
    }

    /// The first process, as seen from here.
    fn first(&self) -> Result<String> {
        let id = self.process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let first = children.split_whitespace().next();
        Ok(first.context("the container has ended")?.to_owned())
    }

    /// A program in it.
    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first()?, "--all", "--", "env", "-i"])
            .arg(format!("PATH={PATH}"))
            .arg(format!("{INSIDE}=1"))
            .arg(program)
            .stdin(Stdio::null());
        Ok(command)
    }

    fn wait_until_up(&self) -> Result<()> {
        let end = clock::now() + BOOTS;
        loop {
            interrupt::check()?;
            // Before there is a first process, or a systemd to be asked, there is no answer.
            let asked = self.command("systemctl").and_then(|mut command| {
                let output = command.arg("is-system-running").output()?;
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            });
            match asked.as_deref() {
                Ok("running" | "degraded") => return Ok(()),
                Ok(_) | Err(_) if clock::now() < end => thread::sleep(Duration::from_millis(200)),
                Ok(state) => bail!("systemd in the container is `{state}` after {BOOTS:?}"),
                Err(error) => bail!("the container does not come up: {error:#}"),
            }
        }
    }

    fn listen(&self, report: &mut Report) -> Result<()> {
        let mut command = self.command(LAB)?;
        command.arg("installed").stdout(Stdio::piped());
        let (_trial, output) = Process::spawn_piped(&mut command)?;
        machine::listen(
            output,
            PATIENCE,
            |message| {
                report.take(message);
                Ok(())
            },
            |why| anyhow::anyhow!("the container {why}"),
        )
    }
}

/// A control group for the container's processes alone, which systemd has the run of.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut mounts = mounts.lines().map(|line| line.split(' '));
        let root = mounts
            .find_map(|mut words| {
                let place = words.nth(1)?;
                (words.next() == Some("cgroup2")).then_some(place)
            })
            .context("no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let name = format!("floodwall-lab-{}", std::process::id());
        let folder = Path::new(root).join(own.unwrap_or_default()).join(name);
        fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended with the container; the kernel takes a moment to see that.
        for _ in 0..50 {
            if remove(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        eprintln!("vm: {} is left over, and can be removed", self.0.display());
    }
}

/// Removes a control group and those in it.
fn remove(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    Ok(fs::remove_dir(group)?)
}

/// In the container, as its first process: makes a place to live of its tree, and lets systemd be the first
/// process.
pub fn enter(tree: &Path) -> ! {
    let error = match prepare(tree) {
        Ok(()) => Command::new("/sbin/init")
            .env_clear()
            .env("PATH", PATH)
            // Has systemd leave alone what is the host's.
            .env("container", "floodwall")
            .exec()
            .into(),
        Err(error) => error,
    };
    eprintln!("container: {error:#}");
    std::process::exit(1)
}

/// Nothing of the host is to be written there but what lies in these namespaces.
fn prepare(tree: &Path) -> Result<()> {
    for line in [
        "link set lo up".to_owned(),
        "link add eth0 type veth peer name way-out".to_owned(),
        "link set way-out up".to_owned(),
        format!(
            "link add {} address {} type veth peer name eth2",
            CARD.name, CARD.mac
        ),
    ] {
        guest::run_ip(&line)?;
    }
    bind(tree, tree)?;
    let none = MsFlags::empty();
    for (kind, place, flags) in [
        ("proc", "proc", none),
        ("sysfs", "sys", MsFlags::MS_RDONLY),
        ("tmpfs", "run", none),
        ("tmpfs", "tmp", none),
        ("tmpfs", "dev", none),
        ("devpts", "dev/pts", none),
        ("tmpfs", "dev/shm", none),
        ("bpf", "sys/fs/bpf", none),
        ("cgroup2", "sys/fs/cgroup", none),
    ] {
        let at = tree.join(place);
        // Those in a file system that was mounted a moment before.
        fs::create_dir_all(&at)?;
        mount(Some(kind), &at, Some(kind), flags, None::<&str>)
            .with_context(|| format!("{kind} cannot be mounted at {place}"))?;
    }
    let settings = tree.join("proc/sys");
    bind(&settings, &settings)?;
    bind(&settings.join("net"), &settings.join("net"))?;
    mount(
        None::<&str>,
        &settings,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        None::<&str>,
    )
    .context("the host's settings cannot be protected")?;
    for name in DEVICES {
        let place = tree.join("dev").join(name);
        fs::write(&place, "")?;
        bind(&Path::new("/dev").join(name), &place)?;
    }
    symlink("/proc/self/fd", tree.join("dev/fd"))?;
    symlink("pts/ptmx", tree.join("dev/ptmx"))?;
    // Who tries the package tells what came of it on its output.
    let results = guest::RESULTS.trim_start_matches('/');
    symlink("/proc/self/fd/1", tree.join(results))?;
    chdir(tree)?;
    pivot_root(".", ".").context("the container's root cannot be entered")?;
    umount2(".", MntFlags::MNT_DETACH).context("the host's root cannot be left")?;
    chdir("/").context("the container has no root")
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("{} cannot be bound to {}", from.display(), to.display()))
}
