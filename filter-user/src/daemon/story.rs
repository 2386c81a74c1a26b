//! What becomes of what the controller tells: the journal, the database of incidents, whoever is told
//! elsewhere, and those who look.

mod webhook;
mod writer;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use filter_common::abi::{counter::Counter, traffic::TRAFFIC_CLASSES};
use jiff::{SignedDuration, Timestamp};

use self::{
    webhook::{Patience, Webhook},
    writer::{Rhythm, Writer},
};
use super::{
    meter,
    state::{Daemon, failed},
};
use crate::{
    api::types::{
        Count, Event, HistoryPage, IncidentDetail, IncidentPage, OpenIncident, SCHEMA, Status,
        Totals,
    },
    clock,
    config::Config,
    core::{actor::Actor, refusal::Refusal},
    dataplane::{Counters, Dataplane},
    detect::{
        Memory, View,
        fingerprint::Stored,
        input::Traffic,
        output::{News, Report},
    },
    metrics::{Metrics, Steps},
    render::incidents::words,
    store::archive::{AROUND, Archive, seconds::Second},
};

/// Seconds that an incident is shown with at once.
const SHOWN: usize = 3_600;
/// Events of an incident that are shown with it.
const EVENTS: usize = 200;

/// What the daemon keeps of what is told.
#[derive(Debug)]
pub(super) struct Story {
    folder: PathBuf,
    writer: Writer,
    webhook: Webhook,
    /// What the controller learned, as it was last kept.
    memory: Memory,
    /// The newest report: it may not be written yet.
    newest: Option<Box<Report>>,
    /// Until when seconds belong to an incident that is over.
    kept_until: i64,
    /// What the controller saw last.
    pub(super) view: View,
    /// What came in by class, since the maps were made.
    traffic: Option<Traffic>,
    /// Packets of known good sources that were dropped since the start.
    good_dropped: f64,
    /// How long steps of the controller took.
    steps: Steps,
    looked: Option<Instant>,
    before: Option<(Totals, Option<Traffic>)>,
}

/// What was kept, for a start.
pub(super) struct Kept {
    pub(super) story: Story,
    /// Incidents that nobody saw the end of.
    pub(super) interrupted: Vec<Report>,
    /// When the last incident ended that is kept.
    pub(super) last_end: Option<Timestamp>,
}

impl Story {
    /// Reads back what is kept. What cannot be read is told in `losses`, and no reason not to start.
    pub(super) fn start(
        folder: &Path,
        config: &Config,
        now: Timestamp,
        losses: &mut Vec<String>,
    ) -> Result<Kept, Refusal> {
        let mut memory = Memory::default();
        let mut interrupted = Vec::new();
        let mut last_end = None;
        let archive = match Archive::open(folder, now) {
            Ok((archive, loss)) => {
                if loss.is_some() {
                    memory.next_incident = unseen(now);
                }
                losses.extend(loss);
                match archive.memory() {
                    Ok(kept) => memory = kept.unwrap_or(memory),
                    Err(error) => losses.push(error.to_string()),
                }
                let newest = archive.incidents(None, 1).unwrap_or_default();
                last_end = newest.reports.first().and_then(|report| report.end);
                match unfinished(&archive) {
                    Ok((next, open)) => {
                        memory.next_incident = memory.next_incident.max(next);
                        interrupted = open;
                    }
                    Err(error) => {
                        memory.next_incident = memory.next_incident.max(unseen(now));
                        losses.push(error.to_string());
                    }
                }
                Some(archive)
            }
            Err(error) => {
                // The thread tries again, and tells.
                tracing::error!("{error}");
                memory.next_incident = unseen(now);
                None
            }
        };
        let folder = folder.to_owned();
        let rhythm = Rhythm::default();
        let writer = Writer::start(folder.clone(), archive, config.incidents, rhythm)?;
        for report in &interrupted {
            writer.incident(report, None);
        }
        let story = Self {
            folder,
            writer,
            webhook: Webhook::new(config.webhook.clone(), Patience::default()),
            memory,
            newest: None,
            kept_until: i64::MIN,
            view: View::default(),
            traffic: None,
            good_dropped: 0.0,
            steps: Steps::default(),
            looked: None,
            before: None,
        };
        Ok(Kept {
            story,
            interrupted,
            last_end,
        })
    }

