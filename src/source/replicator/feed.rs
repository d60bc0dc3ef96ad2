//! The messages of the queue, one after the other, and the files of each.
//!
//! Facts: AWS, SQS: see `s3`'s inbox.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Site;
use super::delivery::{Delivery, Leaving};
use super::message::{self, File};
use super::open::Open;
use super::refused::Refused;
use crate::source::pull::{Feed, Hole, Next, Page, Position, Trouble, Wait, before};
use crate::source::s3::{Body, Broken, Filling, Inbox, parts};
use crate::status::{Count, Handle};

/// The one feed; its checkpoint is kept under this name.
pub(super) const NAME: &str = "files";
/// A file that breaks off or is damaged is fetched so often.
const TRIES: u32 = 3;
/// What is remembered is looked through this often.
const SWEEP: Duration = Duration::from_secs(3_600);
/// How long the vendor keeps files (CrowdStrike Tech Center, "Introduction to the Falcon Data Replicator"), and, unconfirmed, messages.
pub(super) const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// A message that is older cannot come again, so that its files need not be remembered.
const REMEMBERED: Duration = Duration::from_secs(8 * 86_400);
/// When the queue was last asked.
const ASKED: &str = "asked";

/// The feed.
pub(super) struct Replicator {
    site: Arc<Site>,
    inbox: Inbox,
    status: Handle,
    /// What was received and is not yet read.
    pub(super) work: VecDeque<Delivery>,
    open: Option<Open>,
    leaving: Leaving,
    /// Told once what was read before it is handed over.
    trouble: Option<Trouble>,
    pub(super) refused: Refused,
    /// Whether the time before the start was looked at.
    is_back: bool,
    /// When what is remembered was last looked through.
    swept: Option<Instant>,
}

/// What a step has come to.
enum Step {
    Go,
    /// What was read has to be handed over before it goes on.
    Pause,
    /// Nothing more for now.
    Rest,
}

impl Replicator {
    pub(super) fn new(site: &Arc<Site>, inbox: Inbox, status: &Handle) -> Self {
        Self {
            site: Arc::clone(site),
            inbox,
            status: status.clone(),
            work: VecDeque::new(),
            open: None,
            leaving: Leaving::default(),
            trouble: None,
            refused: Refused::default(),
            is_back: false,
            swept: None,
        }
    }

    async fn step(&mut self, position: &Position, filling: &mut Filling) -> Result<Step, Trouble> {
        if let Some(open) = self.open.take() {
            return self.read_on(open, position, filling).await.map(|()| Step::Go);
        }
        if let Some(delivery) = self.work.front_mut() {
            match delivery.files.pop_front() {
                Some(file) if self.site.wanted.file(&file.path) && !filling.is_done(file.id, position) => {
                    self.open(file, position, filling).await?;
                }
                Some(_) => {}
                None => self.end(),
            }
            return Ok(Step::Go);
        }
        if !filling.is_empty() || self.leaving.is_any_new() || self.refused.is_news() {
            return Ok(Step::Pause);
        }
        if !self.leaving.is_empty() {
            self.leaving.settle_all(&mut self.inbox).await;
        }
        self.receive(filling).await
    }

    /// Waits for messages.
    async fn receive(&mut self, filling: &mut Filling) -> Result<Step, Trouble> {
        let messages = self.inbox.next().await?;
        let now = self.site.way.now();
        filling.page.marks.push((ASKED.to_owned(), Position::time_value(now)));
        if messages.is_empty() {
            filling.page.through = Some(now);
            return Ok(Step::Rest);
        }
        for message in messages {
            let told = message::read(&message.body, now);
            self.status.counters().add(Count::ProtocolErrors, told.refused.len() as u64);
            filling.page.holes.extend(told.refused.into_iter().map(|what| Hole { what, from: now, to: now }));
            self.work.push_back(Delivery { receipt: message.receipt, files: told.files.into(), comes_again: false });
        }
        Ok(Step::Go)
    }

    /// All files of the first message are dealt with.
    fn end(&mut self) {
        match self.work.pop_front() {
            Some(delivery) if delivery.comes_again => self.inbox.leave(&delivery.receipt),
            Some(delivery) => self.leaving.ended(delivery.receipt),
            None => {}
        }
    }

    /// Opens a file; one that cannot be had any more is told as a hole.
    async fn open(&mut self, file: File, position: &Position, filling: &mut Filling) -> Result<(), Trouble> {
        let bucket = match self.site.config.bucket(&self.site.way, &file.bucket) {
            Ok(bucket) => bucket,
            Err(error) => {
                self.lose(&file, &format!("cannot be asked for: {error}"), position, filling);
                return Ok(());
            }
        };
        match bucket.open(&file.path).await {
            Ok(answer) => {
                self.refused.was_read();
                let skip = filling.rows(file.id, position);
                self.open = Some(Open::new(file, Body::new(answer), self.site.config.max_event.len(), skip));
                Ok(())
            }
            Err(missing) => match missing.why() {
                Ok(why) => {
                    self.lose(&file, why, position, filling);
                    Ok(())
                }
                Err(trouble) => self.put_off(file, trouble, position, filling),
            },
        }
    }

