//! The program in force has the code that something needs: more before it is needed, less some
//! time after.

use filter_common::abi::feature::Feature;

use super::state::{Daemon, failed};
use crate::{
    api::types::Program,
    core::{
        features::{self, OF_SETS, STAYING},
        refusal::Refusal,
    },
    dataplane::{Dataplane, Image},
};

impl<D: Dataplane> Daemon<D> {
    /// What the program that takes over has to have: all that is needed, and all that there was.
    pub(super) fn features_with_old(&self) -> u64 {
        self.features | self.wanted_features()
    }

    /// Puts a program in force that has what configuration and state need, before they have any
    /// effect. Big sets bring their own program.
    pub(super) fn grow_program(&mut self) -> Result<(), Refusal> {
        let missing = self.wanted_features() & !OF_SETS & !self.features;
        if missing == 0 {
            return Ok(());
        }
        self.put_features(self.features | missing)
    }

    /// Puts a program in force without what nothing needs any more.
    pub(super) fn shrink_program(&mut self) {
        let features = self.wanted_features() | self.features & STAYING;
        if features == self.features {
            return;
        }
        match self.put_features(features) {
            Ok(()) => {
                self.troubles.remove("program");
            }
            Err(refusal) => self.trouble("program", refusal.message),
        }
    }

    fn wanted_features(&self) -> u64 {
        let unable = &self.terrain.ground.unable;
        let ports = Some(self.facts.ssh_ports.as_slice());
        let features = features::wanted(&self.config, &self.state, ports, unable);
        // What may come back must find its code.
        let before = self.state.before_trial();
        let before = before.map_or(0, |state| {
            let config = self.config_before.as_ref().unwrap_or(&self.config);
            features::wanted(config, &state, ports, unable)
        });
        let wanted = features | before | features::of_trial(&self.state);
        let features = wanted & self.plane.able();
        // Whoever was answered with a cookie may still bring it.
        if self.terrain.switch.is_in_use() {
            features | Feature::Cookies.bit()
        } else {
            features
        }
    }

    fn put_features(&mut self, features: u64) -> Result<(), Refusal> {
        let image = Image {
            features,
            sets: None,
        };
        self.put_image(image)?;
        self.features = features;
        Ok(())
    }

    /// Puts an image in force, and looks which program the interfaces have with it.
    pub(super) fn put_image(&mut self, image: Image<'_>) -> Result<(), Refusal> {
        self.plane.place(image).map_err(failed)?;
        self.renew_attachments();
        Ok(())
    }

    /// What is loaded.
    pub(super) fn program_status(&mut self) -> Result<Program, Refusal> {
        let report = self.plane.program().map_err(failed)?;
        let has = |feature: &Feature| report.features & feature.bit() != 0;
        Ok(Program {
            features: Feature::ALL
                .into_iter()
                .filter(has)
                .map(|feature| features::name(feature).to_owned())
                .collect(),
            instructions_verified: report.verified,
            // An instruction has eight bytes.
            instructions: report.translated.map(|bytes| bytes / 8),
            jited_bytes: report.jited,
        })
    }
}
