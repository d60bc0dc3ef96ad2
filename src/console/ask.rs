//! What the running program is asked: how the box is, and to do what somebody at the screen wants.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::view::Wish;
use crate::control::{Answer, Client, ControlError, Face, Power, Request, Settings, SettingsNow, SettingsProblem};
use crate::control::{SettingsReply, Update};
use crate::status::Snapshot;
use crate::update;

/// Who asks, in the log and in events.
const BY: &str = "somebody at the screen";
/// The program answers within milliseconds; whoever looks at the screen waits no longer for it.
const LOOK_WITHIN: Duration = Duration::from_millis(1_500);
/// Settings are in use, or taken back, within half a minute; the disk may be slow besides.
const ACT_WITHIN: Duration = Duration::from_secs(60);

/// What the program said.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) snapshot: Snapshot,
    pub(super) face: Face,
    pub(super) update: update::Status,
    /// The settings, where they were wanted.
    pub(super) settings: Option<SettingsNow>,
}

/// Why it said nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody is there.
    Gone,
    /// Somebody is there and does not answer.
    Hangs,
    /// In words.
    Refused(String),
}

/// What came of a wish.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The settings, to begin with.
    Settings(SettingsNow),
    /// They are in use, and have to be confirmed within so many seconds.
    OnTrial(u64),
    /// They are wrong; nothing was changed.
    Wrong(Vec<SettingsProblem>),
    /// There is nothing to change.
    Same,
    /// They are in use.
    InUse,
    /// It is done, or under way.
    Done,
    /// It is not done; why.
    Failed(String),
}

/// Asks how the box is.
pub(super) async fn look(socket: &Path, wants_settings: bool) -> Result<Seen, Silence> {
    let settings = async {
        if !wants_settings {
            return Ok(None);
        }
        now(socket).await.map(Some)
    };
    let all = async {
        tokio::try_join!(
            ask(socket, Request::Status),
            ask(socket, Request::Face),
            ask(socket, Request::Update(Update::Status)),
            settings
        )
    };
    match timeout(LOOK_WITHIN, all).await {
        Err(_) => Err(Silence::Hangs),
        Ok(Err(silence)) => Err(silence),
        Ok(Ok((Answer::Status(snapshot), Answer::Face(face), Answer::Update(update), settings))) => {
            let garbled = |error: serde_json::Error| Silence::Refused(ControlError::Garbled(error).to_string());
            let snapshot = serde_json::from_str(snapshot.get()).map_err(garbled)?;
            let update = serde_json::from_str(update.get()).map_err(garbled)?;
            Ok(Seen { snapshot, face: *face, update, settings })
        }
        Ok(Ok(_)) => Err(unexpected()),
    }
}

/// Has the program do what somebody wants.
pub(super) async fn act(socket: &Path, wish: Wish) -> Outcome {
    let act = async {
        match wish {
            Wish::Settings => now(socket).await.map(Outcome::Settings),
            Wish::Network { card, now } => network(socket, card, *now).await,
            Wish::Keep => settings(socket, Settings::Confirm { by: BY.to_owned() }).await.map(|_| Outcome::Done),
            Wish::TakeBack => settings(socket, Settings::TakeBack { by: BY.to_owned() }).await.map(|_| Outcome::Done),
            Wish::RestartBox => power(socket, Power::RestartBox { by: BY.to_owned() }).await,
            Wish::RestartProgram => power(socket, Power::RestartProgram { by: BY.to_owned() }).await,
            Wish::Reset => power(socket, Power::Reset { by: BY.to_owned() }).await,
        }
    };
    let silence = match timeout(ACT_WITHIN, act).await {
        Ok(Ok(outcome)) => return outcome,
        Ok(Err(silence)) => silence,
        Err(_) => Silence::Hangs,
    };
    Outcome::Failed(match silence {
        Silence::Refused(why) => why,
        Silence::Gone | Silence::Hangs => "the program does not answer; try again in a minute".to_owned(),
    })
}

/// Puts a card's addresses into the settings and takes them into use.
async fn network(socket: &Path, card: crate::control::Card, now: SettingsNow) -> Result<Outcome, Silence> {
    let SettingsReply::Copy(text) = settings(socket, Settings::Network { card }).await? else {
        return Err(unexpected());
    };
    if text == now.text {
        return Ok(Outcome::Same);
    }
    match settings(socket, Settings::Apply { text, version: now.version, by: BY.to_owned() }).await? {
        SettingsReply::Applied { confirm_within: Some(seconds), .. } => Ok(Outcome::OnTrial(seconds)),
        SettingsReply::Applied { confirm_within: None, .. } => Ok(Outcome::InUse),
        SettingsReply::Checked { problems, .. } => Ok(Outcome::Wrong(problems)),
        SettingsReply::TakenBack(why) => Ok(Outcome::Failed(why)),
        _ => Err(unexpected()),
    }
}

async fn now(socket: &Path) -> Result<SettingsNow, Silence> {
    match settings(socket, Settings::Show).await? {
        SettingsReply::Now(now) => Ok(now),
        _ => Err(unexpected()),
    }
}

async fn settings(socket: &Path, wish: Settings) -> Result<SettingsReply, Silence> {
    match ask(socket, Request::Settings(wish)).await? {
        Answer::Settings(reply) => Ok(*reply),
        _ => Err(unexpected()),
    }
}

async fn power(socket: &Path, wish: Power) -> Result<Outcome, Silence> {
    match ask(socket, Request::Power(wish)).await? {
        Answer::Done => Ok(Outcome::Done),
        _ => Err(unexpected()),
    }
}

async fn ask(socket: &Path, request: Request) -> Result<Answer, Silence> {
    let asked = async { Client::ask(socket, &request).await?.next().await };
    match asked.await {
        Ok(Some(Answer::Refused(why))) => Err(Silence::Refused(why)),
        Ok(Some(answer)) => Ok(answer),
        // It is stopping.
        Ok(None) | Err(ControlError::NotRunning { .. } | ControlError::Broken(_)) => Err(Silence::Gone),
        Err(error) => Err(Silence::Refused(error.to_string())),
    }
}

fn unexpected() -> Silence {
    Silence::Refused("the program answered something else; are both of the same version?".to_owned())
}
