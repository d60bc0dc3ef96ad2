//! The queue as the app holds it: opened, watched and closed here and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::event::{ApplianceId, Batch, BatchNumber, OutputId, SourceId};
use crate::output;
use crate::queue::{Intake, OutputRule, Queue, Reader, Recent, Totals};
use crate::status::{Board, Component};

/// Even a stop that is cut short gives the queue this long: what it holds in memory was taken from senders that may not
/// send it again.
const LEAST_TO_CLOSE: Duration = Duration::from_secs(2);
/// A writer that was silent for this long is lost. It comes round every second; a disk that is worn or full answers with an
/// error, not with silence.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Batches as they come in.
pub(super) type Tap = tokio::sync::broadcast::Receiver<(BatchNumber, Batch)>;

/// The open queue.
#[derive(Debug)]
pub(super) struct Hearth {
    queue: Arc<Queue>,
}

/// Looks at the queue without keeping it open.
#[derive(Clone, Debug)]
pub(super) struct Window(Weak<Queue>);

impl Hearth {
    /// Opens the queue in the state folder; an error says in words why it cannot be used.
    pub(super) async fn open(config: &Config, board: &Board) -> Result<Self, String> {
        let (folder, settings, rules) = (config.queue_folder(), config.queue.clone(), rules(config));
        let status = board.handle(Component::Queue, "queue");
        let open = move || Queue::open(&folder, &settings, &rules, status);
        match tokio::task::spawn_blocking(open).await {
            Ok(Ok(queue)) => {
                if let Some(since) = queue.gap_since() {
                    tracing::warn!(%since, "the program did not end in good order; what came later by UDP or TCP and \
                        was not yet written is lost, which is less than flush_after");
                }
                Ok(Self { queue: Arc::new(queue) })
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(format!("opening the queue panicked ({error}); please report this with the log")),
        }
    }

    pub(super) fn intake(&self) -> Intake {
        self.queue.intake()
    }

    /// Since when events may be missing, because the last run did not end in good order.
    pub(super) fn gap_since(&self) -> Option<Timestamp> {
        self.queue.gap_since()
    }

    pub(super) fn reader(&self, output: &OutputId) -> Reader {
        self.queue.reader(output)
    }

    /// Follows the outputs of new settings; to be called while those that went are stopped.
    pub(super) fn set_outputs(&self, config: &Config) {
        self.queue.set_outputs(&rules(config));
    }

    pub(super) fn window(&self) -> Window {
        Window(Arc::downgrade(&self.queue))
    }

    /// Comes back when the queue is lost, with the reason.
    pub(super) async fn lost(&self) -> String {
        loop {
            let silent = self.queue.last_beat();
            if silent >= LOST_AFTER {
                return format!("the queue's writer has given no sign of life for {} s", silent.as_secs());
            }
            sleep(LOOK).await;
        }
    }

    /// Makes durable what is in memory and closes. True if that was done by the deadline, or a little later.
    pub(super) async fn close(self, deadline: Instant) -> bool {
        let mut shared = self.queue;
        let queue = loop {
            match Arc::try_unwrap(shared) {
                Ok(queue) => break queue,
                // A window holds it only for the length of one look.
                Err(held) => shared = held,
            }
            tokio::task::yield_now().await;
        };
        queue.close(deadline.saturating_duration_since(Instant::now()).max(LEAST_TO_CLOSE)).await
    }
}

impl Window {
    /// Time since the writer last gave a sign of life; zero when the queue was closed in good order.
    pub(super) fn age(&self) -> Duration {
        self.0.upgrade().map_or(Duration::ZERO, |queue| queue.last_beat())
    }

    /// What each source's events came to; nothing once the queue is closed.
    pub(super) fn ledger(&self) -> Option<BTreeMap<SourceId, Totals>> {
        self.0.upgrade().map(|queue| queue.ledger())
    }

    /// What is still there since a time; nothing once the queue is closed. Blocks on the disk, briefly.
    pub(super) fn recent(
        &self,
        since: Timestamp,
        source: Option<&SourceId>,
        most_events: u64,
    ) -> Option<std::io::Result<Recent>> {
        self.0.upgrade().map(|queue| queue.recent(since, source, most_events))
    }

    /// The box's name in its events' ids; nothing once the queue is closed.
    pub(super) fn appliance(&self) -> Option<ApplianceId> {
        self.0.upgrade().map(|queue| queue.appliance())
    }

    /// Batches from now on, and the box's name in their events' ids; nothing once the queue is closed.
    pub(super) fn tap(&self) -> Option<(Tap, ApplianceId)> {
        self.0.upgrade().map(|queue| (queue.tap(), queue.appliance()))
    }
}

fn rules(config: &Config) -> Vec<OutputRule> {
    let rule = |output: &output::Config| OutputRule {
        id: output.id().clone(),
        may_skip: output.may_skip(),
        acknowledges: output.acknowledges(),
    };
    config.output.iter().map(rule).collect()
}
