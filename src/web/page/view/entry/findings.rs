//! What a test found.

use schemars::JsonSchema;
use serde::Serialize;

use crate::form;

/// What a test found.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Findings {
    /// A line for each feed or far end.
    pub findings: Vec<FindingShown>,
}

/// What one feed or far end said.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FindingShown {
    /// Which.
    pub feed: String,
    /// Whether all is well.
    pub is_right: bool,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub todo: String,
}

impl Findings {
    /// As the vendor's room found them.
    #[must_use]
    pub fn of(findings: Vec<form::Finding>) -> Self {
        let shown = |finding: form::Finding| {
            let is_right = finding.fault.is_none();
            let (what, todo) = finding.fault.unwrap_or_default();
            FindingShown { feed: finding.feed, is_right, what, todo }
        };
        Self { findings: findings.into_iter().map(shown).collect() }
    }

    pub(super) fn is_right(&self) -> bool {
        self.findings.iter().all(|finding| finding.is_right)
    }
}
