//! The real object with the features of one stage only, over maps that are filled as that stage
//! needs them.

use anyhow::Result;
use filter_common::abi::{feature::Feature, settings::Settings};
use filter_user::dataplane::kernel::Specimen;

use super::section::Subject;

/// A stage, or several.
pub struct Stage<'a> {
    /// What it is called in the result.
    pub name: &'a str,
    /// The features that the program has.
    pub features: &'a [Feature],
    /// Sizes of maps that are not to be as in the object.
    pub sizes: &'a [(&'static str, u32)],
}

impl Stage<'_> {
    /// Loads it, under these settings, and fills its maps.
    pub fn load(
        &self,
        settings: &Settings,
        fill: impl FnOnce(&mut Specimen) -> Result<()>,
    ) -> Result<Subject> {
        let features = self
            .features
            .iter()
            .fold(0, |set, feature| set | feature.bit());
        let mut specimen = Specimen::load(features, self.sizes)?;
        specimen.set("SETTINGS", 0, settings)?;
        fill(&mut specimen)?;
        Ok(Subject {
            name: self.name.to_owned(),
            program: specimen.program()?,
        })
    }
}
