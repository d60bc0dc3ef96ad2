//! One TCP or TLS connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::collector::{Collector, TakeError};
use crate::event::Origin;
use crate::net::{Seldom, Stream};
use crate::source::silence::Noted;
use crate::status::{Count, Handle};
use crate::wire::framing::{Decoder, Framing};

/// A line without its line feed is given out after this much silence: for Cisco IOS, which sends none (observed in rsyslog's
/// and AxoSyslog's advice; both wait as long).
const UNFINISHED_LINE: Duration = Duration::from_secs(30);
/// When we stop: how long what is still on its way is read, and how long a silence ends that early. The peer is told first
/// (FIN), so one that looks sends nothing more.
const LAST_READS: Duration = Duration::from_secs(1);
const LAST_SILENCE: Duration = Duration::from_millis(100);

/// What all connections of a source share.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) collector: Arc<Collector>,
    pub(super) framing: Framing,
    pub(super) max_message: usize,
    pub(super) idle_timeout: Duration,
    pub(super) stop: CancellationToken,
    pub(super) status: Handle,
    pub(super) wrong_counts: Seldom,
}

impl Connections {
    /// Takes the messages of a connection until either end closes it.
    pub(super) async fn serve(self: Arc<Self>, mut stream: Stream) {
        let origin = stream.origin();
        let mut decoder = Decoder::new(self.framing, self.max_message);
        if let Err(error) = self.read(&mut stream, &mut decoder, &origin).await {
            let counters = self.status.counters();
            match &error {
                End::Broken(error) => {
                    tracing::debug!(peer = %stream.peer(), %error, "connection broke");
                    counters.add(Count::BrokenConnections, 1);
                }
                End::Taking(TakeError::Framing(error)) => {
                    if let Some(left_out) = self.wrong_counts.due() {
                        tracing::info!(peer = %stream.peer(), %error, left_out, "connection closed");
                    }
                    counters.add(Count::ProtocolErrors, 1);
                    return;
                }
                End::Taking(TakeError::Closed) => return,
            }
        }
        if let Some(frame) = decoder.finish() {
            // The queue closes only when the box stops; then the event is counted as dropped.
            let _ = self.collector.take_one(frame, &origin).await;
        }
    }

    async fn read(&self, stream: &mut Stream, decoder: &mut Decoder, origin: &Origin) -> Result<(), End> {
        let (mut silent_since, mut noted) = (Instant::now(), Noted::new(origin));
        loop {
            let wait = if decoder.is_unfinished() { UNFINISHED_LINE.min(self.idle_timeout) } else { self.idle_timeout };
            let read = tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.read_last(stream, decoder, origin).await,
                read = timeout(wait, stream.read(decoder.space())) => read,
            };
            match read {
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(count)) => {
                    decoder.filled(count);
                    noted.heard(&self.status);
                    self.collector.take(decoder, origin).await?;
                    silent_since = Instant::now();
                }
                Ok(Err(error)) => return Err(End::Broken(error)),
                Err(_) if silent_since.elapsed() >= self.idle_timeout => return close(stream).await,
                Err(_) => {
                    if let Some(frame) = decoder.idle() {
                        self.collector.take_one(frame, origin).await?;
                    }
                }
            }
        }
    }

    /// Tells the peer that we stop, then takes what is still on its way.
    async fn read_last(&self, stream: &mut Stream, decoder: &mut Decoder, origin: &Origin) -> Result<(), End> {
        let until = Instant::now() + LAST_READS;
        // A peer that does not read must not hold us; what it sends may still come.
        let _ = timeout(LAST_SILENCE, stream.shutdown()).await;
        while let Ok(Ok(count @ 1..)) =
            timeout_at(until.min(Instant::now() + LAST_SILENCE), stream.read(decoder.space())).await
        {
            decoder.filled(count);
            self.collector.take(decoder, origin).await?;
        }
        Ok(())
    }
}

/// Closes a connection that was silent for too long; the peer's reaction no longer matters.
async fn close(stream: &mut Stream) -> Result<(), End> {
    tracing::debug!(peer = %stream.peer(), "connection was silent for too long");
    let _ = timeout(LAST_SILENCE, stream.shutdown()).await;
    Ok(())
}

enum End {
    Broken(std::io::Error),
    Taking(TakeError),
}

impl From<TakeError> for End {
    fn from(error: TakeError) -> Self {
        Self::Taking(error)
    }
}
