//! Numbers that only grow, and a few that go up and down. Lock-free to write, one place that lists them all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal, $help:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $type { $(#[doc = $help] $variant,)* }

        impl $type {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in metrics and JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

names! {
    /// A number that only grows while the program runs.
    Count {
        ReceivedEvents = "received_events", "Events taken from a sender.";
        ReceivedBytes = "received_bytes", "Bytes of those events, without transport framing.";
        SettledEvents = "settled_events", "Events that are durable or delivered.";
        DeliveredEvents = "delivered_events", "Events the far end acknowledged, or took where it cannot acknowledge.";
        DeliveredBytes = "delivered_bytes", "Bytes of those events.";
        SentBytes = "sent_bytes", "Bytes written to the network or file, after encoding and compression.";
        RepeatedEvents = "repeated_events", "Events sent once more because their acknowledgement never came.";
        CutEvents = "cut_events", "Events longer than the limit, kept up to it and marked.";
        UnparsedEvents = "unparsed_events", "Events whose header could not be parsed; forwarded whole and marked.";
        Connections = "connections", "Connections accepted or made.";
        RefusedConnections = "refused_connections", "Connections refused: not allowed, over the limit, or no valid certificate.";
        BrokenConnections = "broken_connections", "Connections ended by an error of the peer or the network.";
        ProtocolErrors = "protocol_errors", "Bytes that broke the protocol; each cost one connection at most.";
        Restarts = "restarts", "Times the component was started again after an error.";
        StoredBytes = "stored_bytes", "Bytes written to the disk by the queue, all records together.";
        StoredRawBytes = "stored_raw_bytes", "Event bytes in those records before compression.";
        Syncs = "syncs", "Times the queue made its writes durable.";
        SparedBatches = "spared_batches", "Batches that were delivered before they had to be written.";
        DamagedRecords = "damaged_records", "Stored records that failed their checks and were set aside.";
        DiskErrors = "disk_errors", "Disk operations that failed.";
        Requests = "requests", "Requests to a vendor that were answered.";
        DroppedMessages = "dropped_messages", "Messages to the fleet that found no room while its broker was away.";
        LateObjects = "late_objects", "Objects that only the daily full list found, because look_back is too short for them.";
    }
}

names! {
    /// Why an event was dropped; every drop has one.
    DropReason {
        KernelBuffer = "kernel_buffer", "The kernel's receive buffer was full: datagrams came faster than they were read.";
        QueueFull = "queue_full", "The queue had no room and the sender could not be held back.";
        NotAllowed = "not_allowed", "The sender's address is not in the source's allow list.";
        Unforwardable = "unforwardable", "Every gateway refused this event for good; it was set aside.";
        Damaged = "damaged", "The stored record failed its checks.";
        Expired = "expired", "The vendor no longer had these events when they were asked for: they grew older than it keeps them.";
        Stopping = "stopping", "The box was told to stop and the grace period ended.";
    }
}

names! {
    /// A number that goes up and down.
    Gauge {
        OpenConnections = "open_connections", "Connections open now.";
        QueuedEvents = "queued_events", "Events that wait for this output, or for any where it is the queue's.";
        QueuedBytes = "queued_bytes", "Bytes the queue occupies on the disk.";
        QueuedRawBytes = "queued_raw_bytes", "Event bytes that wait, before compression.";
        QueueLimitBytes = "queue_limit_bytes", "Bytes the queue may occupy on the disk.";
        OldestSeconds = "oldest_seconds", "Age of the oldest event that waits.";
        MemoryBytes = "memory_bytes", "Event bytes the queue holds in memory.";
        Segments = "segments", "Segment files of the queue.";
        UnackedEvents = "unacked_events", "Events sent whose acknowledgement has not come.";
        OpenFeeds = "open_feeds", "Partitions that are read now, each counted once for every consumer group.";
        BehindEvents = "behind_events", "Events that the vendor holds and this source has not read yet.";
        ReceiveBufferBytes = "receive_buffer_bytes", "The kernel's receive buffer of all UDP sockets of this source.";
        Devices = "devices", "Devices that sent something since the program started, and were not forgotten.";
        SilentDevices = "silent_devices", "Those of them that have sent nothing for silent_after.";
        LagSeconds = "lag_seconds", "How far the feed that is furthest behind is from the present.";
        KeptMessages = "kept_messages", "Messages to the fleet that wait for its broker.";
        Unclaimed = "unclaimed", "1 while nobody has claimed the box on its page.";
        Installing = "installing", "1 while an update is being installed: the power must stay on.";
        Stick = "stick", "What became of the enrolment file on a USB stick: 1 it is being read, 2 taken, 3 not taken.";
    }
}

/// The numbers of one component.
#[derive(Debug, Default)]
pub struct Counters {
    counts: [AtomicU64; Count::ALL.len()],
    dropped: [AtomicU64; DropReason::ALL.len()],
    gauges: [AtomicU64; Gauge::ALL.len()],
}

impl Counters {
    /// Adds to a counter.
    pub fn add(&self, count: Count, by: u64) {
        if let Some(cell) = self.counts.get(count as usize) {
            cell.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Counts dropped events.
    pub fn drop_events(&self, reason: DropReason, by: u64) {
        if let Some(cell) = self.dropped.get(reason as usize) {
            cell.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Sets a gauge.
    pub fn set(&self, gauge: Gauge, value: u64) {
        if let Some(cell) = self.gauges.get(gauge as usize) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// Moves a gauge up.
    pub fn raise(&self, gauge: Gauge, by: u64) {
        if let Some(cell) = self.gauges.get(gauge as usize) {
            cell.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Moves a gauge down; it stops at zero.
    pub fn lower(&self, gauge: Gauge, by: u64) {
        if let Some(cell) = self.gauges.get(gauge as usize) {
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(by)));
        }
    }

    /// A counter's value.
    #[must_use]
    pub fn count(&self, count: Count) -> u64 {
        self.counts.get(count as usize).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// A gauge's value.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges.get(gauge as usize).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    pub(super) fn counts(&self) -> BTreeMap<Count, u64> {
        read(Count::ALL, &self.counts)
    }

    pub(super) fn dropped(&self) -> BTreeMap<DropReason, u64> {
        read(DropReason::ALL, &self.dropped)
    }

    pub(super) fn gauges(&self) -> BTreeMap<Gauge, u64> {
        read(Gauge::ALL, &self.gauges)
    }
}

fn read<N: Copy + Ord>(names: &[N], cells: &[AtomicU64]) -> BTreeMap<N, u64> {
    let values = names.iter().zip(cells).map(|(name, cell)| (*name, cell.load(Ordering::Relaxed)));
    values.filter(|(_, value)| *value > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_name_is_the_metric_name() {
        for count in Count::ALL {
            assert_eq!(serde_json::to_string(count).unwrap(), format!("{:?}", count.as_str()));
        }
        for reason in DropReason::ALL {
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("{:?}", reason.as_str()));
        }
        for gauge in Gauge::ALL {
            assert_eq!(serde_json::to_string(gauge).unwrap(), format!("{:?}", gauge.as_str()));
        }
    }
}
