//! Events as JSON, for the outputs that send or write them so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Context;
use super::encode::{Encoder, Readings};
use crate::event::{ApplianceId, Batch, BatchNumber, EventIdWriter, Record};

/// Makes an [`Encoder`] for each batch, and keeps a fault in it from stopping the output.
pub(super) struct Json {
    appliance: ApplianceId,
    name: Arc<str>,
    readings: Readings,
    batch: Option<(BatchNumber, Encoder)>,
}

impl Json {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            appliance: context.reader.appliance(),
            name: Arc::clone(&context.name),
            readings: context.readings.clone(),
            batch: None,
        }
    }

    /// The records that follow are of this batch.
    pub(super) fn begin(&mut self, number: BatchNumber, batch: &Batch) {
        let reading = self.readings.get(batch.source());
        let encoder = Encoder::new(self.appliance, &self.name, number, batch, &reading);
        self.batch = Some((number, encoder));
    }

    /// Appends one event as a JSON object. Returns whether its header could not be parsed.
    ///
    /// An event that makes the encoder panic would stop everything behind it for ever, so it goes out under its id with its
    /// text and nothing else, marked.
    pub(super) fn write(&mut self, index: u32, record: &Record<'_>, to: &mut Vec<u8>) -> bool {
        let Some((number, encoder)) = &mut self.batch else { return false };
        let start = to.len();
        match catch_unwind(AssertUnwindSafe(|| encoder.write(index, record, to))) {
            Ok(encoded) => encoded.unparsed,
            Err(_) => {
                to.truncate(start);
                bare(self.appliance, *number, index, record, to);
                true
            }
        }
    }
}

fn bare(appliance: ApplianceId, number: BatchNumber, index: u32, record: &Record<'_>, to: &mut Vec<u8>) {
    let mut ids = EventIdWriter::new(appliance, number);
    let id = ids.id(index, record.id);
    tracing::error!(id, "the encoder panicked on an event; it is sent as bare text");
    let event = serde_json::json!({
        "@timestamp": record.received.to_string(),
        "@metadata": { "_id": id },
        "event": { "id": id },
        "message": String::from_utf8_lossy(record.bytes),
        "tags": ["_encoder_failed"],
    });
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(to, &event);
}
