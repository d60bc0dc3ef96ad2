//! AMQP 0-9-1 as far as a consumer of one queue needs it: frames, the methods of connection, channel, queue and basic, both
//! directions.
//!
//! In: bytes of a broker. Out: [`Event`]s, and the bytes of what is answered. Incomplete bytes are no error. Everything is
//! bounded: a frame by what was agreed, a message by its reader.
//!
//! Facts: AMQP 0-9-1 specification (amqp.org, November 2008) 2.3 and 4.2 (frames, types), and its XML with the numbers of
//! classes and methods; RabbitMQ, "AMQP 0-9-1 errata" (types of tables), "Consumer Cancel Notification", "Authentication failure
//! notification" (the two capabilities).
//!
//! Not supported: publishing, transactions, message fields (skipped), several channels.
//!
//! Decision: not lapin. It takes no stream but that of its runtime trait, which would have to be written around our TLS and
//! proxy; it runs tasks of its own, and brings 13 crates for the dozen methods that a consumer needs.

mod bytes;
mod frame;
mod method;
#[cfg(test)]
mod tests;

pub use frame::{Event, FRAME_END, HEARTBEAT, PROTOCOL, decode};
pub use method::{Request, Tune};

/// Why bytes can never become a frame; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The broker answers with its own protocol header: it speaks another version.
    #[error("the broker speaks another version of AMQP")]
    Version,
    /// These bytes are something else, such as HTTP.
    #[error("what answers is no AMQP broker")]
    NotAmqp,
    /// A frame is longer than what was agreed.
    #[error("a frame of {0} bytes is longer than was agreed")]
    TooLong(u32),
    /// A frame does not end where it says.
    #[error("a frame does not end where it says")]
    NoEnd,
    /// A method's arguments do not fit its frame.
    #[error("the arguments of method {0}.{1} do not fit")]
    Arguments(u16, u16),
    /// A content header does not fit its frame.
    #[error("a content header does not fit")]
    Header,
}
