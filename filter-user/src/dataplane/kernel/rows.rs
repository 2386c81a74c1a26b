//! The rows of settings: what operators want, and what the controller holds beside that; as changed,
//! and as before a change that nobody has confirmed.

use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use filter_common::{
    abi::settings::{BEFORE_ROW, HELD_ROW, OPERATOR_ROW, SETTINGS_ROWS, Settings},
    logic::{bucket::Limit, connections},
};

use super::maps::{map_error, take};
use crate::dataplane::DataplaneError;

/// The rows, of which those of one policy name the same bank of rules before packets can meet another.
pub(super) struct Rows(Array<MapData, Settings>);

impl Rows {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        Ok(Self(take(ebpf, "SETTINGS")?))
    }

    /// What operators want.
    pub(super) fn operators(&self) -> Result<Settings, DataplaneError> {
        self.row(OPERATOR_ROW)
    }

    /// What operators wanted before a change that is not confirmed.
    pub(super) fn before(&self) -> Result<Settings, DataplaneError> {
        self.row(BEFORE_ROW)
    }

    /// Writes what operators want. What is held takes the bank of rules first.
    pub(super) fn set_operators(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        if settings.held_until != 0 {
            self.set_bank(HELD_ROW, settings.rule_bank)?;
        }
        self.write(OPERATOR_ROW, settings)
    }

    /// Writes what the controller holds.
    pub(super) fn set_held(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.write(HELD_ROW, settings)
    }

    /// Writes what operators wanted before, and what the controller holds beside that.
    pub(super) fn set_before(
        &mut self,
        settings: &Settings,
        held: &Settings,
    ) -> Result<(), DataplaneError> {
        self.write(BEFORE_ROW | HELD_ROW, held)?;
        self.write(BEFORE_ROW, settings)
    }

    /// Sees to it that no row names a bank of rules that is to be written. What is not held at the
    /// moment, is of a policy before that nobody can fall back to, or was written without the
    /// operator's row, may name it.
    pub(super) fn release(&mut self, bank: u32) -> Result<(), DataplaneError> {
        let in_force = self.operators()?;
        let before = if in_force.is_on_trial() {
            self.before()?
        } else {
            in_force
        };
        if bank == in_force.bank() || bank == before.bank() {
            return Err(DataplaneError(format!("bank {bank} of rules is in force")));
        }
        self.set_bank(HELD_ROW, in_force.rule_bank)?;
        self.set_bank(BEFORE_ROW, before.rule_bank)?;
        self.set_bank(BEFORE_ROW | HELD_ROW, before.rule_bank)
    }

    /// `bank` as in [`Settings::rule_bank`].
    fn set_bank(&mut self, row: u32, bank: u32) -> Result<(), DataplaneError> {
        let mut settings = self.row(row)?;
        if settings.rule_bank == bank {
            return Ok(());
        }
        settings.rule_bank = bank;
        self.write(row, &settings)
    }

    /// For how many ticks whoever was within a limit of handshakes may be over it under these
    /// settings; none if no such limit is lower than in any row that can come to be in force.
    pub(super) fn lowered(&self, settings: &Settings) -> Result<Option<u64>, DataplaneError> {
        let is_lower = |(new, old): (&Limit, &Limit)| {
            !old.is_none() && (new.depth < old.depth || new.interval > old.interval)
        };
        let rows = if self.operators()?.is_on_trial() {
            SETTINGS_ROWS
        } else {
            BEFORE_ROW
        };
        for row in 0..rows {
            let row = self.row(row)?;
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
