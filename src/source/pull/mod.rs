//! The one loop of everything that is asked for: vendors' APIs over HTTPS.
//!
//! In: [`Feed`]s, each one stream at a vendor, which give a [`Page`] for a [`Position`]. Out: batches for the queue, with the
//! position they reach in the same write. Floor 3 with `source/`.
//!
//! The loop (`run`) owns schedule and jitter, backoff and `Retry-After`, the ids that were seen, checkpoints, health and
//! counters. Around it: the rate budget of an API (`budget`), the way out with proxy and CA (`way`), windows without gaps
//! (`window`), and what went wrong in words (`trouble`). A vendor's room is its requests, its pages and its words.
//!
//! Invariants: a position never becomes durable before the records that reached it; a record's id depends on the vendor's
//! id alone, so it is the same in every run; at most `pages` bodies are in memory, those that wait for the queue included, so
//! nothing is asked for while the queue holds back; every wait ends when the source is told to stop.
//!
//! A vendor that wants an answer (AMQP) is told of by [`Page::settled`], in the order of the pages, also while a feed waits for more.
//!
//! A position that changed without a new record waits in memory for the next batch: after a crash the same question is asked
//! again, which loses and repeats nothing.

mod budget;
mod flight;
mod health;
mod lines;
#[cfg(test)]
pub(in crate::source) mod model;
mod page;
mod position;
mod run;
mod settings;
mod split;
mod store;
#[cfg(test)]
mod tests;
mod trouble;
mod way;
mod window;

pub(in crate::source) use budget::Budget;
pub(in crate::source) use health::Picture;
pub(in crate::source) use lines::{Line, Lines};
pub(in crate::source) use page::{Hole, Next, Page, Pulled, RecordId};
pub(in crate::source) use position::Position;
pub(in crate::source) use run::{Bench, Feed, Feeds, Pace};
pub(in crate::source) use settings::{Route, check_route, route_files, within};
pub(in crate::source) use split::{Listed, elements, listed};
pub(in crate::source) use store::{Later, Store};
pub(in crate::source) use trouble::{Trouble, Wait};
pub(in crate::source) use way::{Reply, Way};
pub(in crate::source) use window::{Plan, Window, before};
