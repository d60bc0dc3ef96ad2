//! Looks at the manifest, and takes what it offers where the settings say so.

use super::Worker;
use super::install::Source;
use crate::event::Notice;
use crate::net::http::{HttpClient, Url};
use crate::update::error::UpdateError;
use crate::update::offer::{LARGEST, Manifest, read_keys};
use crate::update::rauc::Rauc;
use crate::update::{Checked, Install, Offer, Phase};

/// Looks that fail one after the other before the board says so, where it may be the network: a day's.
pub(super) const WORRYING: u32 = 4;

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
        if let Some((manifest, url)) = wanted {
            let done = self.install(rauc, Source::Offer(Box::new(manifest), url), false, None).await;
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
        let url = self.config.manifest_url(&self.compatible).ok_or(UpdateError::NoManifest)?;
        let keys = read_keys(&self.config.keys)?;
        let proxy = self.config.proxy();
        let client = HttpClient::new(&self.config.reach(proxy.as_ref())).await?;
        let bytes = client.get(&url, &[]).await?.body(LARGEST).await?;
        let newest = self.store.state.serials.get(url.as_str()).copied().unwrap_or(0);
        let manifest = Manifest::open(&bytes, &keys, &self.compatible, newest, self.context.clock.now())?;
        self.store.change(|state| {
            // An address that is no longer in use is forgotten.
            state.serials.retain(|known, _| known == url.as_str());
            state.serials.insert(url.to_string(), manifest.serial);
        })?;
        Ok((manifest, url))
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
