//! An advanced-hunting query as a feed: run once for each window, split where it gives more rows than the API returns.
//!
//! Facts: defender-docs, "Advanced hunting API": 100,000 rows, 124 MB and 200 s for a query, the last 30 days; `Schema` and
//! `Results`. A row has no id that every table shares, so it is named by its bytes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::defender::WINDOW;
use super::odata_words;
use super::session::{Api, Ask};
use crate::clock::Timestamp;
use crate::source::pull::{
    Budget, Feed, Listed, Next, Page, Plan, Position, Pulled, RecordId, Trouble, Window, listed,
};
use crate::status::Cause;

/// An answer of this many rows was cut.
const MOST_ROWS: usize = 100_000;
/// A window is not split below this: a second with more rows is forwarded as far as it came.
const LEAST_SPAN: Duration = Duration::from_secs(1);

/// The feed of a query.
#[derive(Debug)]
pub(super) struct Hunting {
    pub(super) api: Arc<Api>,
    budget: Arc<Budget>,
    /// The query's name and text.
    about: String,
    query: String,
    plan: Plan,
    span: Duration,
    name: String,
}

impl Hunting {
    pub(super) fn new(api: Arc<Api>, budget: Arc<Budget>, (about, query): (&str, &str), plan: Plan) -> Self {
        let name = format!("{}/{about}", api.identity.tenant);
        let span = plan.span;
        Self { api, budget, about: about.to_owned(), query: query.to_owned(), plan, span, name }
    }

    async fn ask(&self, from: Timestamp, to: Timestamp) -> Result<Listed, Trouble> {
        let wrong = |error| Trouble::protocol(format!("the address of the API is wrong: {error}"), "check api");
        let url = self.api.root.join("api/advancedqueries/run").map_err(wrong)?;
        let condition = format!("Timestamp >= datetime({from}) and Timestamp < datetime({to})");
        let body = json!({ "Query": self.query.replace(WINDOW, &condition) }).to_string();
        let ask = Ask {
            url: &url,
            body: Some(body),
            fields: &[],
            wanted: &[],
            needs: &["AdvancedQuery.Read.All"],
            budget: &self.budget,
            words: odata_words::trouble,
        };
        let reply = self.api.ask(&ask).await.map_err(|trouble| self.about_query(trouble))?;
        let odd = || Trouble::protocol(format!("the answer to the query {} holds no rows", self.about), "check api");
        listed(&reply.body).ok_or_else(odd)
    }

    /// A refusal with 400 is about the query's text.
    fn about_query(&self, mut trouble: Trouble) -> Trouble {
        if trouble.cause == Cause::Protocol && trouble.what.contains(" with 400") {
            trouble.todo = format!("run the query {} in the portal's Advanced hunting, and mend it here", self.about);
        }
        trouble
    }

    /// For a test: the last minute.
    pub(super) async fn probe(&self) -> Result<(), Trouble> {
        let now = self.api.way.now();
        self.ask(Timestamp(now.0.saturating_sub(60_000_000)), now).await.map(drop)
    }

    fn record(&self, bytes: bytes::Bytes, window: &Window) -> Pulled {
        let tenant = self.api.identity.tenant.as_bytes();
        let id = RecordId::of(&[b"defender", tenant, self.about.as_bytes(), &bytes]);
        // Rows are remembered by their window's end: their own time may be under another name.
        Pulled { id, remember: Some(window.to), bytes }
    }
}

impl Feed for Hunting {
    fn name(&self) -> &str {
        &self.name
    }

    async fn pull(&mut self, position: &Position) -> Result<Page, Trouble> {
        let now = self.api.way.now();
        let plan = Plan { span: self.span, ..self.plan.clone() };
        let Some(mut window) = plan.next(position, now) else {
            return Ok(Page { next: Next::Later, ..Page::default() });
        };
        let permit = self.api.place().await;
        let list = self.ask(window.from, window.to).await;
        let is_cut = match &list {
            Ok(list) => list.records.len() >= MOST_ROWS,
            // More than 124 MB are refused, more than max_page are not read: a shorter window may do.
            Err(trouble) => trouble.what.contains("is larger than") || trouble.what.contains("exceeds"),
        };
        if is_cut && self.span > LEAST_SPAN {
            self.span = (self.span.min(window.to.since(window.from)) / 2).max(LEAST_SPAN);
            return Ok(Page::default());
        }
        let list = list?;
        let mut page = Page { permit, holes: window.hole.take().into_iter().collect(), ..Page::default() };
        page.records = list.records.into_iter().map(|bytes| self.record(bytes, &window)).collect();
        page.marks = plan.done(&window);
        page.forget = Some(plan.forget(&window));
        page.through = Some(window.to);
        page.next = if window.is_last { Next::Later } else { Next::Now };
        self.span = (self.span * 2).min(self.plan.span);
        Ok(page)
    }
}
