//! The defences that ask this host's sockets, which it takes sockets to measure.

use std::{
    net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use filter_common::{
    abi::{
        defence::{CookieSettings, Defence, LocalLine, PortSet},
        feature::Feature,
        reason::Reason,
        settings::Settings,
    },
    logic::{
        address::Address,
        bucket::{HALF_RANGE, Limit},
    },
};
use filter_user::dataplane::kernel::Specimen;

use super::{
    super::{
        attack::{CLOSED, Carrier, Sources},
        http,
        programs::Lab,
        sandbox::{Namespace, Options, Sandbox, hosts},
    },
    live::{self, Absorbed},
    section::{Effort, Measured, Section, Subject},
    stages::Stages,
    subject, traffic,
};

/// Sockets of a sandbox's server.
pub struct Sockets {
    server: Namespace,
    _listeners: [TcpListener; 2],
    _connection: (TcpStream, TcpStream),
    client: SocketAddrV4,
}

impl Sockets {
    /// Somebody listens on the web server's port, and has one visitor.
    pub fn open(sandbox: &Sandbox) -> Result<Self> {
        let server = sandbox.server().clone();
        let listeners = listen(&server)?;
        take_cookies(&server)?;
        let address = SocketAddr::from((hosts::SERVER.v4, http::PORT));
        let patience = Duration::from_secs(5);
        let visitor = sandbox
            .client()
            .run(|| TcpStream::connect_timeout(&address, patience))?
            .context("nobody can connect to the sandbox's server")?;
        let (served, client) = listeners[0].accept().context("the visitor does not come")?;
        let SocketAddr::V4(client) = client else {
            bail!("the visitor comes from {client}, which is not IPv4")
        };
        Ok(Self {
            server,
            _listeners: listeners,
            _connection: (visitor, served),
            client,
        })
    }

    /// Measures a section in the server's namespace, whose sockets a test run then asks.
    pub fn measure(&self, section: &Section, lab: &mut Lab, effort: Effort) -> Result<Measured> {
        self.server.run(|| section.measure(lab, effort))?
    }

    /// What an answer costs.
    pub fn cookies(&self, lab: &mut Lab, stages: &Stages) -> Result<Section> {
        Ok(Section {
            id: "cookies",
            title: "SYNs that are answered; each packet is written anew".to_owned(),
            subjects: vec![
                subject::answer(lab)?,
                defended(stages, "floodwall, off", WHOLE, &[])?,
                defended(stages, "floodwall, cookies", WHOLE, &Defence::ALL)?,
            ],
            traffics: vec![
                traffic::forged_syns("one source", Carrier::V4, Sources::One)?,
                traffic::forged_syns("random IPv4", Carrier::V4, Sources::Random)?,
                traffic::forged_syns("random IPv6 /64", Carrier::V6, Sources::Random)?,
            ],
        })
    }

    /// What the other defences cost.
    pub fn defences(&self, lab: &mut Lab, stages: &Stages) -> Result<Section> {
        let none = &[];
        Ok(Section {
            id: "defences",
            title: "the real program with defences that ask this host's sockets".to_owned(),
            subjects: vec![
                subject::floor(lab)?,
                stages.bare("parse and verdict", &[])?,
                defended(stages, "all of them, off", ALL, none)?,
                defended(
                    stages,
                    "closed ports",
                    &[Feature::ClosedPorts],
                    &[Defence::ClosedPorts],
                )?,
                defended(stages, "sockets", &[Feature::Sockets], &[Defence::Sockets])?,
                defended(
                    stages,
                    "sockets, and cookies that come back",
                    &[Feature::Sockets, Feature::Cookies],
                    &[Defence::Sockets],
                )?,
            ],
            traffics: vec![
                traffic::one()?,
                traffic::random()?,
                traffic::connected(self.client, http::PORT)?,
                traffic::random_acks("stray ACKs", CLOSED)?,
                traffic::random_acks("ACKs to a listener", http::PORT)?,
                traffic::random_acks_v6("stray ACKs, IPv6", CLOSED)?,
            ],
        })
    }
}

const ALL: &[Feature] = &[Feature::ClosedPorts, Feature::Sockets, Feature::Cookies];
/// What the program has by default where cookies are on.
const WHOLE: &[Feature] = &[
    Feature::Lifelines,
    Feature::SourcePackets,
    Feature::Fragments,
    Feature::Samples,
    Feature::Cookies,
    Feature::Sockets,
    Feature::ClosedPorts,
    Feature::Solicited,
    Feature::Connections,
    Feature::Icmp,
    Feature::Protocols,
];

/// A ceiling that is looked at and charged, and never reached: what an answer costs is the question.
const HIGH: Limit = Limit {
    interval: 1,
    depth: HALF_RANGE / 4,
    horizon: HALF_RANGE / 2,
};

/// The real program on the sandbox's server with some defences on.
fn defended(
    stages: &Stages,
    name: &str,
    features: &[Feature],
    defences: &[Defence],
) -> Result<Subject> {
    let specimen = specimen(&stages.settings, features, defences);
    let subject = specimen.and_then(|mut specimen| {
        Ok(Subject {
            name: name.to_owned(),
            program: specimen.program()?,
        })
    });
    subject.with_context(|| format!("cannot make ready the stage \"{name}\""))
}

fn specimen(settings: &Settings, features: &[Feature], defences: &[Defence]) -> Result<Specimen> {
    let set = features.iter().fold(0, |set, feature| set | feature.bit());
    let settings = Settings {
        enforced: Reason::all_drops(),
        defences_always: defences.iter().fold(0, |set, it| set | it.bit()),
        defences_pressed: 0,
        cookies: CookieSettings {
            answers: HIGH,
            answers_prefix: HIGH,
            ..settings.cookies
        },
        ..*settings
    };
    let mut specimen = Specimen::load(set, &[])?;
    specimen.set("SETTINGS", 0, &settings)?;
    for own in [
        Address::from(std::net::IpAddr::from(hosts::SERVER.v4)),
        Address::from(std::net::IpAddr::from(hosts::SERVER.v6)),
    ] {
        let index = LocalLine::index(&own);
        let mut line: LocalLine = specimen.get("LOCAL", index)?;
        line.insert(&own);
        specimen.set("LOCAL", index, &line)?;
    }
    for set in [PortSet::TcpOpen, PortSet::Cookies] {
        specimen.set("PORTS", set.word(http::PORT), &PortSet::bit(http::PORT))?;
    }
    Ok(specimen)
}

/// How long a turn of a flood is that is answered: short ones, many of them, for the question is a
/// ratio.
const TURN: Duration = Duration::from_millis(500);

/// Floods a sandbox's server with forged SYNs at full speed, which a bare program sends back and
/// floodwall answers with cookies, in turn.
pub fn answers(settings: &Settings, cpu: usize, turns: u32) -> Result<Vec<Absorbed>> {
    // What is sent back costs no more than it must.
    let sandbox = Sandbox::new(&Options {
        swallow: true,
        ..Options::default()
    })?;
    let server = sandbox.server();
    let _listeners = listen(server)?;
    take_cookies(server)?;
    let mut bare = Absorbed::none("bare XDP_TX");
    let mut answered = Absorbed::none("floodwall, cookies");
    for _ in 0..turns {
        {
            let _link = live::attached(&sandbox, "bare_answer")?;
            bare.rates.push(live::rate(&sandbox, cpu, TURN)?);
        }
        {
            let mut specimen = specimen(settings, WHOLE, &Defence::ALL)?;
            server.run(|| specimen.attach(hosts::SERVER.interface))??;
            answered.rates.push(live::rate(&sandbox, cpu, TURN)?);
            let counters = specimen.counters()?;
            let count = counters[usize::from(Reason::CookieAnswered.code())].packets;
            if count == 0 {
                let met = Reason::ALL.iter().filter_map(|reason| {
                    let packets = counters.get(usize::from(reason.code()))?.packets;
                    (packets > 0).then(|| format!("{reason:?} {packets}"))
                });
                let met: Vec<String> = met.collect();
                bail!("floodwall answered no SYN of the flood: {}", met.join(", "));
            }
        }
    }
    for absorbed in [&mut bare, &mut answered] {
        absorbed.rates.sort_unstable();
    }
    Ok(vec![bare, answered])
}

/// Has every listener of the sandbox's server take cookies.
fn take_cookies(server: &Namespace) -> Result<()> {
    server
        .run(|| std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2"))?
        .context("cannot set tcp_syncookies of the sandbox")
}

/// Somebody listens at the server's IPv4 address, and at its IPv6 address.
fn listen(server: &Namespace) -> Result<[TcpListener; 2]> {
    let at = |address| {
        server
            .run(|| TcpListener::bind(address))?
            .with_context(|| format!("nobody can listen on {address} in the sandbox"))
    };
    Ok([
        at(SocketAddr::from((hosts::SERVER.v4, http::PORT)))?,
        at(SocketAddr::from((hosts::SERVER.v6, http::PORT)))?,
    ])
}
