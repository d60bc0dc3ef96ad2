//! Names that never change: of the box, of sources and outputs, of batches, of events.
//!
//! An event's id is fixed at intake and is the same over retries, restarts, failover to another gateway and a change of
//! output. A record that can come twice brings its own id; every other event is named by box, batch number and index.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The `id` of a source in the settings: lower_snake_case, 1 to 64 bytes.
    SourceId
}
name! {
    /// The `id` of an output in the settings: lower_snake_case, 1 to 64 bytes.
    OutputId
}

/// The box's own name inside event ids: random, made when its queue is first opened, kept in every segment.
///
/// A queue that was wiped gets a new one, so batch numbers may start again without an id ever coming twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApplianceId(pub u64);

impl fmt::Display for ApplianceId {
    /// Sixteen lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The number of a batch on this box: from 1 upwards, never used twice, with holes where a range was reserved and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchNumber(pub u64);

impl fmt::Display for BatchNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Writes the ids of one batch's events: `appliance-batch-index`, the last two in lower-case hexadecimal.
#[derive(Debug)]
pub struct EventIdWriter {
    text: String,
    prefix: usize,
}

impl EventIdWriter {
    /// Prepares the part that all events of the batch share.
    #[must_use]
    pub fn new(appliance: ApplianceId, batch: BatchNumber) -> Self {
        let text = format!("{appliance}-{:x}-", batch.0);
        Self { prefix: text.len(), text }
    }

    /// The id of the event at `index` (from 0). An event's `own` id, where it brought one, wins.
    pub fn id<'a>(&'a mut self, index: u32, own: Option<&'a str>) -> &'a str {
        if let Some(own) = own {
            return own;
        }
        self.text.truncate(self.prefix);
        let mut digits = [0u8; 8];
        let mut at = digits.len();
        let mut rest = index;
        loop {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = *b"0123456789abcdef".get((rest & 15) as usize).unwrap_or(&b'0');
            }
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        self.text.push_str(std::str::from_utf8(digits.get(at..).unwrap_or_default()).unwrap_or_default());
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_box_batch_and_index_unless_the_event_brought_its_own() {
        let mut ids = EventIdWriter::new(ApplianceId(0xabc), BatchNumber(255));
        assert_eq!(ids.id(0, None), "0000000000000abc-ff-0");
        assert_eq!(ids.id(4_096, None), "0000000000000abc-ff-1000");
        assert_eq!(ids.id(u32::MAX, None), "0000000000000abc-ff-ffffffff");
        assert_eq!(ids.id(7, Some("mine")), "mine");
        assert_eq!(ids.id(1, None), "0000000000000abc-ff-1");
    }
}
