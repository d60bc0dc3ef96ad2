//! One content type of one tenant: lists contents window by window, and fetches them side by side.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::settings::{Config, ContentType};
use super::{Tenant, subscription, words};
use crate::clock::Timestamp;
use crate::net::http::Url;
use crate::net::http::header::HeaderName;
use crate::source::microsoft::session::Ask;
use crate::source::pull::{Feed, Hole, Next, Page, Plan, Position, Pulled, RecordId, Trouble, Wait, Window, elements};

/// Contents of one window; a window with more is read in parts of this many.
const MOST_ITEMS: usize = 20_000;
/// A content that is not there yet is asked for so often before the others go on without it.
const TRIES: u32 = 3;
/// Marks of contents that were passed over begin so.
const LATE: &str = "late/";
/// Most contents that wait for a later try; beyond it their window is not done before one of them is there.
const MOST_LATE: usize = 1_000;

/// A content, as it is listed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    content_id: String,
    content_uri: String,
    content_created: String,
    content_expiration: Option<String>,
}

/// A content that was fetched, or not.
struct Fetched {
    item: Item,
    tries: u32,
    body: Result<Bytes, Trouble>,
    permit: Option<OwnedSemaphorePermit>,
}

/// A window that is being read.
struct Open {
    window: Window,
    /// Its next page, until all are listed.
    list: Option<Url>,
    items: VecDeque<(Item, u32)>,
}

/// The feed of a content type.
pub(super) struct Contents {
    pub(super) tenant: Arc<Tenant>,
    content_type: ContentType,
    plan: Plan,
    downloads: usize,
    name: String,
    open: Option<Open>,
    fetching: JoinSet<Fetched>,
    /// Why nothing more is fetched: said once those that are on their way have come, so that none of them holds its place in
    /// memory while this feed waits.
    trouble: Option<Trouble>,
}

impl Contents {
    pub(super) fn new(tenant: Arc<Tenant>, content_type: ContentType, config: &Config) -> Self {
        let name = format!("{}/{content_type}", tenant.api.identity.tenant);
        let (downloads, plan) = (config.downloads, config.plan());
        Self { tenant, content_type, plan, downloads, name, open: None, fetching: JoinSet::new(), trouble: None }
    }

    /// For a test: the subscription's state, and a list of contents where it is enabled.
    pub(super) async fn probe(&self) -> Result<(), Trouble> {
        let enabled = subscription::list(&self.tenant).await?;
        if enabled.get(self.content_type.as_str()) == Some(&true) {
            let now = self.tenant.api.way.now();
            let from = Timestamp(now.0.saturating_sub(60_000_000));
            let url =
                self.window_url(&Window { from, to: now, asked: now, is_last: true, is_sweep: false, hole: None })?;
            self.tenant.api.ask(&self.tenant.request(&url, Some(self.content_type), &[])).await?;
        }
        Ok(())
    }

    fn id(&self, item: &Item) -> RecordId {
        let tenant = self.tenant.api.identity.tenant.as_bytes();
        RecordId::of(&[b"office365 content", tenant, self.content_type.as_str().as_bytes(), item.content_id.as_bytes()])
    }

    fn window_url(&self, window: &Window) -> Result<Url, Trouble> {
        // `2026-01-05T10:00:00`: the form that the reference gives.
        let plain = |time: Timestamp| time.to_string().get(..19).unwrap_or_default().to_owned();
        let (from, to) = (plain(window.from), plain(window.to));
        let query = [("contentType", self.content_type.as_str()), ("startTime", &from), ("endTime", &to)];
        self.tenant.url("subscriptions/content", &query)
    }

    /// Lists one page of the open window.
    async fn list(&self, url: &Url, position: &Position) -> Result<(Vec<Item>, Option<Url>), Trouble> {
        let wanted = [HeaderName::from_static("nextpageuri")];
        let reply = self.tenant.api.ask(&self.tenant.request(url, Some(self.content_type), &wanted)).await?;
        let odd = || Trouble::protocol("the list of contents is no list", "check api of this source");
        let items: Vec<Item> = serde_json::from_slice(&reply.body).map_err(|_| odd())?;
        let next = reply.fields.into_iter().flatten().next();
        let next = next.map(|link| Url::parse(&link).map_err(|_| odd())).transpose()?;
        let next = next.map(|link| self.tenant.with_publisher(link));
        Ok((items.into_iter().filter(|item| !position.has_seen(self.id(item))).collect(), next))
    }

