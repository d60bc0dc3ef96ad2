//! The boot that is being judged: is it an update's first, has one fallen back, and what follows from the verdict.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Worker;
use crate::control::{Client, Request};
use crate::event::Notice;
use crate::update::Phase;
use crate::update::error::UpdateError;
use crate::update::judge::{Judge, Picture, Rules, Verdict};
use crate::update::rauc::{Mark, Rauc};
use crate::update::state::{FellBack, Good, Pending};

/// Changes with each boot (random(4)); hidden from a sandboxed program.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// A page or socket that takes longer to answer is of no use to anybody.
const DOOR_WITHIN: Duration = Duration::from_secs(5);
/// A program that was started more often than this during one trial crashes; the first start counts.
const MOST_STARTS: u32 = 5;

/// What tells this boot from others: a file that is made once in the folder that each boot begins empty, or the kernel's own
/// id where there is no such folder.
pub(super) fn boot_id(runtime_dir: &Path) -> String {
    let file = runtime_dir.join("boot-id");
    if let Err(error) =
        std::fs::File::create_new(&file).and_then(|mut file| write!(file, "{:032x}", rand::random::<u128>()))
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        tracing::debug!(%error, "the kernel's boot id is used");
        return std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
    }
    std::fs::read_to_string(&file).unwrap_or_default().trim().to_owned()
}

/// A boot that is being judged.
#[derive(Debug)]
pub(super) struct Trial {
    judge: Judge,
    boot: String,
    bootname: String,
    /// The update whose first boot this is.
    update: Option<Pending>,
    /// Condemned before it was looked at: it crashes.
    condemned: Option<String>,
}

impl Trial {
    /// Finds out what kind of boot this is; nothing if it was judged already, or RAUC does not know the slot.
    pub(super) fn begin(worker: &mut Worker) -> Result<Option<Self>, UpdateError> {
        let Some(booted) = worker.booted() else {
            tracing::warn!("rauc does not know from which slot the box runs, so nothing is marked good");
            return Ok(None);
        };
        let (boot, bootname) = (boot_id(&worker.config.runtime_dir), booted.bootname);
        match worker.store.state.pending.clone() {
            // Not restarted since it was installed.
            Some(pending) if pending.boot == boot => {}
            Some(pending) if pending.from_bootname == bootname => worker.has_come_back(&pending)?,
            Some(pending) if pending.condemned.is_none() => return Self::of_update(worker, pending, boot, bootname),
            // Not restarted since it was condemned.
            Some(_) if worker.store.state.judged.as_ref() == Some(&boot) => {}
            Some(pending) => {
                tracing::warn!(version = pending.version, "the slot was marked bad and was booted all the same");
                worker.store.change(|state| state.pending = None)?;
            }
            None => {}
        }
        if worker.store.state.judged.as_ref() == Some(&boot) {
            return Ok(None);
        }
        let here = Good { bootname: bootname.clone(), version: worker.version.to_string() };
        let rules = worker.config.rules();
        let settle = if worker.store.state.good.as_ref() == Some(&here) { Duration::ZERO } else { rules.settle };
        let judge = Judge::new(None, Rules { settle, ..rules }, Instant::now());
        Ok(Some(Self { judge, boot, bootname, update: None, condemned: None }))
    }

    fn of_update(
        worker: &mut Worker,
        pending: Pending,
        boot: String,
        bootname: String,
    ) -> Result<Option<Self>, UpdateError> {
        let starts = worker.count_start(pending.starts)?;
        tracing::info!(version = pending.version, starts, "the new version is on trial");
        let condemned =
            (starts > MOST_STARTS).then(|| format!("the program was started {starts} times during its trial"));
        let judge = Judge::new(Some(pending.before.clone()), worker.config.rules(), Instant::now());
        Ok(Some(Self { judge, boot, bootname, update: Some(pending), condemned }))
    }

    /// Takes a look; true when the matter is settled.
    pub(super) async fn look(&mut self, worker: &mut Worker, rauc: &Rauc) -> Result<bool, UpdateError> {
        let unanswered = unanswered(&worker.context.control, worker.context.page).await;
        let picture = worker.picture();
        let verdict = match self.condemned.take() {
            Some(why) => Verdict::Bad(why),
            None => self.judge.look(&picture, unanswered, Instant::now()),
        };
        match verdict {
            Verdict::Wait(waits_for) => {
                worker.set_phase(Phase::Trial { waits_for });
                Ok(false)
            }
            Verdict::Good => self.is_good(worker, rauc).await.map(|()| true),
            Verdict::Bad(why) => self.is_bad(worker, rauc, why).await.map(|()| true),
        }
    }

