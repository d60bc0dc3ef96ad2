//! The words everyone uses: what an event is, where it came from, what it is called, and the batch that moves.
//!
//! Floor 0. An event is kept as the bytes that arrived (`Record::bytes`) with the facts of its arrival; parsing happens
//! on the way out. Nothing here does I/O or looks at a clock.

mod batch;
mod id;
mod line;
mod notice;
mod origin;

pub use batch::{Batch, BatchBuilder, BatchError, BatchLimits, Record, Records};
pub use id::{ApplianceId, BatchNumber, EventIdWriter, OutputId, SourceId};
pub use line::{Line, LineFormat};
pub use notice::{Notice, Teller};
pub use origin::{Origin, Transport};

use serde::{Deserialize, Serialize};

/// What the bytes of a batch are, and so how they are read on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A syslog message without its transport framing, in whatever dialect the sender speaks.
    Syslog,
    /// A whole JSON object as a Beats agent sent it.
    Beats,
    /// A whole JSON object that this box made about itself (gaps, drops, logins).
    Notice,
    /// A record of a file that a device pushed, with its place before it: see [`Line`].
    Line,
    /// A record of a vendor's API as it stood in the answer, one JSON value; its origin names the feed.
    Pulled,
    /// A record of an Azure event hub: a line that says where it stood (`wire::azure`), then the record as it came.
    EventHub,
}

impl Kind {
    /// The number that stands for this kind on disk. Never reused.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Syslog => 1,
            Self::Beats => 2,
            Self::Notice => 3,
            Self::Pulled => 4,
            Self::Line => 5,
            Self::EventHub => 6,
        }
    }

    /// The kind that a number on disk stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        let all = [Self::Syslog, Self::Beats, Self::Notice, Self::Pulled, Self::Line, Self::EventHub];
        all.into_iter().find(|kind| kind.code() == code)
    }
}

/// A change of a source's position, stored in the same write as the batch that reached it.
///
/// A position can be megabytes (a set of seen ids), so only what changed is carried: keys set or removed, per feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The stream inside the source (a content type, a partition, a folder); unique within its source.
    pub feed: String,
    /// Keys with their new value, or `None` where the key goes away. At most 65,536 of at most 1 MiB together.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}
