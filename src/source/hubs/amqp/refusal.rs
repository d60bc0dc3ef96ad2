//! What the library says of an end, as a [`Fault`].

use std::time::Duration;

use fe2o3_amqp::connection::ConnectionStopReason as Stop;
use fe2o3_amqp::link::SessionStopReason as Reason;
use fe2o3_amqp::link::{DetachError, LinkStateError};
use fe2o3_amqp_types::definitions::{Error as Refusal, ErrorCondition};
use fe2o3_amqp_types::primitives::Symbol;
use tokio::time::timeout;

use super::{Doing, Fault};

/// The longest wait for an answer: the service answers in milliseconds, or after its own time-out of 20 s.
const ANSWER: Duration = Duration::from_secs(30);

pub(super) async fn within<T>(doing: Doing, future: impl Future<Output = T>) -> Result<T, Fault> {
    timeout(ANSWER, future).await.map_err(|_| Fault::Silent(doing))
}

pub(super) fn refused(doing: Doing, refusal: &Refusal) -> Fault {
    let condition = match &refusal.condition {
        ErrorCondition::AmqpError(condition) => Symbol::from(condition),
        ErrorCondition::ConnectionError(condition) => Symbol::from(condition),
        ErrorCondition::SessionError(condition) => Symbol::from(condition),
        ErrorCondition::LinkError(condition) => Symbol::from(condition),
        ErrorCondition::Custom(condition) => condition.clone(),
    };
    Fault::Refused { doing, condition: condition.0, description: refusal.description.clone().unwrap_or_default() }
}

pub(super) fn stopped(reason: &Reason) -> Fault {
    match reason {
        Reason::RemoteEndedWithError(refusal) => refused(Doing::Read, refusal),
        Reason::ConnectionStopped(Stop::RemoteClosedWithError(refusal)) => refused(Doing::Connect, refusal),
        other => Fault::Broken(format!("{other:?}")),
    }
}

pub(super) fn link(doing: Doing, error: &LinkStateError) -> Fault {
    match error {
        LinkStateError::RemoteDetachedWithError(refusal) | LinkStateError::RemoteClosedWithError(refusal) => {
            refused(doing, refusal)
        }
        LinkStateError::SessionStopped(reason) => stopped(reason),
        LinkStateError::RemoteDetached | LinkStateError::RemoteClosed => {
            Fault::Refused { doing, condition: "amqp:link:detach-forced".into(), description: error.to_string() }
        }
        other => Fault::Broken(other.to_string()),
    }
}

pub(super) fn detached(doing: Doing, error: &DetachError) -> Fault {
    match error {
        DetachError::RemoteDetachedWithError(refusal) | DetachError::RemoteClosedWithError(refusal) => {
            refused(doing, refusal)
        }
        DetachError::SessionStopped(reason) => stopped(reason),
        other => Fault::Broken(other.to_string()),
    }
}
