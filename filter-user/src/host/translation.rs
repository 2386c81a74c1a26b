//! Whether this host translates addresses and ports: then its own sockets are not the whole truth.
//!
//! What cannot be read counts as the worst: it is better to look at fewer packets than to drop those
//! of a container.

mod iptables;
mod nftables;

use std::{
    fs, io,
    io::Read as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rtnetlink::sys::protocols::NETLINK_NETFILTER;

use super::netlink::{Connection, Wanted, attributes};
use crate::core::ports::{Ports, Translated};

/// Between looks.
const LOOK: Duration = Duration::from_secs(10);
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of what a command says.
const MOST_BYTES: u64 = 8 << 20;
/// Where the commands of administrators are.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
];

/// Looks again and again from a thread of its own, for a large rule set takes its time.
#[derive(Debug)]
pub struct Watcher {
    latest: Arc<Mutex<Option<Translated>>>,
}

impl Watcher {
    /// Begins, in the network namespace of the calling thread.
    pub fn start() -> io::Result<Self> {
        let latest = Arc::new(Mutex::new(None));
        let wanted = Arc::downgrade(&latest);
        thread::Builder::new()
            .name("translation".to_owned())
            .spawn(move || {
                loop {
                    let found = look();
                    let Some(latest) = wanted.upgrade() else {
                        return;
                    };
                    *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                    drop(latest);
                    thread::sleep(LOOK);
                }
            })?;
        Ok(Self { latest })
    }

    /// What was found last; `None` before the first look is over.
    pub fn latest(&self) -> Option<Translated> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What rules translate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    tcp: Ports,
    udp: Ports,
    /// Sources of what is forwarded are translated.
    sources: bool,
    /// Sources may get another port, of this host's own flows too.
    own_sources: bool,
    words: Vec<String>,
}

impl Found {
    /// Nothing is known of rules that are there.
    fn unknown(why: String) -> Self {
        Self {
            tcp: Ports::all(),
            udp: Ports::all(),
            sources: true,
            own_sources: true,
            words: vec![format!("{why}, so that all ports are left out")],
        }
    }

    fn add(&mut self, other: Self) {
        self.tcp.add(&other.tcp);
        self.udp.add(&other.udp);
        self.sources |= other.sources;
        self.own_sources |= other.own_sources;
        self.words.extend(other.words);
    }

    /// Destination ports of protocols are translated; all, if no rule says which.
    fn translate(&mut self, protocols: Protocols, ports: Option<&Ports>) {
        let all = Ports::all();
        let ports = ports.unwrap_or(&all);
        if protocols.tcp {
            self.tcp.add(ports);
        }
        if protocols.udp {
            self.udp.add(ports);
        }
    }
}

/// Which protocols a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Protocols {
    tcp: bool,
    udp: bool,
}

impl Protocols {
    const BOTH: Self = Self {
        tcp: true,
        udp: true,
    };

    fn named(name: &str) -> Self {
        match name {
            "tcp" | "6" => Self {
                tcp: true,
                udp: false,
            },
            "udp" | "17" => Self {
                tcp: false,
                udp: true,
            },
            "all" | "0" | "th" => Self::BOTH,
            _ => Self {
                tcp: false,
                udp: false,
            },
        }
    }
}

