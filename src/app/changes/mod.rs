//! Changes of the settings by people: checked first, in use at once, and taken back by themselves.
//!
//! In: wishes of the page, the screen and the command line, one at a time. Out: the settings file, followed like after a
//! SIGHUP, and an answer. Taken back are settings with which a listener, the page or the control socket does not start that worked before, and those that decide
//! whether people reach the box ([network], [page]) when nobody confirms them in time: also over a restart (`trial`).
//!
//! Invariants: what is wrong is never written; what somebody else wrote in the meantime is never overwritten; what was
//! taken back is told, with who had changed it and why.

mod backup;
mod door;
mod judge;
mod text;
mod trial;

pub(super) use door::{Ask, Door, door};
pub(super) use text::is_enrolled;
pub use trial::undo;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::life::{Life, beating};
use super::{Host, reload};
use crate::config::{Config, ConfigError};
use crate::control::{Settings, SettingsReply, SettingsTrial};
use crate::durable;
use crate::event::Notice;
use crate::status::{Component, Health};
use judge::{has_begun, ill};
use trial::Note;

/// Time in which somebody has to confirm that the box is still reached.
const CONFIRM_WITHIN: Duration = Duration::from_secs(120);
/// What has not begun its work by then is not judged any longer.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// The page's thread follows the settings by itself: what it shows before is how it was.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// The other side of the door, and what is under way.
#[derive(Debug)]
pub(super) struct Changes {
    asks: mpsc::Receiver<Ask>,
    trial: Option<Trial>,
}

/// Settings that may be taken back.
#[derive(Debug)]
struct Trial {
    before: String,
    after: String,
    by: String,
    /// What did not work before.
    ill_before: BTreeSet<String>,
    must_confirm: bool,
    later: Vec<String>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// It is seen whether everything starts.
    Starts { since: Instant, to: oneshot::Sender<Result<SettingsReply, String>> },
    /// Somebody has to confirm.
    Waits { until: Instant },
}

impl Changes {
    /// The next wish.
    ///
    /// # Cancel safety
    /// Safe: none is lost.
    pub(super) async fn next(&mut self) -> Ask {
        match self.asks.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }

    /// Whether the settings in use may still be taken back.
    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }
}

impl Life {
    /// Does what somebody wants.
    pub(super) async fn change(&mut self, ask: Ask) {
        let Ask { wish, to } = ask;
        let Host::Process { settings, .. } = &self.host else {
            let _ = to.send(Err("this box has no settings file".to_owned()));
            return;
        };
        let file = settings.clone();
        let answer = match wish {
            Settings::Apply { text, version, by } => return self.apply(&file, text, &version, by, to).await,
            Settings::Show => self.settings_now(&file).await,
            Settings::Copy { number } => text::copy(&file, number).await,
            Settings::Enrol { text } => text::enrol(&file, self.config.state_dir.clone(), text).await,
            Settings::Check { text } => text::checked(&file, text).await,
            Settings::Edit(what) => text::edited(&file, &what).await,
            Settings::Backup { passphrase } => {
                let (name, state_dir) = (Arc::clone(&self.name), self.config.state_dir.clone());
                self.work(move || backup::make(&file, &name, &state_dir, &passphrase.into_secret())).await
            }
            Settings::Restore { sealed, passphrase } => {
                let state_dir = self.config.state_dir.clone();
                self.work(move || backup::put_back(&sealed, &state_dir, &passphrase.into_secret())).await
            }
            Settings::Network { card } => text::network(&file, &card).await,
            Settings::Confirm { by } => self.confirm(&file, &by).await,
            Settings::TakeBack { by } => self.take_back_wish(&file, &by).await,
        };
        // Whoever asked may be gone; what was done is told all the same.
        let _ = to.send(answer);
    }

    /// Does what takes long, and gives signs of life meanwhile.
    async fn work(
        &self,
        work: impl FnOnce() -> Result<SettingsReply, String> + Send + 'static,
    ) -> Result<SettingsReply, String> {
        let work = beating(&self.pulse, tokio::task::spawn_blocking(work)).await;
        work.unwrap_or_else(|error| Err(format!("this did not work inside the box: {error}")))
    }

