//! One binary for all integration tests; a module per story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

/// The real program, started and watched.
mod appliance;
/// Bad settings files through the real program.
mod config;
/// Asking the running program.
mod control;
/// The demo, as a person runs it.
mod demo;
/// The policy on other people's code.
mod dependencies;
/// The file output.
mod file_output;
/// The import rule of the house.
mod floors;
/// From a sender to the gateway's hands, through real programs.
mod flow;
/// Our Lumberjack output against scripted gateways.
mod lumberjack_output;
/// Our Lumberjack source against scripted agents.
mod lumberjack_source;
/// Drops and gaps become events.
mod notices;
/// Far ends.
mod peers;
/// Our Lumberjack output against our Lumberjack source.
mod relay;
/// SIGHUP.
mod reload;
/// A source or an output on its own.
mod rig;
/// Signals, the service manager, sockets that were handed over.
mod shutdown;
/// The syslog output.
mod syslog_output;
