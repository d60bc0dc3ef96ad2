//! The `[enrolment]` table: who may enrol this box without logging in.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `[enrolment]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnrolmentConfig {
    /// Whether a USB stick with an enrolment file is heeded.
    pub stick: bool,
    /// PEM file with the Ed25519 public keys, one of which must have signed a stick's file; where there is no such file, a box that
    /// is new takes any.
    pub keys: PathBuf,
}

impl Default for EnrolmentConfig {
    fn default() -> Self {
        Self { stick: true, keys: PathBuf::from("/etc/sapphire-edge/update-keys.pem") }
    }
}

impl EnrolmentConfig {
    /// What is wrong with it, by key.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let wrong = (!self.keys.is_absolute()).then(|| ("keys".to_owned(), "write the path from / on".to_owned()));
        wrong.into_iter().collect()
    }
}
