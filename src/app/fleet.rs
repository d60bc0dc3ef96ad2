//! What the channel to the fleet asks of the box.

use std::io;
use std::path::PathBuf;

use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::answers::Answers;
use crate::clock::Clock;
use crate::control::{self, Answer, Handler as _};
use crate::fleet::Neighbours;
use crate::status::Snapshot;
use crate::support::{self, Facts};
use crate::update;
use crate::web::page;

/// The box, as the channel sees it.
#[derive(Debug)]
pub(super) struct Neighbourhood {
    pub(super) answers: Answers,
    /// The settings file; none where the program is another one's guest.
    pub(super) file: Option<PathBuf>,
    pub(super) state_dir: PathBuf,
}

impl Neighbours for Neighbourhood {
    fn name(&self) -> String {
        self.answers.name.borrow().to_string()
    }

    fn snapshot(&self) -> Snapshot {
        self.answers.board.snapshot()
    }

    fn ledger(&self) -> Result<Box<RawValue>, String> {
        self.answers.ledger()
    }

    fn updates(&self) -> update::Status {
        self.answers.updates.status()
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::to_value(&**self.answers.config.borrow()).unwrap_or_default()
    }

    async fn update(&self, wish: control::Update) -> Answer {
        let (to, mut from) = mpsc::channel(1);
        // What is wished for is taken or refused at once: there is no progress to be told.
        self.answers.update(wish, to).await;
        from.recv()
            .await
            .unwrap_or_else(|| Answer::Refused("updates are starting anew; ask again in a moment".to_owned()))
    }

    async fn change(&self, wish: control::Settings) -> Answer {
        self.answers.settings(wish).await
    }

    async fn restart_source(&self, source: String, by: String) -> Answer {
        self.answers.restart_source(source, by).await
    }

    async fn support_bundle(&self, most: usize) -> Result<Vec<u8>, String> {
        let settings = self.file.clone().ok_or("this box has no settings file")?;
        let json = |result: Result<String, serde_json::Error>| result.map_err(|error| error.to_string());
        let state_dir = self.state_dir.clone();
        let facts = Facts {
            at: Clock::System.now(),
            settings,
            state_dir: state_dir.clone(),
            status: json(serde_json::to_string_pretty(&self.snapshot())),
            ledger: self.ledger().map(|ledger| ledger.get().to_owned()),
            updates: json(serde_json::to_string_pretty(&self.updates())),
            log: Ok(self.answers.log.text()),
            audit: String::new(),
            secrets: Vec::new(),
        };
        let work = tokio::task::spawn_blocking(move || {
            let (audit, secrets) = page::audit_for_support(&state_dir);
            let mut bytes = Vec::new();
            support::write(&Facts { audit, secrets, ..facts }, &mut bytes).map(|()| bytes)
        });
        let bytes = work.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let bytes = bytes.map_err(|error| format!("there is no bundle: {error}; look at the disk and its rights"))?;
        if bytes.len() > most {
            return Err(format!("the bundle has {} bytes, and {most} can be sent; fetch it on the page", bytes.len()));
        }
        Ok(bytes)
    }
}
