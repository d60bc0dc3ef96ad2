//! Events taken out of a queue, without changing it.

use std::path::Path;

use super::{ToolError, View};
use crate::event::{ApplianceId, Batch, BatchNumber, OutputId, SourceId};
use crate::queue::index::Place;
use crate::queue::ledger::State;
use crate::queue::record::{self, Type};
use crate::queue::segment::{read_payload, record_at};

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Also those that are delivered and still stored.
    pub all: bool,
    /// Those that wait for this output; else those that wait for any that the queue may not skip.
    pub output: Option<OutputId>,
    /// Only those of this source.
    pub source: Option<SourceId>,
}

/// What was taken out, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Batches handed over.
    pub batches: u64,
    /// Their events.
    pub events: u64,
    /// Events of batches that fail their checks; batches of which not even the header is left are not in it.
    pub damaged: u64,
    /// Events that the running program delivered, and removed, before their turn came.
    pub gone: u64,
}

/// Hands every wanted batch to `each`, in the order of the numbers; safe while a program has the queue open. Blocks on the
/// disk. What the program holds in memory only is not seen.
///
/// # Errors
/// When there is no queue, the disk does not give it, or `each` fails.
pub fn export<E: From<ToolError>>(
    folder: &Path,
    wanted: &Wanted,
    mut each: impl FnMut(ApplianceId, BatchNumber, &Batch) -> Result<(), E>,
) -> Result<Exported, E> {
    let (disk, view, still) = View::of_folder(folder)?;
    // Whoever takes the events may be slow; segments that are delivered meanwhile shall leave the disk.
    drop(still);
    let (state, failed) = (&view.recovered.state, ToolError::of(folder));
    known(wanted, state)?;
    let mut exported = Exported::default();
    let places = view.places().map_err(&failed)?;
    let mut open = None;
    for (number, place) in places.into_iter().filter(|(number, place)| is_wanted(wanted, state, *number, place)) {
        if open.as_ref().is_none_or(|(segment, _)| *segment != place.segment) {
            open = view.segment(&disk, place.segment).map_err(&failed)?.map(|file| (place.segment, file));
        }
        let Some((_, file)) = &open else {
            exported.gone += u64::from(place.count);
            continue;
        };
        let found = record_at(file, place.at).map_err(&failed)?;
        let fits = |header: &record::Header| header.kind == Type::Batch && header.number.0 == number;
        let stored = match found.filter(|(header, _)| fits(header)) {
            Some((header, extra)) => {
                let payload = read_payload(file, place.at, &header).map_err(&failed)?;
                record::batch(&header, &extra, payload).ok()
            }
            None => None,
        };
        let Some(batch) = stored else {
            exported.damaged += u64::from(place.count);
            continue;
        };
        each(view.recovered.appliance, BatchNumber(number), &batch)?;
        exported.batches += 1;
        exported.events += u64::from(batch.count());
    }
    Ok(exported)
}

fn known(wanted: &Wanted, state: &State) -> Result<(), ToolError> {
    match &wanted.output {
        Some(id) if !state.outputs.contains_key(id) => {
            let known: Vec<&str> = state.outputs.keys().map(OutputId::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(ToolError::NoOutput { id: id.to_string(), known })
        }
        _ => Ok(()),
    }
}

fn is_wanted(wanted: &Wanted, state: &State, number: u64, place: &Place) -> bool {
    let waits = match &wanted.output {
        Some(id) => state.outputs.get(id).is_none_or(|position| !position.done.contains(number)),
        None => !state.delivered(number),
    };
    (wanted.all || waits) && wanted.source.as_ref().is_none_or(|source| *source == place.source)
}
