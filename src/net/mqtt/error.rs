//! Why there is no connection to a broker, in words that say what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Broker, Reason};
use crate::net::{DialError, Endpoint};

/// Why there is no connection, or no more. Every one may pass by itself or once a person has acted: try again after a
/// backoff. [`MqttError::what`] and [`MqttError::todo`] give what failed and what to do apart, for a health line.
#[derive(Debug)]
pub enum MqttError {
    /// The broker could not be reached, or the connection broke.
    Dial(DialError),
    /// The file with the password cannot be read.
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The broker does not let us in.
    Refused {
        /// Who refuses, and who we said we are.
        broker: Box<Broker>,
        /// Why.
        reason: Reason,
    },
    /// The broker ended the connection and said why.
    Left {
        /// Who, and who we are there.
        broker: Box<Broker>,
        /// Why.
        reason: Reason,
    },
    /// The broker ended the connection without a word.
    Closed {
        /// Who.
        broker: Endpoint,
        /// Whether that was its answer to our greeting.
        greeted: bool,
    },
    /// The broker acknowledges nothing.
    NoAcknowledgements {
        /// Who.
        broker: Endpoint,
    },
    /// The broker does not speak as MQTT 5 has it.
    Misunderstood {
        /// Who.
        broker: Endpoint,
        /// What it sent.
        what: String,
    },
    /// The broker does not answer.
    Silent {
        /// Who.
        broker: Endpoint,
        /// For how long.
        after: Duration,
    },
}

impl MqttError {
    pub(super) fn misunderstood(broker: &Endpoint, what: impl Into<String>) -> Self {
        Self::Misunderstood { broker: broker.clone(), what: what.into() }
    }

    /// Whether the broker was reached and it is TLS, or the certificates, that failed.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Dial(error) if error.is_tls())
    }

    /// Whether it is a name or a password that was refused, or is missing.
    #[must_use]
    pub fn is_login(&self) -> bool {
        match self {
            Self::Dial(error) => error.is_login(),
            Self::Password { .. } => true,
            Self::Refused { reason, .. } | Self::Left { reason, .. } => reason.is_login(),
            _ => false,
        }
    }

    /// Whether the broker was reached and the two do not understand each other.
    #[must_use]
    pub fn is_protocol(&self) -> bool {
        match self {
            Self::Misunderstood { .. } | Self::NoAcknowledgements { .. } => true,
            Self::Refused { reason, .. } | Self::Left { reason, .. } => !reason.is_login() && !reason.is_passing(),
            _ => false,
        }
    }

    /// What failed.
    #[must_use]
    pub fn what(&self) -> String {
        self.words().0
    }

    /// What a person should do.
    #[must_use]
    pub fn todo(&self) -> String {
        self.words().1
    }

    fn words(&self) -> (String, String) {
        match self {
            Self::Dial(error) => (error.what(), error.todo()),
            Self::Password { path, source } => (
                format!("cannot read the password file {} ({source})", path.display()),
                "check the path and that the program may read it".into(),
            ),
            Self::Refused { broker, reason } => refused(broker, *reason),
            Self::Left { broker, reason } => (
                format!("{} ended the connection because {}", broker.dialer.endpoint, reason.words()),
                reason.todo(broker.user.as_deref(), &broker.client_id),
            ),
            Self::Closed { broker, greeted: false } => (
                format!("{broker} closed the connection without an answer"),
                "check that this port is an MQTT broker's and that the broker speaks MQTT 5".into(),
            ),
            Self::Closed { broker, greeted: true } => {
                (format!("{broker} closed the connection"), "check that the broker is running; look at its log".into())
            }
            Self::NoAcknowledgements { broker } => (
                format!("{broker} does not take QoS 1, so nothing would be acknowledged"),
                "let the broker take QoS 1".into(),
            ),
            Self::Misunderstood { broker, what } => (
                format!("{broker} broke the MQTT 5 protocol: {what}"),
                "check that this port is an MQTT broker's and that nothing in between alters the connection".into(),
            ),
            Self::Silent { broker, after } => (
                format!("{broker} takes the connection but has not answered for {after:?}"),
                "check the broker and the network to it, and that this port is an MQTT broker's".into(),
            ),
        }
    }
}

/// Brokers say "not authorized" for a wrong password too (Mosquitto 2.0), so that nobody can find out names.
fn refused(broker: &Broker, reason: Reason) -> (String, String) {
    let endpoint = &broker.dialer.endpoint;
    let what = match &broker.user {
        Some(user) if reason.is_login() => {
            format!("{endpoint} does not let user {user:?} in: user or password are wrong, or not authorized")
        }
        None if reason.is_login() => format!("{endpoint} does not let us in without a user"),
        _ => format!("{endpoint} does not let us in because {}", reason.words()),
    };
    (what, reason.todo(broker.user.as_deref(), &broker.client_id))
}

impl From<DialError> for MqttError {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

impl std::fmt::Display for MqttError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, todo) = self.words();
        write!(f, "{what}; {todo}")
    }
}

impl std::error::Error for MqttError {}
