//! One install: fetch, check, hand to RAUC, remember what is on trial next.

use std::path::{Path, PathBuf};

use semver::Version;
use tokio::sync::mpsc;

use super::Worker;
use super::trial::boot_id;
use crate::control::Answer;
use crate::event::Notice;
use crate::net::http::{HttpClient, Url};
use crate::update::error::UpdateError;
use crate::update::offer::{Manifest, Want, download};
use crate::update::rauc::{Mark, Rauc, Slot};
use crate::update::state::Pending;
use crate::update::{Failed, Phase};

/// What is installed.
#[derive(Debug)]
pub(super) enum Source {
    /// What the manifest (read from there) names.
    Offer(Box<Manifest>, Url),
    /// A bundle on this machine.
    File(PathBuf),
    /// A bundle at an HTTPS address.
    Address(Url),
}

impl Source {
    /// What a person means: nothing is the manifest's offer.
    ///
    /// # Errors
    /// When there is no such thing.
    pub(super) async fn of(from: Option<String>, worker: &mut Worker) -> Result<Self, UpdateError> {
        let refused = |words: String| Err(UpdateError::Refused(words));
        let Some(from) = from else {
            let Some((manifest, url)) = worker.read_for_install().await? else {
                return refused(format!("this box is up to date: version {} runs", worker.version));
            };
            return Ok(Self::Offer(Box::new(manifest), url));
        };
        if from.starts_with('/') {
            return Ok(Self::File(from.into()));
        }
        match Url::parse(&from) {
            Ok(url) if url.scheme() == "https" && url.has_host() => Ok(Self::Address(url)),
            _ => refused(format!("{from:?} is neither a file nor an https address")),
        }
    }
}

impl Worker {
    async fn read_for_install(&mut self) -> Result<Option<(Manifest, Url)>, UpdateError> {
        let found = self.check().await?;
        let wait = self.shown.offer.as_ref().and_then(|offer| offer.held_back.clone());
        match found {
            Some((manifest, _)) if manifest.min_version.as_ref().is_some_and(|least| *least > self.version) => {
                Err(UpdateError::Refused(wait.unwrap_or_default()))
            }
            found => Ok(found),
        }
    }

    /// Installs and tells how it went. `to` is told of the progress.
    pub(super) async fn install(
        &mut self,
        rauc: &Rauc,
        source: Source,
        allow_downgrade: bool,
        to: Option<&mpsc::Sender<Answer>>,
    ) -> Result<(), UpdateError> {
        self.shown.failed = None;
        let done = self.try_install(rauc, source, allow_downgrade, to).await;
        if let Err(error) = &done {
            self.shown.failed = Some(Failed { at: self.context.clock.now().to_string(), why: error.to_string() });
        }
        let from = self.version.to_string();
        let notice = match &done {
            Ok(version) => Notice::new(
                "update_installed",
                true,
                format!("version {version} is installed and runs after the next restart"),
                &[("version", version.to_string()), ("from_version", from)],
            ),
            Err(error) => Notice::new(
                "update_failed",
                false,
                format!("an update was not installed: {error}"),
                &[("from_version", from), ("reason", error.to_string())],
            ),
        };
        self.context.teller.tell(notice);
        // Slots are shown as they are now; after a failure too, because RAUC may have begun.
        if let Err(error) = self.refresh(rauc).await {
            tracing::debug!(%error, "the slots could not be read after an install");
        }
        done.map(drop)
    }

    async fn try_install(
        &mut self,
        rauc: &Rauc,
        source: Source,
        allow_downgrade: bool,
        to: Option<&mpsc::Sender<Answer>>,
    ) -> Result<Version, UpdateError> {
        if let Some(pending) = self.condemned() {
            return Err(UpdateError::Refused(format!(
                "version {} did not work here, and the other slot is the one to go back to; restart the box first",
                pending.version
            )));
        }
        if let Some(version) = &self.goes_back_to {
            let words = format!("the box goes back to version {version} in the other slot; restart it first");
            return Err(UpdateError::Refused(words));
        }
        let expected = match &source {
            Source::Offer(manifest, _) => Some(manifest.version.clone()),
            _ => None,
        };
        let (bundle, is_ours) = match source {
            // What somebody brought to the page lies in our own folder, and goes when it is done with.
            Source::File(path) => {
                let is_ours = path.starts_with(&self.context.folder);
                (path, is_ours)
            }
            Source::Offer(manifest, base) => {
                let (size, sha256) = (Some(manifest.size), Some(manifest.sha256));
                let url = manifest.bundle_url(&base)?;
                (self.fetch(url, size, sha256, to).await?, true)
            }
            Source::Address(url) => (self.fetch(url, None, None, to).await?, true),
        };
        let done = self.hand_over(rauc, &bundle, expected.as_ref(), allow_downgrade, to).await;
        if is_ours && let Err(error) = std::fs::remove_file(&bundle) {
            tracing::warn!(%error, "the downloaded bundle could not be removed");
        }
        done
    }

    async fn fetch(
        &mut self,
        url: Url,
        size: Option<u64>,
        sha256: Option<[u8; 32]>,
        to: Option<&mpsc::Sender<Answer>>,
    ) -> Result<PathBuf, UpdateError> {
        let proxy = self.config.proxy();
        let client = HttpClient::new(&self.config.reach(proxy.as_ref())).await?;
        let want = Want { url, size, sha256, limit: self.config.max_size.bytes() };
        let folder = self.context.folder.clone();
        self.set_phase(Phase::Downloading { bytes: 0, total: size });
        let mut last = None;
        download(&client, &want, &folder, |bytes, total| {
            // Told per hundredth, or per MiB where the length is not known.
            let step = total.map_or(bytes >> 20, |total| bytes.saturating_mul(100) / total.max(1));
            if last != Some(step) {
                last = Some(step);
                self.progress(Phase::Downloading { bytes, total }, to);
            }
        })
        .await
    }

