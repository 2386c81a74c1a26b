//! Operator's rules: the first that matches decides.

use core::ops::ControlFlow;

use aya_ebpf::{
    bindings::xdp_md,
    macros::map,
    maps::{Array, PerCpuArray},
};
use filter_common::{
    abi::{
        counter::Counter,
        feature::Feature,
        reason::Reason,
        rules::{BANK_LINES, BANKS, PATTERN, RULES as MOST_RULES, RuleAction, RuleEntry, SLOTS},
    },
    logic::{
        classify::{self, Candidates, Classes, MOST_STEPS, Step},
        hash::source_number,
        lines::{Line, Lines},
        packet::Packet,
        source::{self, SETS_LOG2, Slot},
    },
};

use crate::{
    atomic, clock::Tick, count, cpu, frame::XdpFrame, judge::Judge, lists::MMAPABLE,
    scratch::Scratch, shape,
};

#[map]
static RULE_TABLE: Array<Line> = Array::with_max_entries(BANK_LINES * BANKS, MMAPABLE);

#[map]
static RULES: Array<RuleEntry> = Array::with_max_entries(MOST_RULES * BANKS, MMAPABLE);

#[map]
static RULE_HITS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(SLOTS, 0);

/// Buckets that all sources share.
#[map]
static RULE_BUCKETS: Array<u64> = Array::with_max_entries(SLOTS, MMAPABLE);

/// Buckets of rules that limit each source, in sets of two ways.
#[map]
static RULE_SOURCES: Array<Line> = Array::with_max_entries(1 << RULE_LINES_LOG2, MMAPABLE);

const RULE_LINES_LOG2: u32 = 14;
/// `64 - log2(sets)`, where a line has four sets.
const RULE_SOURCES_SHIFT: u32 = 64 - RULE_LINES_LOG2 - SETS_LOG2;

/// The map as what classification reads.
struct RuleTable;

impl Lines for RuleTable {
    #[inline(always)]
    fn line(&self, index: u32) -> Option<&Line> {
        RULE_TABLE.get(index)
    }
}

impl classify::Table for RuleTable {
    #[inline(always)]
    fn ranked(&self, bank: u32, tree: u32, number: u64) -> Option<u16> {
        match rules_ranked(bank, tree, number) {
            UNDECIDED => None,
            class => Some(class as u16),
        }
    }

    #[inline(always)]
    fn intersect(&self, _candidates: &mut Candidates, _classes: &Classes, index: u32) {
        rules_intersect(index);
    }
}

/// [`classify::ranked`]. Exported, like those that follow, because the verifier then looks at it
/// once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn rules_ranked(bank: u32, tree: u32, number: u64) -> u32 {
    if !shape::has_any(CLASSIFIES) {
        return UNDECIDED;
    }
    classify::ranked(&RuleTable, bank, tree, number).map_or(UNDECIDED, u32::from)
}

/// [`Candidates::intersect`] of the candidates and classes in the scratch.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn rules_intersect(index: u32) -> u32 {
    if !shape::has_any(CLASSIFIES) {
        return 0;
    }
    let Some(scratch) = cpu::notes() else {
        return 0;
    };
    let (candidates, classes) = (&mut scratch.candidates, &scratch.classes);
    candidates.intersect(&RuleTable, classes, index);
    1
}

/// What packets are classified for.
const CLASSIFIES: u64 = Feature::Rules.bit() | Feature::Services.bit();
/// What [`rules_step`] gives when there is no further candidate.
const END: u32 = u32::MAX;
/// What [`rules_step`] gives when a word had no candidate.
const EMPTY: u32 = u32::MAX - 1;
/// What [`rules_decide`] gives beside codes of reasons: no rule decides.
const UNDECIDED: u32 = u32::MAX;

/// Classifies a packet, and lets the first rule that it meets decide it.
///
/// The services that it belongs to are noted for [`crate::services`].
#[inline(always)]
pub fn check(frame: &XdpFrame, packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has(Feature::Rules) && !shape::has(Feature::Services) {
        return ControlFlow::Continue(());
    }
    if judge.settings.has_no_rules() {
        judge.has_no_services();
        return ControlFlow::Continue(());
    }
    judge.number(packet);
    rules_classify();
    if !shape::has(Feature::Rules) || judge.is_spared() || judge.has_no_candidates() {
        return ControlFlow::Continue(());
    }
    match rules_decide(frame.raw(), judge.length()) {
        code if code == Reason::RuleDrop as u32 => judge.found(Reason::RuleDrop),
        code if code == Reason::RuleLimit as u32 => judge.found(Reason::RuleLimit),
        code if code == Reason::RulePass as u32 => judge.spare(Reason::RulePass),
        _ => ControlFlow::Continue(()),
    }
}

