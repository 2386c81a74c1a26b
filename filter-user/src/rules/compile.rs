//! From rules to the table that tells which of them a packet meets.
//!
//! [`filter_common::logic::classify`] reads the table, and says how it is laid out.

mod crowd;
mod layout;
mod vectors;

use std::fmt;

use filter_common::{
    abi::{
        rules::{MOST_CANDIDATES, RULES},
        service::SERVICES,
    },
    logic::lines::Line,
};

use self::layout::Layout;
use super::{
    region::Region,
    rule::{Action, Rule},
    service::ServiceMatch,
};

/// A rule in a set, as far as classification goes.
#[derive(Clone, Copy, Debug)]
pub struct Member<'r> {
    /// The rule.
    pub rule: &'r Rule,
    /// Whether it ends some day: from then on packets pass it by, until the table is built anew.
    pub ends: bool,
}

impl Member<'_> {
    /// Whether a packet that fulfils the conditions meets no rule behind this one.
    fn decides(&self) -> bool {
        let acts = match self.rule.action {
            Action::Drop | Action::Pass => true,
            Action::Limit { .. } => false,
        };
        acts && !self.rule.shadow && !self.ends && self.rule.matches.payload.is_none()
    }
}

/// Why a set of rules has no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// More rules than there is room for.
    TooMany {
        /// Rules.
        rules: usize,
    },
    /// More services than there is room for.
    TooManyServices {
        /// Services.
        services: usize,
    },
    /// A service has IPv6 addresses in several /64s.
    ServiceAddresses {
        /// Which service, by its index.
        service: usize,
    },
    /// A packet could meet more undecided rules than it may.
    Crowded {
        /// Those that are in each other's way, as indexes into the set.
        rules: Vec<usize>,
    },
    /// The table does not hold so many different conditions.
    TooBig,
}

impl fmt::Display for CompileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { rules } => write!(
                formatter,
                "{rules} rules, and there is room for {RULES}: take some away"
            ),
            Self::TooManyServices { services } => write!(
                formatter,
                "{services} services, and there is room for {SERVICES}: take some away"
            ),
            Self::ServiceAddresses { service } => write!(
                formatter,
                "service {} has single IPv6 addresses in several /64s, which one service cannot \
                 be told by: name the /64s, or write one service for each",
                service.saturating_add(1)
            ),
            Self::Crowded { rules } => write!(
                formatter,
                "one packet could meet more than {MOST_CANDIDATES} rules that do not decide at \
                 once (shadow, limit, payload or with an end); {} are in each other's way: take \
                 some away, or make them narrower",
                rules.len()
            ),
            Self::TooBig => write!(
                formatter,
                "the rules have more different conditions than the table holds: take some away"
            ),
        }
    }
}

impl std::error::Error for CompileError {}

/// The table of rules, in order, and of services, in order. The result is what lies in a bank, from
/// its first line on; what lies behind does not matter.
pub fn compile(rules: &[Member<'_>], services: &[ServiceMatch]) -> Result<Vec<Line>, CompileError> {
    if rules.len() > RULES as usize {
        return Err(CompileError::TooMany { rules: rules.len() });
    }
    if services.len() > SERVICES as usize {
        return Err(CompileError::TooManyServices {
            services: services.len(),
        });
    }
    let regions: Vec<Region> = rules
        .iter()
        .map(|member| Region::of(&member.rule.matches))
        .collect();
    let undecided: Vec<usize> = (0..rules.len())
        .filter(|index| rules.get(*index).is_some_and(|member| !member.decides()))
        .collect();
    let crowd = crowd::crowd(&regions, &undecided, MOST_CANDIDATES as usize);
    if !crowd.is_empty() {
        return Err(CompileError::Crowded { rules: crowd });
    }
    let services: Vec<Region> = services
        .iter()
        .enumerate()
        .map(|(index, service)| {
            let region = Region::of_service(service);
            if region.destination.is_product() {
                Ok(region)
            } else {
                Err(CompileError::ServiceAddresses { service: index })
            }
        })
        .collect::<Result<_, _>>()?;
    Layout::build(&regions, &services).ok_or(CompileError::TooBig)
}

#[cfg(test)]
mod tests;
