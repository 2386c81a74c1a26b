//! What the daemon answers.

use std::{collections::BTreeMap, net::IpAddr};

use filter_common::{abi::defence::Defence, logic::packet::protocol};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    handle::Service,
    interfaces::Protection,
    meter,
    state::{Daemon, failed},
};
use crate::{
    api::types::{
        ConfigDiff, Defences, Entry, EntryPage, EventPage, HistoryPage, IncidentDetail,
        IncidentPage, Interface, Limits, ListKind, MapStatus, Mode, Outcome, Override, Rules,
        SCHEMA, SamplePage, SampleQuery, Services, Stats, Status, TableStatus, Why, WhyQuery,
    },
    clock,
    config::protocols::any_protocol,
    core::{
        actor::Actor,
        command::Command,
        decide::{self, mode_text},
        lists::{self, MANUAL, key},
        refusal::Refusal,
        settings,
        state::State,
        why,
    },
    dataplane::{Attachment, Dataplane},
    detect::View,
    host,
    metrics::Metrics,
    stats::reasons,
    version,
};

impl<D: Dataplane> Service for Daemon<D> {
    fn status(&mut self) -> Result<Status, Refusal> {
        let counters = self.plane.counters().map_err(failed)?;
        let choice = settings::mode(&self.config, &self.state);
        let maps = self.plane.maps();
        let maps: Vec<MapStatus> = maps
            .into_iter()
            .map(|map| MapStatus {
                name: map.name,
                bytes: map.bytes,
            })
            .collect();
        Ok(Status {
            schema: SCHEMA,
            version: version::RELEASE.to_owned(),
            object: version::OBJECT.to_owned(),
            daemon: true,
            since: Some(self.since),
            mode: choice.mode,
            interfaces: self.interfaces(),
            incident: self.story.open_incident(),
            totals: meter::totals(&counters),
            reasons: meter::reasons(&counters, self.settings.enforced),
            hit: self.story.view.hit.clone(),
            overrides: self.overrides(),
            held: self.held_overrides(),
            pending: self.pending_status()?,
            services: self.service_list()?.services,
            defences: self.defence_status()?,
            tables: self.table_status(),
            lists: self.list_status(ListKind::Block, None)?,
            program: Some(self.program_status()?),
            map_memory: maps.iter().map(|map| map.bytes).sum(),
            maps,
            warnings: self.warnings(),
        })
    }

    fn stats(&mut self) -> Result<Stats, Refusal> {
        Ok(Stats {
            lists: self.list_status(ListKind::Block, None)?,
            ..self.meter.stats(clock::now())
        })
    }

