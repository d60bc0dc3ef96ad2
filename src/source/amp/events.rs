//! Events by asking: from a moment to the present, page by page.
//!
//! Facts: `GET /v1/events` with `start_date` (ISO 8601), `limit` and `event_type[]`, `group_guid[]`; newest first; the next page is
//! `metadata.links.next`, taken as it is; there is no end of a window (Cisco, "Secure Endpoint API documentation" v1; Elastic,
//! cisco_secure_endpoint). `limit` of at most 500 is not confirmed. What comes while pages are read pushes events to later pages:
//! some come twice, none is left out.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::api::Api;
use super::types::{self, Filter};
use crate::clock::Timestamp;
use crate::net::http::Url;
use crate::source::pull::{Next, Page, Plan, Position, Pulled, RecordId, Trouble, Window};

/// Events of a page.
const LIMIT: &str = "500";
/// Pages of one question; more are links in a circle.
const MOST_PAGES: u32 = 100_000;

/// Asks for events, window after window.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) plan: Plan,
    open: Option<Open>,
}

/// A window that is being read.
#[derive(Debug)]
struct Open {
    window: Window,
    next: Url,
    pages: u32,
}

impl Poll {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, open: None }
    }

    /// Whether a window is being read.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The next page. After the last one of a window `next` is later, and the marks are set.
    ///
    /// # Errors
    /// In words; the window is then asked for from its beginning.
    pub(super) async fn page(&mut self, api: &Api, position: &Position) -> Result<Page, Trouble> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.plan.next(position, api.way.now()) {
                Some(window) => {
                    let next = first(api, &types::filter(api).await?, window.from, LIMIT)?;
                    Open { window, next, pages: 0 }
                }
                None => return Ok(Page { next: Next::Later, ..Page::default() }),
            },
        };
        let permit = api.place().await;
        let (records, next) = get(api, &open.next).await?;
        let mut page = Page { permit, holes: open.window.hole.take().into_iter().collect(), ..Page::default() };
        let now = api.way.now();
        page.records =
            records.into_iter().map(|bytes| record(api.host(), bytes, |event| event.unwrap_or(now))).collect();
        open.pages += 1;
        match next.filter(|_| open.pages < MOST_PAGES) {
            Some(next) => {
                // Bounds what is remembered; nothing that is younger goes.
                page.forget = Some(self.plan.forget(&open.window).min(open.window.from));
                open.next = next;
                self.open = Some(open);
            }
            None => {
                page.marks = self.plan.done(&open.window);
                page.forget = Some(self.plan.forget(&open.window));
                page.through = Some(open.window.to);
                page.next = Next::Later;
            }
        }
        Ok(page)
    }
}

/// One question, for a test.
///
/// # Errors
/// In words.
pub(super) async fn probe(api: &Api) -> Result<(), Trouble> {
    let filter = types::filter(api).await?;
    let hour_ago = Timestamp(api.way.now().0.saturating_sub(3_600_000_000));
    get(api, &first(api, &filter, hour_ago, "1")?).await.map(drop)
}

/// The address of the first page.
fn first(api: &Api, filter: &Filter, from: Timestamp, limit: &str) -> Result<Url, Trouble> {
    let mut url = api.url("v1/events")?;
    let text = from.to_string();
    // Whole seconds, as in the vendor's examples.
    let text = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    url.query_pairs_mut().append_pair("start_date", &format!("{text}+00:00")).append_pair("limit", limit);
    for kind in &filter.types {
        url.query_pairs_mut().append_pair("event_type[]", &kind.to_string());
    }
    for group in &filter.groups {
        url.query_pairs_mut().append_pair("group_guid[]", group);
    }
    Ok(url)
}