    async fn is_good(&self, worker: &mut Worker, rauc: &Rauc) -> Result<(), UpdateError> {
        let message = rauc.mark(Mark::Good, "booted").await?;
        let version = worker.version.to_string();
        tracing::info!(version, message, "this boot is good");
        worker.store.change(|state| {
            state.good = Some(Good { bootname: self.bootname.clone(), version: version.clone() });
            state.judged = Some(self.boot.clone());
            if let Some(update) = &self.update {
                let (bootname, version) = (update.from_bootname.clone(), update.from_version.clone());
                state.previous = Some(Good { bootname, version });
            }
            state.pending = state.pending.take().filter(|pending| pending.boot == self.boot);
            state.fell_back.retain(|entry| entry.version != version);
        })?;
        // For the units; a plain machine has no such folder.
        if let Err(error) = std::fs::write(worker.config.runtime_dir.join("marked-good"), "") {
            tracing::debug!(%error, "the service manager was not told that this boot is good");
        }
        if let Some(update) = &self.update {
            let words = format!("version {version} works and was marked good");
            let facts = [("version", version), ("from_version", update.from_version.clone())];
            worker.context.teller.tell(Notice::new("update_marked_good", true, words, &facts));
        }
        Ok(())
    }

    /// Whether it is the first boot of an update, which can be gone back from.
    pub(super) fn is_of_update(&self) -> bool {
        self.update.is_some()
    }

    /// Gives the version up.
    pub(super) async fn is_bad(&self, worker: &mut Worker, rauc: &Rauc, why: String) -> Result<(), UpdateError> {
        let version = worker.version.to_string();
        let words = format!("version {version} does not work here and the box goes back: {why}");
        let facts = [("version", version), ("reason", why.clone())];
        worker.context.teller.tell(Notice::new("update_marked_bad", false, words, &facts));
        worker.store.change(|state| {
            state.judged = Some(self.boot.clone());
            if let Some(pending) = &mut state.pending {
                pending.condemned = Some(why);
            }
        })?;
        // If it cannot be marked, the restarts count as tries, and the boot loader goes back when they are used up.
        if let Err(error) = rauc.mark(Mark::Bad, "booted").await {
            tracing::error!(%error, "the slot could not be marked bad");
        }
        worker.request_restart();
        Ok(())
    }
}

impl Worker {
    /// Counts this start of the program against the version on trial, once.
    fn count_start(&mut self, before: u32) -> Result<u32, UpdateError> {
        if std::mem::replace(&mut self.is_counted, true) {
            return Ok(before);
        }
        self.store.change(|state| {
            if let Some(pending) = &mut state.pending {
                pending.starts = before + 1;
            }
        })?;
        Ok(before + 1)
    }

    /// A new version in which RAUC cannot be reached can be neither judged nor updated: when patience ends, restarts use up the
    /// slot's tries, so that the boot loader goes back. Only so often, in case the old one is no better.
    pub(super) fn give_up_without_rauc(&mut self) {
        let Some(pending) = &self.store.state.pending else { return };
        let starts = pending.starts;
        let is_due = pending.installed
            && pending.condemned.is_none()
            && starts < MOST_STARTS
            && !self.is_counted
            && self.began.elapsed() >= self.config.patience.0
            && pending.boot != boot_id(&self.config.runtime_dir);
        if is_due {
            tracing::warn!(version = pending.version, "rauc cannot be reached since the update; the box is restarted");
            match self.count_start(starts) {
                Ok(_) => self.request_restart(),
                Err(error) => tracing::warn!(%error, "the state could not be kept"),
            }
        }
    }

    /// The version that runs and was marked bad: until the box has restarted, the other slot must not be touched.
    pub(super) fn condemned(&self) -> Option<&Pending> {
        self.store.state.pending.as_ref().filter(|pending| pending.condemned.is_some())
    }

    pub(super) fn picture(&self) -> Picture {
        Picture::of(&self.context.board.snapshot())
    }

    /// The box runs from the slot it had before the update.
    fn has_come_back(&mut self, pending: &Pending) -> Result<(), UpdateError> {
        if !pending.installed {
            tracing::warn!(version = pending.version, "the box restarted before the update was installed");
            return self.store.change(|state| state.pending = None);
        }
        let why = pending.condemned.clone().unwrap_or_else(|| "the boot loader went back to the old slot".to_owned());
        let version = pending.version.clone();
        let words = format!("version {version} did not work, and the box went back to {}: {why}", self.version);
        let facts = [("version", version.clone()), ("to_version", self.version.to_string()), ("reason", why.clone())];
        self.context.teller.tell(Notice::new("update_fell_back", false, words, &facts));
        let at = self.context.clock.now().to_string();
        self.store.change(|state| {
            state.note_fall_back(FellBack { version, at, why, by: None });
            state.pending = None;
        })?;
        self.show();
        Ok(())
    }
}

/// The first of the box's own doors that does not answer.
async fn unanswered(control: &Path, page: Option<SocketAddr>) -> Option<&'static str> {
    let asked = async { Client::ask(control, &Request::Status).await.ok()?.next().await.ok()? };
    if timeout(DOOR_WITHIN, asked).await.ok().flatten().is_none() {
        return Some("control socket");
    }
    let page = page?;
    let read = timeout(DOOR_WITHIN, page_answers(reachable(page))).await;
    if read.is_ok_and(|read| read.is_ok_and(|answered| answered)) { None } else { Some("page") }
}

async fn page_answers(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    // 503 is an answer too: what has failed is judged by itself.
    Ok(head == *b"HTTP/")
}

/// An address that listens on everything is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
