use super::*;
use crate::{
    api::types::{Count, Event, SCHEMA},
    detect::{
        Phase, Target, Vector,
        output::{Action, Spoofed, VectorReport},
    },
    render::tests::{at, plain},
};

fn report() -> Report {
    let vector = |vector, target, spoofed| VectorReport {
        vector,
        target,
        phase: Phase::Recovering,
        spoofed,
        usual: 310.0,
        peak_packets: 1_234_567.0,
        peak_bits: 6.2e8,
        mean_packets: 800_000.0,
        mean_bits: 4.1e8,
        evidence: "97 % of its sources sent one packet".to_owned(),
    };
    let tcp = Target::Service {
        protocol: 6,
        port: 443,
    };
    Report {
        id: 7,
        first: at("2026-01-02T03:04:05Z"),
        detected: at("2026-01-02T03:04:05.4Z"),
        mitigated: Some(at("2026-01-02T03:04:06.1Z")),
        peak: at("2026-01-02T03:05:00Z"),
        end: Some(at("2026-01-02T03:08:15Z")),
        vectors: vec![
            vector(Vector::Syn, tcp, Spoofed::Forged),
            vector(Vector::Reflection, Target::Host, Spoofed::Reflected),
        ],
        sources: vec![
            SourceReport {
                prefix: "192.0.2.7/32".parse().unwrap(),
                packets: 51_000,
                error: 300,
                may_be_forged: true,
            },
            SourceReport {
                prefix: "2001:db8::/48".parse().unwrap(),
                packets: 900,
                error: 0,
                may_be_forged: false,
            },
        ],
        actions: vec![Action {
            at: at("2026-01-02T03:04:05.5Z"),
            what: "held cookies at tcp/443".to_owned(),
            why: "SYNs were 1,234,567/s\x1b[2J".to_owned(),
            until: Some(at("2026-01-02T03:06:05Z")),
            refused: None,
        }],
        passed: 12_000,
        stopped: 199_988_000,
        good_stopped: 0,
        hit: vec![HitReport {
            source: "198.51.100.9/32".parse().unwrap(),
            reason: "limit_syn".to_owned(),
            packets: 1_234,
            stopped: true,
        }],
        losses: vec!["31 connections found the queue of a listener full".to_owned()],
        unmeasured: vec!["the driver does not say what the card lost".to_owned()],
    }
}

fn detail(report: Report) -> IncidentDetail {
    let second = |age: i64, packets: u64| SecondStatus {
        at: at("2026-01-02T03:04:00Z") + jiff::SignedDuration::from_secs(age),
        received: Count {
            packets,
            bytes: packets * 60,
        },
        passed: Count {
            packets: packets / 10,
            bytes: 0,
        },
        stopped: Count {
            packets: packets - packets / 10,
            bytes: 0,
        },
        would_stop: Count::default(),
        classes: [("syn".to_owned(), Count { packets, bytes: 0 })].into(),
    };
    IncidentDetail {
        schema: SCHEMA,
        incident: report,
        events: vec![Event {
            id: 41,
            at: at("2026-01-02T03:04:30Z"),
            by: "uid 0 (root)".to_owned(),
            kind: "block.add".to_owned(),
            text: "blocked 192.0.2.7/32 for ever".to_owned(),
        }],
        seconds: (0..25)
            .map(|age| second(age, 1_000 * (1 + age as u64)))
            .collect(),
        next: None,
        damaged: 0,
    }
}

