//! Metrics as text.

use std::{collections::BTreeMap, fmt, io};

use filter_common::abi::traffic::TrafficClass;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use super::Metrics;
use crate::{
    api::types::{Action, AttachMode, DefenceState, Mode},
    detect::{Phase, Vector},
};

/// How metrics are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older text format of Prometheus, 0.0.4.
    Text,
}

impl Format {
    /// What is told of it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The one that whoever asks can read.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// Writes metrics down.
pub fn expose(metrics: Metrics, format: Format) -> io::Result<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Everything(metrics)));
    let mut open = String::new();
    text::encode(&mut open, &registry).map_err(io::Error::other)?;
    Ok(match format {
        Format::OpenMetrics => open,
        Format::Text => older(&open),
    })
}

/// The older format names a counter's family as its samples, and knows no end of file.
fn older(open: &str) -> String {
    let counters: Vec<&str> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines().filter(|line| *line != "# EOF") {
        let family = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "))
            .and_then(|rest| rest.split(' ').next())
            .filter(|family| counters.contains(family));
        match family {
            Some(family) => text.push_str(&line.replacen(family, &format!("{family}_total"), 1)),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[derive(Debug)]
struct Everything(Metrics);

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.host(&self.0)?;
        page.packets(&self.0)?;
        page.controller(&self.0)?;
        page.services(&self.0)
    }
}

/// What is written to.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in values {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn host(&mut self, metrics: &Metrics) -> fmt::Result {
        let status = &metrics.status;
        self.gauges(
            "floodwall_build_info",
            "Which floodwall this is",
            [([("version", status.version.as_str())], 1.0)],
        )?;
        if let Some(since) = status.since {
            self.gauge(
                "floodwall_start_time_seconds",
                "When the daemon began, in seconds since 1970",
                since.as_second() as f64,
            )?;
        }
        self.gauge(
            "floodwall_enforcing",
            "Whether anything is dropped: 0 in monitor mode",
            truth(status.mode == Mode::Enforce),
        )?;
        self.gauges(
            "floodwall_interface_attached",
            "Whether an interface is protected, in this mode",
            status.interfaces.iter().flat_map(|interface| {
                let modes = [
                    ("native", AttachMode::Native),
                    ("generic", AttachMode::Generic),
                ];
                modes.map(|(word, mode)| {
                    let labels = [("interface", interface.name.as_str()), ("mode", word)];
                    (labels, truth(interface.attach == Some(mode)))
                })
            }),
        )?;
        self.gauge(
            "floodwall_map_memory_bytes",
            "Memory that the maps of the filter take",
            status.map_memory as f64,
        )?;
        self.gauges(
            "floodwall_table_entries",
            "Entries of a table",
            tables(metrics, |table| table.entries),
        )?;
        self.gauges(
            "floodwall_table_capacity",
            "Entries that a table has room for",
            tables(metrics, |table| table.capacity),
        )?;
        self.gauge(
            "floodwall_warnings",
            "Warnings that floodwall status shows",
            status.warnings.len() as f64,
        )
    }

    fn packets(&mut self, metrics: &Metrics) -> fmt::Result {
        let reasons = &metrics.status.reasons;
        self.counters(
            "floodwall_packets",
            "Packets by the reason of their fate, and what became of them",
            reasons.iter().map(|(name, reason)| {
                (
                    [("reason", name.as_str()), ("action", action(reason.action))],
                    reason.packets,
                )
            }),
        )?;
        self.counters(
            "floodwall_bytes",
            "Bytes of these packets",
            reasons.iter().map(|(name, reason)| {
                (
                    [("reason", name.as_str()), ("action", action(reason.action))],
                    reason.bytes,
                )
            }),
        )?;
        self.counters(
            "floodwall_would_drop_packets",
            "Packets that a reason would have dropped, were it enforced",
            reasons
                .iter()
                .map(|(name, reason)| ([("reason", name.as_str())], reason.would_drop.packets)),
        )?;
        let Some(traffic) = &metrics.traffic else {
            return Ok(());
        };
        let classes = || TrafficClass::ALL.into_iter().zip(traffic);
        self.counters(
            "floodwall_received_packets",
            "Packets that came in, by class of traffic",
            classes().map(|(class, counter)| ([("class", class_name(class))], counter.packets)),
        )?;
        self.counters(
            "floodwall_received_bytes",
            "Bytes that came in, by class of traffic",
            classes().map(|(class, counter)| ([("class", class_name(class))], counter.bytes)),
        )
    }

    fn controller(&mut self, metrics: &Metrics) -> fmt::Result {
        let mut phases: BTreeMap<Vector, Phase> = BTreeMap::new();
        for report in &metrics.view.vectors {
            let phase = phases.entry(report.vector).or_default();
            *phase = (*phase).max(report.phase);
        }
        self.gauges(
            "floodwall_vector_phase",
            "How far an attack by a vector has come: 0 calm, 1 suspected, 2 under attack, 3 recovering",
            Vector::ALL.map(|vector| {
                let phase = phases.get(&vector).copied().unwrap_or_default();
                ([("vector", vector.name())], f64::from(level(phase)))
            }),
        )?;
        self.gauge(
            "floodwall_incident_open",
            "Whether an incident is open",
            truth(metrics.view.incident.is_some()),
        )?;
        self.gauges(
            "floodwall_defence_state",
            "The state of a defence: 1 for the one it is in",
            metrics.status.defences.iter().flat_map(|defence| {
                STATES.map(|(word, state)| {
                    let labels = [("defence", defence.name.as_str()), ("state", word)];
                    (labels, truth(defence.state == state))
                })
            }),
        )?;
        self.family(
            "floodwall_good_dropped_packets",
            "Packets of known good sources that were dropped: who is hit that should not be",
            MetricType::Counter,
        )?
        .encode_counter::<NoLabelSet, _, f64>(&metrics.good_dropped, None)?;
        let steps = &metrics.steps;
        self.family(
            "floodwall_controller_step_seconds",
            "What a step of the controller took",
            MetricType::Histogram,
        )?
        .encode_histogram::<NoLabelSet>(
            steps.sum,
            steps.count(),
            &steps.buckets(),
            None,
        )?;
        let webhook = &metrics.webhook;
        self.counters(
            "floodwall_webhook_deliveries",
            "Messages to the webhook that arrived or were given up, and attempts that failed",
            [
                ([("result", "delivered")], webhook.delivered),
                ([("result", "failed")], webhook.failed),
                ([("result", "lost")], webhook.lost),
            ],
        )?;
        self.gauge(
            "floodwall_webhook_waiting",
            "Messages to the webhook that wait",
            webhook.waiting as f64,
        )
    }

    fn services(&mut self, metrics: &Metrics) -> fmt::Result {
        let services = &metrics.status.services;
        self.counters(
            "floodwall_service_packets",
            "Packets of a protected service, and what became of them",
            services.iter().flat_map(|service| {
                [
                    ("passed", service.passed),
                    ("dropped_new", service.dropped_new),
                    ("dropped_heavy", service.dropped_heavy),
                    ("dropped_known", service.dropped_known),
                ]
                .map(|(result, count)| {
                    (
                        [("service", service.name.as_str()), ("result", result)],
                        count,
                    )
                })
            }),
        )?;
        self.gauges(
            "floodwall_service_overloaded",
            "Whether a protected service is sent more than its ceiling",
            services.iter().map(|service| {
                (
                    [("service", service.name.as_str())],
                    truth(service.overloaded),
                )
            }),
        )
    }
}

const STATES: [(&str, DefenceState); 4] = [
    ("off", DefenceState::Off),
    ("waiting", DefenceState::Waiting),
    ("holding", DefenceState::Holding),
    ("unable", DefenceState::Unable),
];

fn tables(
    metrics: &Metrics,
    of: fn(&crate::api::types::TableStatus) -> u64,
) -> impl Iterator<Item = ([(&str, &str); 1], f64)> {
    let tables = metrics.status.tables.iter();
    tables.map(move |(name, table)| ([("table", name.as_str())], of(table) as f64))
}

fn truth(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

const fn level(phase: Phase) -> u8 {
    match phase {
        Phase::Calm => 0,
        Phase::Suspected => 1,
        Phase::Attack => 2,
        Phase::Recovering => 3,
    }
}

const fn action(action: Action) -> &'static str {
    match action {
        Action::Pass => "pass",
        Action::Drop => "drop",
        Action::Answer => "answer",
    }
}

fn class_name(class: TrafficClass) -> &'static str {
    Vector::of(class).map_or("other", Vector::name)
}

#[cfg(test)]
mod tests;
