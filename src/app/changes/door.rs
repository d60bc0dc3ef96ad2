//! Where wishes for the settings come in, one after the other.

use tokio::sync::{mpsc, oneshot};

use super::Changes;
use crate::control::{Answer, Settings, SettingsReply};

/// Wishes that wait; each has a whole settings file.
const WAITING: usize = 2;

/// A wish and who waits for the answer.
#[derive(Debug)]
pub(in crate::app) struct Ask {
    pub(super) wish: Settings,
    pub(super) to: oneshot::Sender<Result<SettingsReply, String>>,
}

/// The door for whoever wants something.
#[derive(Clone, Debug)]
pub(in crate::app) struct Door(mpsc::Sender<Ask>);

impl Door {
    /// Asks and waits for the answer.
    pub(in crate::app) async fn ask(&self, wish: Settings) -> Answer {
        let (to, answer) = oneshot::channel();
        let refused = |why: &str| Answer::Refused(why.to_owned());
        if self.0.try_send(Ask { wish, to }).is_err() {
            return refused("others are changing the settings at this moment; try again in a few seconds");
        }
        match answer.await {
            Ok(Ok(reply)) => Answer::Settings(Box::new(reply)),
            Ok(Err(why)) => Answer::Refused(why),
            Err(_) => refused("the program is stopping"),
        }
    }
}

/// A door and its other side.
pub(in crate::app) fn door() -> (Door, Changes) {
    let (to, asks) = mpsc::channel(WAITING);
    (Door(to), Changes { asks, trial: None })
}
