//! The far ends that our program talks to, each speaking its real protocol over a real socket.

/// A Beats agent that does what the test tells it.
pub mod agent;
/// Certificates of a CA made on the spot.
pub mod certificates;
/// A Lumberjack gateway that does what the test tells it.
pub mod gateway;
/// An HTTP proxy.
pub mod proxy;
