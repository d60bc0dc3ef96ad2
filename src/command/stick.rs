//! `stick`: an enrolment file on a USB stick, by a process that reads the stick and leaves everything else to the program.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::{Where, small_runtime};
use crate::clock::{Clock, Timestamp};
use crate::console;
use crate::control::{self, Answer, Client, ControlError, Face, Request, StickOutcome, StickReply};
use crate::host::{STICK_FILE, STICK_RESULT, Stick, StickFile};

/// Where it is mounted: in the unit's own `/tmp`.
const MOUNT: &str = "/tmp/stick";
/// A program that opens a long queue answers after three minutes at most (`TimeoutStartSec=` of its unit).
const STARTS_WITHIN: Duration = Duration::from_secs(240);
/// At the start of a box DHCP may not have answered yet.
const ADDRESS_WITHIN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The stick's partition, such as /dev/sda1; or a folder where it is mounted.
    place: PathBuf,
    #[command(flatten)]
    at: Where,
}

pub(super) fn stick(options: &Options) -> anyhow::Result<ExitCode> {
    let failed = |error: io::Error| anyhow::anyhow!("{}: {error}", options.place.display());
    let found = match Stick::at(&options.place).map_err(failed)? {
        Some(stick) => Some((stick.read(Path::new(MOUNT)).map_err(failed)?, stick)),
        None => None,
    };
    let (holds, stick) = match found {
        Some((StickFile::Holds(text), stick)) => (control::Stick::Holds { text }, stick),
        Some((StickFile::Unreadable(why), stick)) => (control::Stick::Unreadable { why }, stick),
        Some((StickFile::Nothing, _)) | None => {
            writeln!(io::stdout().lock(), "there is no {STICK_FILE} on {}", options.place.display())?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let socket = options.at.socket();
    small_runtime()?.block_on(async {
        let mut client = ask(&socket, &Request::Stick(holds)).await?;
        let reply = match client.next().await? {
            Some(Answer::Stick(reply)) => *reply,
            Some(Answer::Refused(why)) => anyhow::bail!(why),
            other => anyhow::bail!("the running program answered something else: {other:?}"),
        };
        let (face, pages) = face(&socket).await;
        let text = result(&reply, &face, &pages, Clock::System.now());
        writeln!(io::stdout().lock(), "{}", said(&reply))?;
        if let Err(error) = stick.write(Path::new(MOUNT), &text, reply.instead.as_deref()) {
            writeln!(io::stderr().lock(), "{STICK_RESULT} cannot be written to the stick: {error}")?;
        }
        // As long as it is shown; a stick that is pulled ends this sooner.
        while client.next().await?.is_some() {}
        Ok(ExitCode::SUCCESS)
    })
}

/// Asks a program that may still be starting.
async fn ask(socket: &Path, request: &Request) -> Result<Client, ControlError> {
    let until = Instant::now() + STARTS_WITHIN;
    loop {
        match Client::ask(socket, request).await {
            Err(ControlError::NotRunning { .. }) if Instant::now() < until => sleep(LOOK).await,
            done => return done,
        }
    }
}

/// What the screen shows as well, and where the page is called; as much as is known.
async fn face(socket: &Path) -> (Face, Vec<String>) {
    let until = Instant::now() + ADDRESS_WITHIN;
    loop {
        let asked = async { Client::ask(socket, &Request::Face).await?.next().await };
        let face = match asked.await {
            Ok(Some(Answer::Face(face))) => *face,
            _ => Face::default(),
        };
        let pages = console::pages(&face.page);
        if face.page.is_empty() || !pages.is_empty() || Instant::now() >= until {
            return (face, pages);
        }
        sleep(LOOK).await;
    }
}

fn said(reply: &StickReply) -> String {
    let word = match reply.outcome {
        StickOutcome::Taken => "The enrolment file was taken",
        StickOutcome::AsItWas => "Nothing was changed",
        StickOutcome::Refused => "The enrolment file was not taken",
    };
    format!("{word}: {}.", reply.words)
}

/// What stands on the stick afterwards.
fn result(reply: &StickReply, face: &Face, pages: &[String], now: Timestamp) -> String {
    let mut text = format!("Sapphire Edge, {now}\n\n{}\n", said(reply));
    let mut line = |name: &str, words: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<13}{words}");
    };
    if let Some(todo) = &reply.todo {
        line("to do:", todo);
    }
    text.push('\n');
    let mut line = |name: &str, words: &str| {
        let _ = writeln!(text, "{name:<13}{words}");
    };
    line("name", &face.name);
    if face.page.is_empty() {
        line("page", "none: the settings have no [page] table");
    } else if pages.is_empty() {
        line("page", "none yet: no card has an address");
    }
    pages.iter().for_each(|page| line("page", page));
    if let Some(code) = &face.claim_code {
        line("claim code", code);
    } else if face.is_claimed {
        line("claim code", "none: this box has been claimed already, log in on its page");
    }
    if let Some(certificate) = &face.certificate {
        line("certificate", certificate);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_says_what_became_of_it_and_how_the_box_is_reached() {
        let reply =
            StickReply { outcome: StickOutcome::Taken, words: "it is in use".to_owned(), todo: None, instead: None };
        let face = Face {
            name: "edge-berlin".to_owned(),
            page: vec!["0.0.0.0:443".parse().unwrap()],
            claim_code: Some("ABCD-EFGH-JKLM".to_owned()),
            certificate: Some("SHA256:ab".to_owned()),
            ..Face::default()
        };
        let text = result(&reply, &face, &["https://192.0.2.10/".to_owned()], Timestamp(0));
        let expected = "Sapphire Edge, 1970-01-01T00:00:00.000Z\n\nThe enrolment file was taken: it is in use.\n\n\
                        name         edge-berlin\npage         https://192.0.2.10/\nclaim code   ABCD-EFGH-JKLM\n\
                        certificate  SHA256:ab\n";
        assert_eq!(text, expected);
        let todo = Some("ask for another".to_owned());
        let reply =
            StickReply { outcome: StickOutcome::Refused, words: "it has no form".to_owned(), todo, instead: None };
        let face = Face { is_claimed: true, claim_code: None, certificate: None, ..face };
        let text = result(&reply, &face, &[], Timestamp(0));
        for part in [
            "was not taken: it has no form.\nto do:       ask for another\n",
            "no card has an address",
            "has been claimed",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
