//! The rows of settings: what operators want, and what the controller holds beside that.

use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use filter_common::{
    abi::settings::{HELD_ROW, OPERATOR_ROW, Settings},
    logic::{bucket::Limit, connections},
};

use super::maps::{map_error, take};
use crate::dataplane::DataplaneError;

/// The rows, of which both name the same bank of rules before packets can meet another.
pub(super) struct Rows(Array<MapData, Settings>);

impl Rows {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        Ok(Self(take(ebpf, "SETTINGS")?))
    }

    /// What operators want.
    pub(super) fn operators(&self) -> Result<Settings, DataplaneError> {
        self.row(OPERATOR_ROW)
    }

    /// What the controller holds, or held last.
    fn held(&self) -> Result<Settings, DataplaneError> {
        self.row(HELD_ROW)
    }

    /// Writes what operators want. What is held takes the bank of rules first.
    pub(super) fn set_operators(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        if settings.held_until != 0 {
            self.hold_with(settings.rule_bank)?;
        }
        self.write(OPERATOR_ROW, settings)
    }

    /// Writes what the controller holds.
    pub(super) fn set_held(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.write(HELD_ROW, settings)
    }

    /// Sees to it that no row names a bank of rules that is to be written. What is not held at the
    /// moment, or was written without the operator's row, may name it.
    pub(super) fn release(&mut self, bank: u32) -> Result<(), DataplaneError> {
        let in_force = self.operators()?;
        if bank == in_force.bank() {
            return Err(DataplaneError(format!("bank {bank} of rules is in force")));
        }
        self.hold_with(in_force.rule_bank)
    }

    /// `bank` as in [`Settings::rule_bank`].
    fn hold_with(&mut self, bank: u32) -> Result<(), DataplaneError> {
        let mut held = self.held()?;
        if held.rule_bank == bank {
            return Ok(());
        }
        held.rule_bank = bank;
        self.write(HELD_ROW, &held)
    }

    /// For how many ticks whoever was within a limit of handshakes may be over it under these
    /// settings; none if no such limit is lower than in any row.
    pub(super) fn lowered(&self, settings: &Settings) -> Result<Option<u64>, DataplaneError> {
        let is_lower = |(new, old): (&Limit, &Limit)| {
            !old.is_none() && (new.depth < old.depth || new.interval > old.interval)
        };
        for row in [self.operators()?, self.held()?] {
            let limits = settings.connections.iter();
            if limits.clone().zip(&row.connections).any(is_lower) {
                return Ok(limits.map(connections::longest).max());
            }
        }
        Ok(None)
    }

    fn row(&self, row: u32) -> Result<Settings, DataplaneError> {
        self.0
            .get(&row, 0)
            .map_err(|error| map_error("reading the settings", error))
    }

    fn write(&mut self, row: u32, settings: &Settings) -> Result<(), DataplaneError> {
        self.0
            .set(row, settings, 0)
            .map_err(|error| map_error("writing the settings", error))
    }
}
