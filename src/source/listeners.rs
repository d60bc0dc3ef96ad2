//! What sources that listen do alike: each address is a task that is tried again by itself, and a panic ends them all.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::SourceError;
use super::watch::Watch;
use crate::net::{Backoff, Listen, SocketName};

/// An address that cannot be bound now is tried again after this, and then ever more rarely.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Serves one address, and tries again where that fails, until it ends well or is told to stop.
pub(super) async fn keep<F: Future<Output = Result<(), SourceError>> + Send>(
    watch: &Watch,
    listen: Listen,
    name: &SocketName,
    stop: &CancellationToken,
    serve: impl Fn() -> F + Send,
) {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    while let Err(error) = serve().await {
        tracing::warn!(%listen, %error, todo = error.todo(), "listener does not work");
        watch.failed(name, &error);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
}

/// Waits until all have ended; one that panics stops the others. `done` then ends what only accompanies them, but not in the
/// middle of handing a batch over.
///
/// # Errors
/// When one panicked.
pub(super) async fn all_end(
    mut tasks: JoinSet<()>,
    stop: &CancellationToken,
    done: &CancellationToken,
) -> Result<(), SourceError> {
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            result = Err(SourceError::Panicked);
            stop.cancel();
        }
    }
    done.cancel();
    result
}
