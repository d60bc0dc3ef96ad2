//! Formats: bytes in, frames or messages out, and back. No sockets, no clock, no allocation where a borrow will do.
//!
//! Floor 1. What a peer sends decides nothing here but the result: "not all there yet" is no error, arbitrary bytes
//! never panic, and no input makes the work grow faster than its length. What can never become a frame is an error that
//! names the rule it broke; the caller counts it and ends the connection.

pub mod amqp091;
pub mod azure;
pub mod framing;
pub mod kv;
pub mod lumberjack;
pub mod syslog;
