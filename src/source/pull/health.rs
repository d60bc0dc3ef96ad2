//! The health of a source with many feeds: the worst of it, in the words of the feed that has it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Trouble, Wait, Way};
use crate::clock::Timestamp;
use crate::status::{Count, Gauge, Handle, Health};

/// Trouble that passes is shown once it came this often in a row: one answer of 503 is no fault.
const SHOWN_FROM: u32 = 3;

/// How one feed is.
#[derive(Debug, Default)]
struct FeedState {
    /// It has given a page since the start.
    worked: bool,
    trouble: Option<Trouble>,
    in_a_row: u32,
    through: Option<Timestamp>,
    /// It works, but a person should know this.
    remark: Option<(String, String)>,
}

/// How all feeds of a source are; each tells it here.
#[derive(Debug)]
pub(in crate::source) struct Picture {
    status: Handle,
    way: Arc<Way>,
    feeds: Mutex<BTreeMap<String, FeedState>>,
}

impl Picture {
    pub(in crate::source) fn new(status: Handle, way: Arc<Way>, feeds: impl Iterator<Item = String>) -> Self {
        let feeds = feeds.map(|name| (name, FeedState::default())).collect();
        Self { status, way, feeds: Mutex::new(feeds) }
    }

    /// A feed is there from now on.
    pub(super) fn comes(&self, feed: &str) {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).entry(feed.to_owned()).or_default();
    }

    /// A feed is no feed any more.
    pub(super) fn goes(&self, feed: &str) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.remove(feed);
        self.show(&feeds);
    }

    /// What a person should know of a feed that gives pages. Shown with the next page, logged where it is new.
    pub(super) fn remark(&self, feed: &str, remark: Option<(String, String)>) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = feeds.get_mut(feed).filter(|state| state.remark != remark) else { return };
        if let Some((what, todo)) = &remark {
            tracing::warn!(feed, what, todo, "records are pulled, but");
        }
        state.remark = remark;
    }

    /// A feed gave a page. Whether that is news.
    pub(super) fn works(&self, feed: &str, through: Option<Timestamp>) -> bool {
        self.change(feed, |state| {
            let is_news = !state.worked || state.trouble.is_some();
            (state.worked, state.trouble, state.in_a_row) = (true, None, 0);
            state.through = through.or(state.through);
            is_news
        })
    }

    /// A feed gave none. Whether that is news.
    pub(super) fn fails(&self, feed: &str, trouble: Trouble) -> bool {
        self.change(feed, |state| {
            let is_news = state.trouble.as_ref().is_none_or(|before| before.what != trouble.what);
            state.trouble = Some(trouble);
            state.in_a_row += 1;
            is_news
        })
    }

    fn change(&self, feed: &str, change: impl FnOnce(&mut FeedState) -> bool) -> bool {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = feeds.get_mut(feed).is_some_and(change);
        self.show(&feeds);
        is_news
    }

    fn show(&self, feeds: &BTreeMap<String, FeedState>) {
        if let Some(health) = health(feeds, self.way.skew()) {
            self.status.set(health);
        }
        let now = self.way.now();
        let lag = feeds.values().filter_map(|state| state.through).map(|through| now.since(through).as_secs()).max();
        let counters = self.status.counters();
        counters.set(Gauge::LagSeconds, lag.unwrap_or(0));
        counters.add(Count::Requests, self.way.take_answered());
    }
}

/// The worst of it; `None` while a feed has not yet been asked.
fn health(feeds: &BTreeMap<String, FeedState>, skew: Option<i64>) -> Option<Health> {
    let is_shown = |state: &FeedState, trouble: &Trouble| {
        trouble.wait == Wait::Person || state.in_a_row >= SHOWN_FROM || !state.worked
    };
    let failing: Vec<(&String, &Trouble)> = feeds
        .iter()
        .filter_map(|(name, state)| Some((name, state.trouble.as_ref().filter(|trouble| is_shown(state, trouble))?)))
        .collect();
    let Some((name, trouble)) = failing.first() else {
        if feeds.values().any(|state| !state.worked) {
            return None;
        }
        if let Some((name, remark)) = feeds.iter().find_map(|(name, state)| Some((name, state.remark.as_ref()?))) {
            let (what, todo) = remark;
            let is_everywhere = feeds.values().all(|state| state.remark.as_ref() == Some(remark));
            let who = if is_everywhere { String::new() } else { format!("{name}: ") };
            return Some(Health::degraded(format!("{who}{what}"), todo.clone()));
        }
        return Some(skew.map_or(Health::Healthy, |ahead| {
            let words = if ahead > 0 { "behind" } else { "ahead of" };
            let what = format!("the box's clock is {} s {words} the vendor's", ahead.unsigned_abs());
            Health::degraded(what, "check the table [time] and that the box reaches its time servers")
        }));
    };
    let same = failing.iter().filter(|(_, other)| other.what == trouble.what).count();
    let who = match (failing.len(), same) {
        (all, _) if all == feeds.len() && same == all => String::new(),
        (_, 1) => format!("{name}: "),
        (_, same) => format!("{name} and {} more: ", same - 1),
    };
    let what = format!("{who}{}", trouble.what);
    let health = if failing.len() == feeds.len() {
        Health::failed(what, trouble.todo.clone())
    } else {
        Health::degraded(what, trouble.todo.clone())
    };
    Some(health.because(Some(trouble.cause)))
}