/// Finds the classes of the packet that is noted in the scratch.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn rules_classify() -> u32 {
    if !shape::has_any(CLASSIFIES) {
        return 0;
    }
    let Some((scratch, settings)) = cpu::noted() else {
        return 0;
    };
    let table = RuleTable;
    scratch.rule_bank = settings.bank();
    let bank = scratch.rule_bank.wrapping_mul(BANK_LINES);
    let Scratch {
        classes, numbers, ..
    } = &mut *scratch;
    if classes.find(&table, bank, numbers).is_none() {
        scratch.note_services(0);
        scratch.candidates = Candidates::default();
        return 0;
    }
    let (candidates, classes) = (&mut scratch.candidates, &scratch.classes);
    candidates.begin(&table, classes);
    let services = candidates.services();
    scratch.note_services(services);
    1
}

/// Follows the candidates to the first rule that decides.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn rules_decide(context: *mut xdp_md, length: u32) -> u32 {
    if !shape::has(Feature::Rules) {
        return UNDECIDED;
    }
    let Some(scratch) = cpu::notes() else {
        return UNDECIDED;
    };
    let bank = scratch.rule_bank;
    let now = Tick::now();
    for _ in 0..MOST_STEPS {
        let rule = match rules_step() {
            END => return UNDECIDED,
            EMPTY => continue,
            rule => rule,
        };
        let index = bank.wrapping_mul(MOST_RULES).wrapping_add(rule);
        let Some(rule) = RULES.get(index) else {
            return UNDECIDED;
        };
        if rule.until <= now.count() {
            continue;
        }
        if rule.compared != 0 && rules_compare(context, index) == 0 {
            continue;
        }
        let reason = match rule.action {
            code if code == RuleAction::Drop as u8 => Reason::RuleDrop,
            code if code == RuleAction::Pass as u8 => Reason::RulePass,
            _ => Reason::RuleLimit,
        };
        if matches!(reason, Reason::RuleLimit) && rules_charge(index) != 0 {
            continue;
        }
        if let Some(hits) = RULE_HITS.get_ptr_mut(rule.slot) {
            count::to(hits, length);
        }
        if rule.shadow == 0 {
            return reason as u32;
        }
    }
    UNDECIDED
}

/// [`Candidates::step`] of the candidates in the scratch: the number of a rule, or [`EMPTY`], or
/// [`END`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn rules_step() -> u32 {
    if !shape::has(Feature::Rules) {
        return END;
    }
    let Some(scratch) = cpu::notes() else {
        return END;
    };
    match scratch.candidates.step(&RuleTable, &scratch.classes) {
        None => END,
        Some(Step::Empty) => EMPTY,
        Some(Step::Rule(rule)) => rule,
    }
}

/// 1 if the bytes that a rule asks for are where it says.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn rules_compare(context: *mut xdp_md, index: u32) -> u32 {
    if !shape::has(Feature::Rules) {
        return 0;
    }
    let (Some(scratch), Some(rule)) = (cpu::notes(), RULES.get(index)) else {
        return 0;
    };
    let packet = scratch.packet();
    if packet.payload == 0 {
        return 0;
    }
    let mut bytes = [0_u8; PATTERN];
    let at = u32::from(packet.payload).wrapping_add(u32::from(rule.offset));
    let compared = u32::from(rule.compared);
    // Behind the packet's end is padding, which is the sender's to choose but nobody's payload.
    if at.wrapping_add(compared) > packet.end || !XdpFrame::copy(context, at, compared, &mut bytes)
    {
        return 0;
    }
    let (seen, pattern, mask) = (words(&bytes), words(&rule.pattern), words(&rule.mask));
    let differs = ((seen[0] & mask[0]) ^ pattern[0]) | ((seen[1] & mask[1]) ^ pattern[1]);
    u32::from(differs == 0)
}

/// Sixteen bytes as two words.
#[inline(always)]
fn words(bytes: &[u8; PATTERN]) -> [u64; 2] {
    // SAFETY: they are two words of any value; the read asks for no alignment.
    unsafe { bytes.as_ptr().cast::<[u64; 2]>().read_unaligned() }
}

/// 1 if the noted packet is within the limit of a rule, to which it then is charged.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn rules_charge(index: u32) -> u32 {
    if !shape::has(Feature::Rules) {
        return 1;
    }
    let (Some((scratch, settings)), Some(rule)) = (cpu::noted(), RULES.get(index)) else {
        return 1;
    };
    let limit = &rule.limit;
    let now = Tick::now().moment();
    if rule.action != RuleAction::LimitSource as u8 {
        return match RULE_BUCKETS.get_ptr_mut(rule.slot) {
            Some(word) => u32::from(atomic::take(word, now, limit, limit.interval)),
            None => 1,
        };
    }
    let source = &scratch.packet().source;
    let number = source_number(source).wrapping_add(source::salt(rule.slot));
    let slot = Slot::of_number(source.family(), number, &settings.key, RULE_SOURCES_SHIFT);
    match RULE_SOURCES.get_ptr_mut(slot.line >> SETS_LOG2) {
        Some(line) => u32::from(atomic::charge(line, &slot, now, limit, limit.interval)),
        None => 1,
    }
}
