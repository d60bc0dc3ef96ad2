//! The restart into what was installed: when it is due, and how the box is asked for it.

use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use crate::update::error::UpdateError;
use crate::update::{Phase, Reboot};

/// A box that was asked to restart is down well within this: the program's grace is 75 s at most, systemd's stop 90 s.
const RESTARTED_WITHIN: Duration = Duration::from_secs(300);

/// Whether a restart was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// None is due, or the settings decide when.
    None,
    /// Asked for; to have happened by then.
    Asked(Instant),
    /// It did not happen.
    Missed,
}

impl Worker {
    /// When the box has to be asked to restart, or must have restarted.
    pub(super) fn restart_at(&self) -> Option<Instant> {
        if !self.is_restart_due() {
            return None;
        }
        match (self.restart, self.config.reboot) {
            (Restart::Asked(by), _) => Some(by),
            (Restart::None, _) if self.condemned().is_some() => Some(Instant::now()),
            (Restart::Missed, _) | (_, Reboot::ByHand) => None,
            (Restart::None, Reboot::AtOnce) => Some(Instant::now()),
            (Restart::None, Reboot::InWindow) => {
                Some(Instant::now() + self.schedule.opens_in(self.context.clock.now()))
            }
        }
    }

    pub(super) fn restart_due(&mut self) {
        if matches!(self.restart, Restart::Asked(_)) {
            self.restart = Restart::Missed;
            tracing::warn!("the box was asked to restart and did not");
            self.show_restart();
        } else {
            self.request_restart();
        }
    }

    /// Restarts into what is installed, because somebody wants it now.
    ///
    /// # Errors
    /// When nothing is installed, or the box cannot be asked.
    pub(super) fn restart_now(&mut self) -> Result<(), UpdateError> {
        let refused = |words: &str| Err(UpdateError::Refused(words.to_owned()));
        if !self.is_restart_due() {
            return refused("nothing is installed that waits for a restart");
        }
        self.request_restart();
        if self.restart == Restart::Missed {
            return refused("the box cannot be asked to restart; restart it by hand");
        }
        Ok(())
    }

    fn is_restart_due(&self) -> bool {
        self.store.state.pending.as_ref().is_some_and(|pending| pending.installed)
            || matches!(self.restart, Restart::Asked(_))
    }

    /// Asks the service manager for a restart; that stops this program in good order.
    pub(super) fn request_restart(&mut self) {
        if self.store.state.pending.is_some() {
            // The newest picture is the best to compare with; but not one of a version that is going back.
            let before = self.picture();
            let noted = self.store.change(|state| {
                if let Some(pending) = state.pending.as_mut().filter(|pending| pending.condemned.is_none()) {
                    pending.before = before;
                }
            });
            if let Err(error) = noted {
                tracing::warn!(%error, "the state before the restart could not be kept");
            }
        }
        match self.config.request_restart("update") {
            Ok(()) => {
                tracing::info!("the box is asked to restart");
                self.restart = Restart::Asked(Instant::now() + RESTARTED_WITHIN);
            }
            Err(error) => {
                tracing::warn!(%error, "the box cannot be asked to restart");
                self.restart = Restart::Missed;
            }
        }
        self.show_restart();
    }

    /// Shows that a restart is due, if it is.
    pub(super) fn show_restart(&mut self) {
        let pending = self.store.state.pending.as_ref().filter(|pending| pending.installed);
        let version = match pending {
            Some(pending) if pending.condemned.is_some() => Some(&pending.from_version),
            Some(pending) => Some(&pending.version),
            None => self.goes_back_to.as_ref(),
        };
        let Some(version) = version.cloned() else { return };
        let when = match (self.restart, self.config.reboot) {
            (Restart::Asked(_), _) => "now",
            (Restart::Missed, _) | (_, Reboot::ByHand) => "when it is restarted by hand",
            (Restart::None, Reboot::AtOnce) => "at once",
            (Restart::None, Reboot::InWindow) if self.config.window.is_none() => "at once",
            (Restart::None, Reboot::InWindow) => "when the window is open",
        };
        self.set_phase(Phase::RestartDue { version, when: when.to_owned() });
    }
}
