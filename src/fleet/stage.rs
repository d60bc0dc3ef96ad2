//! Which boxes take part in a rollout by now: a share of all, always the same ones first.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// Shares are told apart down to a hundredth of a per cent: one box of ten thousand.
const PARTS: u64 = 10_000;

/// A share of all boxes, written in per cent: 0 is nobody, 100 is everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Stage(u16);

impl Stage {
    /// Everybody.
    pub const ALL: Self = Self(10_000);

    /// Whether the box with this id is among them for this version. Who is among a share is among every larger one; another
    /// version begins with other boxes.
    #[must_use]
    pub fn includes(self, id: &str, version: &str) -> bool {
        let sum = digest(&SHA256, format!("{id}\n{version}").as_bytes());
        let first = sum.as_ref().iter().take(8).fold(0, |sum: u64, byte| (sum << 8) | u64::from(*byte));
        first % PARTS < u64::from(self.0)
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::ALL
    }
}

impl TryFrom<f64> for Stage {
    type Error = String;

    fn try_from(percent: f64) -> Result<Self, String> {
        let parts = (percent * 100.0).round();
        if (0.0..=10_000.0).contains(&parts) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range above")]
            return Ok(Self(parts as u16));
        }
        Err(format!("{percent} is no share of all boxes; write 0 to 100"))
    }
}

impl From<Stage> for f64 {
    fn from(stage: Stage) -> Self {
        Self::from(stage.0) / 100.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn stage(percent: f64) -> Stage {
        Stage::try_from(percent).unwrap()
    }

    #[test]
    fn a_share_is_of_that_size_and_the_next_one_holds_it() {
        let ids: Vec<String> = (0..20_000u64).map(|number| format!("{:016x}", number * 0x9e37_79b9)).collect();
        let among = |percent: f64, version: &str| -> BTreeSet<&String> {
            ids.iter().filter(|id| stage(percent).includes(id, version)).collect()
        };
        let mut before = BTreeSet::new();
        for percent in [0.0, 0.1, 1.0, 10.0, 50.0, 100.0] {
            let now = among(percent, "1.2.0");
            let expected = percent * 200.0;
            // Five standard deviations of the binomial distribution.
            let bound = 5.0 * (expected * (1.0 - percent / 100.0)).sqrt();
            let count = f64::from(u32::try_from(now.len()).unwrap());
            assert!((count - expected).abs() <= bound, "{percent} %: {count}");
            assert!(before.is_subset(&now), "{percent} %");
            before = now;
        }
        let (one, other) = (among(1.0, "1.2.0"), among(1.0, "1.3.0"));
        let both = one.intersection(&other).count();
        assert!(both < 20, "another version begins with other boxes: {both} of {}", one.len());
    }

    #[test]
    fn the_choice_never_changes_between_versions_of_the_program() {
        // Computed by hand: printf 'box-7\n1.2.0' | sha256sum, the first 8 bytes modulo 10,000.
        let least = (0..=10_000).find(|parts| Stage(*parts).includes("box-7", "1.2.0")).unwrap();
        assert_eq!(least, 7_158);
    }

    proptest! {
        #[test]
        fn nobody_is_among_none_and_everybody_among_all(id in "[a-z0-9-]{1,64}", version in "[0-9.]{1,12}") {
            prop_assert!(!stage(0.0).includes(&id, &version));
            prop_assert!(stage(100.0).includes(&id, &version) && Stage::ALL == stage(100.0));
        }

        #[test]
        fn what_is_no_share_is_refused(percent in prop_oneof![100.01..1e9, -1e9..-0.01]) {
            prop_assert!(Stage::try_from(percent).is_err());
        }

        #[test]
        fn a_share_is_written_as_it_was_read(parts in 0u16..=10_000) {
            let text = serde_json::to_string(&Stage(parts)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Stage>(&text).unwrap(), Stage(parts));
        }
    }
}
