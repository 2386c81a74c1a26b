//! `floodwall service list`.

use std::io::{self, Write};

use super::{Columns, Style, number, safe, table};
use crate::api::types::ServiceStatus;

/// Services in order, with what they were sent.
pub fn render(out: &mut impl Write, services: &[ServiceStatus], style: &Style) -> io::Result<()> {
    if services.is_empty() {
        return writeln!(
            out,
            "No service: name one under [[service]] in the configuration."
        );
    }
    let columns = Columns {
        names: &[
            "service",
            "reached at",
            "packets",
            "bytes",
            "now",
            "passed",
            "new",
            "heavy",
            "known",
        ],
        numbers: &[5, 6, 7, 8],
    };
    table(out, style, &columns, services.iter().map(cells))?;
    writeln!(
        out,
        "Dropped above the ceiling: `new` of newcomers, `heavy` of sources above the fair share, \
         `known` of all others."
    )
}

fn cells(service: &ServiceStatus) -> Vec<String> {
    let now = match (service.overloaded, service.fair_share) {
        (true, Some(share)) => format!("OVERLOADED, {}/s each", number::grouped(share)),
        (true, None) => "OVERLOADED".to_owned(),
        (false, _) => "calm".to_owned(),
    };
    vec![
        safe(&service.name),
        reached_at(service),
        safe(&service.packets),
        safe(&service.bytes),
        now,
        number::grouped(service.passed),
        number::grouped(service.dropped_new),
        number::grouped(service.dropped_heavy),
        number::grouped(service.dropped_known),
    ]
}

/// `tcp 443 at 203.0.113.10/32 +1`.
fn reached_at(service: &ServiceStatus) -> String {
    let port = service
        .port
        .map_or_else(String::new, |port| format!(" {port}"));
    let first = service
        .to
        .first()
        .map_or_else(String::new, |to| format!(" at {to}"));
    let more = match service.to.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    format!("{}{port}{first}{more}", safe(&service.protocol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::plain;

    #[test]
    fn an_overloaded_service_tells_what_each_source_may_send() {
        let web = ServiceStatus {
            name: "web".to_owned(),
            to: ["203.0.113.10/32", "2001:db8::/64"]
                .map(|to| to.parse().unwrap())
                .to_vec(),
            protocol: "tcp".to_owned(),
            port: Some(443),
            packets: "200k/s".to_owned(),
            bytes: "off".to_owned(),
            overloaded: true,
            fair_share: Some(1_250),
            passed: 1_000_000,
            dropped_new: 20,
            dropped_heavy: 3,
            dropped_known: 0,
        };
        let tunnel = ServiceStatus {
            name: "tunnel".to_owned(),
            to: vec!["203.0.113.10/32".parse().unwrap()],
            protocol: "47".to_owned(),
            port: None,
            overloaded: false,
            ..web.clone()
        };
        let text = plain(|out, style| render(out, &[web.clone(), tunnel.clone()], style));
        let expected = "\
SERVICE  REACHED AT                     PACKETS  BYTES  NOW                       PASSED  NEW  HEAVY  KNOWN
web      tcp 443 at 203.0.113.10/32 +1  200k/s   off    OVERLOADED, 1,250/s each  1,000,000   20      3      0
tunnel   47 at 203.0.113.10/32          200k/s   off    calm                      1,000,000   20      3      0
";
        let words = |text: &str| -> Vec<Vec<String>> {
            let lines = text.lines().take(3);
            lines
                .map(|line| line.split_whitespace().map(str::to_owned).collect())
                .collect()
        };
        assert_eq!(words(&text), words(expected), "{text}");
        assert_eq!(
            plain(|out, style| render(out, &[], style)),
            "No service: name one under [[service]] in the configuration.\n"
        );
    }
}
