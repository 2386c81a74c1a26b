//! What the kernel remembers of others: what this host asked them for, that they proved their
//! address, and that they are known good.

use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use filter_common::{
    abi::settings::Settings,
    logic::{
        address::Address,
        known,
        lines::WORDS,
        seen,
        solicited::{self, WORD_BITS},
    },
};

use super::{
    maps::{map_data, map_error, take, take_map},
    memory::Lines,
};
use crate::dataplane::DataplaneError;

pub(super) struct Others {
    solicited: Lines,
    proven: Array<MapData, seen::Line>,
    known: Lines,
    known_gate: Lines,
}

impl Others {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        Ok(Self {
            solicited: lines(ebpf, "SOLICITED", solicited::LINES_LOG2)?,
            proven: take(ebpf, "PROVEN")?,
            known: lines(ebpf, "KNOWN", known::LINES_LOG2)?,
            known_gate: lines(ebpf, "KNOWN_GATE", known::GATE_LOG2 - WORDS.ilog2())?,
        })
    }

    /// The share of bits that are set in the generation of a tick.
    pub(super) fn solicited_fill(&self, settings: &Settings, tick: u64) -> f64 {
        let generation = tick >> (settings.solicited_log2 & 63);
        let words = self.solicited.iter().flatten();
        let (set, of) = words.fold((0_u32, 0_u32), |(set, of), word| {
            let bits = solicited::set_bits(word, generation);
            (set.wrapping_add(bits), of.wrapping_add(WORD_BITS))
        });
        f64::from(set) / f64::from(of.max(1))
    }

    /// Whether a source completed a handshake today or yesterday.
    pub(super) fn is_proven(
        &self,
        source: &Address,
        settings: &Settings,
    ) -> Result<bool, DataplaneError> {
        let mark = seen::Mark::of(source, &settings.key);
        let line = self
            .proven
            .get(&mark.line(), 0)
            .map_err(|error| map_error("asking who proved its address", error))?;
        Ok(mark.is_known(&line, settings.day.into()))
    }

    /// Whether a source is known good.
    pub(super) fn is_known_good(&self, source: &Address, settings: &Settings) -> bool {
        let places = known::Places::of(source, &settings.key);
        let line = self.known.line(places.line as usize);
        line.is_some_and(|line| known::is_good(places.days(&line)))
    }

    pub(super) fn known(&self) -> Vec<known::Line> {
        self.known.iter().collect()
    }

    pub(super) fn set_known(&mut self, lines: &[known::Line]) {
        for (index, line) in lines.iter().enumerate() {
            self.known.set(index, line);
        }
        self.renew_gate();
    }

    pub(super) fn clear_known(&mut self, columns: u64) {
        self.known.clear(columns);
        self.renew_gate();
    }

    fn renew_gate(&mut self) {
        let known = &self.known;
        for number in 0..1 << known::GATE_LOG2 {
            let from = number * known::GATE_LINES;
            let wanted = || {
                let lines: Vec<_> = known.some(from, known::GATE_LINES).collect();
                known::gate(&lines)
            };
            self.known_gate
                .renew(number / WORDS, number % WORDS, wanted);
        }
    }
}

fn lines(ebpf: &mut Ebpf, name: &str, log2: u32) -> Result<Lines, DataplaneError> {
    let map = take_map(ebpf, name)?;
    let data = map_data(&map).ok_or_else(|| DataplaneError(format!("{name} is no array")))?;
    Lines::of(name, data.fd(), 1 << log2)
}
