//! One binary for all integration tests; a module per story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

/// The file output.
mod file_output;
/// The import rule of the house.
mod floors;
/// Our Lumberjack output against scripted gateways.
mod lumberjack_output;
/// Our Lumberjack source against scripted agents.
mod lumberjack_source;
/// Far ends.
mod peers;
/// Our Lumberjack output against our Lumberjack source.
mod relay;
/// A source or an output on its own.
mod rig;
/// The syslog output.
mod syslog_output;
