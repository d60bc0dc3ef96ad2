//! The way back that a person wants: to the version that ran before.
//!
//! What is left is not taken again by itself, or the box would be back on it within hours.

use super::Worker;
use super::restart::Restart;
use super::trial::Trial;
use crate::event::Notice;
use crate::update::error::UpdateError;
use crate::update::rauc::{Mark, Rauc};
use crate::update::state::{FellBack, Pending};

impl Worker {
    /// Gives up the version on trial, does not start the one that is installed, or restarts into the slot before.
    ///
    /// # Errors
    /// When there is no way back, or RAUC does not go along.
    pub(super) async fn roll_back(
        &mut self,
        rauc: &Rauc,
        trial: &mut Option<Trial>,
        by: &str,
    ) -> Result<(), UpdateError> {
        if let Some(on_trial) = trial.as_ref().filter(|trial| trial.is_of_update()) {
            on_trial.is_bad(self, rauc, format!("{by} wants it so")).await?;
            *trial = None;
            return Ok(());
        }
        if self.condemned().is_some() || self.restart != Restart::None {
            let words = format!("not now: {}", self.shown.phase.words());
            return Err(UpdateError::Refused(words));
        }
        if let Some(pending) = self.store.state.pending.clone().filter(|pending| pending.installed) {
            return self.stay(rauc, pending, by).await;
        }
        let Some((slot, version)) = self.back_to() else {
            let words = "the other slot holds no version that has worked here; install one, with --allow-downgrade \
                         if it is older";
            return Err(UpdateError::Refused(words.to_owned()));
        };
        rauc.mark(Mark::Active, &slot).await?;
        let from = self.version.to_string();
        self.leave(&from, &version, by)?;
        self.goes_back_to = Some(version);
        self.request_restart();
        Ok(())
    }

    /// The version that is installed is not started.
    async fn stay(&mut self, rauc: &Rauc, pending: Pending, by: &str) -> Result<(), UpdateError> {
        rauc.mark(Mark::Active, "booted").await?;
        let here = self.version.to_string();
        self.leave(&pending.version, &here, by)?;
        self.store.change(|state| state.pending = None)
    }

    /// Tells of it, and notes that the version is not to be taken by itself.
    fn leave(&mut self, version: &str, for_version: &str, by: &str) -> Result<(), UpdateError> {
        let words = format!("{by} goes back from version {version} to {for_version}");
        let facts = [("user", by), ("version", version), ("to_version", for_version)];
        let facts = facts.map(|(name, text)| (name, text.to_owned()));
        self.context.teller.tell(Notice::new("update_rolled_back", true, words, &facts));
        let (at, why) = (self.context.clock.now().to_string(), format!("{by} went back from it"));
        let entry = FellBack { version: version.to_owned(), at, why, by: Some(by.to_owned()) };
        self.store.change(|state| state.note_fall_back(entry))
    }

    /// The slot that one can go back to, and its version: RAUC knows what it installed there, and of the slot that the box
    /// came with it is known from the update that left it.
    pub(super) fn back_to(&self) -> Option<(String, String)> {
        let is_other = |slot: &&crate::update::Slot| !slot.bootname.is_empty() && !slot.is_booted();
        let other = self.shown.slots.iter().find(is_other).filter(|slot| slot.boot_status == "good")?;
        let version = match (&other.version, &self.store.state.previous) {
            (Some(version), _) => version,
            (None, Some(previous)) if previous.bootname == other.bootname => &previous.version,
            _ => return None,
        };
        (!self.store.state.has_fallen_back(version)).then(|| (other.name.clone(), version.clone()))
    }
}