    /// Starts fetching until enough are on their way.
    fn fetch(&mut self) {
        let Some(open) = &mut self.open else { return };
        while self.fetching.len() < self.downloads {
            let Some((item, tries)) = open.items.pop_front() else { return };
            let (tenant, content_type) = (Arc::clone(&self.tenant), self.content_type);
            self.fetching.spawn(async move {
                let permit = tenant.api.place().await;
                let body = get(&tenant, content_type, &item).await;
                Fetched { item, tries, body, permit }
            });
        }
    }

    /// What came of a content.
    fn take(&mut self, fetched: Fetched, position: &Position) -> Result<Page, Trouble> {
        let Fetched { item, tries, body, permit } = fetched;
        let (id, late) = (self.id(&item), format!("{LATE}{}", item.content_id));
        let created = Timestamp::said(&item.content_created).unwrap_or_else(|| self.tenant.api.way.now());
        // Pages shift while they are listed: a content may be in two of them.
        if position.has_seen(id) && position.mark(&late).is_none() {
            return Ok(Page { permit, ..Page::default() });
        }
        let mut page = Page { permit, seen: vec![(id, created)], ..Page::default() };
        if position.mark(&late).is_some() {
            page.marks.push((late.clone(), None));
        }
        match body {
            Ok(body) => {
                page.records = self.records(&item, &body, tries)?;
                Ok(page)
            }
            Err(trouble)
                if words::code_of(&trouble) == Some("AF20051") || is_expired(&item, self.tenant.api.way.now()) =>
            {
                let what =
                    format!("the content {} expired before it could be fetched ({})", item.content_id, trouble.what);
                page.holes.push(Hole { what, from: created, to: created });
                Ok(page)
            }
            // Anything that concerns this content alone must not hold up the others, unless there are too many of that kind.
            Err(trouble)
                if trouble.cause == crate::status::Cause::Protocol
                    && tries + 1 >= TRIES
                    && position.marks(LATE).count() < MOST_LATE =>
            {
                tracing::warn!(content = item.content_id, error = trouble.what, "passed over for now");
                page.marks = vec![(late, serde_json::to_vec(&item).ok())];
                Ok(page)
            }
            Err(trouble) => {
                let is_own = trouble.cause == crate::status::Cause::Protocol;
                if let Some(open) = &mut self.open {
                    open.items.push_front((item, tries + u32::from(is_own)));
                }
                Err(trouble)
            }
        }
    }

    /// The records of a content. One that is no list is forwarded whole once it came so three times.
    fn records(&mut self, item: &Item, body: &Bytes, tries: u32) -> Result<Vec<Pulled>, Trouble> {
        let tenant = self.tenant.api.identity.tenant.clone();
        let parts = [b"office365".as_slice(), tenant.as_bytes(), self.content_type.as_str().as_bytes()];
        let Some(all) = elements(body) else {
            if tries + 1 < TRIES {
                if let Some(open) = &mut self.open {
                    open.items.push_front((item.clone(), tries + 1));
                }
                return Err(Trouble::protocol(
                    "a content is no list of records",
                    "if it stays, send the log to support",
                ));
            }
            let id = RecordId::of(&[parts[0], parts[1], parts[2], item.content_id.as_bytes()]);
            return Ok(vec![Pulled { id, remember: None, bytes: body.clone() }]);
        };
        let record = |bytes: Bytes| {
            let own = serde_json::from_slice::<Own<'_>>(&bytes).ok().and_then(|own| own.id);
            let id = match &own {
                Some(id) => RecordId::of(&[parts[0], parts[1], parts[2], id.as_bytes()]),
                None => RecordId::of(&[parts[0], parts[1], parts[2], &bytes]),
            };
            drop(own);
            Pulled { id, remember: None, bytes }
        };
        Ok(all.into_iter().map(record).collect())
    }

    /// Opens the next window, with what was passed over before; `None` if there is nothing to ask yet.
    async fn open_next(&mut self, position: &Position) -> Result<Option<Open>, Trouble> {
        self.tenant.subscriptions.ensure(&self.tenant, self.content_type).await?;
        let Some(window) = self.plan.next(position, self.tenant.api.way.now()) else { return Ok(None) };
        let mut items = VecDeque::new();
        if window.is_last {
            let late = position.marks(LATE).filter_map(|(_, value)| serde_json::from_slice(value).ok());
            items.extend(late.map(|item| (item, TRIES - 1)));
        }
        let list = Some(self.window_url(&window)?);
        Ok(Some(Open { window, list, items }))
    }