    /// Takes another configuration.
    pub(super) fn configure(&self, config: &Config) {
        self.writer.keep(config.incidents);
        self.webhook.configure(config.webhook.clone());
    }

    /// What an earlier controller learned.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Keeps what the controller learned: once a minute is often enough, but for fingerprints, which
    /// whoever starts in the midst of a flood cannot find.
    pub(super) fn remember(&mut self, memory: &Memory) {
        if self.memory != *memory {
            let is_urgent = self.memory.fingerprints != memory.fingerprints;
            self.memory.clone_from(memory);
            self.writer.memory(memory, is_urgent);
        }
    }

    /// What is measured.
    pub(super) fn metrics(&self, status: Status) -> Metrics {
        Metrics {
            status,
            view: self.view.clone(),
            traffic: self.traffic,
            good_dropped: self.good_dropped,
            steps: self.steps,
            webhook: self.webhook.deliveries(),
        }
    }

    /// Writes what waits, and ends.
    pub(super) fn end(&mut self) {
        self.writer.end();
    }

    /// Keeps what came in since the second before.
    fn second(&mut self, now: Timestamp, counters: &Counters) {
        let (totals, traffic) = (meter::totals(counters), self.traffic);
        let Some((before, traffic_before)) = self.before.replace((totals, traffic)) else {
            return;
        };
        let of = |part: fn(&Totals) -> Count| since(part(&totals), part(&before));
        let (dropped, answered) = (of(|it| it.dropped), of(|it| it.answered));
        let mut second = Second {
            at: now.as_second(),
            received: of(|it| it.received),
            passed: of(|it| it.passed),
            stopped: Counter {
                packets: dropped.packets.saturating_add(answered.packets),
                bytes: dropped.bytes.saturating_add(answered.bytes),
            },
            would_stop: of(|it| it.would_drop),
            classes: [Counter::default(); TRAFFIC_CLASSES],
        };
        if let (Some(now), Some(before)) = (traffic, traffic_before) {
            for ((class, now), before) in second.classes.iter_mut().zip(now).zip(before) {
                class.packets = now.packets.saturating_sub(before.packets);
                class.bytes = now.bytes.saturating_sub(before.bytes);
            }
        }
        let is_open = self.newest.as_ref().is_some_and(|it| it.end.is_none());
        let is_kept = is_open || second.at <= self.kept_until;
        self.writer.second(second, is_kept);
    }

    /// Has a report written, and shown from now on.
    fn report(&mut self, report: Box<Report>, keep_from: Option<i64>) {
        self.writer.incident(&report, keep_from);
        if let Some(end) = report.end {
            self.kept_until = end.as_second().saturating_add(AROUND);
        }
        self.newest = Some(report);
    }

    /// The incident that is open, in short.
    pub(super) fn open_incident(&self) -> Option<OpenIncident> {
        let report = self.newest.as_deref().filter(|it| it.end.is_none())?;
        Some(OpenIncident {
            id: report.id,
            since: report.first,
            vectors: words::going_on(report),
        })
    }

    /// The report that may not be written yet, if it is this one.
    fn newest(&self, id: u64) -> Option<&Report> {
        self.newest.as_deref().filter(|report| report.id == id)
    }
}

/// A number that no incident has had, where those that there were cannot be seen: who was told of one
/// by the webhook would take another of the same number for the same.
fn unseen(now: Timestamp) -> u64 {
    now.as_second().max(1).cast_unsigned()
}

fn since(now: Count, before: Count) -> Counter {
    Counter {
        packets: now.packets.saturating_sub(before.packets),
        bytes: now.bytes.saturating_sub(before.bytes),
    }
}

