//! CrowdStrike Falcon Data Replicator: the raw telemetry of a tenant's sensors and its inventories, as files in a bucket of the
//! vendor's, of which a queue tells.
//!
//! In: the messages of a feed's SQS queue, and the files that they name, in whichever bucket. Out: each line of each file, byte by
//! byte as it came, through the loop of `pull`. Floor 3 with `source/`.
//!
//! Invariants: a message is deleted only once every line of all its files is settled; a line's id is made of bucket, path and number,
//! so it is the same however often its message comes; a file that is done is remembered for longer than its message can come
//! again, and one that is half read goes on behind the last line in the queue; no message and no file holds up those behind it for
//! good: what can never be read becomes an event.
//!
//! Facts: CrowdStrike/FDR (sample consumer, README); CrowdStrike Tech Center, "How to Configure Falcon Data Replicator" (a batch every
//! few minutes, in a folder of its own, with a `_SUCCESS` file; files of at most 25 MB) and "Introduction to the Falcon Data Replicator"
//! (files are kept for 7 days); others' consumers where a file says so.
//!
//! Not supported: listing the bucket (the credentials of a feed need not allow it); several consumers of one queue, which would
//! share its messages; the checksum of a message, of which no document says what it is (gzip has its own).
//!
//! Unconfirmed: that messages are kept for 7 days too; the names of folders of newer feeds (all are taken).

mod delivery;
mod feed;
mod form;
mod message;
mod open;
mod refused;
mod settings;
#[cfg(test)]
mod tests;
mod wanted;

pub(super) use form::FORM;
pub use settings::Config;

use std::sync::Arc;
use std::time::Duration;

use self::feed::Replicator;
use self::wanted::Wanted;
use crate::clock::Clock;
use crate::source::pull::{Bench, Feeds, Picture, Store, Trouble, Way};
use crate::source::s3::{Inbox, Message, Missing};
use crate::source::{Context, Finding, SourceError};
use crate::status::Cause;

/// The waiting is done at the queue.
const SOON: Duration = Duration::from_secs(1);
/// No message has this receipt.
const NO_RECEIPT: &str = "sapphire-edge-source-test";

/// What the feed works with.
#[derive(Debug)]
struct Site {
    config: Config,
    way: Arc<Way>,
    wanted: Wanted,
}

/// See [`crate::source::run`].
pub(in crate::source) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let (way, wanted) = (config.way(context.clock.clone()), config.wanted());
    let inbox = Inbox::new(config.notices(&way)?, config.visibility_timeout.0);
    let names = std::iter::once(feed::NAME.to_owned());
    let store: Arc<dyn Store> = Arc::new(context.intake.clone());
    let bench = Bench {
        id: config.id.clone(),
        store,
        status: context.status.clone(),
        clock: context.clock.clone(),
        stop: context.stop.clone(),
        picture: Arc::new(Picture::new(context.status.clone(), Arc::clone(&way), names)),
    };
    let (pace, site) = (config.pace(), Arc::new(Site { config, way, wanted }));
    let mut feeds = Feeds::new(&bench);
    feeds.start(Replicator::new(&site, inbox, &bench.status), pace, bench.clone());
    feeds.join().await
}

/// See [`crate::source::test`]: each right that is needed is asked for by itself. No message is taken and no file is read.
pub(in crate::source) async fn test(config: &Config, clock: Clock) -> Vec<Finding> {
    let (id, way) = (config.id.as_str(), config.way(clock));
    let notices = match config.notices(&way) {
        Ok(notices) => notices,
        Err(error) => return vec![Finding::wrong(id, error.to_string(), error.todo())],
    };
    let received = notices.receive(Duration::ZERO).await;
    let first = match received {
        Ok(messages) => messages.into_iter().next(),
        Err(trouble) => return vec![Finding::of("sqs:ReceiveMessage", Err(trouble))],
    };
    let mut findings = vec![Finding::right("sqs:ReceiveMessage")];
    let hidden = notices.hide(NO_RECEIPT, Duration::ZERO).await;
    findings.push(Finding::of("sqs:ChangeMessageVisibility", is_allowed(hidden)));
    findings.push(Finding::of("sqs:DeleteMessage", is_allowed(notices.delete(NO_RECEIPT).await)));
    findings.push(match first {
        None => Finding::right("s3:GetObject is not tested: no message is waiting"),
        Some(message) => may_read(config, &way, &message).await,
    });
    if let Some(ahead) = way.skew() {
        let what = format!("the box's clock differs from AWS's by {} s", ahead.unsigned_abs());
        let todo = "check the table [time] and that the box reaches its time servers".to_owned();
        findings.push(Finding::wrong("clock", what, todo));
    }
    findings
}

/// Rights are checked first: who is told that there is no such message has them.
fn is_allowed(asked: Result<(), Trouble>) -> Result<(), Trouble> {
    asked.or_else(|trouble| if trouble.cause == Cause::Protocol { Ok(()) } else { Err(trouble) })
}

/// Whether the first file of a message can be opened.
async fn may_read(config: &Config, way: &Arc<Way>, message: &Message) -> Finding {
    let told = message::read(&message.body, way.now());
    if let Some(what) = told.refused.into_iter().next() {
        let todo = "check that sqs_queue is the queue of a feed of Falcon Data Replicator".to_owned();
        return Finding::wrong("message", what, todo);
    }
    let Some(file) = told.files.first() else {
        return Finding::right("s3:GetObject is not tested: no file is told of");
    };
    let name = format!("s3:GetObject {} in {}", file.path, file.bucket);
    match config.bucket(way, &file.bucket) {
        Err(error) => Finding::wrong(&name, error.to_string(), error.todo()),
        Ok(bucket) => match bucket.open(&file.path).await.map_err(Missing::why) {
            Ok(_) => Finding::right(&name),
            Err(Ok(why)) => Finding::right(&format!("{name} ({why})")),
            Err(Err(trouble)) => Finding::of(&name, Err(trouble)),
        },
    }
}
