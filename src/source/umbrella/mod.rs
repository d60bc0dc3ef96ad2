//! Cisco Umbrella and Secure Access: their logs, which Cisco writes into a bucket as packed CSV.
//!
//! In: a bucket, Cisco's or one's own, and where there is one its queue of notifications. Out: a record for each row, through
//! the loop of `pull`; a feed for each folder, or one for all where notifications tell what was written.
//!
//! Facts: Cisco, Umbrella documentation, "Log Formats and Versioning", "Manage Your Logs", "Enable Logging to a Cisco-managed
//! S3 Bucket"; support guide "Centralized Log Management" (each child organization has a folder that is called by its id). The
//! key of a managed bucket may list and read below the data path only, so that is all that is ever asked.
//!
//! An object is done when its last row is in the same write as its id; one that is half read goes on behind the last row
//! that is in the queue. A row's id is made of the bucket, the object's name and tag, and the row's number.
//!
//! Unconfirmed: that Cisco writes several gzip members into one object (they are read), the names of newer folders (an unknown
//! one is taken as it is, without columns), and the names of managed buckets (only these have keys that end).

mod columns;
mod csv;
mod feed;
mod form;
mod key_age;
mod object;
mod pass;
mod row;
mod settings;

pub(super) use form::FORM;
pub use settings::Config;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use self::feed::Objects;
use self::key_age::KeyAge;
use self::settings::Reach;
use crate::clock::Clock;
use crate::net::Backoff;
use crate::source::pull::{Bench, Feeds, Pace, Picture, Store, Trouble};
use crate::source::s3::{Bucket, Inbox, Listing};
use crate::source::{Context, Finding, SourceError};
use crate::status::Health;

/// New folders are looked for after so many poll intervals: once in half an hour by default.
const LOOK_EVERY: u32 = 6;
/// The feed where notifications tell of all folders.
const NOTIFIED: &str = "notifications";
/// How long messages are hidden while their objects are read.
const HIDE: Duration = Duration::from_secs(300);
/// With notifications the waiting is done at the queue.
const SOON: Duration = Duration::from_secs(1);
/// Folders of one source; each has a task.
const MOST_FOLDERS: usize = 256;

/// What all feeds of a source share.
#[derive(Debug)]
struct Site {
    bucket: Bucket,
    /// The data path, with a slash at its end unless it is empty.
    root: String,
    /// Empty for all.
    folders: Vec<String>,
    reach: Reach,
    max_row: usize,
    key_age: Option<KeyAge>,
}

impl Site {
    fn new(config: &Config, clock: Clock) -> Result<Arc<Self>, SourceError> {
        let way = config.way(clock);
        Ok(Arc::new(Self {
            bucket: config.bucket(&way)?,
            root: config.root(),
            folders: config.folders.clone(),
            reach: config.reach(),
            max_row: config.max_row.len(),
            key_age: config.key_age(),
        }))
    }

    /// Whether an object is a log: what lies beside the folders, such as the text that Umbrella leaves in a new bucket, is none.
    fn is_wanted(&self, key: &str) -> bool {
        pass::folder(&self.root, key).is_some_and(|folder| {
            let own = folder.rsplit('/').next().unwrap_or_default();
            self.folders.is_empty() || self.folders.iter().any(|wanted| wanted == folder || wanted == own)
        })
    }

    fn explain(&self, trouble: Trouble) -> Trouble {
        match self.key_age {
            Some(age) => age.explain(trouble, self.bucket.way().now()),
            None => trouble,
        }
    }

    /// The folders: those of the settings, or all that are there.
    async fn folders(&self) -> Result<BTreeSet<String>, Trouble> {
        if !self.folders.is_empty() {
            return Ok(self.folders.iter().cloned().collect());
        }
        let mut found = BTreeSet::new();
        for folder in self.below("").await? {
            // A child organization.
            if folder.bytes().all(|byte| byte.is_ascii_digit()) {
                found.extend(self.below(&format!("{folder}/")).await?);
            } else {
                found.insert(folder);
            }
        }
        while found.len() > MOST_FOLDERS {
            found.pop_last();
        }
        Ok(found)
    }

