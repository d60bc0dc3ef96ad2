//! Methods: class, number, arguments. Names and numbers are those of the specification's XML.

use super::Malformed;
use super::bytes::{Reader, long, short, text_field, true_field};
use super::frame::{Event, frame};

const CONNECTION: u16 = 10;
const CHANNEL: u16 = 20;
const QUEUE: u16 = 50;
const BASIC: u16 = 60;

/// What is agreed on for a connection; zero means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tune {
    /// Highest channel number.
    pub channels: u16,
    /// Longest frame in bytes.
    pub frame: u32,
    /// Seconds between signs of life; zero means none.
    pub heartbeat: u16,
}

/// What a consumer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// connection.start-ok with PLAIN (RFC 4616): user and password.
    Login {
        /// Such as `1-0123456789abcdef`.
        user: &'a str,
        /// A secret.
        password: &'a str,
    },
    /// connection.tune-ok.
    Tune(Tune),
    /// connection.open: the virtual host.
    Open(&'a str),
    /// channel.open, of channel 1.
    OpenChannel,
    /// basic.qos: so many messages may be unacknowledged.
    Prefetch(u16),
    /// queue.declare, passive and durable: whether the queue is there, and how full.
    Look(&'a str),
    /// basic.consume with acknowledgements: the queue.
    Consume(&'a str),
    /// basic.ack of everything up to this tag.
    AckAll(u64),
    /// channel.flow-ok.
    Flow(bool),
    /// connection.close-ok or channel.close-ok.
    CloseOk {
        /// Whether it is the whole connection that ends.
        connection: bool,
    },
    /// connection.close.
    Close,
}

impl Request<'_> {
    /// Its frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (class, method, arguments) = self.parts();
        let mut payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
        payload.extend_from_slice(&arguments);
        frame(1, u16::from(class != CONNECTION), &payload)
    }

    fn parts(&self) -> (u16, u16, Vec<u8>) {
        let mut to = Vec::new();
        let (class, method) = match self {
            Self::Login { user, password } => {
                long(&mut to, &properties());
                short(&mut to, "PLAIN");
                long(&mut to, &[b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat());
                short(&mut to, "en_US");
                (CONNECTION, 11)
            }
            Self::Tune(tune) => {
                to.extend_from_slice(&tune.channels.to_be_bytes());
                to.extend_from_slice(&tune.frame.to_be_bytes());
                to.extend_from_slice(&tune.heartbeat.to_be_bytes());
                (CONNECTION, 31)
            }
            Self::Open(host) => {
                short(&mut to, host);
                // Two arguments of older versions.
                to.extend_from_slice(&[0, 0]);
                (CONNECTION, 40)
            }
            Self::OpenChannel => {
                to.push(0);
                (CHANNEL, 10)
            }
            Self::Prefetch(messages) => {
                to.extend_from_slice(&0_u32.to_be_bytes());
                to.extend_from_slice(&messages.to_be_bytes());
                to.push(0);
                (BASIC, 10)
            }
            Self::Look(queue) => {
                to.extend_from_slice(&[0, 0]);
                short(&mut to, queue);
                // Bit 0: passive, bit 1: durable.
                to.push(0b11);
                long(&mut to, &[]);
                (QUEUE, 10)
            }
            Self::Consume(queue) => {
                to.extend_from_slice(&[0, 0]);
                short(&mut to, queue);
                // The broker gives the consumer a name; neither no-local, no-ack, exclusive nor no-wait.
                to.extend_from_slice(&[0, 0]);
                long(&mut to, &[]);
                (BASIC, 20)
            }
            Self::AckAll(tag) => {
                to.extend_from_slice(&tag.to_be_bytes());
                // Bit 0: multiple.
                to.push(1);
                (BASIC, 80)
            }
            Self::Flow(active) => {
                to.push(u8::from(*active));
                (CHANNEL, 21)
            }
            Self::CloseOk { connection: true } => (CONNECTION, 51),
            Self::CloseOk { connection: false } => (CHANNEL, 41),
            Self::Close => {
                to.extend_from_slice(&200_u16.to_be_bytes());
                short(&mut to, "done");
                to.extend_from_slice(&[0; 4]);
                (CONNECTION, 50)
            }
        };
        (class, method, to)
    }
}

/// What the client is, and that it wants to be told why a login fails and that a queue went away.
fn properties() -> Vec<u8> {
    let (mut all, mut capabilities) = (Vec::new(), Vec::new());
    text_field(&mut all, "product", "sapphire-edge");
    text_field(&mut all, "version", env!("CARGO_PKG_VERSION"));
    true_field(&mut capabilities, "authentication_failure_close");
    true_field(&mut capabilities, "consumer_cancel_notify");
    short(&mut all, "capabilities");
    all.push(b'F');
    long(&mut all, &capabilities);
    all
}

/// Reads a method.
pub(super) fn read(payload: &[u8], channel: u16) -> Result<Event<'_>, Malformed> {
    let mut reader = Reader(payload);
    let (Some(class), Some(method)) = (reader.u16(), reader.u16()) else { return Err(Malformed::Arguments(0, 0)) };
    event(class, method, channel, reader).ok_or(Malformed::Arguments(class, method))
}

fn event<'a>(class: u16, method: u16, channel: u16, mut reader: Reader<'a>) -> Option<Event<'a>> {
    let event = match (class, method) {
        (CONNECTION, 10) => {
            let (_major, _minor) = (reader.u8()?, reader.u8()?);
            reader.long()?;
            Event::Start { mechanisms: String::from_utf8_lossy(reader.long()?).into_owned() }
        }
        (CONNECTION, 20) => Event::Secure,
        (CONNECTION, 30) => {
            Event::Tune(Tune { channels: reader.u16()?, frame: reader.u32()?, heartbeat: reader.u16()? })
        }
        (CONNECTION, 41) => Event::Opened,
        (CHANNEL, 11) => Event::ChannelOpened,
        (CHANNEL, 20) => Event::Flow(reader.u8()? & 1 == 1),
        (CONNECTION, 50) | (CHANNEL, 40) => {
            Event::Close { connection: channel == 0, code: reader.u16()?, text: reader.short()? }
        }
        (QUEUE, 11) => {
            reader.short()?;
            Event::Declared { messages: reader.u32()?, consumers: reader.u32()? }
        }
        (BASIC, 11) => Event::Limited,
        (BASIC, 21) => Event::Consuming,
        (BASIC, 30) => Event::Cancelled,
        (BASIC, 60) => {
            reader.short()?;
            Event::Deliver { tag: reader.u64()?, redelivered: reader.u8()? & 1 == 1 }
        }
        _ => Event::Other,
    };
    Some(event)
}