    /// Reads on in a file.
    async fn read_on(&mut self, mut open: Open, position: &Position, filling: &mut Filling) -> Result<(), Trouble> {
        match open.fill(&self.site.wanted, filling).await {
            Ok(false) => self.open = Some(open),
            Ok(true) => {
                filling.page.through = Some(open.file.at);
                self.done(&open.file, position, filling);
            }
            Err(Broken::Way(trouble)) => {
                filling.reached(open.file.id, open.reached(), self.site.way.now());
                return self.put_off(open.file, trouble, position, filling);
            }
            Err(Broken::Damage(why)) if open.file.tries + 1 < TRIES => {
                tracing::warn!(file = open.file.path, why, "is damaged and will be fetched again");
                filling.reached(open.file.id, open.reached(), self.site.way.now());
                let again = File { tries: open.file.tries + 1, ..open.file };
                self.work.front_mut().into_iter().for_each(|delivery| delivery.files.push_back(again.clone()));
            }
            Err(Broken::Damage(why)) => {
                let File { bucket, path, at, .. } = &open.file;
                let what = format!("the file {path} of {bucket} cannot be read after line {}: {why}", open.reached());
                filling.page.holes.push(Hole { what, from: *at, to: *at });
                // What stands before the damage without a line end is sent too.
                open.give_up();
                self.open = Some(open);
            }
        }
        Ok(())
    }

    /// A file cannot be had now. What may pass is tried again in place, but not for ever: see `refused`.
    pub(super) fn put_off(
        &mut self,
        mut file: File,
        trouble: Trouble,
        position: &Position,
        filling: &mut Filling,
    ) -> Result<(), Trouble> {
        file.tries += 1;
        let Some(delivery) = self.work.front_mut() else { return Err(trouble) };
        if trouble.wait != Wait::Person && file.tries < TRIES {
            delivery.files.push_front(file);
            return Err(trouble);
        }
        let now = self.site.way.now();
        if self.refused.is_lost(&file, position, now) {
            self.lose(&file, &format!("is refused: {}", trouble.what), position, filling);
            return Ok(());
        }
        delivery.comes_again = true;
        if self.refused.put_aside(&file, &trouble, position, now) { Err(trouble) } else { Ok(()) }
    }

    /// A file will never come.
    fn lose(&mut self, file: &File, why: &str, position: &Position, filling: &mut Filling) {
        let is_begun = filling.rows(file.id, position) > 0;
        let what =
            format!("the file {} of {} {why}{}", file.path, file.bucket, if is_begun { ", in part" } else { "" });
        filling.page.holes.push(Hole { what, from: file.at, to: file.at });
        self.done(file, position, filling);
    }

    /// Remembers that a file is done.
    fn done(&mut self, file: &File, position: &Position, filling: &mut Filling) {
        filling.done(file.id, self.site.way.now(), position);
        self.refused.done(file, position, &mut filling.page);
    }

    /// Forgets what cannot come again; what was begun or refused and did not come again by then is lost.
    pub(super) fn sweep(&mut self, position: &Position, filling: &mut Filling) {
        let now = self.site.way.now();
        let kept = before(now, KEPT);
        if !std::mem::replace(&mut self.is_back, true)
            && let Some(asked) = position.time(ASKED).filter(|asked| *asked < kept)
        {
            let what = "the box did not pull for longer than CrowdStrike keeps files".to_owned();
            filling.page.holes.push(Hole { what, from: asked, to: kept });
        }
        if self.swept.is_some_and(|at| at.elapsed() < SWEEP) {
            return;
        }
        self.swept = Some(Instant::now());
        let limit = before(now, REMEMBERED);
        filling.page.forget = Some(limit);
        for (name, since) in parts(position).chain(Refused::marks(position)).filter(|(_, since)| *since < limit) {
            let what = "a file that could not be read to its end did not come again".to_owned();
            filling.page.holes.push(Hole { what, from: since, to: now });
            filling.page.marks.push((name.to_owned(), None));
        }
    }

    /// What every page says besides what was read.
    pub(super) fn close(&mut self, mut filling: Filling, position: &Position) -> Page {
        if let Some(open) = &self.open {
            filling.reached(open.file.id, open.reached(), self.site.way.now());
        }
        self.refused.close(position, &mut filling.page);
        self.leaving.go_with(&mut filling.page);
        filling.page
    }
}

impl Feed for Replicator {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn pull(&mut self, position: &Position) -> Result<Page, Trouble> {
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        self.leaving.settle(&mut self.inbox);
        self.inbox.delete().await?;
        let mut filling = Filling::default();
        self.sweep(position, &mut filling);
        loop {
            self.inbox.hold().await;
            match self.step(position, &mut filling).await {
                Ok(Step::Go) if filling.is_full() => return Ok(self.close(filling, position)),
                Ok(Step::Go) => {}
                Ok(Step::Pause) => return Ok(self.close(filling, position)),
                Ok(Step::Rest) => {
                    filling.page.next = Next::Later;
                    return Ok(self.close(filling, position));
                }
                Err(trouble) if filling.is_empty() && !self.leaving.is_any_new() => return Err(trouble),
                Err(trouble) => {
                    self.trouble = Some(trouble);
                    return Ok(self.close(filling, position));
                }
            }
        }
    }
}
