//! A queue in tests of sources: it forgets what was not durable when the power goes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use super::store::{Later, Store};
use crate::event::{Batch, Kind, Record, SourceId};
use crate::queue::Closed;
use crate::status::DropReason;

/// Keeps batches in order and makes them durable when it is told to.
#[derive(Clone, Default)]
pub(in crate::source) struct ModelStore(Arc<Mutex<Model>>);

#[derive(Default)]
struct Model {
    durable: Vec<Batch>,
    waiting: Vec<(Batch, oneshot::Sender<()>)>,
    dropped: u64,
}

impl ModelStore {
    /// What waits is durable from now on.
    pub(in crate::source) fn sync(&self) {
        let mut model = self.0.lock().unwrap();
        for (batch, settled) in std::mem::take(&mut model.waiting) {
            model.durable.push(batch);
            let _ = settled.send(());
        }
    }

    /// The power goes: of what waits, a random first part was written.
    pub(in crate::source) fn cut(&self, dice: &mut StdRng) {
        let mut model = self.0.lock().unwrap();
        let written = dice.random_range(0..=model.waiting.len());
        let waiting = std::mem::take(&mut model.waiting);
        model.durable.extend(waiting.into_iter().take(written).map(|(batch, _)| batch));
    }

    /// As no queue of ours may: of what waits, any part was written.
    pub(in crate::source) fn cut_out_of_order(&self, dice: &mut StdRng) {
        let mut model = self.0.lock().unwrap();
        let waiting = std::mem::take(&mut model.waiting);
        model.durable.extend(waiting.into_iter().map(|(batch, _)| batch).filter(|_| dice.random_bool(0.5)));
    }

    /// How many batches are not yet durable.
    pub(in crate::source) fn waiting(&self) -> usize {
        self.0.lock().unwrap().waiting.len()
    }

    /// Looks at every durable record.
    pub(in crate::source) fn each(&self, mut look: impl FnMut(Kind, &Record<'_>)) {
        for batch in &self.0.lock().unwrap().durable {
            let mut records = batch.records();
            while let Some(record) = records.next() {
                look(batch.kind(), &record);
            }
        }
    }

    /// Events that it was told can never be had, also by runs that were cut.
    pub(in crate::source) fn dropped(&self) -> u64 {
        self.0.lock().unwrap().dropped
    }
}

impl Store for ModelStore {
    fn submit(&self, batch: Batch) -> Later<'_, Result<Later<'static, Result<(), Closed>>, Closed>> {
        let (settle, settled) = oneshot::channel();
        self.0.lock().unwrap().waiting.push((batch, settle));
        let ticket: Later<'static, Result<(), Closed>> = Box::pin(async move { settled.await.map_err(|_| Closed) });
        Box::pin(async move { Ok(ticket) })
    }

    fn checkpoint(&self, _: SourceId, feed: String) -> Later<'_, io::Result<BTreeMap<Vec<u8>, Vec<u8>>>> {
        let mut kept = BTreeMap::new();
        for checkpoint in self.0.lock().unwrap().durable.iter().filter_map(Batch::checkpoint) {
            assert_eq!(checkpoint.feed, feed);
            for (key, value) in checkpoint.changes.clone() {
                match value {
                    Some(value) => kept.insert(key, value),
                    None => kept.remove(&key),
                };
            }
        }
        Box::pin(async move { Ok(kept) })
    }

    fn drop_events(&self, _: &SourceId, _: DropReason, events: u64) {
        self.0.lock().unwrap().dropped += events;
    }
}
