//! Microsoft's clouds: identity, and the three APIs that are asked.
//!
//! In: what Entra, the Management Activity API, Graph and Defender answer. Out: feeds for the loop of `pull`. Here are only
//! their requests, their pages and their words.
//!
//! Facts: the vendor's pages of 2023 to 2026 (entra-docs, office-365-management-api, microsoft-graph-docs, defender-docs);
//! each file names what it takes from them.

mod account;
mod assertion;
mod cloud;
mod consent;
mod defender;
mod entra_words;
mod filebeat;
mod form;
mod graph;
mod hunting;
mod identity;
mod odata;
mod odata_words;
mod office365;
mod session;

pub use cloud::Cloud;
pub use consent::{Consent, ConsentError};
pub use defender::{Config as DefenderConfig, DefenderFeed};
pub use filebeat::{Imported, import as import_filebeat};
pub(super) use form::{DEFENDER as DEFENDER_FORM, GRAPH as GRAPH_FORM, OFFICE365 as OFFICE365_FORM};
pub use graph::{Config as GraphConfig, GraphFeed};
pub use identity::TokenVersion;
pub use office365::{Config as Office365Config, ContentType};

pub(in crate::source) use account::base;
pub(in crate::source) use defender::{run as run_defender, test as test_defender};
pub(in crate::source) use graph::{run as run_graph, test as test_graph};
pub(in crate::source) use identity::{Credential, Identity};
pub(in crate::source) use office365::{run as run_office365, test as test_office365};
