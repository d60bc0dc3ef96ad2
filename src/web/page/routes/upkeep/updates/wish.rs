//! What administrators do with updates, each with its line in the audit log: the same for forms and for programs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::control::{Answer, Update};
use crate::update::{Status, Upload};
use crate::web::page::Shared;
use crate::web::page::account::Visitor;
use crate::web::page::audit::Deed;
use crate::web::page::multipart::Multipart;
use crate::web::page::view;

/// A look at the manifest takes a round trip or two; what takes longer goes on by itself, and the page shows it.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is refused at once is refused within this; what is not has begun.
pub(in crate::web::page::routes::upkeep) const BEGINS_WITHIN: Duration = Duration::from_secs(2);
/// Who brings a bundle and sends nothing for this long has gone.
const NEXT_WITHIN: Duration = Duration::from_secs(60);
/// How long what comes behind a refusal is passed over.
const LINGER: Duration = Duration::from_secs(60);
/// Progress that waits to be passed over.
const AHEAD: usize = 16;

/// A bundle on its way to us.
pub(super) enum Incoming {
    /// In a form of the page.
    Form(Multipart),
    /// As a program sends it.
    Plain(BodyDataStream),
}

impl Incoming {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Form(form) => form.chunk().await.map_err(|error| error.to_string()),
            Self::Plain(body) => match timeout(NEXT_WITHIN, body.next()).await {
                Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
                Ok(None) => Ok(None),
                _ => Err("the bundle broke off; bring it again".to_owned()),
            },
        }
    }
}

/// What a person does: the word for the audit log, and the words after the person's name.
type Words = (&'static str, String);

impl Shared {
    /// How updates are; after a wish that takes longer, how they are by then.
    pub(in crate::web::page::routes) async fn ask_updates(
        &self,
        wish: Update,
        patience: Duration,
    ) -> Result<Status, String> {
        let is_status = wish == Update::Status;
        let (to, mut answers) = mpsc::channel(AHEAD);
        Arc::clone(&self.context.questions).update(wish, to).await;
        let until = Instant::now() + patience;
        loop {
            match timeout_at(until, answers.recv()).await {
                Ok(Some(Answer::Update(json))) => {
                    let status = serde_json::from_str(json.get());
                    return status.map_err(|error| format!("the status of updates cannot be read: {error}"));
                }
                Ok(Some(Answer::Refused(why))) => return Err(why),
                Ok(Some(_)) => {}
                Ok(None) => return Err("updates cannot be asked for now; try again in a moment".to_owned()),
                Err(_) if is_status => return Err("updates do not answer; see the log".to_owned()),
                Err(_) => break,
            }
        }
        Box::pin(self.ask_updates(Update::Status, PATIENCE)).await
    }

    /// How updates are, as it is shown.
    pub(super) async fn updates(&self) -> Result<view::Updates, String> {
        self.ask_updates(Update::Status, BEGINS_WITHIN).await.map(view::Updates::of)
    }

    /// Does what somebody wants of updates, or begins it.
    async fn update_wish(
        &self,
        from: IpAddr,
        by: &Visitor,
        (action, words): Words,
        (wish, patience): (Update, Duration),
    ) -> Result<view::Updates, String> {
        let result = self.ask_updates(wish, patience).await;
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        let message = format!("{} {words}", by.name);
        self.audit.note(Deed { action, who: by.name.clone(), from, outcome, message }).await;
        result.map(view::Updates::of)
    }

    pub(super) async fn look_for_update(&self, from: IpAddr, by: &Visitor) -> Result<view::Updates, String> {
        let words = ("update_check", "looks for a newer version".to_owned());
        self.update_wish(from, by, words, (Update::Check, PATIENCE)).await
    }

    pub(super) async fn install_offer(
        &self,
        from: IpAddr,
        by: &Visitor,
        reboot: bool,
    ) -> Result<view::Updates, String> {
        let words = ("update_install", "installs the version that is offered".to_owned());
        let wish = Update::Install { from: None, allow_downgrade: false, reboot };
        self.update_wish(from, by, words, (wish, BEGINS_WITHIN)).await
    }

    pub(super) async fn restart_box(&self, from: IpAddr, by: &Visitor) -> Result<view::Updates, String> {
        let words = ("update_restart", "restarts the box into what is installed".to_owned());
        self.update_wish(from, by, words, (Update::Restart, PATIENCE)).await
    }

    pub(super) async fn roll_back(&self, from: IpAddr, by: &Visitor) -> Result<view::Updates, String> {
        let words = ("update_roll_back", "goes back to the version before".to_owned());
        let wish = Update::RollBack { by: by.name.clone() };
        self.update_wish(from, by, words, (wish, PATIENCE)).await
    }

    /// Takes a bundle in, piece by piece, and has it installed.
    pub(super) async fn install_upload(
        &self,
        from: IpAddr,
        by: &Visitor,
        size: Option<u64>,
        mut incoming: Incoming,
    ) -> Result<view::Updates, String> {
        let words = ("update_install", "installs a bundle from their own machine".to_owned());
        match self.bring(size, &mut incoming).await {
            Ok(file) => {
                let wish = Update::Install { from: Some(file), allow_downgrade: false, reboot: false };
                self.update_wish(from, by, words, (wish, BEGINS_WITHIN)).await
            }
            Err(why) => {
                // Who still sends when the connection closes does not see why.
                let _ = timeout(LINGER, async { while let Ok(Some(_)) = incoming.next().await {} }).await;
                let (action, words) = words;
                let message = format!("{} {words}", by.name);
                let outcome = Err(why.clone());
                self.audit.note(Deed { action, who: by.name.clone(), from, outcome, message }).await;
                Err(why)
            }
        }
    }

    /// Writes a bundle down as it comes; where it is.
    async fn bring(&self, size: Option<u64>, incoming: &mut Incoming) -> Result<String, String> {
        let status = self.ask_updates(Update::Status, BEGINS_WITHIN).await?;
        if let Some(why) = status.unavailable {
            return Err(why);
        }
        if status.phase.is_busy() {
            // The one before may be what RAUC reads at this moment.
            return Err(format!("not now: {}", status.phase.words()));
        }
        let Ok(_place) = Arc::clone(&self.upload).try_acquire_owned() else {
            return Err("somebody else is bringing a bundle at this moment; wait until it is here".to_owned());
        };
        let folder = self.context.state_dir.join("update");
        let mut upload = Upload::begin(&folder, size, status.largest).await?;
        while let Some(bytes) = incoming.next().await? {
            upload.write(&bytes).await?;
        }
        upload.finish().await.map(|path| path.display().to_string())
    }
}
