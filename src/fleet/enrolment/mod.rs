//! The box's certificate for the fleet: got once with a secret that an enrolment file brought, and renewed before it ends.
//!
//! In: the `[fleet]` table (`enrolment`, `tls`, the proxy), the one-time secret. Out: `key.pem` and `certificate.pem` in the
//! channel's folder, which whoever speaks to the broker reads; a line on the board; notices. Runs only where the table names an
//! enrolment server and no certificate of somebody else's. A component by itself, so that a broker that is away and a server that
//! is away are two faults with words of their own.
//!
//! Invariants: the private key is made on the box and never leaves it; what the server answers is taken only if it is for our key and
//! our id, has not ended, and a server that trusts the enrolment server's own roots would take it; the certificate before stays in use
//! until the next one is on the disk; the secret is wiped only after that, never used again, and sent to no server but the one that it came with. If the power goes between the
//! server's answer and the disk, the secret is used and a new file has to be brought.
//!
//! When: with the secret, at once. Renewed when two thirds of its life are over and up to a twelfth later, at random, so that boxes
//! which were enrolled together do not come back together; until it ends there is a quarter of its life to try again in. After its
//! end nothing but a new secret helps: RFC 7030 section 3.3.2 wants a certificate that holds.
//!
//! Facts: RFC 7030, as `est` says. The certificate's life is read off it by the box's clock. Not supported: another key with the same
//! enrolment (a factory reset makes one), keys in a TPM.

mod certs_only;
mod est;
mod keep;
mod step;
#[cfg(test)]
mod tests;
mod wanted;

pub use keep::OneTime;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::identity::is_id;
use super::trouble::Trouble;
use crate::clock::{Clock, Timestamp};
use crate::event::{Notice, Teller};
use crate::net::Backoff;
use crate::net::http::{Reach, Url};
use crate::net::tls::own::{Issued, Subject};
use crate::status::{Cause, Handle, Health};
use est::{Est, Granted, Proof};
use keep::{Folder, LONGEST_SECRET, Mark};
use step::{Have, Step};
use wanted::Wanted;

/// A server that restarts is back within seconds; one that is away is asked once an hour.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// How often it is looked whether a new secret has come, or the clock has moved.
const LOOK: Duration = Duration::from_secs(5);
/// A server that is silent in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What it works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The folder of all state.
    pub state_dir: PathBuf,
    /// What this box is called in the ids of its events: the name in its certificate, where nobody gave it one for the fleet.
    pub id: String,
    /// Its line on the board.
    pub status: Handle,
    /// The time.
    pub clock: Clock,
    /// Where what happens is told.
    pub teller: Teller,
    /// Ends it.
    pub stop: CancellationToken,
}

/// Keeps the one-time secret of an enrolment file until it is used. Blocks on the disk.
///
/// # Errors
/// When it is none that a server could have made, or the disk does not take it; in words.
pub fn keep_secret(state_dir: &Path, one_time: &OneTime) -> Result<(), String> {
    let secret = one_time.secret.expose();
    if secret.is_empty() || secret.len() > LONGEST_SECRET || !secret.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!(
            "the one-time secret has to be 1 to {LONGEST_SECRET} letters, digits and signs without blanks"
        ));
    }
    if let Some(id) = one_time.id.as_deref().filter(|id| !is_id(id)) {
        return Err(format!(
            "{id:?} is no box's id in the fleet: write 1 to 64 letters, digits, points, hyphens and underscores"
        ));
    }
    let put = Folder::of(state_dir).put_secret(one_time);
    put.map_err(|error| format!("the disk does not take the one-time secret: {error}"))
}

/// Whether these settings leave it to the box to get its certificate.
#[must_use]
pub fn is_wanted(config: &Config) -> bool {
    config.enrolment.is_some() && config.tls.cert.is_none() && config.tls.key.is_none()
}

