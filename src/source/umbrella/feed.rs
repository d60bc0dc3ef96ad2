//! The objects of a folder, or of all where notifications tell of them: listed, read, and done.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Site;
use super::object::Object;
use super::pass::{FLOOR, Item, Pass, floor, folder};
use crate::source::pull::{Feed, Hole, Next, Page, Position, Trouble};
use crate::source::s3::{Body, Broken, Filling, Inbox, Listing, Message, parts};
use crate::status::{Count, Handle};

/// Objects in memory that wait to be read; then a list stands still.
const MOST_WORK: usize = 5_000;
/// An object that is damaged is fetched so often.
const TRIES: u32 = 3;

/// The feed.
pub(super) struct Objects {
    site: Arc<Site>,
    name: String,
    /// Where its objects are.
    prefix: String,
    inbox: Option<Inbox>,
    status: Handle,
    pass: Option<Pass>,
    work: VecDeque<Item>,
    open: Option<Object>,
    /// Told once what was read before it is handed over.
    trouble: Option<Trouble>,
}

/// What a step has come to.
enum Step {
    Go,
    /// Nothing more for now.
    Rest,
}

impl Objects {
    pub(super) fn new(site: &Arc<Site>, name: &str, prefix: String, inbox: Option<Inbox>, status: &Handle) -> Self {
        Self {
            site: Arc::clone(site),
            name: name.to_owned(),
            prefix,
            inbox,
            status: status.clone(),
            pass: None,
            work: VecDeque::new(),
            open: None,
            trouble: None,
        }
    }

    async fn step(&mut self, position: &Position, filling: &mut Filling) -> Result<Step, Trouble> {
        if let Some(object) = self.open.take() {
            return self.read(object, position, filling).await.map(|()| Step::Go);
        }
        if let Some(item) = self.work.pop_front() {
            if !filling.is_done(item.id, position) {
                self.open(item, position, filling).await?;
            }
            return Ok(Step::Go);
        }
        match &self.pass {
            Some(pass) if !pass.is_listed => self.list(position).await.map(|()| Step::Go),
            Some(_) => {
                self.finish(position, filling);
                Ok(Step::Rest)
            }
            None => self.begin(position, filling).await,
        }
    }

    /// Opens an object; one that cannot be had any more is told as a hole.
    async fn open(&mut self, item: Item, position: &Position, filling: &mut Filling) -> Result<(), Trouble> {
        let why = match self.site.bucket.open(&item.key).await {
            Ok(answer) => {
                let skip = filling.rows(item.id, position);
                let name = folder(&self.site.root, &item.key).unwrap_or(&self.name).to_owned();
                let (bucket, body) = (self.site.bucket.name(), Body::new(answer));
                self.open = Some(Object::new(item, &name, bucket, body, self.site.max_row, skip));
                return Ok(());
            }
            Err(missing) => match missing.why() {
                Ok(why) => why,
                Err(trouble) => {
                    self.work.push_front(item);
                    return Err(trouble);
                }
            },
        };
        let is_begun = filling.rows(item.id, position) > 0;
        let what = format!("the object {} {why}{}", item.key, if is_begun { ", in part" } else { "" });
        filling.page.holes.push(Hole { what, from: item.modified, to: item.modified });
        filling.done(item.id, item.modified, position);
        Ok(())
    }

    /// Reads on in an object.
    async fn read(&mut self, mut object: Object, position: &Position, filling: &mut Filling) -> Result<(), Trouble> {
        match object.fill(filling).await {
            Ok(false) => {
                reached(&object, filling);
                self.open = Some(object);
                Ok(())
            }
            Ok(true) => {
                filling.page.through = Some(object.item.modified);
                filling.done(object.item.id, object.item.modified, position);
                Ok(())
            }
            Err(Broken::Way(trouble)) => {
                reached(&object, filling);
                self.work.push_front(object.item);
                Err(trouble)
            }
            Err(Broken::Damage(why)) if object.item.tries + 1 < TRIES => {
                tracing::warn!(feed = self.name, object = object.item.key, why, "is damaged and will be fetched again");
                reached(&object, filling);
                let tries = object.item.tries + 1;
                self.work.push_back(Item { tries, ..object.item });
                Ok(())
            }
            Err(Broken::Damage(why)) => {
                let what =
                    format!("the object {} cannot be read after row {}: {why}", object.item.key, object.reached());
                let at = object.item.modified;
                filling.page.holes.push(Hole { what, from: at, to: at });
                // What stands before the damage without a line end is sent too.
                object.give_up();
                self.open = Some(object);
                Ok(())
            }
        }
    }

