//! The connection to the broker: there, on its way, or waited for.

use std::fmt;
use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

use super::trouble::Trouble;
use crate::net::mqtt::{Connection, Event, MqttError};
use crate::status::{Cause, Health};

type Dialling = Pin<Box<dyn Future<Output = Result<Connection, MqttError>> + Send>>;

/// The connection.
pub(super) enum Link {
    /// There is none; the next try is then.
    Down(Instant),
    /// It is being made.
    Dialling(Dialling),
    /// It is there.
    Up(Box<Connection>),
}

/// What happened with it.
#[derive(Debug)]
pub(super) enum Happened {
    /// It is time for the next try.
    TryNow,
    /// A try came to an end; the link has to be told what follows.
    Dialled(Result<Box<Connection>, MqttError>),
    /// The broker said something, or has gone.
    Heard(Result<Event, MqttError>),
}

impl Link {
    /// Waits until something happens.
    ///
    /// # Cancel safety
    /// Safe: whatever was begun goes on with the next call.
    pub(super) async fn next(&mut self) -> Happened {
        match self {
            Self::Down(until) => {
                sleep_until(*until).await;
                Happened::TryNow
            }
            Self::Dialling(dialling) => Happened::Dialled(dialling.await.map(Box::new)),
            Self::Up(connection) => Happened::Heard(connection.next().await),
        }
    }

    pub(super) fn up(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Up(connection) => Some(connection),
            _ => None,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down(_) => "Down",
            Self::Dialling(_) => "Dialling",
            Self::Up(_) => "Up",
        })
    }
}

impl Trouble {
    pub(super) fn of(error: &MqttError) -> Self {
        let cause = match error {
            error if error.is_tls() => Cause::Tls,
            error if error.is_login() => Cause::Login,
            error if error.is_protocol() => Cause::Protocol,
            _ => Cause::Unreachable,
        };
        Self::new(error.what(), error.todo()).because(cause)
    }

    /// Whoever stands before the box must not think that it is broken.
    pub(super) fn health(&self) -> Health {
        let what = format!("the fleet's operator does not see this box: {}; its own work goes on", self.what);
        Health::degraded(what, self.todo.clone()).because(self.cause)
    }
}
