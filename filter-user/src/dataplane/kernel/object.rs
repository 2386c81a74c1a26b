//! The embedded object as this kernel takes it: what old kernels lack is found out by trying, and left
//! out.

use std::{borrow::Cow, io, ops::Range, sync::OnceLock};

use aya::EbpfLoader;
use filter_common::abi::feature::Feature;

use super::raw;
use crate::dataplane::probe;

/// The object of the filter, built from the crate `filter-ebpf`.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/floodwall.bpf.o"));

/// What the kernel can do that the object needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Features of the object that work here.
    pub(super) features: u64,
    /// 1: there are atomic operations beside addition.
    pub(super) atomics: u32,
    /// 1: programs at sockets may read memory of the kernel.
    pub(super) kernel_reads: u32,
}

impl Abilities {
    /// Those of this kernel, which are tried once.
    pub(super) fn get() -> &'static Self {
        static ABILITIES: OnceLock<Abilities> = OnceLock::new();
        ABILITIES.get_or_init(|| {
            raw::unlock_memory();
            let left_out = probe::left_out();
            let lacking = left_out.keys().fold(0, |set, feature| set | feature.bit());
            // What cannot be tried is taken to be there: loading fails in better words.
            let refused = load_atomics().err().and_then(|error| error.raw_os_error());
            Self {
                features: !lacking,
                atomics: u32::from(refused != Some(libc::EINVAL)),
                kernel_reads: u32::from(probe::can_read_kernel()),
            }
        })
    }

    /// What is missed beside features, each in a sentence.
    pub(super) fn shortcomings(&self) -> Vec<String> {
        let mut sentences: Vec<String> = Vec::new();
        if self.features & Feature::Frags.bit() == 0 {
            sentences.push(
                "this kernel has no XDP over several buffers: native mode takes no jumbo frames on \
                 most cards, and generic mode copies large frames; Linux 5.18 has it"
                    .to_owned(),
            );
        }
        if self.atomics == 0 {
            sentences.push(
                "this kernel has no atomic operations for BPF but addition: what several CPUs note \
                 in the same moment may be noted once; Linux 5.12 has them"
                    .to_owned(),
            );
        }
        if self.kernel_reads == 0 {
            sentences.push(
                "this kernel is locked down for confidentiality: with which hop limit known good \
                 sources arrive is not seen, and SYNs forged in their names are told from theirs by \
                 retransmission alone"
                    .to_owned(),
            );
        }
        sentences
    }

    /// The object for a kernel that can do this.
    pub(super) fn fit(&self, object: &'static [u8]) -> Cow<'static, [u8]> {
        let frags = self.features & Feature::Frags.bit() != 0;
        if frags && self.atomics != 0 {
            return Cow::Borrowed(object);
        }
        let mut object = object.to_vec();
        if !frags {
            forget_frags(&mut object);
        }
        if self.atomics == 0 {
            // The program asks `ATOMICS` before it gets there.
            forget_atomics(&mut object);
        }
        Cow::Owned(object)
    }
}

/// Tells the loader what the program asks for.
pub(super) fn tell<'a>(loader: &mut EbpfLoader<'a>, features: &'a u64) {
    loader.override_global("FEATURES", features, true);
    let abilities = Abilities::get();
    loader.override_global("ATOMICS", &abilities.atomics, true);
    loader.override_global("KERNEL_READS", &abilities.kernel_reads, true);
}

/// Renames the section of programs that take frames of several buffers, by which a loader knows to ask
/// for that; the names have one length.
fn forget_frags(object: &mut [u8]) {
    const FRAGS: &[u8; 10] = b"xdp.frags\0";
    const PLAIN: &[u8; 10] = b"xdp\0frags\0";
    let mut at = 0;
    while let Some(there) = object.get_mut(at..at + FRAGS.len()) {
        if there == FRAGS {
            there.copy_from_slice(PLAIN);
        }
        at += 1;
    }
}

/// `BPF_STX | BPF_ATOMIC` of four and of eight bytes.
const ATOMIC: [u8; 2] = [0xc3, 0xdb];