    /// After a refusal of the list: what has to be done before the next try.
    async fn list_failed(&mut self, trouble: &Trouble) {
        match words::code_of(trouble) {
            Some("AF20022" | "AF20023") => self.tenant.subscriptions.forget().await,
            // The page's token is too old, or the window is: it is made anew.
            Some("AF20030" | "AF20031" | "AF20055") => self.open = None,
            _ => {}
        }
    }
}

impl Feed for Contents {
    fn name(&self) -> &str {
        &self.name
    }

    async fn pull(&mut self, position: &Position) -> Result<Page, Trouble> {
        if self.open.is_none() {
            self.open = self.open_next(position).await?;
        }
        loop {
            let Some(open) = &self.open else { return Ok(Page { next: Next::Later, ..Page::default() }) };
            if let Some(url) = open.list.clone().filter(|_| open.items.len() < MOST_ITEMS) {
                match self.list(&url, position).await {
                    Ok((items, next)) => {
                        if let Some(open) = &mut self.open {
                            open.items.extend(items.into_iter().map(|item| (item, 0)));
                            open.list = next;
                        }
                    }
                    Err(trouble) => {
                        self.list_failed(&trouble).await;
                        return Err(trouble);
                    }
                }
                continue;
            }
            if self.trouble.is_none() {
                self.fetch();
            }
            match self.fetching.join_next().await.map(|ended| ended.map(|fetched| self.take(fetched, position))) {
                Some(Ok(Ok(page))) => return Ok(page),
                Some(Ok(Err(trouble))) => {
                    self.trouble = Some(trouble);
                    continue;
                }
                Some(Err(_)) => {
                    return Err(Trouble::protocol("fetching a content panicked", "send the log to support"));
                }
                None => {}
            }
            if let Some(trouble) = self.trouble.take() {
                return Err(trouble);
            }
            let Some(open) = self.open.take() else { continue };
            return Ok(Page {
                marks: self.plan.done(&open.window),
                forget: Some(self.plan.forget(&open.window)),
                through: Some(open.window.to),
                next: if open.window.is_last { Next::Later } else { Next::Now },
                holes: open.window.hole.into_iter().collect(),
                ..Page::default()
            });
        }
    }
}

async fn get(tenant: &Tenant, content_type: ContentType, item: &Item) -> Result<Bytes, Trouble> {
    let odd = |_| Trouble::protocol("the address of a content is wrong", "if it stays, send the log to support");
    let url = tenant.with_publisher(Url::parse(&item.content_uri).map_err(odd)?);
    let mut reply = tenant.api.ask(&tenant.request(&url, Some(content_type), &[])).await;
    if let Err(trouble) = &mut reply
        && matches!(words::code_of(trouble), Some("AF20050"))
    {
        trouble.wait = Wait::Backoff;
    }
    Ok(reply?.body)
}

impl Tenant {
    /// The address of an operation.
    pub(super) fn url(&self, operation: &str, query: &[(&str, &str)]) -> Result<Url, Trouble> {
        let path = format!("api/v1.0/{}/activity/feed/{operation}", self.api.identity.tenant);
        let wrong = |error| Trouble::protocol(format!("the address of the API is wrong: {error}"), "check api");
        let mut url = self.api.root.join(&path).map_err(wrong)?;
        url.query_pairs_mut().extend_pairs(query).append_pair("PublisherIdentifier", &self.publisher);
        Ok(url)
    }

    /// Adds who we are to a link that does not say it.
    pub(super) fn with_publisher(&self, mut url: Url) -> Url {
        if !url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("PublisherIdentifier")) {
            url.query_pairs_mut().append_pair("PublisherIdentifier", &self.publisher);
        }
        url
    }

    /// A request with the permissions that a content type needs.
    pub(super) fn request<'a>(
        &'a self,
        url: &'a Url,
        content_type: Option<ContentType>,
        wanted: &'a [HeaderName],
    ) -> Ask<'a> {
        let needs: &[&str] = match content_type {
            Some(ContentType::Dlp) => &["ActivityFeed.Read", "ActivityFeed.ReadDlp"],
            _ => &["ActivityFeed.Read"],
        };
        Ask { url, body: None, fields: &[], wanted, needs, budget: &self.budget, words: words::trouble }
    }
}

fn is_expired(item: &Item, now: Timestamp) -> bool {
    item.content_expiration.as_deref().and_then(Timestamp::said).is_some_and(|at| at < now)
}

/// What names a record.
#[derive(Deserialize)]
struct Own<'a> {
    #[serde(rename = "Id", borrow)]
    id: Option<std::borrow::Cow<'a, str>>,
}
