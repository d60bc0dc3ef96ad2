//! An enrolment file on a USB stick: whether the box takes it, and what became of it.
//!
//! In: the text of a file that a process of its own has read off a stick (`sapphire-edge stick`). Out: settings that are changed as
//! every change of theirs is (checked, versioned, taken back by themselves), an answer for the stick, a notice for the far ends, and
//! for a while a line on the board, which the lights, the screen and the page show.
//!
//! Who may: nobody has logged in, so a stick needs either a signature of a key that the box trusts (`[enrolment] keys`), or a box
//! without such keys that is new: nobody has claimed it, and it has no output. A box that is set up already as the file says takes
//! any, because nothing is changed. One stick at a time.
//!
//! Settings that decide whether the box is reached ([network], [page]) have to be confirmed by a person elsewhere. Nobody is there, so
//! they stay if a gateway answers with them, and are taken back if none does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::changes;
use crate::clock::Clock;
use crate::config::{Config, Enrolment, EnrolmentConfig, SIGNATURE};
use crate::control::{Answer, Settings, SettingsNow, SettingsReply, Stick, StickOutcome, StickReply};
use crate::event::{Notice, Teller};
use crate::secret::{KeysError, PublicKeys};
use crate::status::{self, Board, Component, Gauge, Health};
use crate::web::page;

/// Who changes the settings, in the log and in events.
const BY: &str = "an enrolment file on a USB stick";
/// A gateway that is there answers within its first try (10 s to connect); the file is taken without, too.
const GATEWAY_WITHIN: Duration = Duration::from_secs(20);
/// What is kept of the time in which settings have to be confirmed, to confirm them.
const SPARE: Duration = Duration::from_secs(15);
/// How often is looked whether a gateway answers.
const LOOK: Duration = Duration::from_millis(250);
/// What became of it is on the stick by then: only after that the lights say that the stick can go.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
/// Whoever plugged the stick in looks at the lights...
const TAKEN_FOR: Duration = Duration::from_secs(10);
/// ...and has to count blinks where something is wrong. A stick that stays in must not hide what else is.
const REFUSED_FOR: Duration = Duration::from_secs(60);

const ASK: &str = "ask whoever made the file for a new one";

/// Takes what sticks bring.
#[derive(Clone, Debug)]
pub(super) struct Sticks {
    settings: changes::Door,
    board: Board,
    teller: Teller,
    turn: Arc<Semaphore>,
}

/// Why a file is not taken.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    what: String,
    todo: String,
}

fn refusal(what: impl Into<String>, todo: impl Into<String>) -> Refusal {
    Refusal { what: what.into(), todo: todo.into() }
}

/// The line on the board, which goes with this.
struct Line<'b>(&'b Board);

impl Line<'_> {
    fn says(&self, stick: status::Stick, health: Health) {
        let line = self.0.handle(Component::Box, status::Stick::LINE);
        line.counters().set(Gauge::Stick, stick.gauge());
        line.set(health);
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.0.remove(Component::Box, status::Stick::LINE);
    }
}