    /// Lists until there is enough to do.
    async fn list(&mut self, position: &Position) -> Result<(), Trouble> {
        let now = self.site.bucket.way().now();
        let Some(pass) = &mut self.pass else { return Ok(()) };
        while !pass.is_listed && self.work.len() < MOST_WORK {
            let listing = Listing { prefix: &self.prefix, after: pass.after.as_deref(), ..Listing::default() };
            let page = self.site.bucket.list(&listing).await?;
            // A server that says there is more, and gives none, would be asked for ever.
            pass.is_listed = !page.is_truncated || page.objects.is_empty();
            for listed in &page.objects {
                let item = Item::listed(self.site.bucket.name(), listed, now);
                let item = item.filter(|item| self.site.is_wanted(&item.key));
                self.work.extend(item.filter(|item| pass.wants(item, position)));
            }
            if let Some(last) = page.objects.last() {
                pass.after = Some(last.key.clone());
            }
        }
        self.work.make_contiguous().sort_by(|a, b| (a.modified, &a.key).cmp(&(b.modified, &b.key)));
        Ok(())
    }

    /// Everything that was listed is done.
    fn finish(&mut self, position: &Position, filling: &mut Filling) {
        let Some(pass) = self.pass.take() else { return };
        let (marks, forget) = pass.done(&self.site.reach);
        filling.page.marks.extend(marks);
        if pass.is_full {
            // What is half read and was not listed any more will never be read.
            filling.page.marks.extend(parts(position).map(|(name, _)| (name.to_owned(), None)));
        }
        if pass.late > 0 {
            self.status.counters().add(Count::LateObjects, pass.late);
            tracing::warn!(feed = self.name, objects = pass.late, "came later than look_back reaches; raise look_back");
        }
        (filling.page.forget, filling.page.through) = (forget, Some(pass.began));
    }

    /// Begins a pass, or waits for notifications.
    async fn begin(&mut self, position: &Position, filling: &mut Filling) -> Result<Step, Trouble> {
        let now = self.site.bucket.way().now();
        match &mut self.inbox {
            Some(inbox) if !Pass::is_full_due(position, now) => {
                let written = inbox.next().await?;
                let (site, floor) = (&self.site, floor(position, &self.site.reach, now));
                let written: Vec<_> = written.iter().flat_map(Message::written).collect();
                let items = written.iter().filter(|one| one.bucket == site.bucket.name() && site.is_wanted(&one.key));
                let items = items.filter_map(|one| Item::written(one, now)).filter(|item| item.modified >= floor);
                self.work.extend(items);
                if self.work.is_empty() {
                    filling.page.through = Some(self.site.bucket.way().now());
                    return Ok(Step::Rest);
                }
                Ok(Step::Go)
            }
            _ => {
                self.pass = Some(Pass::new(position, &self.site.reach, &self.prefix, now));
                Ok(Step::Go)
            }
        }
    }
}

impl Feed for Objects {
    fn name(&self) -> &str {
        &self.name
    }

    async fn pull(&mut self, position: &Position) -> Result<Page, Trouble> {
        let now = self.site.bucket.way().now();
        if let Some(trouble) = self.trouble.take() {
            return Err(self.site.explain(trouble));
        }
        if let Some(inbox) = &mut self.inbox {
            inbox.hold().await;
        }
        let mut filling = Filling::default();
        filling.page.remark = self.site.key_age.and_then(|age| age.words(now));
        if position.mark(FLOOR).is_none() {
            let start = floor(position, &self.site.reach, now);
            filling.page.marks.push((FLOOR.to_owned(), Position::time_value(start)));
        }
        let is_notified = self.inbox.is_some();
        loop {
            match self.step(position, &mut filling).await {
                Ok(Step::Go) if filling.is_full() => return Ok(filling.page),
                // The messages' objects are all handed over: they are settled when we are asked again.
                Ok(Step::Go) if is_notified && self.is_idle() => {
                    self.inbox.iter_mut().for_each(Inbox::all_done);
                    filling.page.next = Next::Later;
                    return Ok(filling.page);
                }
                Ok(Step::Go) => {}
                Ok(Step::Rest) => {
                    self.inbox.iter_mut().for_each(Inbox::all_done);
                    filling.page.next = Next::Later;
                    return Ok(filling.page);
                }
                Err(trouble) if filling.is_empty() => return Err(self.site.explain(trouble)),
                Err(trouble) => {
                    self.trouble = Some(trouble);
                    return Ok(filling.page);
                }
            }
        }
    }
}

impl Objects {
    fn is_idle(&self) -> bool {
        self.open.is_none() && self.work.is_empty() && self.pass.is_none()
    }
}

/// Remembers how far an object was read.
fn reached(object: &Object, filling: &mut Filling) {
    filling.reached(object.item.id, object.reached(), object.item.modified);
}