/// Turns atomic operations into additions, which are the ones that old kernels know. They check code
/// that is never reached, too.
fn forget_atomics(object: &mut [u8]) {
    for section in code(object).unwrap_or_default() {
        let Some(code) = object.get_mut(section) else {
            continue;
        };
        for instruction in code.chunks_exact_mut(8) {
            if let [code, _, _, _, operation @ ..] = instruction
                && ATOMIC.contains(code)
            {
                operation.fill(0);
            }
        }
    }
}

/// Where code lies in a 64-bit ELF file of this machine's byte order.
fn code(object: &[u8]) -> Option<Vec<Range<usize>>> {
    /// Bytes of `Elf64_Shdr`; `SHF_EXECINSTR`.
    const HEADER: usize = 64;
    const EXECUTABLE: u64 = 4;
    let word = |at: usize| {
        let bytes = object.get(at..at.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    };
    let half = |at: usize| {
        let bytes = object.get(at..at.checked_add(2)?)?;
        Some(usize::from(u16::from_ne_bytes(bytes.try_into().ok()?)))
    };
    let (headers, count) = (usize::try_from(word(40)?).ok()?, half(60)?);
    let mut sections = Vec::new();
    for index in 0..count {
        let header = headers.checked_add(index.checked_mul(HEADER)?)?;
        let (flags, start, size) = (word(header + 8)?, word(header + 24)?, word(header + 32)?);
        if flags & EXECUTABLE != 0 {
            let start = usize::try_from(start).ok()?;
            sections.push(start..start.checked_add(usize::try_from(size).ok()?)?);
        }
    }
    Some(sections)
}

/// Tries a program with an atomic operation that is no addition (Linux 5.12, commit 981f94c3e921).
fn load_atomics() -> io::Result<()> {
    /// `BPF_PROG_TYPE_SOCKET_FILTER`.
    const SOCKET_FILTER: u32 = 1;
    let instructions: [[u8; 8]; 4] = [
        // r0 = 0
        [0xb7, 0x00, 0, 0, 0, 0, 0, 0],
        // *(u64 *)(r10 - 8) = r0
        [0x7b, 0x0a, 0xf8, 0xff, 0, 0, 0, 0],
        // lock *(u64 *)(r10 - 8) |= r0
        [0xdb, 0x0a, 0xf8, 0xff, 0x40, 0, 0, 0],
        // exit
        [0x95, 0x00, 0, 0, 0, 0, 0, 0],
    ];
    raw::load_program(SOCKET_FILTER, &instructions).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old() -> Abilities {
        Abilities {
            features: !Feature::Frags.bit(),
            atomics: 0,
            kernel_reads: 0,
        }
    }

    #[test]
    fn an_old_kernel_is_given_nothing_that_it_does_not_know() {
        let count = |object: &[u8]| {
            let sections = code(object).expect("an ELF file");
            assert!(sections.len() >= 3, "{sections:?}");
            let code = sections
                .into_iter()
                .flat_map(|it| object[it].chunks_exact(8));
            code.filter(|it| ATOMIC.contains(&it[0]) && it[4..] != [0; 4])
                .count()
        };
        assert!(count(OBJECT) > 0);
        let fitted = old().fit(OBJECT);
        assert_eq!(count(&fitted), 0);
        let parsed = aya_obj::Object::parse(&fitted).expect("a whole object");
        for (name, program) in &parsed.programs {
            let is_plain = !matches!(
                program.section,
                aya_obj::ProgramSection::Xdp { frags: true, .. }
            );
            assert!(is_plain, "{name}");
        }
        assert_eq!(old().shortcomings().len(), 3);
    }

    #[test]
    fn a_kernel_that_can_do_all_is_given_the_object_as_it_is() {
        let able = Abilities {
            features: u64::MAX,
            atomics: 1,
            kernel_reads: 1,
        };
        assert!(matches!(able.fit(OBJECT), Cow::Borrowed(_)));
        assert!(able.shortcomings().is_empty());
    }
}