    /// The folders below a place, by their path below the data path.
    async fn below(&self, place: &str) -> Result<Vec<String>, Trouble> {
        let (prefix, mut token, mut found) = (format!("{}{place}", self.root), None, Vec::new());
        loop {
            let listing = Listing { prefix: &prefix, is_folders: true, token: token.as_deref(), ..Listing::default() };
            let page = self.bucket.list(&listing).await.map_err(|trouble| self.explain(trouble))?;
            let names = page.folders().filter_map(|folder| folder.strip_prefix(&self.root)?.strip_suffix('/'));
            found.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
            token = page.next.filter(|_| page.is_truncated && found.len() <= MOST_FOLDERS);
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}

/// The words where there is no folder.
fn none_yet(site: &Site) -> (String, String) {
    let what = format!("there is no folder with logs below {:?} in the bucket {}", site.root, site.bucket.name());
    let todo = "Cisco writes the first logs up to two hours after logging was switched on; after that, check prefix against \
                the data path that Umbrella shows";
    (what, todo.to_owned())
}

/// See [`crate::source::run`].
pub(in crate::source) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let site = Site::new(&config, context.clock.clone())?;
    if config.notices(site.bucket.way()).is_some() {
        let only = BTreeSet::from([NOTIFIED.to_owned()]);
        return with(&config, &context, &site, &only, std::future::pending()).await.map(drop);
    }
    let mut folders = BTreeSet::new();
    while !context.stop.is_cancelled() {
        if folders.is_empty() {
            folders = tokio::select! {
                () = context.stop.cancelled() => return Ok(()),
                found = first_folders(&config, &context, &site) => found,
            };
        }
        let news = new_folders(&config, &site, &folders);
        match with(&config, &context, &site, &folders, news).await? {
            Some(more) => folders = more,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Pulls these folders until the source is told to stop or there are others, which it then gives.
///
/// They start anew together: what was not yet settled is read again, under the same ids. It is seldom enough.
async fn with(
    config: &Config,
    context: &Context,
    site: &Arc<Site>,
    folders: &BTreeSet<String>,
    others: impl Future<Output = BTreeSet<String>>,
) -> Result<Option<BTreeSet<String>>, SourceError> {
    let picture = Picture::new(context.status.clone(), Arc::clone(site.bucket.way()), folders.iter().cloned());
    let store: Arc<dyn Store> = Arc::new(context.intake.clone());
    let bench = Bench {
        id: config.id.clone(),
        store,
        status: context.status.clone(),
        clock: context.clock.clone(),
        stop: context.stop.child_token(),
        picture: Arc::new(picture),
    };
    let mut tasks = Feeds::new(&bench);
    for folder in folders {
        let inbox = config.notices(site.bucket.way()).map(|notices| Inbox::new(notices, HIDE));
        let prefix = if inbox.is_some() { site.root.clone() } else { format!("{}{folder}/", site.root) };
        let poll = if inbox.is_some() { SOON } else { config.poll_interval.0 };
        let pace = Pace { poll, backoff: (config.backoff_min.0, config.backoff_max.0) };
        tasks.start(Objects::new(site, folder, prefix, inbox, &bench.status), pace, bench.clone());
    }
    let stop = bench.stop.clone();
    let joined = tasks.join();
    tokio::pin!(joined);
    tokio::select! {
        ended = &mut joined => ended.map(|()| None),
        more = others => {
            stop.cancel();
            joined.await?;
            Ok(Some(more))
        }
    }
}

/// Looks for folders until there is one.
async fn first_folders(config: &Config, context: &Context, site: &Site) -> BTreeSet<String> {
    let mut backoff = Backoff::new(config.backoff_min.0, config.backoff_max.0);
    loop {
        let health = match site.folders().await {
            Ok(found) if !found.is_empty() => return found,
            Ok(_) => {
                let (what, todo) = none_yet(site);
                Health::degraded(what, todo)
            }
            Err(trouble) => {
                tracing::warn!(source = %config.id, error = trouble.what, todo = trouble.todo, "cannot list the folders");
                Health::failed(trouble.what, trouble.todo).because(Some(trouble.cause))
            }
        };
        context.status.set(health);
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Ends once there are folders that are not among `known`, with all of them.
async fn new_folders(config: &Config, site: &Site, known: &BTreeSet<String>) -> BTreeSet<String> {
    loop {
        tokio::time::sleep(config.poll_interval.0 * LOOK_EVERY).await;
        // Trouble is the feeds' to tell.
        if let Ok(found) = site.folders().await
            && !found.is_subset(known)
        {
            let new: Vec<_> = found.difference(known).collect();
            tracing::info!(source = %config.id, folders = ?new, "there are new folders");
            return found.union(known).cloned().collect();
        }
    }
}

/// See [`crate::source::test`].
pub(in crate::source) async fn test(config: &Config, clock: Clock) -> Vec<Finding> {
    let site = match Site::new(config, clock) {
        Ok(site) => site,
        Err(error) => return vec![Finding::wrong(config.id.as_str(), error.to_string(), error.todo())],
    };
    let mut findings = Vec::new();
    match site.folders().await {
        Err(trouble) => findings.push(Finding::wrong(config.id.as_str(), trouble.what, trouble.todo)),
        Ok(folders) => {
            if folders.is_empty() {
                let (what, todo) = none_yet(&site);
                findings.push(Finding::wrong(config.id.as_str(), what, todo));
            }
            for folder in folders {
                let prefix = format!("{}{folder}/", site.root);
                let listing = Listing { prefix: &prefix, most: Some(1), ..Listing::default() };
                let asked = site.bucket.list(&listing).await;
                findings.push(Finding::of(&folder, asked.map(drop).map_err(|trouble| site.explain(trouble))));
            }
        }
    }
    if let Some((what, todo)) = site.key_age.and_then(|age| age.words(site.bucket.way().now())) {
        findings.push(Finding::wrong("access key", what, todo));
    }
    if let Some(notices) = config.notices(site.bucket.way()) {
        findings.push(Finding::of("sqs_queue", notices.receive(Duration::ZERO).await.map(drop)));
    }
    findings
}
