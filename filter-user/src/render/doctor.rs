//! `floodwall doctor`.

use std::io::{self, Write};

use super::{Style, Tone, safe};
use crate::host::doctor::{Finding, Verdict};

/// What was found, and what mends it.
pub fn render(out: &mut impl Write, findings: &[Finding], style: &Style) -> io::Result<()> {
    for finding in findings {
        let (word, tone) = match finding.verdict {
            Verdict::Good => ("good   ", Tone::Good),
            Verdict::Warning => ("warning", Tone::Warning),
            Verdict::Bad => ("BAD    ", Tone::Bad),
        };
        let (subject, text) = (safe(&finding.subject), safe(&finding.text));
        writeln!(out, "{}  {subject}: {text}", style.paint(tone, word))?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "         mend it: {}", safe(remedy))?;
        }
    }
    let count = |verdict| {
        findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    };
    writeln!(
        out,
        "{} good, {} to look at, {} bad",
        count(Verdict::Good),
        count(Verdict::Warning),
        count(Verdict::Bad)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::plain;

    #[test]
    fn each_finding_has_a_verdict_and_a_remedy() {
        let findings = [
            Finding {
                subject: "kernel".to_owned(),
                verdict: Verdict::Good,
                text: "6.18".to_owned(),
                remedy: None,
            },
            Finding {
                subject: "bpffs".to_owned(),
                verdict: Verdict::Bad,
                text: "not mounted".to_owned(),
                remedy: Some("mount -t bpf bpf /sys/fs/bpf".to_owned()),
            },
        ];
        let expected = "\
good     kernel: 6.18
BAD      bpffs: not mounted
         mend it: mount -t bpf bpf /sys/fs/bpf
1 good, 0 to look at, 1 bad
";
        assert_eq!(plain(|out, style| render(out, &findings, style)), expected);
    }
}
