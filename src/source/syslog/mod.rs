//! Syslog over UDP, TCP and TLS, from any number of listeners.
//!
//! In: datagrams and connections. Out: batches of messages as they came, without their framing. Floor 3 with `source/`.
//! Nothing is parsed here, so that a burst is taken at socket speed.
//!
//! Invariants: a TCP or TLS sender is held back, never dropped: all connections fill one collector, and whoever fills it waits
//! for the queue while the others wait for the collector, so memory is bounded by it and by the connections' read buffers. A
//! UDP sender cannot be held back: what does not fit is counted by reason. Each listener is tried again by itself, so one
//! address that cannot be bound takes no other down.
//!
//! Facts: RFC 5426 section 3.1 (one message is one datagram); RFC 6587, RFC 5425 (streams, `wire::framing`). No transport of
//! syslog acknowledges, so nobody is told and the ticket of a batch is dropped.
//!
//! Not supported: DTLS (RFC 6012), because no sender in the field was seen to speak it; RELP.

mod account;
mod collector;
mod listeners;
mod settings;
mod stream;
mod udp;

pub(super) use form::FORM;
pub(super) use listeners::run;
pub use settings::Config;

mod form;
#[cfg(test)]
mod tests;
