//! Looks at the manifest, and takes what it offers where the settings say so. What the fleet's operator offers by name takes the
//! place of the one at the settings' address.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use super::Worker;
use super::install::Source;
use crate::event::Notice;
use crate::net::http::{HttpClient, Url};
use crate::update::error::UpdateError;
use crate::update::offer::{LARGEST, Manifest, read_keys};
use crate::update::rauc::Rauc;
use crate::update::{Checked, Install, Offer, Phase};

/// Where the serials of the fleet's offers are counted.
const FLEET: &str = "fleet";
/// What is offered by name is fetched within this part of `check_every`: 5 minutes of 6 hours, in which a thousand boxes ask every
/// 0.3 s.
const SPREAD: f64 = 72.0;

/// Looks that fail one after the other before the board says so, where it may be the network: a day's.
pub(super) const WORRYING: u32 = 4;

/// What a relative address is joined to where the manifest came from no address: nothing over HTTPS comes of it.
fn nowhere() -> Option<Url> {
    Url::parse("fleet:/offer").ok()
}

impl Worker {
    /// Looks, and installs what is new if the box does that by itself. Only a RAUC that is lost is an error.
    pub(super) async fn poll(&mut self, rauc: &Rauc) -> Result<(), UpdateError> {
        let found = self.check().await;
        let wanted = match found {
            Ok(Some((manifest, url))) => {
                let is_held = self.shown.offer.as_ref().is_some_and(|offer| offer.held_back.is_some());
                let is_there = self.is_installed(&manifest);
                let by_itself = self.config.install == Install::ByItself && !is_held && !is_there;
                by_itself.then_some((manifest, url))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "the manifest could not be read");
                None
            }
        };
        self.not_taken = None;
        if let Some((manifest, url)) = wanted {
            let done = self.install(rauc, Source::Offer(Box::new(manifest), url), false, None).await;
            self.not_taken = done.as_ref().err().map(ToString::to_string);
            self.set_phase(Phase::Idle);
            self.show_restart();
            if let Err(UpdateError::Rauc(error)) = done
                && error.is_lost()
            {
                return Err(error.into());
            }
        }
        self.set_phase(Phase::Idle);
        self.show_restart();
        Ok(())
    }

    fn is_installed(&self, manifest: &Manifest) -> bool {
        let pending = self.store.state.pending.as_ref();
        pending.is_some_and(|pending| pending.installed && pending.version == manifest.version.to_string())
    }

    /// Reads the manifest. What it offers is shown, and given back if it is newer than what runs.
    pub(super) async fn check(&mut self) -> Result<Option<(Manifest, Url)>, UpdateError> {
        self.set_phase(Phase::Checking);
        let read = self.read().await;
        let at = self.context.clock.now().to_string();
        let problem = read.as_ref().err().map(ToString::to_string);
        self.failed_polls = match &read {
            Ok(_) => 0,
            Err(UpdateError::Http(error)) if error.is_passing() => self.failed_polls.saturating_add(1),
            Err(_) => WORRYING,
        };
        if let Some(words) = problem.as_ref().filter(|_| matches!(read, Err(UpdateError::Refused(_))))
            && self.shown.checked.as_ref().and_then(|before| before.problem.as_ref()) != Some(words)
        {
            self.context.teller.tell(Notice::new("update_refused", false, words.clone(), &[]));
        }
        self.shown.checked = Some(Checked { at, problem });
        self.shown.offer = None;
        if let Ok((manifest, _)) = &read {
            self.shown.offer = self.offer(manifest);
        }
        self.show();
        let is_newer = self.shown.offer.is_some();
        read.map(|found| is_newer.then_some(found))
    }

    async fn read(&mut self) -> Result<(Manifest, Url), UpdateError> {
        let address = self.config.manifest_url(&self.compatible);
        let Some(url) = address.clone().or_else(|| self.offered.as_ref().and_then(|_| nowhere())) else {
            return Err(UpdateError::NoManifest);
        };
        let keys = read_keys(&self.config.keys)?;
        let (bytes, place) = match &self.offered {
            Some(text) => (text.clone().into_bytes(), FLEET.to_owned()),
            None => {
                let proxy = self.config.proxy();
                let client = HttpClient::new(&self.config.reach(proxy.as_ref())).await?;
                (client.get(&url, &[]).await?.body(LARGEST).await?, url.to_string())
            }
        };
        let newest = self.store.state.serials.get(&place).copied().unwrap_or(0);
        let manifest = Manifest::open(&bytes, &keys, &self.compatible, newest, self.context.clock.now())?;
        self.store.change(|state| {
            // An address that is no longer in use is forgotten.
            let is_in_use = |known: &str| known == FLEET || address.as_ref().is_some_and(|url| url.as_str() == known);
            state.serials.retain(|known, _| is_in_use(known));
            state.serials.insert(place, manifest.serial);
        })?;
        Ok((manifest, url))
    }

    /// Takes what the fleet's operator offers, or forgets it. What the box does by itself comes soon after, in its window.
    pub(super) async fn take_offer(&mut self, text: Option<String>) -> Result<(), UpdateError> {
        let had_one = std::mem::replace(&mut self.offered, text).is_some();
        if self.offered.is_none() {
            if had_one {
                self.shown.offer = None;
                self.show();
            }
            return Ok(());
        }
        match self.check().await {
            Ok(found) => {
                if found.is_some() {
                    self.next_poll = Instant::now() + self.soon();
                }
                Ok(())
            }
            Err(error) => {
                self.offered = None;
                Err(error)
            }
        }
    }

    /// Boxes that hear of an offer at one moment do not all fetch it at one.
    fn soon(&self) -> Duration {
        self.config.check_every.0.div_f64(SPREAD).mul_f64(rand::rng().random_range(0.0..1.0))
    }

    /// What the manifest means for this box; nothing where it has that version or a newer one.
    fn offer(&self, manifest: &Manifest) -> Option<Offer> {
        if manifest.version <= self.version {
            return None;
        }
        let version = manifest.version.to_string();
        let held_back = match &manifest.min_version {
            Some(least) if *least > self.version => Some(format!("version {least} has to be installed first")),
            _ if self.store.state.has_fallen_back(&version) => {
                Some("it did not work on this box before; `update install` tries it again".to_owned())
            }
            _ => None,
        };
        Some(Offer { version, changelog: manifest.changelog.clone(), held_back })
    }
}
