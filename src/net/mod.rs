//! Sockets: what is listened on, who may connect, TLS on both sides, dialling out, and the waits between tries.
//!
//! In: addresses and settings. Out: streams and datagrams, with the peer's verified name. Floor 1. Everything is bounded:
//! connections by a permit taken before accept, handshakes and connects by time. Sockets outlive the source that reads
//! them ([`Sockets`]), so that a restart loses no datagram. Only `tls/` builds rustls configurations.
//!
//! Facts: a socket bound to `[::]` is IPv6 only here, so that `0.0.0.0` and `[::]` can stand side by side in the settings.

mod allow;
mod backoff;
mod dial;
mod dial_error;
#[cfg(test)]
mod dial_tests;
mod doorman;
mod fdstore;
pub mod http;
mod inherited;
mod listen;
pub mod mqtt;
mod outward;
mod proxy;
mod seldom;
mod serve;
mod sockets;
mod stream;
pub mod tls;
mod udp;
mod unsent;

pub use allow::Allow;
pub use backoff::Backoff;
pub use dial::{Dialer, Endpoint};
pub use dial_error::DialError;
pub use doorman::Doorman;
pub use listen::{Listen, SocketName};
pub use outward::outward;
pub use proxy::Proxy;
pub use seldom::Seldom;
pub use serve::{Limits, Tally, serve};
pub use sockets::Sockets;
pub use stream::Stream;
pub use udp::{Datagram, DatagramSocket, Receiver, pause};