    fn entries(
        &mut self,
        kind: ListKind,
        name: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<EntryPage, Refusal> {
        let cursor = cursor.map(parse_cursor).transpose()?;
        let list = self.state.list(kind);
        let total = list.count(name);
        let mut rest = list.behind(name, cursor.as_ref());
        let mut entries: Vec<Entry> = rest
            .by_ref()
            .take(limit)
            .map(|(list, prefix, note)| lists::entry(kind, prefix, list, note))
            .collect();
        let more = rest.next().is_some();
        drop(rest);
        for entry in entries.iter_mut().filter(|entry| entry.list == MANUAL) {
            let value = self
                .plane
                .entry(kind.id(), &key(&entry.prefix))
                .map_err(failed)?;
            entry.packets = Some(value.map_or(0, |value| value.packets));
        }
        let next = entries
            .last()
            .filter(|_| more)
            .map(|entry| format!("{}:{}", entry.list, entry.prefix));
        let lists = match cursor {
            None => self.list_status(kind, name)?,
            Some(_) => Vec::new(),
        };
        Ok(EntryPage {
            schema: SCHEMA,
            lists,
            entries,
            next,
            total: total as u64,
        })
    }

    fn limits(&mut self) -> Result<Limits, Refusal> {
        Ok(self.limit_status())
    }

    fn defences(&mut self) -> Result<Defences, Refusal> {
        self.defence_list()
    }

    fn rules(&mut self) -> Result<Rules, Refusal> {
        self.rule_list()
    }

    fn services(&mut self) -> Result<Services, Refusal> {
        self.service_list()
    }

    fn why(&mut self, query: &WhyQuery) -> Result<Why, Refusal> {
        let question = why::Question {
            address: canonical(query.address),
            protocol: protocol_number(query.protocol.as_deref(), query.address)?,
            port: query.port,
        };
        let situation = why::Situation {
            now: clock::now(),
            state: &self.state,
            config: &self.config,
            settings: self.settings_in_force(),
            lifelines: &self.lifelines,
            sessions: &self.facts.sessions,
        };
        let mut answer = why::why(situation, question);
        answer.defences = self.why_defences(question);
        for entry in answer
            .entries
            .iter_mut()
            .filter(|entry| entry.list == MANUAL)
        {
            let value = self
                .plane
                .entry(entry.kind.id(), &key(&entry.prefix))
                .map_err(failed)?;
            entry.packets = value.map(|value| value.packets);
        }
        Ok(answer)
    }

    fn events(&mut self, after: Option<i64>, limit: usize) -> Result<EventPage, Refusal> {
        let (events, last) = self.store.events(after, limit).map_err(failed)?;
        Ok(EventPage {
            schema: SCHEMA,
            events,
            last,
        })
    }

    fn samples(&mut self, query: &SampleQuery) -> Result<SamplePage, Refusal> {
        let reason = match query.reason.as_deref() {
            None => None,
            Some(name) => Some(reasons::by_name(name).ok_or_else(|| {
                Refusal::invalid(format!(
                    "there is no reason {name}; `floodwall status` lists them"
                ))
            })?),
        };
        let moment = self.moment()?;
        let names: BTreeMap<u32, String> = host::links::list()
            .map(|links| {
                links
                    .into_iter()
                    .map(|link| (link.index, link.name))
                    .collect()
            })
            .unwrap_or_default();
        Ok(self
            .album
            .page(reason, query.limit.unwrap_or(1000), moment, |index| {
                names
                    .get(&index)
                    .cloned()
                    .unwrap_or_else(|| format!("#{index}"))
            }))
    }

    fn incidents(&mut self, before: Option<u64>, limit: usize) -> Result<IncidentPage, Refusal> {
        self.incident_page(before, limit)
    }

    fn incident(&mut self, id: u64) -> Result<IncidentDetail, Refusal> {
        self.incident_detail(id)
    }

    fn history(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<HistoryPage, Refusal> {
        self.history_page(from, to, limit)
    }

    fn config_diff(&mut self, text: Option<&str>) -> Result<ConfigDiff, Refusal> {
        self.compare_config(text)
    }

    fn view(&mut self) -> Result<View, Refusal> {
        Ok(self.story.view.clone())
    }

    fn metrics(&mut self) -> Result<Metrics, Refusal> {
        let status = self.status()?;
        Ok(self.story.metrics(status))
    }

    fn execute(
        &mut self,
        actor: &Actor,
        command: Command,
        dry_run: bool,
    ) -> Result<Outcome, Refusal> {
        self.heed_calendar();
        // Whoever confirms too late is told so.
        self.end_trial();
        // What was found out two seconds ago has to do for the controller.
        let is_controller = *actor == Actor::Controller;
        if !is_controller
            && matches!(
                command,
                Command::Add { .. } | Command::Import { .. } | Command::AddRule { .. }
            )
        {
            self.refresh_facts();
        }
        let situation = decide::Situation {
            now: clock::now(),
            state: &self.state,
            config: &self.config,
            facts: &self.facts,
            unable: &self.terrain.ground.unable,
            last: self.last.as_ref(),
        };
        let decision = decide::decide(situation, actor, &command)?;
        if command.reloads() {
            return self.reload(actor, decision);
        }
        if dry_run {
            return Ok(Outcome {
                dry_run,
                ..decision.outcome
            });
        }
        let last = self.last_after(actor, &command, &decision);
        let (kind, text) = decision.event;
        let mut outcome = decision.outcome;
        if let Command::Attach { interface } = &command {
            // Before anything is noted: what refuses stays as it was.
            outcome.notes = vec![self.attach(interface)?];
        }
        let noted = self.unwritten.noted();
        let carried = self.carry_back(decision.changes, actor, &kind, &text);
        match (&command, carried) {
            (Command::Attach { interface }, Err(refusal)) => {
                self.detach(interface)?;
                return Err(refusal);
            }
            (_, result) => result?,
        }
        if self.unwritten.noted() > noted {
            outcome.notes.extend(self.word_of_unwritten());
        }
        if let Some(last) = last {
            self.last = Some(last);
        }
        if matches!(actor, Actor::Operator { .. }) {
            self.unconfirmed = None;
        }
        if let Command::Detach { interface, .. } = &command {
            let names = match interface {
                Some(name) => vec![name.clone()],
                None => self.config.interfaces.clone(),
            };
            for name in names {
                self.detach(&name)?;
            }
        }
        if matches!(
            command,
            Command::SetDefence { .. }
                | Command::AutoDefence { .. }
                | Command::Try { .. }
                | Command::Undo
        ) {
            self.tend();
        }
        if let Command::Hold { defence, .. } | Command::Release { defence } = &command
            && *defence == Defence::Cookies
        {
            // What is known of this host has to do: the switch is not to wait.
            self.recompose();
            self.tell_kernel(clock::monotonic())?;
        }
        Ok(outcome)
    }
}

impl<D: Dataplane> Daemon<D> {
    fn interfaces(&mut self) -> Vec<Interface> {
        self.config
            .interfaces
            .iter()
            .map(|name| {
                let (attachment, problem) = match self.protection.get(name) {
                    Some(Protection::On(attachment)) => (Some(*attachment), None),
                    Some(Protection::Off(problem)) => (None, Some(problem.clone())),
                    Some(Protection::Detached) => {
                        let by = self.state.detached.get(name).map(|set| set.by.clone());
                        let by = by.unwrap_or_default();
                        let again = format!("`floodwall attach {name}` protects it again");
                        (None, Some(format!("detached by {by}; {again}")))
                    }
                    None => (None, Some("not attached yet".to_owned())),
                };
                Interface {
                    name: name.clone(),
                    attach: attachment.map(|it: Attachment| it.mode),
                    program_id: attachment.map(|it| it.program_id),
                    problem,
                }
            })
            .collect()
    }

    fn overrides(&self) -> Vec<Override> {
        let file = State::default();
        let mut all = Vec::new();
        if let Some(set) = &self.state.mode {
            all.push(Override {
                name: "mode".to_owned(),
                value: mode_text(&set.value),
                file: mode_text(&settings::mode(&self.config, &file)),
                by: set.by.clone(),
                since: set.since,
                until: set.until,
            });
        }
        all.extend(self.limit_overrides());
        all.extend(self.defence_overrides());
        for (name, set) in &self.state.detached {
            all.push(Override {
                name: format!("interface.{name}"),
                value: "detached".to_owned(),
                file: "attached".to_owned(),
                by: set.by.clone(),
                since: set.since,
                until: set.until,
            });
        }
        all
    }

    fn table_status(&self) -> BTreeMap<String, TableStatus> {
        let room = &self.config.tables;
        let of = |entries: u64, (capacity, name): (u32, &str)| {
            let status = TableStatus {
                entries,
                capacity: u64::from(capacity),
            };
            (name.to_owned(), status)
        };
        let (mut v4, mut v6) = (0, 0);
        for (_, _, list) in self.state.list(ListKind::Block).sets() {
            let first_v6 = list
                .prefixes
                .partition_point(|net| matches!(net, IpNet::V4(_)));
            v4 += first_v6 as u64;
            v6 += (list.prefixes.len() - first_v6) as u64;
        }
        let single = |kind| of(self.tables.entries(kind), room.room(kind));
        let rules = self.config.rules.len() + self.state.rules.len();
        BTreeMap::from([
            single(ListKind::Allow),
            single(ListKind::Block),
            single(ListKind::Ban),
            of(v4, (room.lists_v4, "lists_v4")),
            of(v6, (room.lists_v6, "lists_v6")),
            of(rules as u64, (filter_common::abi::rules::RULES, "rules")),
        ])
    }

    fn warnings(&mut self) -> Vec<String> {
        let mut all = self.losses.clone();
        all.extend(self.unconfirmed.clone());
        if self.state.unconfirmed.is_some() {
            all.push(
                "the file's last reload was not confirmed, and what it said before is in force: \
                 mend the file, then `floodwall reload --confirm 120s`"
                    .to_owned(),
            );
        }
        all.extend(self.troubles.values().cloned());
        all.extend(self.defence_warnings());
        all.extend(self.plane.shortcomings());
        if self.config.interfaces.is_empty() && self.config.default_route {
            all.push(
                "no default route goes through an Ethernet interface: the first that one goes through \
                 will be protected"
                    .to_owned(),
            );
        } else if self.config.interfaces.is_empty() {
            all.push(
                "no interface is configured: name one under `interfaces` and reload".to_owned(),
            );
        }
        for (name, protection) in &self.protection {
            if let Protection::On(attachment) = protection
                && attachment.mode == crate::api::types::AttachMode::Generic
            {
                all.push(format!(
                    "{name} is protected in generic mode: slower, and an aggregate of packets \
                     counts as one; `floodwall doctor {name}` tells why"
                ));
            }
        }
        if self.approximate_owners > 0 {
            all.push(format!(
                "imported lists overlap so often that {} groups of addresses count for the first \
                 of their lists only; what is dropped is exact. Enlarge `lists_v4` under [tables] \
                 and restart for exact counters",
                self.approximate_owners
            ));
        }
        if settings::mode(&self.config, &self.state).mode == Mode::Monitor {
            all.push(
                "monitor mode: nothing is dropped; `floodwall mode enforce` changes that"
                    .to_owned(),
            );
        }
        all
    }
}

fn parse_cursor(cursor: &str) -> Result<(String, IpNet), Refusal> {
    let parts = cursor.split_once(':');
    let parsed = parts.and_then(|(list, prefix)| Some((list.to_owned(), prefix.parse().ok()?)));
    parsed.ok_or_else(|| {
        Refusal::invalid("`cursor` is not one that a page gave: pass `next` of the page before")
    })
}

/// IPv4 in IPv6 clothing is IPv4.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn protocol_number(name: Option<&str>, address: IpAddr) -> Result<u8, Refusal> {
    match name.unwrap_or("tcp") {
        "tcp" => Ok(protocol::TCP),
        "udp" => Ok(protocol::UDP),
        "icmp" if canonical(address).is_ipv4() => Ok(protocol::ICMP),
        "icmp" | "icmpv6" => Ok(protocol::ICMPV6),
        other => any_protocol(other).map_err(Refusal::invalid),
    }
}