/// The number of the next incident, and those nobody saw the end of, ended when the last daemon was.
fn unfinished(archive: &Archive) -> Result<(u64, Vec<Report>), crate::store::StoreError> {
    let last = archive.last_second()?;
    let last = last.and_then(|last| Timestamp::from_second(last).ok());
    let mut open = archive.open_incidents()?;
    for report in &mut open {
        let seen = report.peak.max(report.detected);
        report.end = Some(last.map_or(seen, |last| last.max(seen)));
        report.unmeasured.push(
            "what came after this: floodwall was not running, or began anew, and what it had put in \
             force ended by itself, but for rules of its own, which the next one goes on with"
                .to_owned(),
        );
    }
    Ok((archive.next_incident()?, open))
}

impl<D: Dataplane> Daemon<D> {
    /// Takes what the controller tells: it is journalled, kept, and told elsewhere.
    pub(super) fn news(&mut self, news: News) {
        match news {
            News::Opened(report) => {
                log(&report, "incident.open");
                self.tell(
                    &Actor::Controller,
                    "incident.open",
                    &words::opening(&report),
                );
                self.story.webhook.tell("incident.open", &report);
                let mut memory = self.story.memory.clone();
                memory.next_incident = memory.next_incident.max(report.id.saturating_add(1));
                self.story.remember(&memory);
                let from = report.first.as_second().saturating_sub(AROUND);
                self.story.report(report, Some(from));
            }
            News::Updated(report) => self.story.report(report, None),
            News::Closed(report) => self.close(report),
            News::Notice(text) => self.tell(&Actor::Controller, "controller.notice", &text),
        }
    }

    /// Notes what the controller sees, and what looking took.
    pub(super) fn seen(&mut self, traffic: &Traffic, view: &View, took: Duration) {
        let now = clock::monotonic();
        let story = &mut self.story;
        let since = story.looked.replace(now);
        let seconds = since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        // A daemon that hung saw nothing meanwhile.
        story.good_dropped += view.good_dropped.max(0.0) * seconds.min(1.0);
        story.steps.add(took);
        story.traffic = Some(*traffic);
        story.view.clone_from(view);
    }

    /// Keeps what the controller learned.
    pub(super) fn remember(&mut self) {
        let memory = Memory {
            fingerprints: self.fingerprints(),
            ..self.driver.controller.memory().clone()
        };
        self.story.remember(&memory);
    }

    /// Likewise, if it is what cannot wait for the minute.
    pub(super) fn remember_fingerprints(&mut self) {
        if self.fingerprints() != self.story.memory.fingerprints {
            self.remember();
        }
    }

    /// Fingerprints for the next daemon: what was refused, or taken away by somebody, is not to come
    /// back with it.
    fn fingerprints(&self) -> Vec<Stored> {
        let now = clock::now();
        let mut all = self.driver.controller.memory().fingerprints.clone();
        all.retain(|one| {
            let mut rules = self.state.rules.values();
            one.until() <= now
                || rules.any(|it| it.is_by_controller() && it.rule.to_string() == one.rule())
        });
        all
    }

    fn close(&mut self, report: Box<Report>) {
        log(&report, "incident.close");
        self.tell(
            &Actor::Controller,
            "incident.close",
            &words::closing(&report),
        );
        self.story.webhook.tell("incident.close", &report);
        self.story.report(report, None);
    }

    /// Tells what was lost of history, and of incidents whose end nobody saw.
    pub(super) fn close_interrupted(&mut self, interrupted: Vec<Report>, lost: Vec<String>) {
        for loss in lost {
            tracing::error!("{loss}");
            self.tell(&Actor::Daemon, "state.damaged", &loss);
            self.losses.push(loss);
        }
        for report in interrupted {
            self.close(Box::new(report));
        }
    }

