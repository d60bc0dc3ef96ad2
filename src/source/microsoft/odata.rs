//! A feed of an OData collection with a time to filter by: windows, pages, ids.
//!
//! Facts: `$filter` dates are unquoted UTC; `@odata.nextLink` is absolute and opaque; an empty page with a link is legal;
//! order is newest first or not documented, so a window is done only after its last page; wide windows may be answered with
//! 504, so a window that fails is halved (graph-docs, "list signIns"; defender-docs, "list alerts"). Objects change: the id is
//! the vendor's id with the time of the change.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::odata_words;
use super::session::{Api, Ask};
use crate::clock::Timestamp;
use crate::net::http::Url;
use crate::net::http::header::HeaderName;
use crate::source::pull::{
    Budget, Feed, Listed, Next, Page, Plan, Position, Pulled, RecordId, Trouble, Window, listed,
};
use crate::status::Cause;

/// A window is not halved below this: the trouble is another one then.
const LEAST_SPAN: Duration = Duration::from_secs(60);
/// Pages of one window; more are links in a circle.
const MOST_PAGES: u32 = 100_000;

/// A collection.
#[derive(Clone, Debug)]
pub(super) struct Collection {
    /// Its feed's name.
    pub(super) name: &'static str,
    /// Its path below the API's address.
    pub(super) path: &'static str,
    /// The time that is filtered by.
    pub(super) time: &'static str,
    /// What has to be in the request besides.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Records in a full page, where the API has to be told.
    pub(super) top: Option<usize>,
    /// Whether pages go on by `$skip` where a full one has no link.
    pub(super) skips: bool,
    /// Whether 404 means that there is nothing.
    pub(super) empty_is_404: bool,
    /// The permissions that the app needs.
    pub(super) needs: &'static [&'static str],
}

/// The feed of a collection.
#[derive(Debug)]
pub(super) struct Odata {
    pub(super) api: Arc<Api>,
    pub(super) budget: Arc<Budget>,
    pub(super) collection: Collection,
    pub(super) plan: Plan,
    /// The type of the source, part of every id.
    pub(super) kind: &'static str,
    name: String,
    /// The longest window for now.
    span: Duration,
    open: Option<Open>,
}

/// A window that is being read.
#[derive(Debug)]
struct Open {
    window: Window,
    next: Url,
    pages: u32,
    records: usize,
}

impl Odata {
    pub(super) fn new(
        api: Arc<Api>,
        budget: Arc<Budget>,
        collection: Collection,
        plan: Plan,
        kind: &'static str,
    ) -> Self {
        let name = format!("{}/{}", api.identity.tenant, collection.name);
        let span = plan.span;
        Self { api, budget, collection, plan, kind, name, span, open: None }
    }

    /// The address of a window's first page.
    fn url(&self, from: Timestamp, to: Timestamp) -> Result<Url, Trouble> {
        let wrong = |error| Trouble::protocol(format!("the address of the API is wrong: {error}"), "check api");
        let mut url = self.api.root.join(self.collection.path).map_err(wrong)?;
        let time = self.collection.time;
        url.query_pairs_mut()
            .append_pair("$filter", &format!("{time} ge {from} and {time} lt {to}"))
            .extend_pairs(self.collection.query);
        if let Some(top) = self.collection.top {
            url.query_pairs_mut().append_pair("$top", &top.to_string());
        }
        Ok(url)
    }

    async fn get(&self, url: &Url) -> Result<Listed, Trouble> {
        let ask = Ask {
            url,
            body: None,
            // Some values are shown only to those who say that they can live with new ones (graph-docs, alert resource).
            fields: &[(HeaderName::from_static("prefer"), "include-unknown-enum-members".to_owned())],
            wanted: &[],
            needs: self.collection.needs,
            budget: &self.budget,
            words: if self.collection.empty_is_404 { none_is_empty } else { odata_words::trouble },
        };
        let reply = match self.api.ask(&ask).await {
            Err(trouble) if trouble.what == NOTHING => return Ok(Listed { records: Vec::new(), next: None }),
            other => other?,
        };
        let odd = || Trouble::protocol(format!("the answer for {} is no list", self.collection.name), "check api");
        listed(&reply.body).ok_or_else(odd)
    }

    /// One authenticated request, for a test: the last minute of the present.
    pub(super) async fn probe(&self) -> Result<(), Trouble> {
        let now = self.api.way.now();
        let mut url = self.url(Timestamp(now.0.saturating_sub(60_000_000)), now)?;
        if self.collection.top.is_none() {
            url.query_pairs_mut().append_pair("$top", "1");
        }
        self.get(&url).await.map(drop)
    }

