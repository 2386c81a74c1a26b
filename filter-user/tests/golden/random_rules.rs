//! Random rules and random frames: the kernel decides as the model, one rule after the other.

use std::ops::ControlFlow;

use filter_common::{
    abi::{entry::EntryValue, reason::Reason},
    logic::parse,
};
use filter_user::{
    dataplane::Dataplane as _,
    rules::{
        Rule,
        compile::{Member, compile},
        matches::{matches, payload},
        rule::Action,
    },
};
use proptest::{
    prelude::{Strategy, prop},
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{bench::Bench, force::Force, model};

const SETS: u32 = 40;
const FRAMES: u32 = 150;

#[test]
fn the_kernel_follows_random_rules_as_the_model_does() {
    let mut bench = Bench::new();
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (frames, sets) = (model::frames(), rules());
    let mut met = [0_u32; 64];
    for set in 0..SETS {
        let rules = sets.new_tree(&mut runner).expect("rules").current();
        let mut force = Force::new();
        force.rules = rules
            .iter()
            .map(|rule| (rule.clone(), EntryValue::NEVER))
            .collect();
        bench.put(&force);
        let mut hits = vec![0_u64; rules.len()];
        for _ in 0..FRAMES {
            let frame = frames.new_tree(&mut runner).expect("a frame").current();
            let expected = decide(&rules, &frame, &mut hits);
            bench.kernel.run(&frame).expect("the program runs");
            let samples = bench.samples();
            let [sample] = samples.as_slice() else {
                panic!("one sample, not {}", samples.len())
            };
            assert_eq!(
                Reason::try_from(sample.reason),
                Ok(expected),
                "set {set}: {} over {frame:02x?}",
                texts(&rules)
            );
            met[usize::from(expected.code())] += 1;
        }
        let after = bench.kernel.rule_hits().expect("hits are read");
        for (slot, hits) in hits.iter().enumerate() {
            assert_eq!(
                after[slot].packets,
                *hits,
                "rule {slot} of set {set}: {}",
                texts(&rules)
            );
        }
    }
    for reason in [Reason::RuleDrop, Reason::RulePass, Reason::Clean] {
        let count = met[usize::from(reason.code())];
        assert!(count > SETS, "{count} frames met {reason:?}");
    }
}

/// What the rules make of a frame that is not decided before them; counts what each met.
fn decide(rules: &[Rule], frame: &[u8], hits: &mut [u64]) -> Reason {
    if let ControlFlow::Break(reason) = model::way(frame) {
        return reason;
    }
    let ControlFlow::Continue(packet) = parse::packet(&frame) else {
        return Reason::Clean;
    };
    for (rule, hits) in rules.iter().zip(hits) {
        if matches(rule, &packet, payload(&packet, frame)) {
            *hits += 1;
            match rule.action {
                Action::Drop if !rule.shadow => return Reason::RuleDrop,
                Action::Pass if !rule.shadow => return Reason::RulePass,
                Action::Drop | Action::Pass | Action::Limit { .. } => {}
            }
        }
    }
    Reason::Clean
}

fn texts(rules: &[Rule]) -> String {
    let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Up to forty rules, narrow ones more often than wide ones.
fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let pick = |all: &[&'static str]| prop::sample::select(all.to_vec());
    let action = pick(&["drop", "drop", "pass", "shadow drop"]);
    let carried = pick(&[
        "tcp",
        "tcp sport < 30000",
        "tcp dport 20000-50000",
        "tcp flags ACK",
        "tcp flags SYN/SYN,ACK",
        "tcp flags none/RST sport > 60000",
        "udp",
        "udp sport 67-546 dport > 100",
        "udp dport 547",
        "udp payload 0x00 at 0",
        "tcp payload 0x0000/0x00ff at 1",
        "icmp",
        "icmp6",
        "icmp payload 0x01/0x01 at 0",
        "proto 47",
        "proto 2",
        "",
    ]);
    let addresses = pick(&[
        "",
        "",
        "ip",
        "ip6",
        "from 128.0.0.0/1",
        "from 192.0.2.0/24",
        "from 203.0.113.1",
        "from 8000::/1",
        "from 2001:db8::7",
        "from 2001:db8::/127",
        "from fe80::/10",
    ]);
    let rest = pick(&[
        "",
        "length < 60",
        "length > 70",
        "length 40",
        "ttl 255",
        "ttl < 100",
        "fragment whole",
        "fragment first",
        "fragment any",
        "ttl > 1 length > 30",
    ]);
    let rule = (action, carried, addresses, rest).prop_filter_map(
        "conditions that some packet fulfils",
        |(action, carried, addresses, rest)| {
            let parts = [carried, addresses, rest];
            let narrow = parts.iter().filter(|part| !part.is_empty());
            if narrow.count() < 2 {
                return None;
            }
            format!("{action} {carried} {addresses} {rest}")
                .parse()
                .ok()
        },
    );
    prop::collection::vec(rule, 1..40).prop_filter("few that do not decide", |rules: &Vec<Rule>| {
        let members: Vec<Member<'_>> = rules
            .iter()
            .map(|rule| Member { rule, ends: false })
            .collect();
        compile(&members, &[]).is_ok()
    })
}
