//! Protected services on their way to the kernel, and how they fare there.

use filter_common::{
    abi::service::{SERVICES, Service, ServiceCounter},
    logic::{
        bucket::FRACTION_BITS,
        packet::protocol,
        share::{self, Unit},
    },
};

use super::state::{Daemon, failed};
use crate::{
    api::types::{SCHEMA, ServiceStatus, Services},
    config::{
        self,
        limit::{LimitName, Measure, format_limit},
    },
    core::{refusal::Refusal, settings},
    dataplane::{Ceilings, Dataplane},
};

/// What the kernel was told of services.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Protected {
    /// Which service stands at which index.
    names: Vec<String>,
    /// Their counters when they were put there: others may have counted at the index before.
    before: Vec<ServiceCounter>,
    /// `None` while nobody knows: maps outlive the daemon that wrote them, and a write may fail
    /// halfway.
    ceilings: Option<Ceilings>,
}

impl<D: Dataplane> Daemon<D> {
    /// Takes the ceiling off every index where another service will stand. To be called before
    /// the rules are put in force that lead packets there.
    pub(super) fn hush_services(&mut self) -> Result<(), Refusal> {
        let mut ceilings = self.services.ceilings.unwrap_or_else(no_ceilings);
        let mut moved = Vec::new();
        for (index, ceiling) in ceilings.iter_mut().enumerate() {
            let new = self.config.services.get(index).map(|it| &it.name);
            if new != self.services.names.get(index) {
                *ceiling = Service::default();
                moved.push(index as u32);
            }
        }
        self.write_ceilings(ceilings)?;
        for index in moved {
            self.plane.clear_service(index).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the ceilings that configuration and overrides ask for, and notes whose they are.
    pub(super) fn put_services(&mut self) -> Result<(), Refusal> {
        let ceilings = settings::services(&self.config, &self.state, self.fixed)?;
        self.write_ceilings(ceilings)?;
        let names: Vec<String> = self.names().collect();
        if names == self.services.names {
            return Ok(());
        }
        let readings = self.plane.services(names.len() as u32).map_err(failed)?;
        let old = &self.services;
        let before = names.iter().zip(readings).enumerate();
        let before = before.map(|(index, (name, reading))| {
            let stayed = old.names.get(index).filter(|it| *it == name);
            stayed.map_or(reading.counter, |_| old.before(index))
        });
        self.services.before = before.collect();
        self.services.names = names;
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let services = self.config.services.iter();
        services.map(|service| service.name.clone())
    }

    fn write_ceilings(&mut self, ceilings: Ceilings) -> Result<(), Refusal> {
        if self.services.ceilings != Some(ceilings) {
            self.services.ceilings = None;
            self.plane.set_services(&ceilings).map_err(failed)?;
            self.services.ceilings = Some(ceilings);
        }
        Ok(())
    }

    /// How services fare.
    pub(super) fn service_list(&mut self) -> Result<Services, Refusal> {
        let count = self.config.services.len() as u32;
        let readings = self.plane.services(count).map_err(failed)?;
        let tick = self.plane.tick().map_err(failed)?;
        let each = self.config.services.iter().zip(readings).enumerate();
        let services = each.map(|(index, (service, reading))| {
            let before = self.services.before(index);
            let now = reading.counter;
            let overloaded = reading.state.overloaded_until > tick;
            let ceilings = self.services.ceilings.as_ref();
            let ceiling = ceilings.and_then(|all| all.get(index));
            let share = ceiling
                .map(|it| share::limit(reading.state.fair, &it.packets, Unit::Packets).interval);
            let units = self.fixed.hz << FRACTION_BITS;
            ServiceStatus {
                name: service.name.clone(),
                to: service.matches.to.clone(),
                protocol: protocol_name(service.matches.protocol),
                port: service.matches.port,
                packets: self.ceiling(service, Measure::Packets),
                bytes: self.ceiling(service, Measure::Bytes),
                overloaded,
                fair_share: share
                    .and_then(|interval| units.checked_div(interval))
                    .filter(|_| overloaded),
                passed: now.passed.wrapping_sub(before.passed),
                dropped_new: now.dropped_new.wrapping_sub(before.dropped_new),
                dropped_heavy: now.dropped_heavy.wrapping_sub(before.dropped_heavy),
                dropped_known: now.dropped_known.wrapping_sub(before.dropped_known),
            }
        });
        Ok(Services {
            schema: SCHEMA,
            services: services.collect(),
        })
    }

    fn ceiling(&self, service: &config::Service, measure: Measure) -> String {
        let name = LimitName::Service(service.name.clone(), measure);
        format_limit(settings::limit(&self.config, &self.state, &name).rate)
    }
}

impl Protected {
    fn before(&self, index: usize) -> ServiceCounter {
        self.before.get(index).copied().unwrap_or_default()
    }
}

fn no_ceilings() -> Ceilings {
    [Service::default(); SERVICES as usize]
}

fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMP => "icmp".to_owned(),
        protocol::ICMPV6 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}
