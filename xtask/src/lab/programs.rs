//! The lab's own eBPF programs, loaded.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, MapData, PerCpuArray, PerCpuValues, ProgramArray},
    programs::{
        ProgramFd, SchedClassifier, TcAttachType, Xdp, XdpMode, links::FdLink,
        tc::SchedClassifierLink,
    },
    util::nr_cpus,
};

use super::{
    sandbox::Namespace,
    shape::abi::{Course, PAGE_BYTES, Page, Progress, Shape, Turn},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lab.bpf.o"));

/// The maps of the reference programs, which take memory only where they are measured.
const REFERENCES: [&str; 3] = ["BANS", "PREFIXES", "SEEN"];

/// How large maps are that not every use needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// One entry: they are not used.
    Tiny,
    /// The same, and room for so many frames made beforehand.
    Album(u32),
    /// As many entries as the programs ask for.
    Full,
}

/// Counts what reaches the stack, whatever a filter in front of it says; it ends when dropped.
#[derive(Debug)]
pub struct Witness {
    lab: Lab,
    _link: SchedClassifierLink,
}

impl Witness {
    /// Packets of floods that reached the stack so far.
    pub fn flood(&self) -> Result<u64> {
        self.lab.sum("WITNESSED", 0)
    }
}

/// One instance of the lab's programs and maps.
pub struct Lab(Ebpf);

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lab")
    }
}

impl Lab {
    /// Makes the maps; programs are loaded when asked for.
    pub fn load(tables: Tables) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        let pages = match tables {
            Tables::Tiny | Tables::Full => 1,
            Tables::Album(pages) => pages,
        };
        loader.map_max_entries("ALBUM", pages);
        if tables != Tables::Full {
            for name in REFERENCES {
                loader.map_max_entries(name, 1);
            }
        }
        let object = loader
            .load(OBJECT)
            .context("cannot load the lab's eBPF object; run as root")?;
        Ok(Self(object))
    }

    /// One of the programs, in the kernel.
    pub fn program(&mut self, name: &str) -> Result<&mut Xdp> {
        let program: &mut Xdp = self
            .0
            .program_mut(name)
            .with_context(|| format!("the lab's eBPF object has no program {name}"))?
            .try_into()
            .with_context(|| format!("{name} is no XDP program"))?;
        if program.fd().is_err() {
            program
                .load()
                .with_context(|| format!("the kernel refuses the program {name}"))?;
        }
        Ok(program)
    }

    /// Attaches a program natively; it stays until the link is dropped.
    pub fn attach(mut self, name: &str, namespace: &Namespace, interface: &str) -> Result<FdLink> {
        let program = self.program(name)?;
        let link = namespace
            .run(|| {
                let id = program.attach(interface, XdpMode::Driver)?;
                program.take_link(id)
            })?
            .with_context(|| format!("cannot attach {name} to {interface}"))?;
        link.try_into()
            .with_context(|| format!("{interface} gave no bpf_link for {name}"))
    }

    /// Attaches the program that counts what reaches the stack behind an interface.
    pub fn witness(mut self, namespace: &Namespace, interface: &str) -> Result<Witness> {
        let program: &mut SchedClassifier = self
            .0
            .program_mut("witness")
            .context("the lab's eBPF object has no program witness")?
            .try_into()
            .context("witness is no classifier")?;
        program
            .load()
            .context("the kernel refuses the program witness")?;
        let link = namespace
            .run(|| {
                let id = program.attach(interface, TcAttachType::Ingress)?;
                program.take_link(id)
            })?
            .with_context(|| format!("cannot attach witness to {interface}"))?;
        Ok(Witness {
            lab: self,
            _link: link,
        })
    }

    /// Sets what `flood` makes, and starts its counters anew.
    pub fn set_shape(&mut self, shape: Shape, seed: u64) -> Result<()> {
        self.write("SHAPE", shape)?;
        self.start_anew(seed)
    }

    /// Sets which frames `replay` sends, in their order and from the first; they have to fit into
    /// the album that the maps were made with.
    pub fn set_album(&mut self, frames: &[Vec<u8>], ifindex: u32) -> Result<()> {
        let map = self
            .0
            .map_mut("ALBUM")
            .context("the lab's eBPF object has no map ALBUM")?;
        let mut album = Array::<&mut MapData, Page>::try_from(map)?;
        for (frame, index) in frames.iter().zip(0..) {
            let length = frame.len();
            ensure!(
                (14..=PAGE_BYTES).contains(&length),
                "a frame of {length} bytes has no place in an album"
            );
            let mut page = Page {
                length: length as u32,
                frame: [0; 2044],
            };
            page.frame[..length].copy_from_slice(frame);
            album
                .set(index, page, 0)
                .context("cannot write a frame to the map ALBUM")?;
        }
        self.write(
            "TURN",
            Turn {
                pages: frames.len() as u32,
                ifindex,
                ..Turn::default()
            },
        )
    }

    /// Sets how the source goes behind `vary`, and starts it anew.
    pub fn set_course(&mut self, course: Course, seed: u64) -> Result<()> {
        self.write("COURSE", course)?;
        self.start_anew(seed)
    }

    fn write<V: Pod>(&mut self, name: &str, value: V) -> Result<()> {
        let map = self
            .0
            .map_mut(name)
            .with_context(|| format!("the lab's eBPF object has no map {name}"))?;
        Array::<&mut MapData, V>::try_from(map)?
            .set(0, value, 0)
            .with_context(|| format!("cannot write to the map {name}"))
    }

    fn start_anew(&mut self, seed: u64) -> Result<()> {
        // Each CPU has its own sequence; a state of zero would stay zero.
        let states: Vec<Progress> = (0..nr_cpus().map_err(|(_, error)| error)?)
            .map(|cpu| Progress {
                random: (seed ^ (cpu as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1,
                made: 0,
            })
            .collect();
        let map = self
            .0
            .map_mut("PROGRESS")
            .context("the lab's eBPF object has no map PROGRESS")?;
        PerCpuArray::<&mut MapData, Progress>::try_from(map)?
            .set(0, PerCpuValues::try_from(states)?, 0)
            .context("cannot write the state of the generator")
    }

    fn sum(&self, name: &str, index: u32) -> Result<u64> {
        let map = self
            .0
            .map(name)
            .with_context(|| format!("the lab's eBPF object has no map {name}"))?;
        let counts = PerCpuArray::<&MapData, u64>::try_from(map)?.get(&index, 0)?;
        Ok(counts.iter().sum())
    }

    /// How many packets were made since the shape was set.
    pub fn made(&self) -> Result<u64> {
        let map = self
            .0
            .map("PROGRESS")
            .context("the lab's eBPF object has no map PROGRESS")?;
        let states = PerCpuArray::<&MapData, Progress>::try_from(map)?.get(&0, 0)?;
        Ok(states.iter().map(|state| state.made).sum())
    }

    /// Puts a program behind `vary`.
    pub fn set_subject(&mut self, program: &ProgramFd) -> Result<()> {
        let map = self
            .0
            .map_mut("SUBJECT")
            .context("the lab's eBPF object has no map SUBJECT")?;
        ProgramArray::<&mut MapData>::try_from(map)?
            .set(0, program, 0)
            .context("cannot put the program behind the wrapper; both must be `xdp.frags`")
    }

    /// The object itself, for maps of the reference programs.
    pub fn object(&mut self) -> &mut Ebpf {
        &mut self.0
    }
}