    async fn settings_now(&self, file: &Path) -> Result<SettingsReply, String> {
        let trial = self.changes.trial.as_ref().and_then(|trial| match trial.phase {
            // Whoever wanted it is told in a moment.
            Phase::Starts { .. } => None,
            Phase::Waits { until } => {
                let left = until.saturating_duration_since(Instant::now());
                Some(SettingsTrial { by: trial.by.clone(), seconds_left: left.as_secs() })
            }
        });
        text::now(file, trial).await
    }

    async fn apply(
        &mut self,
        file: &Path,
        after: String,
        made_from: &str,
        by: String,
        to: oneshot::Sender<Result<SettingsReply, String>>,
    ) {
        let begun = self.begin(file, &after, made_from, &by).await;
        let (before, config) = match begun {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => {
                let _ = to.send(Ok(SettingsReply::Checked { problems: text::problems(&error), diff: String::new() }));
                return;
            }
            Err(why) => {
                let _ = to.send(Err(why));
                return;
            }
        };
        let must_confirm = self.config.network != config.network || self.config.page != config.page;
        let ill_before = ill(&self.parts.board.snapshot(), &self.config);
        let later = reload::later(&self.config, &config).into_iter().map(str::to_owned).collect();
        reload::reload(self).await;
        let phase = Phase::Starts { since: Instant::now(), to };
        self.changes.trial = Some(Trial { before, after, by, ill_before, must_confirm, later, phase });
    }

    /// Looks at the new text and puts it into the file: what was there before, and what the new one says.
    async fn begin(
        &self,
        file: &Path,
        after: &str,
        made_from: &str,
        by: &str,
    ) -> Result<Result<(String, Config), ConfigError>, String> {
        if self.changes.is_on_trial() {
            return Err("the last change still waits to be confirmed: confirm it or take it back first".to_owned());
        }
        let before = text::text_of(file.to_owned()).await?;
        if text::version(&before) != made_from {
            return Err(
                "somebody changed the settings in the meantime; begin again with those that are there now".to_owned()
            );
        }
        let config = match text::check(file, after.to_owned()).await? {
            Ok(config) => config,
            Err(error) => return Ok(Err(error)),
        };
        let (file, after) = (file.to_owned(), after.to_owned());
        let note = Note { before: before.clone(), after: after.clone(), by: by.to_owned() };
        let write = tokio::task::spawn_blocking(move || {
            trial::begin(&file, &note)?;
            durable::replace(&file, after.as_bytes()).inspect_err(|_| drop(trial::end(&file)))
        });
        let written = beating(&self.pulse, write).await.map_err(|error| error.to_string())?;
        written.map_err(|error| format!("the settings file cannot be written: {error}; nothing was changed"))?;
        Ok(Ok((before, config)))
    }

    /// Once around the loop: judges what was changed.
    pub(super) async fn judge_changes(&mut self) {
        let Host::Process { settings, .. } = &self.host else { return };
        let file = settings.clone();
        let Some(trial) = &self.changes.trial else { return };
        match &trial.phase {
            Phase::Waits { until } if Instant::now() >= *until => {
                let why = format!("nobody confirmed the settings of {} in time", trial.by);
                self.take_back(&file, &why).await;
            }
            Phase::Waits { .. } => {}
            Phase::Starts { since, .. } => {
                let snapshot = self.parts.board.snapshot();
                let worse: Vec<String> = ill(&snapshot, &self.config).difference(&trial.ill_before).cloned().collect();
                let (waited, is_late) = (since.elapsed() >= LOOK_AFTER, since.elapsed() >= STARTS_WITHIN);
                if let Some(first) = worse.first().filter(|_| waited) {
                    let words = snapshot.components.iter().find_map(|line| {
                        let is_it = format!("{} {}", line.component.as_str(), line.id) == *first;
                        line.health.fault().filter(|_| is_it).map(|fault| fault.what.clone())
                    });
                    let why = format!("{first} does not start with them: {}", words.unwrap_or_default());
                    self.take_back(&file, &why).await;
                } else if is_late || (waited && !self.settling && has_begun(&snapshot, &self.config)) {
                    self.started(&file).await;
                }
            }
        }
    }