/// Looks at everything that translates.
pub fn look() -> Translated {
    let mut found = nft();
    found.add(legacy());
    match fs::read_to_string("/proc/net/ip_vs") {
        Ok(text) => found.add(ipvs(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => found.add(Found::unknown(format!(
            "services of IPVS cannot be read from /proc/net/ip_vs ({error})"
        ))),
    }
    judge(found, forwards())
}

/// What follows from rules, where this host forwards or not.
fn judge(found: Found, forwards: bool) -> Translated {
    let mut words = found.words;
    words.dedup();
    let sources = found.own_sources || (found.sources && forwards);
    if sources {
        words.push(
            "sources are translated (masquerade or snat) on this host: ports from 1024 up without a \
             listener are left out"
                .to_owned(),
        );
    }
    Translated {
        tcp: found.tcp,
        udp: found.udp,
        sources,
        words,
    }
}

/// Whether packets are forwarded, in any family.
fn forwards() -> bool {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
        .iter()
        .any(|name| {
            let text = fs::read_to_string(format!("/proc/sys/net/{name}"));
            text.is_ok_and(|text| text.trim() != "0")
        })
}

/// What nftables translate, and with them iptables that are written as such.
fn nft() -> Found {
    match has_nat_chains() {
        Ok(false) => return Found::default(),
        Ok(true) => {}
        Err(error) => {
            return Found::unknown(format!("chains of nftables cannot be listed ({error})"));
        }
    }
    let Some(mut nft) = command("nft") else {
        return Found::unknown(
            "there are chains of nftables that translate, and no `nft` that shows them (apt install \
             nftables)"
                .to_owned(),
        );
    };
    let read = match run(nft.args(["--json", "--terse", "list", "ruleset"])) {
        Ok(text) => nftables::read(&text),
        Err(error) => Err(error.to_string()),
    };
    match read {
        Ok(read) if read.is_of_iptables => {
            let mut found = read.found;
            found.add(saved(&["iptables-nft-save", "iptables-save"]));
            found.add(saved(&["ip6tables-nft-save", "ip6tables-save"]));
            found
        }
        Ok(read) => read.found,
        Err(error) => Found::unknown(format!(
            "the rule set of nftables translates and cannot be read ({error})"
        )),
    }
}

/// What iptables of the old kind translate.
fn legacy() -> Found {
    let mut found = Found::default();
    for (names, commands) in [
        ("ip_tables_names", ["iptables-legacy-save", "iptables-save"]),
        (
            "ip6_tables_names",
            ["ip6tables-legacy-save", "ip6tables-save"],
        ),
    ] {
        match fs::read_to_string(format!("/proc/net/{names}")) {
            Ok(text) if text.lines().any(|line| line == "nat") => found.add(saved(&commands)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.add(Found::unknown(format!(
                "/proc/net/{names} cannot be read ({error})"
            ))),
        }
    }
    found
}

/// What the first of these commands that is there says of the table `nat`.
fn saved(commands: &[&str]) -> Found {
    let Some(mut save) = commands.iter().find_map(|name| command(name)) else {
        return Found::unknown(format!(
            "there are rules of iptables that translate, and no `{}` that shows them",
            commands.last().unwrap_or(&"iptables-save")
        ));
    };
    match run(save.args(["-t", "nat"])) {
        Ok(text) => iptables::read(&text),
        Err(error) => Found::unknown(format!(
            "rules of iptables that translate cannot be read ({error})"
        )),
    }
}

/// Services of IPVS: `TCP  CB00710A:01BB rr`, or `UDP  [2001:db8::1]:0035 rr`.
fn ipvs(text: &str) -> Found {
    let mut found = Found::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(kind), Some(address)) = (words.next(), words.next()) else {
            continue;
        };
        let protocol = match kind {
            "TCP" => Protocols::named("tcp"),
            "UDP" => Protocols::named("udp"),
            // A mark of a firewall stands for any port.
            "FWM" => {
                found.translate(Protocols::BOTH, None);
                continue;
            }
            _ => continue,
        };
        let port = address.rsplit_once(':');
        let port = port.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        match port {
            // Titles of columns have no number.
            None => {}
            Some(0) => found.translate(protocol, None),
            Some(port) => found.translate(protocol, Some(&[port].into_iter().collect())),
        }
    }
    if found != Found::default() {
        found
            .words
            .push("IPVS hands services to other hosts".to_owned());
    }
    found
}

/// Whether any chain of nftables is of the type `nat`. Asked without a command, for most hosts have
/// none.
#[doc(alias = "NFT_MSG_GETCHAIN")]
fn has_nat_chains() -> io::Result<bool> {
    const GET_CHAIN: u16 = 10 << 8 | 4;
    /// Bytes of `struct nfgenmsg`: the family, of which zero is any.
    const HEAD: usize = 4;
    const TYPE: u16 = 7;
    let answers = match Connection::open(NETLINK_NETFILTER)
        .and_then(|mut it| it.ask(GET_CHAIN, Wanted::All, &[0; HEAD]))
    {
        Ok(answers) => answers,
        // A kernel without nftables.
        Err(error) if is_missing(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_nat = |body: &[u8]| {
        attributes(body.get(HEAD..).unwrap_or_default())
            .into_iter()
            .any(|(kind, value)| kind == TYPE && value.starts_with(b"nat\0"))
    };
    Ok(answers.iter().any(|raw| is_nat(&raw.body)))
}

fn is_missing(error: &io::Error) -> bool {
    let codes = [
        libc::EINVAL,
        libc::EOPNOTSUPP,
        libc::EPROTONOSUPPORT,
        libc::ENOENT,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}

fn command(name: &str) -> Option<Command> {
    let paths = FOLDERS
        .iter()
        .map(|folder| PathBuf::from(folder).join(name));
    paths
        .into_iter()
        .find(|path| path.is_file())
        .map(Command::new)
}

/// What a command prints, within bounds.
fn run(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = output(&mut child);
    if output.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait()?;
    let text = output?;
    if !status.success() {
        return Err(io::Error::other(format!("{name} failed: {status}")));
    }
    Ok(text)
}

fn output(child: &mut Child) -> io::Result<String> {
    let stdout = child.stdout.take();
    let stdout = stdout.ok_or_else(|| io::Error::other("the command has no output"))?;
    let (tell, told) = mpsc::channel();
    thread::Builder::new()
        .name("command".to_owned())
        .spawn(move || {
            let mut text = String::new();
            let read = stdout.take(MOST_BYTES + 1).read_to_string(&mut text);
            // Whoever asked may have given up.
            let _ = tell.send(read.map(|_| text));
        })?;
    let text = told
        .recv_timeout(PATIENCE)
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("more than {MOST_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(ports: &[u16]) -> Ports {
        ports.iter().copied().collect()
    }

    #[test]
    fn services_of_ipvs_are_translated() {
        let text = "IP Virtual Server version 1.2.1 (size=4096)\n\
            Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight\n\
            TCP  CB00710A:01BB rr  \n  -> 0A000001:01BB      Masq    1      0          0         \n\
            UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 rr\n";
        let found = ipvs(text);
        assert_eq!((found.tcp, found.udp), (ports(&[443]), ports(&[53])));
        assert_eq!(found.words.len(), 1);
        let found = ipvs("FWM  00000001 rr\n");
        assert_eq!((found.tcp, found.udp), (Ports::all(), Ports::all()));
        assert_eq!(
            ipvs("Prot LocalAddress:Port Scheduler Flags\n"),
            Found::default()
        );
    }

    #[test]
    fn sources_matter_where_packets_are_forwarded_or_ports_are_changed() {
        let masquerades = Found {
            sources: true,
            ..Found::default()
        };
        assert!(judge(masquerades.clone(), true).sources);
        assert!(!judge(masquerades.clone(), false).sources);
        let own = Found {
            own_sources: true,
            ..masquerades
        };
        assert_eq!(judge(own, false).words.len(), 1);
    }

    #[test]
    fn what_commands_print_is_bounded() {
        let sh = || Command::new("/bin/sh");
        let text = run(sh().args(["-c", "echo done"]));
        assert_eq!(text.expect("output"), "done\n");
        let error = run(sh().args(["-c", "head -c 9000000 /dev/zero"]));
        assert!(error.expect_err("too much").to_string().contains("bytes"));
        let error = run(sh().args(["-c", "exit 3"]));
        assert!(error.expect_err("a failure").to_string().contains("failed"));
    }

    #[test]
    fn this_host_can_be_looked_at() {
        let watcher = Watcher::start().expect("a watcher");
        let found = (0..600).find_map(|_| {
            thread::sleep(Duration::from_millis(100));
            watcher.latest()
        });
        assert!(found.is_some());
    }
}