impl Trouble {
    fn disk(error: &impl std::fmt::Display) -> Self {
        Self::new(format!("the box's key or certificate cannot be kept or read: {error}"), "look at the disk's state")
    }
}

/// Gets and renews the certificate until told to stop.
///
/// # Errors
/// When the settings name no enrolment server.
pub async fn run(config: Config, context: Context) -> Result<(), String> {
    let url = config.enrolment.as_deref().and_then(|text| Url::parse(text).ok());
    let url = url.ok_or("the settings name no enrolment server ([fleet] enrolment)")?;
    let stop = context.stop.clone();
    let folder = Folder::of(&context.state_dir);
    let mut worker =
        Worker { config, context, url, folder, late: rand::random(), told: None, refused: None, unkept: None };
    tokio::select! {
        () = stop.cancelled() => {}
        () = worker.work() => {}
    }
    Ok(())
}

struct Worker {
    config: Config,
    context: Context,
    url: Url,
    folder: Folder,
    late: f64,
    /// The refusal that was told last.
    told: Option<String>,
    /// The secret that the server did not take: it is tried again only where nothing else is left.
    refused: Option<Mark>,
    /// A certificate that the disk did not take: the secret for it is used, so it is not let go.
    unkept: Option<Got>,
}

/// A certificate that the server gave.
#[derive(Clone, Debug)]
struct Got {
    issued: Issued,
    chain: Vec<Vec<u8>>,
    /// With the secret, which goes when the certificate is on the disk; else it was renewed.
    is_first: bool,
    /// What told that secret from another one.
    mark: Option<Mark>,
}