    /// Does what is due once a second: keeps it, and hears how the threads fare.
    pub(super) fn keep_second(&mut self) {
        if let Some(counters) = self.meter.newest() {
            self.story.second(clock::now(), counters);
        }
        for (what, trouble) in [
            ("history", self.story.writer.trouble()),
            ("webhook", self.story.webhook.trouble()),
        ] {
            match trouble {
                Some(text) => self.trouble(what, text),
                None => {
                    self.troubles.remove(what);
                }
            }
        }
        for loss in self.story.writer.losses() {
            self.tell(&Actor::Daemon, "state.damaged", &loss);
            self.losses.push(loss);
        }
        for loss in self.story.webhook.losses() {
            self.tell(&Actor::Daemon, "webhook.lost", &loss);
        }
    }

    pub(super) fn incident_page(
        &mut self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<IncidentPage, Refusal> {
        let reader = Archive::reader(&self.story.folder).map_err(failed)?;
        let page = reader.incidents(before, limit).map_err(failed)?;
        let mut reports = page.reports;
        let (mut total, mut has_more) = (page.total, page.has_more);
        let newest = self.story.newest.as_deref();
        if let Some(newest) = newest.filter(|it| before.is_none_or(|before| it.id < before)) {
            let is_newer = reports.first().is_none_or(|first| first.id < newest.id);
            if let Some(report) = reports.iter_mut().find(|report| report.id == newest.id) {
                report.clone_from(newest);
            } else if is_newer {
                // It is not written yet.
                reports.insert(0, newest.clone());
                total = total.saturating_add(1);
                has_more |= reports.len() > limit;
                reports.truncate(limit);
            }
        }
        let ids = reports.iter().map(|report| report.id);
        let next = ids.chain(page.damaged.iter().copied()).min();
        Ok(IncidentPage {
            schema: SCHEMA,
            incidents: reports.iter().map(Into::into).collect(),
            next: next.filter(|_| has_more),
            total,
            damaged: page.damaged,
        })
    }

    pub(super) fn incident_detail(&mut self, id: u64) -> Result<IncidentDetail, Refusal> {
        let reader = Archive::reader(&self.story.folder).map_err(failed)?;
        let incident = match self.story.newest(id) {
            Some(report) => report.clone(),
            None => reader.incident(id).map_err(failed)?.ok_or_else(|| {
                Refusal::not_found(format!(
                    "there is no incident {id}, or it is older than [incidents] keep; `floodwall \
                     incident list` shows those there are"
                ))
            })?,
        };
        let around = SignedDuration::from_secs(AROUND);
        let from = incident.first.checked_sub(around);
        let from = from.unwrap_or(incident.first);
        let to = incident.end.unwrap_or_else(clock::now);
        let to = to.checked_add(around).unwrap_or(to);
        let found = reader
            .seconds(from.as_second(), to.as_second(), SHOWN)
            .map_err(failed)?;
        let history = HistoryPage::of(&found);
        Ok(IncidentDetail {
            schema: SCHEMA,
            events: self.events_between(from, to)?,
            incident,
            seconds: history.seconds,
            next: history.next,
            damaged: history.damaged,
        })
    }

    /// What others did meanwhile: what the controller did stands in the report.
    fn events_between(&mut self, from: Timestamp, to: Timestamp) -> Result<Vec<Event>, Refusal> {
        let controller = Actor::Controller.to_string();
        let mut events = self
            .store
            .events_between(from, to, EVENTS)
            .map_err(failed)?;
        events.retain(|event| event.by != controller);
        Ok(events)
    }

    pub(super) fn history_page(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<HistoryPage, Refusal> {
        let reader = Archive::reader(&self.story.folder).map_err(failed)?;
        let found = reader.seconds(from.as_second(), to.as_second(), limit);
        Ok(HistoryPage::of(&found.map_err(failed)?))
    }
}

/// For whoever reads the log by machine; the sentence follows with the event.
fn log(report: &Report, kind: &str) {
    for vector in &report.vectors {
        tracing::info!(
            kind,
            incident = report.id,
            vector = vector.vector.name(),
            target = %vector.target,
            phase = %vector.phase,
            peak_packets = vector.peak_packets,
            peak_bits = vector.peak_bits,
            usual = vector.usual,
            "{} at {}",
            vector.vector.text(),
            vector.target
        );
    }
}

#[cfg(test)]
mod tests;
