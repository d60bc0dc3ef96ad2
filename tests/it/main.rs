//! One binary for all integration tests; a module per story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it passed over"
)]

/// Cisco Secure Endpoint (AMP), with a real RabbitMQ.
mod amp;
/// pylogbeat and timbersnake.
mod beats;
/// Bad settings files through the real program.
mod config;
/// The screen, in a terminal.
mod console;
/// Asking the running program.
mod control;
/// Many senders at once.
mod crowd;
/// What is read from CrowdStrike Falcon.
mod crowdstrike;
/// The demo, as a person runs it.
mod demo;
/// The policy on other people's code.
mod dependencies;
/// What is pulled from Duo.
mod duo;
/// What lasts.
mod endure;
/// Azure Event Hubs, against a double that Microsoft's client speaks to as well.
mod event_hubs;
/// What is read from CrowdStrike's Falcon Data Replicator.
mod falcon_replicator;
/// The file output.
mod file_output;
/// The channel to the fleet's operator.
mod fleet;
/// The box's certificate for the fleet.
mod fleet_enrolment;
/// The import rule of the house.
mod floors;
/// From a sender to the gateway's hands, through real programs.
mod flow;
mod fuzz;
/// Gateways that misbehave.
mod gateways;
/// The HTTP client.
mod http;
/// The bounds that the settings draw.
mod limits;
/// Our Lumberjack output against scripted gateways.
mod lumberjack_output;
/// Our Lumberjack source against scripted agents.
mod lumberjack_source;
/// The units on a real service manager.
mod machine;
/// What is pulled from Microsoft's clouds.
mod microsoft;
/// The MQTT output.
mod mqtt_output;
/// Drops and gaps become events.
mod notices;
/// The page, as curl and a browser use it.
mod page;
/// Far ends.
mod peers;
/// A full queue.
mod pressure;
/// tinyproxy on the way out.
mod proxy;
/// A day without a fault, and no alarm.
mod quiet_day;
/// Our Lumberjack output against our Lumberjack source.
mod relay;
/// SIGHUP.
mod reload;
/// Killed and stopped under load.
mod restart;
/// A source or an output on its own.
mod rig;
/// Settings with a way back.
mod settings;
/// Signals, the service manager, sockets that were handed over.
mod shutdown;
/// Files pushed over SSH, by the real clients.
mod ssh;
/// The syslog output.
mod syslog_output;
/// logger, rsyslog, loggen and openssl as senders.
mod syslog_peers;
/// rsyslog as receiver of our syslog output.
mod syslog_receiver;
/// sslyze on our listeners, and the rules for client certificates.
mod tls;
/// The tools for the queue and the ledger.
mod tools;
/// Cisco Umbrella's logs in S3.
mod umbrella;
/// The units as files.
mod units;
/// Updates, with the real RAUC.
mod update;
