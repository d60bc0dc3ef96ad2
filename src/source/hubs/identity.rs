//! The id of a record: the same whenever and by whichever box it is read.
//!
//! It is made from the kind of source, the namespace and hub, the partition (and the consumer group, where each is to have
//! events of its own), the sequence number, the time the hub took it and the number in the envelope. The time is there
//! because a hub that is made anew under its old name counts from zero again.

use std::fmt::Write as _;

use aws_lc_rs::digest;

/// Makes the ids of one partition.
pub(super) struct Identity(digest::Context);

impl Identity {
    pub(super) fn new(namespace: &str, hub: &str, group: Option<&str>, partition: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        // The service does not tell upper from lower case in names.
        let [hub, group] = [hub, group.unwrap_or_default()].map(str::to_ascii_lowercase);
        for part in ["event_hubs", namespace, &hub, &group, partition] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        Self(context)
    }

    /// The first 128 bits of the sum, in hexadecimal.
    pub(super) fn of(&self, sequence: i64, enqueued: i64, record: u32) -> String {
        let mut context = self.0.clone();
        context.update(&sequence.to_be_bytes());
        context.update(&enqueued.to_be_bytes());
        context.update(&record.to_be_bytes());
        let mut id = String::with_capacity(32);
        for byte in context.finish().as_ref().iter().take(16) {
            // Writing to a string cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_changes_and_never_stands_for_two_records() {
        let id = |namespace: &str, hub, group, partition, sequence, enqueued, record| {
            Identity::new(namespace, hub, group, partition).of(sequence, enqueued, record)
        };
        let one = id("ns", "hub", None, "0", 1, 2, 3);
        // Computed once with sha256sum; a change would send everything again under other ids.
        assert_eq!(one, FIXED);
        assert_eq!(one, id("ns", "HUB", None, "0", 1, 2, 3));
        for other in [
            id("n", "shub", None, "0", 1, 2, 3),
            id("ns", "hub", Some("g"), "0", 1, 2, 3),
            id("ns", "hub", None, "1", 1, 2, 3),
            id("ns", "hub", None, "0", 2, 2, 3),
            id("ns", "hub", None, "0", 1, 3, 3),
            id("ns", "hub", None, "0", 1, 2, 4),
        ] {
            assert_ne!(one, other);
        }
    }

    const FIXED: &str = "f03ba90b5d4c6022a6f998e92dae4450";
}