impl Worker {
    async fn work(&mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let (step, holds) = self.step().await;
            let trouble = match step {
                Ok(Step::Rest(until)) => {
                    self.context.status.set(Health::Healthy);
                    let left = until.since(self.context.clock.now()).min(LOOK);
                    // The clock may move, and a new secret may come.
                    sleep(left.max(Duration::from_millis(100))).await;
                    continue;
                }
                Ok(Step::First(secret)) => {
                    let got = self.get(Some(&secret), None).await;
                    if got.as_ref().is_err_and(|trouble| trouble.cause == Some(Cause::Login)) {
                        self.refused = self.mark().await;
                    }
                    got
                }
                Ok(Step::Renew(der)) => self.get(None, Some(&der)).await,
                Ok(Step::Stuck(trouble)) | Err(trouble) => Err(trouble),
            };
            match trouble {
                Ok(()) => backoff.reset(),
                Err(trouble) => {
                    self.says(&trouble, holds);
                    let wait = trouble.wait.unwrap_or_else(|| backoff.next_delay());
                    // At its end there is something else to say.
                    let left = holds.map_or(wait, |ends| ends.since(self.context.clock.now()));
                    self.rest(wait.min(left)).await;
                }
            }
        }
    }

    /// What is to be done, and until when the certificate that is there holds.
    async fn step(&self) -> (Result<Step, Trouble>, Option<Timestamp>) {
        let (folder, now, late, refused) = (self.folder.clone(), self.context.clock.now(), self.late, self.refused);
        let server = self.config.enrolment.clone();
        let look = move || {
            let mut have = match Have::look(&folder, server.as_deref()) {
                Ok(have) => have,
                Err(trouble) => return (Err(trouble), None),
            };
            let holds = have.certificate.as_ref().map(|(issued, _)| issued.ends).filter(|ends| now < *ends);
            if holds.is_some() && refused.is_some() && folder.secret_mark() == refused {
                have.secret = None;
            }
            (Ok(have.step(now, late)), holds)
        };
        let looked = tokio::task::spawn_blocking(look).await;
        looked.unwrap_or_else(|error| (Err(Trouble::disk(&error)), None))
    }

    /// What tells the secret that is there from another one.
    async fn mark(&self) -> Option<Mark> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || folder.secret_mark()).await.unwrap_or_default()
    }

    /// Waits, but not longer than until somebody brings another secret.
    async fn rest(&self, wait: Duration) {
        let (until, before) = (Instant::now() + wait, self.mark().await);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.mark().await != before {
                return;
            }
            sleep(left.min(LOOK)).await;
        }
    }

    fn says(&mut self, trouble: &Trouble, holds: Option<Timestamp>) {
        let Trouble { what, todo, cause, .. } = trouble;
        let health = match holds {
            Some(ends) => Health::degraded(format!("{what}; the certificate that the box has ends on {ends}"), todo),
            None => Health::failed(what, todo),
        };
        self.context.status.set(health.because(*cause));
        if *cause == Some(Cause::Login) && self.told.as_ref() != Some(what) {
            self.told = Some(what.clone());
            self.tell("fleet_certificate_refused", false, what.clone());
        }
    }

    fn tell(&self, action: &'static str, is_success: bool, message: String) {
        let facts = [("server", self.url.host_str().unwrap_or_default().to_owned())];
        self.context.teller.tell(Notice::new(action, is_success, message, &facts));
    }

    /// Gets a certificate: with the secret, or with the one that is there.
    async fn get(&mut self, secret: Option<&OneTime>, present: Option<&[u8]>) -> Result<(), Trouble> {
        if let Some(got) = self.unkept.take() {
            return self.keep(got).await;
        }
        // A secret that comes meanwhile is another one, and stays.
        let mark = self.mark().await;
        let folder = self.folder.clone();
        let key = tokio::task::spawn_blocking(move || folder.key()).await.map_err(|error| Trouble::disk(&error))?;
        let key = key.map_err(|error| Trouble::disk(&error))?;
        let id = secret.and_then(|secret| secret.id.clone()).unwrap_or_else(|| self.context.id.clone());
        let subject = present.map_or(Subject::Named(&id), Subject::AsIn);
        let request = key.request(&subject).map_err(|error| Trouble::disk(&error))?;
        let mut tls = self.config.tls.clone();
        if present.is_some() {
            (tls.cert, tls.key) = (Some(self.folder.certificate_path()), Some(self.folder.key_path()));
        }
        let proxy = self.config.proxy();
        let connect_timeout = self.config.time_to_connect();
        let reach = Reach { tls: &tls, proxy: proxy.as_ref(), connect_timeout, read_timeout: READ_TIMEOUT };
        let est = Est::new(&self.url, &reach).await?;
        let roots = est.roots().await?;
        let proof = secret.map_or(Proof::Certificate, |once| Proof::Secret { id: &id, secret: &once.secret });
        let granted = match est.ask(&request, &proof).await? {
            Granted::Certificates(granted) => granted,
            Granted::Later(wait) => {
                let todo = "have the box's request granted there; the box asks again by itself";
                return Err(Trouble::new("the enrolment server has not granted the certificate yet", todo).after(wait));
            }
        };
        let now = self.context.clock.now();
        let wanted = Wanted { key: &key, id: &id, present };
        let (issued, chain) = wanted.choose(granted, &roots, now)?;
        self.keep(Got { issued, chain, is_first: secret.is_some(), mark }).await
    }

    /// Puts a certificate on the disk, and wipes the secret that it was got with.
    async fn keep(&mut self, got: Got) -> Result<(), Trouble> {
        let (folder, Got { chain, is_first, mark, .. }) = (self.folder.clone(), got.clone());
        let keep = move || {
            folder.put_certificate(&chain)?;
            if is_first && folder.secret_mark() == mark { folder.wipe_secret() } else { Ok(()) }
        };
        let kept = tokio::task::spawn_blocking(keep).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = kept {
            self.unkept = Some(got);
            return Err(Trouble::disk(&error));
        }
        self.told = None;
        let (action, did) = if is_first { ("fleet_enrolled", "got") } else { ("fleet_certificate_renewed", "renewed") };
        self.tell(
            action,
            true,
            format!("this box has {did} its certificate for the fleet, which holds until {}", got.issued.ends),
        );
        Ok(())
    }
}