    /// Checks the bundle and has it installed.
    async fn hand_over(
        &mut self,
        rauc: &Rauc,
        bundle: &Path,
        expected: Option<&Version>,
        allow_downgrade: bool,
        to: Option<&mpsc::Sender<Answer>>,
    ) -> Result<Version, UpdateError> {
        let checking = Phase::Installing { percent: 0, step: "checking the bundle".to_owned() };
        self.progress(checking, to);
        let Some(found) = rauc.inspect(bundle).await? else { return Err(self.have_explained(rauc, bundle).await) };
        let version = self.check_bundle(&found.compatible, &found.version, expected, allow_downgrade)?;
        let booted = self.booted().ok_or_else(|| {
            UpdateError::Refused(
                "rauc does not know from which slot this box runs; check rauc.slot= and its log".to_owned(),
            )
        })?;
        let pending = Pending {
            version: version.to_string(),
            from_version: self.version.to_string(),
            from_bootname: booted.bootname,
            boot: boot_id(&self.config.runtime_dir),
            before: self.picture(),
            installed: false,
            condemned: None,
            starts: 0,
        };
        let (number, from) = (version.to_string(), self.version.to_string());
        self.context.teller.tell(Notice::new(
            "update_started",
            true,
            format!("version {number} is being installed"),
            &[("version", number), ("from_version", from)],
        ));
        self.store.change(|state| state.pending = Some(pending))?;
        let done = rauc.install(bundle, |percent, step| {
            self.progress(Phase::Installing { percent, step: step.to_owned() }, to);
        });
        match done.await {
            Ok(()) => self.store.change(|state| {
                if let Some(pending) = &mut state.pending {
                    pending.installed = true;
                }
            })?,
            Err(error) => {
                // A RAUC that only went silent may still finish; then this is known to be on trial.
                if !error.is_lost() {
                    self.store.change(|state| state.pending = None)?;
                }
                return Err(error.into());
            }
        }
        Ok(version)
    }

    /// What the bundle says against what this box is and what was asked for.
    fn check_bundle(
        &self,
        compatible: &str,
        version: &str,
        expected: Option<&Version>,
        allow_downgrade: bool,
    ) -> Result<Version, UpdateError> {
        let refused = |words: String| Err(UpdateError::Refused(words));
        if compatible != self.compatible {
            return refused(format!(
                "the bundle is for {compatible}, and this box is {}; take the one for this box",
                self.compatible
            ));
        }
        let Ok(parsed) = version.parse::<Version>() else {
            return refused(format!("the bundle's version {version:?} is no version such as 1.2.3; ask its publisher"));
        };
        if let Some(expected) = expected.filter(|expected| **expected != parsed) {
            return refused(format!(
                "the bundle is version {parsed}, and the manifest says {expected}; ask its publisher"
            ));
        }
        if parsed <= self.version && !allow_downgrade {
            let relation = if parsed == self.version { "the one that runs" } else { "older than the one that runs" };
            return refused(format!(
                "version {parsed} is {relation} ({}); --allow-downgrade installs it all the same",
                self.version
            ));
        }
        Ok(parsed)
    }

    /// RAUC before 1.9 says why it refuses a bundle only when it is told to install it.
    async fn have_explained(&self, rauc: &Rauc, bundle: &Path) -> UpdateError {
        let Err(error) = rauc.install(bundle, |_, _| {}).await else {
            // It liked the bundle after all; but nobody has compared the version.
            let slot = self.booted().map(|slot| slot.name).unwrap_or_default();
            let back = rauc.mark(Mark::Active, &slot).await;
            tracing::warn!(?back, "a bundle that could not be read was installed; the slot that runs stays active");
            return UpdateError::Refused("the bundle could not be read; try again".to_owned());
        };
        error.into()
    }

    /// RAUC may have finished an install while nobody listened: while it writes the slot is bad, and when it is done the slot
    /// is good and has the version.
    pub(super) fn catch_up(&mut self) -> Result<(), UpdateError> {
        let boot = boot_id(&self.config.runtime_dir);
        let Some(pending) =
            self.store.state.pending.as_ref().filter(|pending| !pending.installed && pending.boot == boot)
        else {
            return Ok(());
        };
        let is_there = self.shown.slots.iter().any(|slot| {
            !slot.is_booted() && slot.boot_status == "good" && slot.version.as_ref() == Some(&pending.version)
        });
        tracing::info!(version = pending.version, is_there, "an install was under way when nobody listened");
        self.store.change(|state| match &mut state.pending {
            Some(pending) if is_there => pending.installed = true,
            pending => *pending = None,
        })
    }

    pub(super) fn booted(&self) -> Option<Slot> {
        self.shown.slots.iter().find(|slot| slot.is_booted()).cloned()
    }

    fn progress(&mut self, phase: Phase, to: Option<&mpsc::Sender<Answer>>) {
        if let Some(to) = to {
            // A client that is slow, or gone, misses a step of the progress.
            let _ = to.try_send(Answer::Progress(phase.words()));
        }
        self.set_phase(phase);
    }
}