/// A page's records, each as it stands there, and where the next page is.
async fn get(api: &Api, url: &Url) -> Result<(Vec<Bytes>, Option<Url>), Trouble> {
    let body = api.get(url).await?.body;
    let odd =
        || Trouble::protocol(format!("the answer of {} is no list of events", api.host()), "check region and api");
    let (records, next) = listed(&body).ok_or_else(odd)?;
    let wrong = |error| Trouble::protocol(format!("the link to the next page is wrong: {error}"), "check api");
    let next = next.as_deref().map(Url::parse).transpose().map_err(wrong)?;
    // A page that leads elsewhere is none: or its first part would come again and again.
    next.as_ref().map_or(Ok(()), |next| api.check_host(next))?;
    Ok((records, next))
}

/// The envelope of every answer.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    links: Links,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    next: Option<String>,
}

fn listed(body: &Bytes) -> Option<(Vec<Bytes>, Option<String>)> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    let records = envelope.data.into_iter().map(|raw| body.slice_ref(raw.get().as_bytes())).collect();
    Some((records, envelope.metadata.links.next))
}

/// An event, by whichever way it came: `remember` gives the time by which its id is remembered, from its own.
pub(super) fn record(host: &str, bytes: Bytes, remember: impl FnOnce(Option<Timestamp>) -> Timestamp) -> Pulled {
    let known = Known::of(&bytes);
    let id = match known.id() {
        Some(id) => RecordId::of(&[b"amp", host.as_bytes(), b"events", id.as_bytes()]),
        None => RecordId::of(&[b"amp", host.as_bytes(), b"events", b"", &bytes]),
    };
    let remember = Some(remember(known.time()));
    Pulled { id, remember, bytes }
}

/// What names and dates an event: a 64-bit number, which goes beyond what a JSON number holds exactly elsewhere, and seconds.
#[derive(Default, Deserialize)]
struct Known<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    timestamp: Option<f64>,
    #[serde(borrow)]
    date: Option<Cow<'a, str>>,
}

impl<'a> Known<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// The same whether it is written as a number or as text.
    fn id(&self) -> Option<&str> {
        let text = self.id?.get().trim_matches('"');
        (!matches!(text, "" | "null")).then_some(text)
    }

    fn time(&self) -> Option<Timestamp> {
        let by_number = self.timestamp.filter(|seconds| (1.0..1e11).contains(seconds));
        let by_text = || Timestamp::said(self.date.as_ref()?);
        by_number.map(|seconds| Timestamp((seconds * 1e6) as u64)).or_else(by_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(text: &'static str) -> Pulled {
        record("api.amp.cisco.com", Bytes::from_static(text.as_bytes()), Option::unwrap_or_default)
    }

    #[test]
    fn an_event_has_one_id_however_it_came() {
        let polled = pulled(r#"{"id":6455442249407791120,"timestamp":1503024774,"date":"2017-08-18T02:52:54+00:00"}"#);
        let streamed = pulled(r#"{"event_type":"x","date":"2017-08-18T02:52:54+00:00","id":"6455442249407791120"}"#);
        assert_eq!((polled.id, polled.remember), (streamed.id, streamed.remember));
        assert_eq!(polled.remember, Some(Timestamp(1_503_024_774_000_000)));
        assert_ne!(pulled(r#"{"id":6455442249407791121}"#).id, polled.id);
        assert_ne!(
            pulled(r#"{"id":null,"a":1}"#).id,
            pulled(r#"{"id":null,"a":2}"#).id,
            "what has no id is named by its text"
        );
        assert_eq!(pulled("no json").remember, Some(Timestamp(0)));
    }

    #[test]
    fn a_page_is_cut_byte_by_byte() {
        let body = Bytes::from_static(
            br#"{"version":"v1","metadata":{"links":{"self":"s","next":"https://h/n?offset=500"},"results":{"total":7}},"data":[ {"id":1.0} ,{"a":"\u00e9"}]}"#,
        );
        let (records, next) = listed(&body).unwrap();
        assert_eq!(records, [&b"{\"id\":1.0}"[..], b"{\"a\":\"\\u00e9\"}"]);
        assert_eq!(next.as_deref(), Some("https://h/n?offset=500"));
        assert_eq!(listed(&Bytes::from_static(br#"{"data":[],"metadata":{}}"#)).unwrap().1, None);
        assert!(listed(&Bytes::from_static(b"<html>")).is_none());
    }
}