    fn record(&self, bytes: bytes::Bytes) -> Pulled {
        let ids = Ids::of(&bytes, self.collection.time);
        let tenant = self.api.identity.tenant.as_bytes();
        let (kind, feed) = (self.kind.as_bytes(), self.collection.name.as_bytes());
        let id = match &ids.id {
            Some(id) => RecordId::of(&[kind, tenant, feed, id.as_bytes(), ids.time.as_bytes()]),
            None => RecordId::of(&[kind, tenant, feed, &bytes]),
        };
        let time = Timestamp::said(&ids.time);
        Pulled { id, remember: Some(time.unwrap_or_else(|| self.api.way.now())), bytes }
    }

    fn open(&mut self, window: Window) -> Result<Open, Trouble> {
        let next = self.url(window.from, window.to)?;
        Ok(Open { window, next, pages: 0, records: 0 })
    }

    /// What follows a page in its window.
    fn follow(&self, open: &Open, page: &Listed) -> Result<Option<Url>, Trouble> {
        if let Some(link) = &page.next {
            let wrong = |error| Trouble::protocol(format!("the link to the next page is wrong: {error}"), "check api");
            return Url::parse(link).map(Some).map_err(wrong);
        }
        let is_full = self.collection.top.is_some_and(|top| page.records.len() >= top);
        if !self.collection.skips || !is_full {
            return Ok(None);
        }
        let mut url = self.url(open.window.from, open.window.to)?;
        url.query_pairs_mut().append_pair("$skip", &(open.records + page.records.len()).to_string());
        Ok(Some(url))
    }
}

impl Feed for Odata {
    fn name(&self) -> &str {
        &self.name
    }

    async fn pull(&mut self, position: &Position) -> Result<Page, Trouble> {
        let now = self.api.way.now();
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match (Plan { span: self.span, ..self.plan.clone() }).next(position, now) {
                Some(window) => self.open(window)?,
                None => return Ok(Page { next: Next::Later, ..Page::default() }),
            },
        };
        let permit = self.api.place().await;
        let list = match self.get(&open.next).await {
            Ok(list) => list,
            Err(trouble) => {
                // The window is asked for from its beginning again: links age. A smaller one may be easier.
                if trouble.cause == Cause::Unreachable {
                    self.span = (self.span / 2).max(LEAST_SPAN);
                }
                return Err(trouble);
            }
        };
        let next = self.follow(&open, &list)?.filter(|_| open.pages < MOST_PAGES);
        let mut page = Page { permit, holes: open.window.hole.take().into_iter().collect(), ..Page::default() };
        open.records += list.records.len();
        open.pages += 1;
        page.records = list.records.into_iter().map(|bytes| self.record(bytes)).collect();
        match next {
            Some(next) => {
                open.next = next;
                self.open = Some(open);
            }
            None => {
                page.marks = self.plan.done(&open.window);
                page.forget = Some(self.plan.forget(&open.window));
                page.through = Some(open.window.to);
                self.span = (self.span * 2).min(self.plan.span);
                page.next = if open.window.is_last { Next::Later } else { Next::Now };
            }
        }
        Ok(page)
    }
}

/// The words by which an empty answer is told from a refusal.
const NOTHING: &str = "there is nothing";

/// Defender answers 404 where there is no machine (defender-docs, "list machines").
fn none_is_empty(reply: &crate::source::pull::Reply, api: &Api) -> Trouble {
    if reply.code == 404 { Trouble::passing(NOTHING, None) } else { odata_words::trouble(reply, api) }
}

/// What names a record.
struct Ids<'a> {
    id: Option<Cow<'a, str>>,
    /// The time of its last change, as the vendor writes it; empty if it has none.
    time: Cow<'a, str>,
}

impl<'a> Ids<'a> {
    fn of(bytes: &'a [u8], time: &str) -> Self {
        #[derive(Deserialize)]
        struct Known<'a> {
            #[serde(borrow)]
            id: Option<Cow<'a, str>>,
        }
        let known = serde_json::from_slice::<Known<'_>>(bytes).ok();
        let members = serde_json::from_slice::<std::collections::HashMap<Cow<'_, str>, &RawValue>>(bytes);
        let time = members.ok().and_then(|members| {
            let text = members.get(time)?.get();
            Some(Cow::Borrowed(text.strip_prefix('"')?.strip_suffix('"')?))
        });
        Self { id: known.and_then(|known| known.id), time: time.unwrap_or_default() }
    }
}