    /// Everything started with the new settings.
    async fn started(&mut self, file: &Path) {
        let Some(mut trial) = self.changes.trial.take() else { return };
        let confirm_within = trial.must_confirm.then_some(CONFIRM_WITHIN.as_secs());
        let reply = SettingsReply::Applied { confirm_within, later: trial.later.clone() };
        let until = Instant::now() + CONFIRM_WITHIN;
        if let Phase::Starts { to, .. } = std::mem::replace(&mut trial.phase, Phase::Waits { until }) {
            let _ = to.send(Ok(reply));
        }
        self.tell("settings_changed", true, format!("{} changes the settings", trial.by), &trial.by);
        if trial.must_confirm {
            let what = format!("the settings of {} are taken back in two minutes if nobody confirms them", trial.by);
            let todo =
                "confirm them on the page (Settings), at the screen (n), or with `sapphire-edge settings confirm`";
            self.parts.board.handle(Component::Box, "settings").set(Health::degraded(what, todo));
            self.changes.trial = Some(trial);
        } else {
            self.stays(file).await;
        }
    }

    /// The settings that are in the file stay.
    async fn stays(&mut self, file: &Path) {
        let file = file.to_owned();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || trial::end(&file)).await {
            tracing::warn!(%error, "the note of the settings before stays: the next start goes back to them");
        }
        self.keep_settings().await;
    }

    async fn confirm(&mut self, file: &Path, by: &str) -> Result<SettingsReply, String> {
        match &self.changes.trial {
            Some(Trial { phase: Phase::Waits { .. }, .. }) => {
                let later = self.changes.trial.take().map(|trial| trial.later).unwrap_or_default();
                let later: Vec<&str> = later.iter().map(String::as_str).collect();
                self.parts.board.handle(Component::Box, "settings").set(reload::later_health(&later));
                self.tell("settings_confirmed", true, format!("{by} confirms the new settings"), by);
                self.stays(file).await;
                Ok(SettingsReply::Done)
            }
            Some(_) => Err("it is not yet known whether everything starts; confirm in a moment".to_owned()),
            None => Err("nothing waits to be confirmed: it was confirmed, or has been taken back".to_owned()),
        }
    }

    async fn take_back_wish(&mut self, file: &Path, by: &str) -> Result<SettingsReply, String> {
        if !self.changes.is_on_trial() {
            return Err("nothing waits to be confirmed: it was confirmed, or has been taken back".to_owned());
        }
        self.take_back(file, &format!("{by} wants it so")).await;
        Ok(SettingsReply::Done)
    }

    /// Goes back to what was before.
    async fn take_back(&mut self, file: &Path, why: &str) {
        let Some(trial) = self.changes.trial.take() else { return };
        let (path, before, after) = (file.to_owned(), trial.before, trial.after);
        let write = tokio::task::spawn_blocking(move || {
            // What somebody wrote by hand in the meantime is theirs.
            let is_ours = std::fs::read_to_string(&path).is_ok_and(|text| text == after);
            if is_ours {
                durable::replace(&path, before.as_bytes())?;
            }
            trial::end(&path)
        });
        let told = format!("the settings of {} were taken back: {why}", trial.by);
        match beating(&self.pulse, write).await {
            Ok(Ok(())) => reload::reload(self).await,
            Ok(Err(error)) => tracing::error!(%error, "the settings cannot be taken back now: the next start does it"),
            Err(error) => tracing::error!(%error, "taking the settings back panicked"),
        }
        self.tell("settings_taken_back", false, told.clone(), &trial.by);
        if let Phase::Starts { to, .. } = trial.phase {
            let _ = to.send(Ok(SettingsReply::TakenBack(told)));
        }
    }

    fn tell(&self, action: &'static str, is_success: bool, message: String, by: &str) {
        self.parts.teller().tell(Notice::new(action, is_success, message, &[("user", by.to_owned())]));
    }
}

/// Tells of settings that a start took back.
pub(super) fn undone_notice(by: &str) -> Notice {
    let message = format!("the settings of {by} were taken back: the program started again before they were confirmed");
    Notice::new("settings_taken_back", false, message, &[("user", by.to_owned())])
}
