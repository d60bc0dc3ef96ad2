//! A source that somebody has stopped and started again: what comes from its devices meanwhile waits in its sockets.

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::life::{Life, beating};
use super::parts::source_key;
use crate::event::Notice;

/// Wishes that wait.
const WAITING: usize = 2;

/// A wish and who waits for the answer.
#[derive(Debug)]
pub(super) struct Ask {
    source: String,
    by: String,
    to: oneshot::Sender<Result<(), String>>,
}

/// The door for whoever wants it.
#[derive(Clone, Debug)]
pub(super) struct Door(mpsc::Sender<Ask>);

/// The other side of the door.
#[derive(Debug)]
pub(super) struct Agains(mpsc::Receiver<Ask>);

/// A door and its other side.
pub(super) fn door() -> (Door, Agains) {
    let (to, asks) = mpsc::channel(WAITING);
    (Door(to), Agains(asks))
}

impl Door {
    /// Asks and waits until it was started; an error says why it was not.
    pub(super) async fn ask(&self, source: String, by: String) -> Result<(), String> {
        let (to, answer) = oneshot::channel();
        let busy = "others restart sources at this moment; try again in a few seconds";
        self.0.try_send(Ask { source, by, to }).map_err(|_| busy.to_owned())?;
        answer.await.unwrap_or_else(|_| Err("the program is stopping".to_owned()))
    }
}

impl Agains {
    /// The next wish.
    ///
    /// # Cancel safety
    /// Safe: none is lost.
    pub(super) async fn next(&mut self) -> Ask {
        match self.0.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }
}

impl Life {
    /// Does it, and tells of it.
    pub(super) async fn restart_source(&mut self, ask: Ask) {
        let Ask { source, by, to } = ask;
        let done = self.try_restart(&source).await;
        let message = match &done {
            Ok(()) => format!("{by} restarts the source {source}"),
            Err(why) => format!("{by} wants the source {source} restarted: {why}"),
        };
        let facts = [("user", by), ("source", source)];
        self.parts.teller().tell(Notice::new("source_restarted", done.is_ok(), message, &facts));
        // Whoever asked may be gone.
        let _ = to.send(done);
    }

    async fn try_restart(&mut self, id: &str) -> Result<(), String> {
        let Some(source) = self.config.source.iter().find(|source| source.id().as_str() == id).cloned() else {
            let ids: Vec<&str> = self.config.source.iter().map(|source| source.id().as_str()).collect();
            return Err(format!("there is no source {id:?}; the sources are: {}", ids.join(", ")));
        };
        if !source.enabled() {
            return Err("it is paused; set enabled = true instead".to_owned());
        }
        let (key, pulse) = (source_key(&source), self.pulse.clone());
        let deadline = Instant::now() + self.config.grace.0;
        for key in beating(&pulse, self.supervisor.stop(|other| *other == key, deadline)).await {
            tracing::warn!(component = %key, "did not stop within the grace period and was cut off");
        }
        self.parts.start_source(&mut self.supervisor, &source, &self.hearth);
        self.settling = true;
        Ok(())
    }
}
