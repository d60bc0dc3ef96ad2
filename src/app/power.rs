//! What somebody may have done to the box as a whole: restarted, or made as new. Each deed, done or failed, is told.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::control;
use crate::event::{Notice, Teller};
use crate::host::Reset;

/// Why nothing is done.
pub(super) const NOT_ALLOWED: &str = "the settings do not allow it ([screen] actions = false)";

/// The far ends hear of a factory reset before it, because the queue goes with it: a batch waits a tenth of a second to fill, and a
/// gateway answers within one.
const FAREWELL: Duration = Duration::from_secs(2);

/// Does it.
#[derive(Clone, Debug)]
pub(super) struct Power {
    teller: Teller,
    /// Ends the program; nothing where another program in this process owns it.
    stop: Option<CancellationToken>,
}

impl Power {
    pub(super) fn new(teller: Teller, stop: Option<CancellationToken>) -> Self {
        Self { teller, stop }
    }

    /// Does what somebody wants; an error says why it is not done.
    ///
    /// # Cancel safety
    /// What was begun is done, and told or not; after a factory reset was begun, only the restart may be missing.
    pub(super) async fn ask(&self, wish: control::Power, config: Arc<Config>) -> Result<(), String> {
        if !config.screen.actions {
            return Err(NOT_ALLOWED.to_owned());
        }
        let Some(stop) = &self.stop else {
            return Err("this box is part of another program: restart that one".to_owned());
        };
        match wish {
            control::Power::RestartProgram { by } => {
                self.tell("program_restart", &format!("{by} restarts the program"), &by, &Ok(()));
                stop.cancel();
                Ok(())
            }
            control::Power::RestartBox { by } => {
                let done = restart(&config, &by);
                self.tell("box_restart", &format!("{by} restarts the box"), &by, &done);
                done
            }
            control::Power::Reset { by } => {
                let reset = Reset::of(&config.state_dir);
                let done = self.reset(reset, &config, &by).await;
                if done.is_err() {
                    self.tell("factory_reset", &format!("{by} wants a factory reset"), &by, &done);
                }
                done
            }
        }
    }

    /// Marks the box to be made as new at its next start, and has it restarted; or neither.
    async fn reset(&self, reset: Reset, config: &Config, by: &str) -> Result<(), String> {
        let mark = reset.clone();
        let marked = tokio::task::spawn_blocking(move || mark.ask()).await.unwrap_or_else(|error| Err(error.into()));
        marked.map_err(|error| format!("the disk does not take the mark for it: {error}; nothing was changed"))?;
        let what = format!("{by} resets the box: its settings, queue, accounts and secrets go at the restart");
        self.tell("factory_reset", &what, by, &Ok(()));
        sleep(FAREWELL).await;
        let Err(why) = restart(config, by) else { return Ok(()) };
        let forgotten = tokio::task::spawn_blocking(move || reset.forget()).await;
        Err(match forgotten.unwrap_or_else(|error| Err(error.into())) {
            Ok(()) => format!("{why}, then try again; nothing was changed"),
            Err(error) => format!("{why}, which makes it as new: the mark for it cannot be taken back ({error})"),
        })
    }

    fn tell(&self, action: &'static str, what: &str, by: &str, done: &Result<(), String>) {
        let message = done.as_ref().map_or_else(|why| format!("{what}: {why}"), |()| what.to_owned());
        self.teller.tell(Notice::new(action, done.is_ok(), message, &[("user", by.to_owned())]));
    }
}

fn restart(config: &Config, by: &str) -> Result<(), String> {
    let words = |error: io::Error| format!("it cannot be asked for: {error}; switch the box off and on");
    config.update.request_restart(by).map_err(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console;
    use crate::update;

    fn by() -> String {
        "somebody at the screen".to_owned()
    }

    /// What came of a wish, in a box whose folders are there.
    struct Came {
        done: Result<(), String>,
        told: Option<Notice>,
        restarts: bool,
        is_marked: bool,
    }

    async fn ask(wish: control::Power, change: impl FnOnce(&mut Config)) -> Came {
        let folder = tempfile::tempdir().unwrap();
        let update = update::Config { runtime_dir: folder.path().join("run"), ..update::Config::default() };
        std::fs::create_dir(&update.runtime_dir).unwrap();
        let mut config = Config { state_dir: folder.path().to_owned(), update, ..Config::default() };
        change(&mut config);
        let (teller, mut told) = Teller::new();
        let stop = CancellationToken::new();
        let done = Power::new(teller, Some(stop.clone())).ask(wish.clone(), Arc::new(config.clone())).await;
        assert_eq!(stop.is_cancelled(), done.is_ok() && matches!(wish, control::Power::RestartProgram { .. }));
        let (restarts, is_marked) =
            (config.update.runtime_dir.join("reboot").exists(), Reset::of(folder.path()).is_asked());
        Came { done, told: told.try_recv().ok(), restarts, is_marked }
    }

    #[tokio::test(start_paused = true)]
    async fn each_deed_is_done_and_told() {
        for (wish, action, restarts, is_marked) in [
            (control::Power::RestartProgram { by: by() }, "program_restart", false, false),
            (control::Power::RestartBox { by: by() }, "box_restart", true, false),
            (control::Power::Reset { by: by() }, "factory_reset", true, true),
        ] {
            let came = ask(wish, |_| {}).await;
            let told = came.told.unwrap();
            assert_eq!((came.done, told.action, told.is_success), (Ok(()), action, true));
            assert!(told.message.starts_with("somebody at the screen re"), "{}", told.message);
            assert_eq!((came.restarts, came.is_marked), (restarts, is_marked), "{action}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_done_changes_nothing() {
        let gone = |config: &mut Config| std::fs::remove_dir(&config.update.runtime_dir).unwrap();
        let came = ask(control::Power::Reset { by: by() }, gone).await;
        assert!(came.done.unwrap_err().ends_with("nothing was changed") && !came.is_marked);
        let came = ask(control::Power::RestartBox { by: by() }, gone).await;
        assert!(came.done.is_err() && !came.told.unwrap().is_success);
        let off = |config: &mut Config| config.screen = console::Config { actions: false };
        let came = ask(control::Power::RestartProgram { by: by() }, off).await;
        assert!(came.done.unwrap_err().contains("[screen]") && came.told.is_none());
        let (teller, _told) = Teller::new();
        let guest = Power::new(teller, None).ask(control::Power::RestartBox { by: by() }, Arc::default()).await;
        assert!(guest.unwrap_err().contains("part of another program"));
    }
}