impl Sticks {
    pub(super) fn new(settings: changes::Door, board: Board, teller: Teller) -> Self {
        Self { settings, board, teller, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Takes what a stick brings, or does not; answers on `to`, and returns when it need not be shown any longer.
    ///
    /// # Cancel safety
    /// Settings that were begun to be applied are applied, or taken back by themselves, and told by whoever does that.
    pub(super) async fn take(&self, stick: Stick, config: Arc<Config>, to: mpsc::Sender<Answer>) {
        let answer = |reply: StickReply| Answer::Stick(Box::new(reply));
        let Ok(_turn) = self.turn.try_acquire() else {
            let todo = Some("pull one of them, and plug the other in again".to_owned());
            let words = "another stick is being read".to_owned();
            // Whoever asked may be gone.
            let _ = to.send(answer(StickReply { outcome: StickOutcome::Refused, words, todo, instead: None })).await;
            return;
        };
        let line = Line(&self.board);
        line.says(status::Stick::Read, Health::Healthy);
        let came = self.enrol(stick, &config).await;
        self.tell(&came);
        let (shown, health, lasts) = match &came {
            Ok(_) => (status::Stick::Taken, Health::Healthy, TAKEN_FOR),
            Err(Refusal { what, todo }) => {
                let what = format!("the enrolment file on the USB stick was not taken: {what}");
                (status::Stick::Refused, Health::degraded(what, todo.clone()), REFUSED_FOR)
            }
        };
        let reply = came.unwrap_or_else(|Refusal { what, todo }| StickReply {
            outcome: StickOutcome::Refused,
            words: what,
            todo: Some(todo),
            instead: None,
        });
        let _ = to.send(answer(reply)).await;
        sleep(WRITTEN_WITHIN).await;
        line.says(shown, health);
        sleep(lasts).await;
    }

    /// A stick that changes something, or fails to, is a matter of security.
    fn tell(&self, came: &Result<StickReply, Refusal>) {
        let (action, what, why) = match came {
            Ok(StickReply { outcome: StickOutcome::AsItWas, .. }) => return,
            Ok(reply) => ("enrolment_taken", "was taken", &reply.words),
            Err(refusal) => ("enrolment_refused", "was not taken", &refusal.what),
        };
        let facts = [("user", BY.to_owned()), ("why", why.clone())];
        self.teller.tell(Notice::new(action, came.is_ok(), format!("{BY} {what}: {why}"), &facts));
    }

    async fn enrol(&self, stick: Stick, config: &Config) -> Result<StickReply, Refusal> {
        if !config.enrolment.stick {
            let todo = "bring the file to the box's page (Settings)";
            return Err(refusal("the settings do not allow it ([enrolment] stick = false)", todo));
        }
        let text = match stick {
            Stick::Holds { text } => text,
            Stick::Unreadable { why } => {
                return Err(refusal(why, "put the file on the stick again, or on another stick"));
            }
        };
        let enrolment = Enrolment::parse(&text).map_err(|error| refusal(error.to_string(), ASK))?;
        let now = self.now().await?;
        let (before, state_dir, not_after) = (now.text.clone(), config.state_dir.clone(), enrolment.not_after());
        let look = move || (changes::is_enrolled(&before, &state_dir, &enrolment), page::is_claimed(&state_dir));
        let (is_enrolled, is_claimed) = tokio::task::spawn_blocking(look).await.map_err(broken)?;
        if is_enrolled {
            let words = "this box is set up already as the file says".to_owned();
            return Ok(StickReply { outcome: StickOutcome::AsItWas, words, todo: None, instead: None });
        }
        if trust(&config.enrolment, &text).await? == Trust::Anyone && (is_claimed || !config.output.is_empty()) {
            let what = "this box is set up already, and takes from a stick only what whoever runs its fleet has signed";
            return Err(refusal(what, "bring the file to the box's page (Settings)"));
        }
        if let Some(end) = not_after.filter(|end| *end < Clock::System.now()) {
            return Err(refusal(format!("it could be taken until {end}"), ASK));
        }
        let instead = Enrolment::without_secret(&text);
        let after = match self.ask(Settings::Enrol { text }).await? {
            SettingsReply::Copy(after) => after,
            other => return Err(broken(format!("{other:?}"))),
        };
        let reply = self.apply(after, now.version).await?;
        Ok(StickReply { instead, ..reply })
    }

    async fn apply(&self, text: String, version: String) -> Result<StickReply, Refusal> {
        let (confirm_within, later) = match self.ask(Settings::Apply { text, version, by: BY.to_owned() }).await? {
            SettingsReply::Applied { confirm_within, later } => (confirm_within, later),
            SettingsReply::Checked { problems, .. } => {
                let first = problems.into_iter().next();
                let (what, todo) = first.map_or_else(Default::default, |first| {
                    (format!("{}: {}", first.key, first.what), format!("{}; or {ASK}", first.advice))
                });
                return Err(refusal(format!("the settings would not be right with it: {what}"), todo));
            }
            SettingsReply::TakenBack(why) => return Err(refusal(why, ASK)),
            other => return Err(broken(format!("{other:?}"))),
        };
        let mut words = "it is in use".to_owned();
        if let Some(seconds) = confirm_within {
            let within = Duration::from_secs(seconds).saturating_sub(SPARE);
            if let Err(why) = self.gateway(within).await {
                self.ask(Settings::TakeBack { by: BY.to_owned() }).await?;
                let what = format!("no gateway answered with its network settings, so they were taken back: {why}");
                return Err(refusal(
                    what,
                    "see to the cable and to the addresses in the file, and plug the stick in again",
                ));
            }
            self.ask(Settings::Confirm { by: BY.to_owned() }).await?;
        }
        let (said, todo) = match self.gateway(GATEWAY_WITHIN).await {
            Ok(()) => ("; a gateway answers".to_owned(), None),
            Err(why) => (
                format!("; no gateway has answered yet: {why}"),
                Some("see the box's page, its screen or its lights".to_owned()),
            ),
        };
        words.push_str(&said);
        if !later.is_empty() {
            words.push_str(&format!("; {} take effect at the next start", later.join(", ")));
        }
        Ok(StickReply { outcome: StickOutcome::Taken, words, todo, instead: None })
    }

    /// Waits until a gateway answers; why none does.
    async fn gateway(&self, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        loop {
            let snapshot = self.board.snapshot();
            let mut outputs = snapshot.components.iter().filter(|line| line.component == Component::Output);
            if outputs.clone().any(|line| line.health == Health::Healthy) {
                return Ok(());
            }
            if Instant::now() >= until {
                let fault = outputs.find_map(|line| line.health.fault());
                return Err(fault.map_or_else(|| "none said why".to_owned(), |fault| fault.what.clone()));
            }
            sleep(LOOK).await;
        }
    }

    async fn now(&self) -> Result<SettingsNow, Refusal> {
        match self.ask(Settings::Show).await? {
            SettingsReply::Now(now) => Ok(now),
            other => Err(broken(format!("{other:?}"))),
        }
    }

    async fn ask(&self, wish: Settings) -> Result<SettingsReply, Refusal> {
        match self.settings.ask(wish).await {
            Answer::Settings(reply) => Ok(*reply),
            Answer::Refused(why) => Err(refusal(why, "plug the stick in again")),
            other => Err(broken(format!("{other:?}"))),
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Refusal {
    refusal(format!("this did not work inside the box: {error}"), "plug the stick in again")
}

/// Whose word a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// A key that the box trusts has signed it.
    Signed,
    /// The box trusts no key, so it cannot be known.
    Anyone,
}

/// Looks at the signature, where the box has keys to look with.
async fn trust(config: &EnrolmentConfig, text: &str) -> Result<Trust, Refusal> {
    let path = config.keys.clone();
    let keys = match tokio::task::spawn_blocking(move || PublicKeys::read(&path)).await.map_err(broken)? {
        Ok(keys) => keys,
        Err(KeysError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Trust::Anyone),
        Err(error) => {
            let what = format!("the keys that may sign it cannot be used: {error}");
            return Err(refusal(what, "mend that file, or bring the enrolment file to the box's page (Settings)"));
        }
    };
    // An editor may have given the lines other ends since.
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    if [text, plain.as_str()].into_iter().any(|text| is_signed(text, &keys)) {
        return Ok(Trust::Signed);
    }
    let what = "it is not signed by a key that this box trusts, or was changed since";
    Err(refusal(what, "ask whoever made the file for a signed one, and copy it without opening it"))
}

/// Whether the first line is a signature of all that follows.
fn is_signed(text: &str, keys: &PublicKeys) -> bool {
    let signed = text.strip_prefix(SIGNATURE).and_then(|rest| rest.split_once('\n'));
    signed.is_some_and(|(signature, body)| keys.have_signed(body.as_bytes(), signature.trim_end()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use tokio::time::timeout;

    use super::*;

    /// A file of keys with the public half of a pair, and the pair.
    fn keys() -> (tempfile::TempDir, EnrolmentConfig, Ed25519KeyPair) {
        let pair = Ed25519KeyPair::generate().unwrap();
        // RFC 8410 section 4.
        let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        spki.extend(pair.public_key().as_ref());
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.pem");
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki));
        std::fs::write(&keys, pem).unwrap();
        (folder, EnrolmentConfig { keys, ..EnrolmentConfig::default() }, pair)
    }

    #[tokio::test]
    async fn a_signature_holds_whatever_an_editor_does_to_the_ends_of_lines() {
        let (folder, config, pair) = keys();
        let body = "form = 1\ngateway = [\"gw:5044\"]\n";
        let line =
            |pair: &Ed25519KeyPair| format!("{SIGNATURE}{}\n", STANDARD.encode(pair.sign(body.as_bytes()).as_ref()));
        let signed = format!("{}{body}", line(&pair));
        for good in [signed.clone(), signed.replace('\n', "\r\n"), format!("\u{feff}{}", signed.replace('\n', "\r\n"))]
        {
            assert_eq!(trust(&config, &good).await, Ok(Trust::Signed), "{good:?}");
            assert!(Enrolment::parse(&good).is_ok(), "the signature's line is a comment");
        }
        let other = Ed25519KeyPair::generate().unwrap();
        for bad in
            [body.to_owned(), signed.replace("gw:", "gx:"), format!("{}{body}", line(&other)), format!("\n{signed}")]
        {
            let why = trust(&config, &bad).await.unwrap_err();
            assert!(why.what.contains("not signed by a key"), "{bad:?}: {why:?}");
        }
        std::fs::write(&config.keys, "no key").unwrap();
        assert!(trust(&config, &signed).await.unwrap_err().what.contains("cannot be used"), "it is not passed over");
        drop(folder);
        assert_eq!(trust(&config, &signed).await, Ok(Trust::Anyone), "there are no keys");
    }

    #[tokio::test(start_paused = true)]
    async fn one_stick_at_a_time_and_what_became_of_it_is_shown_for_a_while() {
        let (door, _changes) = changes::door();
        let (board, (teller, mut told)) = (Board::new(Clock::System), Teller::new());
        let sticks = Sticks::new(door, board.clone(), teller);
        let (to, mut from) = mpsc::channel(4);
        let unreadable = || Stick::Unreadable { why: "it is a folder".to_owned() };
        let one = sticks.take(unreadable(), Arc::default(), to.clone());
        tokio::pin!(one);
        assert!(timeout(Duration::from_millis(1), &mut one).await.is_err(), "it is shown");
        assert_eq!(board.snapshot().stick(), Some(status::Stick::Read));
        let (other, mut answer) = mpsc::channel(1);
        sticks.take(unreadable(), Arc::default(), other).await;
        let Some(Answer::Stick(reply)) = answer.recv().await else { panic!("no answer") };
        assert!(reply.outcome == StickOutcome::Refused && reply.words.contains("another stick"));
        let Some(Answer::Stick(reply)) = from.recv().await else { panic!("no answer") };
        assert_eq!((reply.outcome, reply.words.as_str()), (StickOutcome::Refused, "it is a folder"));
        let notice = told.try_recv().unwrap();
        assert!(
            notice.action == "enrolment_refused" && !notice.is_success && notice.message.contains("it is a folder")
        );
        let shown = timeout(WRITTEN_WITHIN + REFUSED_FOR / 2, &mut one).await;
        assert!(shown.is_err());
        let line = board.snapshot().line(Component::Box, status::Stick::LINE).cloned().unwrap();
        assert!(line.trouble().unwrap()[1].contains("was not taken: it is a folder"));
        assert_eq!(board.snapshot().stick(), Some(status::Stick::Refused));
        one.await;
        assert_eq!(board.snapshot().stick(), None);
        let off = EnrolmentConfig { stick: false, ..EnrolmentConfig::default() };
        let config = Arc::new(Config { enrolment: off, ..Config::default() });
        sticks.take(unreadable(), config, to).await;
        let Some(Answer::Stick(reply)) = from.recv().await else { panic!("no answer") };
        assert!(reply.words.contains("stick = false"));
    }
}