#[test]
fn an_incident_is_a_story_that_can_be_handed_on() {
    let expected = "\
Incident 7: SYN flood at tcp/443, UDP amplification at this host (over)

  First packet  2026-01-02 03:04:05Z  as far as it can be told
  Noticed       2026-01-02 03:04:05Z  0.4 s after it
  Mitigated     2026-01-02 03:04:06Z  1.1 s after it: 95 % of it was stopped from here on
  Strongest     2026-01-02 03:05:00Z
  Ended         2026-01-02 03:08:15Z  it lasted 4m10s

WHAT CAME
VECTOR      TARGET     STATE              PEAK     PEAK BITS       MEAN     MEAN BITS  USUAL
syn         tcp/443    recovering  1,234,567/s  620.0 Mbit/s  800,000/s  410.0 Mbit/s  310/s
reflection  this host  recovering  1,234,567/s  620.0 Mbit/s  800,000/s  410.0 Mbit/s  310/s
  - SYN flood at tcp/443: its sources are forged. 97 % of its sources sent one packet
  - UDP amplification at this host: its sources are real servers that others had send. 97 % of its sources sent one packet

FROM WHOM
SOURCE         PACKETS  TOO HIGH BY AT MOST  PROOF OF ADDRESS
192.0.2.7/32    51,000                  300  none: it can have been forged
2001:db8::/48      900                    0  it completed a handshake: it is real
  An address that can have been forged says nothing about whoever owns it: do not accuse or
  block its owner because of this list alone.

WHAT WAS DONE, BY WHOM AND WHY
WHEN                  BY            WHAT                           UNTIL                 WHY
2026-01-02 03:04:06Z  controller    held cookies at tcp/443        2026-01-02 03:06:05Z  SYNs were 1,234,567/s\\u{1b}[2J
2026-01-02 03:04:30Z  uid 0 (root)  blocked 192.0.2.7/32 for ever                        block.add

WHAT PASSED
  199,988,000 packets were stopped; 12,000 above what is usual went to the stack (0.0 % of both).
  0 packets of sources known as good were stopped.

HIT, THOUGH ITS ADDRESS IS PROVEN  REASON     PACKETS  WERE
198.51.100.9/32                    limit_syn    1,234  stopped

ITS COURSE, STRONGEST SECONDS
FROM                  RECEIVED          BITS   STOPPED  WOULD STOP   PASSED  MOST OF
";
    let shown = plain(|out, style| render(out, &detail(report()), style));
    let head = shown.lines().take(expected.lines().count());
    let head: String = head.flat_map(|line| [line, "\n"]).collect();
    assert_eq!(head, expected);
    let course = "2026-01-02 03:04:24Z  25,000/s   12.0 Mbit/s  22,500/s         0/s  2,500/s  syn";
    assert!(shown.contains(course), "{shown}");
    assert!(shown.contains("- 31 connections found"), "{shown}");
    assert!(shown.ends_with("- the driver does not say what the card lost\n"));
    assert!(!shown.contains('\x1b'));
}

#[test]
fn what_was_refused_says_so_and_what_was_taken_back_lasts_for_no_time() {
    let mut report = report();
    let mut refused = report.actions[0].clone();
    refused.refused = Some("cookies is off, by the file".to_owned());
    let taken_back = Action {
        what: "let go of cookies".to_owned(),
        why: "not needed for 45 s".to_owned(),
        until: None,
        ..report.actions[0].clone()
    };
    report.actions = vec![refused, taken_back];
    let shown = plain(|out, style| {
        let detail = IncidentDetail {
            events: Vec::new(),
            ..detail(report)
        };
        render(out, &detail, style)
    });
    let told = "held cookies at tcp/443 (refused: cookies is off, by the file)  2026";
    assert!(shown.contains(told), "{shown}");
    let line = shown.lines().find(|line| line.contains("let go"));
    let line = line.expect("the line");
    assert!(!line.contains("for ever"), "{line}");
}

#[test]
fn what_is_not_known_is_said() {
    let open = Report {
        mitigated: None,
        end: None,
        sources: Vec::new(),
        actions: Vec::new(),
        losses: Vec::new(),
        unmeasured: Vec::new(),
        good_stopped: 3,
        hit: Vec::new(),
        ..report()
    };
    let detail = IncidentDetail {
        events: Vec::new(),
        seconds: Vec::new(),
        damaged: 2,
        ..detail(open)
    };
    let shown = plain(|out, style| render(out, &detail, style));
    for text in [
        "(OPEN)",
        "Mitigated     never",
        "Ended         not yet",
        "No source stood out",
        "  Nothing.\n",
        "3 packets of sources known as good",
        "Nothing that could be measured",
        "Nothing is known to be missing",
        "2 minutes of the history were damaged",
    ] {
        assert!(shown.contains(text), "{text} is missing in\n{shown}");
    }
}

#[test]
fn incidents_are_listed_newest_first() {
    let mut page = IncidentPage {
        schema: SCHEMA,
        incidents: vec![
            (&Report {
                id: 8,
                end: None,
                ..report()
            })
                .into(),
            (&report()).into(),
        ],
        next: Some(7),
        total: 9,
        damaged: vec![6],
    };
    let expected = "\
ID  BEGAN                 LASTED  WHAT            TARGET                    PEAK     PEAK BITS      STOPPED  PASSED
 8  2026-01-02 03:04:05Z  open    syn reflection  tcp/443 this host  1,234,567/s  620.0 Mbit/s  199,988,000  12,000
 7  2026-01-02 03:04:05Z  4m10s   syn reflection  tcp/443 this host  1,234,567/s  620.0 Mbit/s  199,988,000  12,000
The report of incident 6 is damaged, or of another version.
Older ones: floodwall incident list --before 7
";
    assert_eq!(plain(|out, style| render_list(out, &page, style)), expected);
    page.incidents.clear();
    page.damaged.clear();
    assert_eq!(
        plain(|out, style| render_list(out, &page, style)),
        "No incident.\n"
    );
}

#[test]
fn what_began_and_ended_fits_a_sentence() {
    assert_eq!(
        words::opening(&report()),
        "incident 7 began: SYN flood at tcp/443, UDP amplification at this host: up to \
         1,234,567/s, where 310/s are usual; sources are real servers that others had send; 97 % of \
         its sources sent one packet"
    );
    assert_eq!(
        words::closing(&report()),
        "incident 7 is over after 4m10s: SYN flood at tcp/443, UDP amplification at this host, up \
         to 1,234,567/s; 199,988,000 packets were stopped, 12,000 above what is usual passed, 0 of \
         known good sources were stopped"
    );
    let unknown = Report {
        vectors: Vec::new(),
        ..report()
    };
    assert_eq!(words::opening(&unknown), "incident 7 began: an attack");
}
