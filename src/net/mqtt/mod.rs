//! MQTT 5, the door to rumqttc: a connection to a broker, what is published on it, and what the broker says of it.
//!
//! In: a [`Dialer`] (TLS, proxy), who we are, messages at QoS 1, filters and a last will. Out: for each message, in their order,
//! whether the broker took it or why not; what others published ([`Event`]); and why there is no connection, in words
//! ([`MqttError`]). Bounded: messages in flight in both directions (what either side allows), the size of packets, the time for
//! every answer.
//!
//! rumqttc 0.25 gives the packets and nothing else. Its event loop, which would have to be led to our TLS and our proxy over
//! a Unix socket, is not used. As its source stands, it may lose a request when a poll is cancelled, waits for more behind a
//! DISCONNECT that carries only a reason (section 3.14.2.2.1 allows it), and ends with "invalid return code" on reasons of
//! a PUBACK that it has no name for (Mosquitto 2.0 refuses too large a message with 0x95). So packets are written to and read
//! from our own stream: no socket lies between that somebody else could open, and whatever a hostile broker sends costs its
//! own connection and no more (see `packet`).
//!
//! Facts: MQTT Version 5.0, OASIS Standard, 7 March 2019; sections are named where they are used.
//!
//! Not supported: QoS 2 (an event id tells repeats apart without it); sessions that outlive a connection for what we send
//! (what was not acknowledged is kept by whoever sends, and goes again under another packet identifier; at QoS 1 a receiver keeps
//! nothing that this could disturb, section 4.3.2); topic aliases; MQTT 3.1.1, which cannot refuse a
//! message.

mod connection;
mod error;
mod packet;
mod reason;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Event, Message};
pub use error::MqttError;
pub use packet::Arrived;
pub use reason::Reason;

use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5 as wire;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroize as _;

use self::connection::Granted;
use self::packet::Incoming;
use super::{Dialer, proxy};

/// Largest packet that a broker may send us: acknowledgements with a word or two about them (section 3.1.2.11.4), and where
/// something is subscribed to, a message of a few pages.
pub const MAX_INCOMING: u32 = 64 << 10;
/// Messages that a broker may send us before the first is acknowledged (section 3.1.2.11.3): they come one by one, and are looked at
/// so.
const MAX_UNTAKEN: u16 = 8;

/// How to reach a broker, and who we are there.
#[derive(Clone, Debug)]
pub struct Broker {
    /// The way, through TLS and the site's proxy where there is one. The broker's answer has as much time as the dialling.
    pub dialer: Dialer,
    /// The name of this client. A broker closes the older of two connections with the same one (section 3.1.4).
    pub client_id: String,
    /// The user the broker knows us as; none where a certificate is enough.
    pub user: Option<String>,
    /// The file that holds the password, read at every connection. One line feed at its end is not part of it.
    pub password_file: Option<PathBuf>,
    /// The broker hears from us at least this often; whole seconds, at most 65,535. The broker may demand another.
    pub keep_alive: Duration,
    /// Messages sent before the first must be acknowledged. The broker may allow fewer.
    pub in_flight: u16,
    /// What the broker says in our name when the connection ends without a goodbye (section 3.1.2.5).
    pub will: Option<Will>,
    /// How long the broker keeps our subscriptions, and what comes for them, while we are away (section 3.1.2.11.2); without it
    /// every connection begins with nothing left of an earlier one.
    pub session: Option<Duration>,
}

/// Last words. The broker keeps them for those who come later.
#[derive(Clone, Debug)]
pub struct Will {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: String,
}

impl Broker {
    /// Makes a connection.
    ///
    /// # Errors
    /// What failed, in words, and what to do. Every failure may pass; try again after a backoff.
    ///
    /// # Cancel safety
    /// Dropping it closes what was opened.
    pub async fn connect(&self) -> Result<Connection, MqttError> {
        let hello = self.hello().await?;
        let stream = self.dialer.dial().await?;
        let mut connection = Connection::new(self.clone(), stream, hello);
        let deadline = Instant::now() + self.dialer.connect_timeout;
        let silent = |_| MqttError::Silent { broker: self.dialer.endpoint.clone(), after: self.dialer.connect_timeout };
        let answer = timeout_at(deadline, connection.incoming()).await.map_err(silent)??;
        let Incoming::ConnAck { reason, properties } = answer else {
            return Err(connection.misunderstood("something else than an answer to our greeting"));
        };
        if reason.is_refusal() {
            return Err(MqttError::Refused { broker: Box::new(self.clone()), reason });
        }
        connection.grant(self.granted(properties.as_deref())?);
        Ok(connection)
    }

    /// CONNECT (section 3.1).
    async fn hello(&self) -> Result<BytesMut, MqttError> {
        let mut login = match (&self.user, &self.password_file) {
            (None, None) => None,
            (user, file) => {
                let mut password = String::new();
                if let Some(path) = file {
                    let failed = |source| MqttError::Password { path: path.clone(), source };
                    password.push_str(&proxy::read_password(path).await.map_err(failed)?);
                }
                Some(wire::Login { username: user.clone().unwrap_or_default(), password })
            }
        };
        let mut properties = wire::ConnectProperties::new();
        properties.max_packet_size = Some(MAX_INCOMING);
        properties.receive_maximum = Some(MAX_UNTAKEN);
        properties.session_expiry_interval =
            self.session.map(|session| u32::try_from(session.as_secs()).unwrap_or(u32::MAX));
        let connect = wire::Connect {
            keep_alive: u16::try_from(self.keep_alive.as_secs()).unwrap_or(u16::MAX),
            client_id: self.client_id.clone(),
            clean_start: self.session.is_none(),
            properties: Some(properties),
        };
        let will = self.will.as_ref();
        let will =
            will.map(|will| wire::LastWill::new(&will.topic, will.payload.as_bytes(), QoS::AtLeastOnce, true, None));
        let mut hello = BytesMut::new();
        let written = connect.write(&will, &login, &mut hello);
        if let Some(login) = &mut login {
            login.password.zeroize();
        }
        match written {
            Ok(_) => Ok(hello),
            Err(error) => Err(MqttError::misunderstood(&self.dialer.endpoint, format!("no greeting: {error}"))),
        }
    }

    /// What the broker's answer leaves of what we would like (section 3.2.2.3).
    fn granted(&self, properties: Option<&wire::ConnAckProperties>) -> Result<Granted, MqttError> {
        let mut granted =
            Granted { in_flight: self.in_flight.max(1), packet: usize::MAX, keep_alive: Some(self.keep_alive) };
        let Some(properties) = properties else { return Ok(granted) };
        if properties.max_qos == Some(0) {
            return Err(MqttError::NoAcknowledgements { broker: self.dialer.endpoint.clone() });
        }
        // Zero is a protocol error in both (sections 3.2.2.3.3 and 3.2.2.3.6).
        granted.in_flight = granted.in_flight.min(properties.receive_max.unwrap_or(u16::MAX)).max(1);
        if let Some(most) = properties.max_packet_size {
            granted.packet = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
        }
        if let Some(secs) = properties.server_keep_alive {
            granted.keep_alive = (secs > 0).then(|| Duration::from_secs(secs.into()));
        }
        Ok(granted)
    }
}
