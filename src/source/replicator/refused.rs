//! Files that cannot be had now, while others perhaps can.
//!
//! One that is refused is put aside: the rest of its message goes on, and the message, which is not deleted, brings it again. It is
//! lost once it was refused for a day, or is older than the vendor keeps files, while others are read: S3 answers 403 too for what is
//! gone, where the key may not list the bucket (AWS, S3 API reference, "GetObject", permissions).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::feed::KEPT;
use super::message::File;
use crate::clock::Timestamp;
use crate::source::pull::{Page, Position, RecordId, Trouble};

/// Marks of files that are refused begin so; the value is since when.
const MARK: &str = "refused/";
/// So many of them are remembered at once before a page takes them.
const MOST: usize = 10_000;
/// One that is refused for so long is lost.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Others are read if one was, within this.
const LATELY: Duration = Duration::from_secs(3_600);
/// So many in a row are no accident: then there is a wait, after each dozen of them.
const MANY: u32 = 12;

/// What is refused.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Since the last page, by mark.
    since: BTreeMap<String, Timestamp>,
    /// The last one, in words.
    words: Option<(String, String)>,
    last: Option<RecordId>,
    /// How many in a row.
    streak: u32,
    /// When one could be read.
    read: Option<Instant>,
}

impl Refused {
    /// A file could be opened.
    pub(super) fn was_read(&mut self) {
        (self.read, self.last, self.streak) = (Some(Instant::now()), None, 0);
    }

    /// Whether one that is refused will never come.
    pub(super) fn is_lost(&self, file: &File, position: &Position, now: Timestamp) -> bool {
        let is_reading = self.read.is_some_and(|at| at.elapsed() < LATELY);
        let since = position.time(&mark(file)).unwrap_or(now);
        is_reading && (now.since(file.at) > KEPT || now.since(since) > LONGEST)
    }

    /// Puts one aside; whether there should be a wait, because it is one of many.
    pub(super) fn put_aside(&mut self, file: &File, trouble: &Trouble, position: &Position, now: Timestamp) -> bool {
        tracing::warn!(file = file.path, error = trouble.what, todo = trouble.todo, "cannot be read now");
        let mark = mark(file);
        if self.since.len() < MOST && position.mark(&mark).is_none() {
            self.since.entry(mark).or_insert(now);
        }
        self.words = Some((format!("the file {} cannot be read: {}", file.path, trouble.what), trouble.todo.clone()));
        if self.last.replace(file.id) == Some(file.id) {
            return false;
        }
        self.streak += 1;
        self.streak.is_multiple_of(MANY)
    }

    /// Whether a page should say that something is refused. Where everything is, the trouble says it.
    pub(super) fn is_news(&self) -> bool {
        !self.since.is_empty() && self.streak < MANY
    }

    /// A file is done, or lost.
    pub(super) fn done(&mut self, file: &File, position: &Position, page: &mut Page) {
        let mark = mark(file);
        self.since.remove(&mark);
        if position.mark(&mark).is_some() {
            page.marks.push((mark, None));
        }
    }

    /// Lets a page say what is refused.
    pub(super) fn close(&mut self, position: &Position, page: &mut Page) {
        let is_any = !self.since.is_empty() || position.marks(MARK).next().is_some();
        let since = std::mem::take(&mut self.since).into_iter();
        page.marks.extend(since.map(|(mark, since)| (mark, Position::time_value(since))));
        page.remark = self.words.clone().filter(|_| is_any);
    }

    /// The marks of what is refused, with since when.
    pub(super) fn marks(position: &Position) -> impl Iterator<Item = (&str, Timestamp)> {
        position.marks(MARK).filter_map(|(name, _)| Some((name, position.time(name)?)))
    }
}

fn mark(file: &File) -> String {
    format!("{MARK}{}", file.id)
}
