//! The support bundle: all that somebody needs who looks for a fault from afar, without a secret.
//!
//! In: [`Facts`], gathered by whoever asks (the page, the command). Out: a `.tar.gz`, written as it is made. Floor 3.
//!
//! Invariants: nothing is copied as it lies on the disk; the settings lose their comments and every value that is a secret or looks
//! like one (`settings`); and out of all texts goes whatever stands in a file of secrets, also in the forms that it is written
//! in elsewhere (`secrets`): so a secret that slipped into a log line or a name does not leave the box either.
//! Bounded: each part has 2 MiB at most and is in memory alone; of what is longer the end is kept.
//!
//! Not in it: events, the queue, accounts, keys, certificates, and what is in the files that the settings name.

mod log;
mod machine;
mod secrets;
mod settings;
mod tar;

pub use log::Ring;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::clock::Timestamp;
use secrets::Secrets;
use tar::Tar;

/// A part of the bundle: a log of a few days, the newest deeds.
const LARGEST: usize = 2 << 20;
/// Where the parts lie in the archive.
const FOLDER: &str = "sapphire-edge-support";

/// What a bundle is made of.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it is made.
    pub at: Timestamp,
    /// The settings file.
    pub settings: PathBuf,
    /// The folder of all state.
    pub state_dir: PathBuf,
    /// The status as JSON, or why there is none.
    pub status: Result<String, String>,
    /// The ledger as JSON, or why there is none.
    pub ledger: Result<String, String>,
    /// How updates are as JSON, or why that is not known.
    pub updates: Result<String, String>,
    /// The last lines of the log, or why there are none.
    pub log: Result<String, String>,
    /// The audit log, a deed each line.
    pub audit: String,
    /// Secrets that no file holds as they are, such as what somebody typed in the wrong place.
    pub secrets: Vec<String>,
}

/// The name for a bundle's file: the box's name and the time.
#[must_use]
pub fn file_name(box_name: &str, at: Timestamp) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' };
    let name: String = box_name.chars().map(plain).take(64).collect();
    let time: String = at.to_string().chars().take(16).filter(|c| *c != ':').collect();
    format!("{name}-{time}.support.tar.gz")
}

/// Writes the bundle. Blocks on the disk and on who takes it.
///
/// # Errors
/// When whoever takes it goes, or the files of secrets cannot be read: without knowing them nothing is given away.
pub fn write(facts: &Facts, to: impl Write) -> io::Result<()> {
    let text = std::fs::read_to_string(&facts.settings).unwrap_or_default();
    let secrets = Secrets::gather(&facts.state_dir, &text, &facts.secrets)?;
    let mut tar = Tar::new(GzEncoder::new(to, Compression::default()), facts.at);
    let or_why = |result: &Result<String, String>| result.clone().unwrap_or_else(|why| format!("not known: {why}\n"));
    let folder = |folder: &Path| folder.display().to_string();
    let parts: [(&str, &dyn Fn() -> String); 9] = [
        ("about.txt", &|| about(facts, &folder(&facts.settings), &folder(&facts.state_dir))),
        ("versions.txt", &machine::versions),
        ("status.json", &|| or_why(&facts.status)),
        ("ledger.json", &|| or_why(&facts.ledger)),
        ("updates.json", &|| or_why(&facts.updates)),
        ("settings.toml", &|| settings::without_secrets(&text)),
        ("log.txt", &|| or_why(&facts.log)),
        ("audit.jsonl", &|| facts.audit.clone()),
        ("disk.txt", &|| machine::disk(&facts.state_dir)),
    ];
    for (name, make) in parts.into_iter().chain([("network.txt", &machine::network as &dyn Fn() -> String)]) {
        // In this order: half a secret would not be found.
        let text = last(secrets.out_of(&make()));
        tar.file(&format!("{FOLDER}/{name}"), text.as_bytes())?;
    }
    tar.finish()?.finish()?.flush()
}

fn about(facts: &Facts, settings: &str, state_dir: &str) -> String {
    format!(
        "A support bundle of a Sapphire Edge box, made on {}.\nSettings: {settings}\nState: {state_dir}\n\n\
         Secrets are not in it. Settings: comments are taken out, and values that are secrets or look like one are\n\
         \"{}\". All texts: whatever stands in a file of secrets of this box is {}.\n",
        facts.at,
        settings::REMOVED,
        secrets::REMOVED,
    )
}

/// The end of a text that is too long, from a whole line on.
fn last(text: String) -> String {
    let Some(over) = text.len().checked_sub(LARGEST).filter(|over| *over > 0) else { return text };
    let bytes = text.as_bytes().get(over..).unwrap_or_default();
    let from = memchr::memchr(b'\n', bytes).map_or(0, |end| end + 1);
    format!(
        "[{} bytes before this are left out]\n{}",
        over + from,
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default())
    )
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn every_part_is_there_and_a_secret_in_none() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("duo-secret"), "MARK-of-the-secret").unwrap();
        let settings = folder.path().join("settings.toml");
        std::fs::write(&settings, "name = \"edge\" # MARK-of-the-secret\n").unwrap();
        let with = |text: &str| format!("{text} MARK-of-the-secret {text}\n");
        let facts = Facts {
            at: Timestamp(1_795_478_400_000_000),
            settings,
            state_dir: folder.path().to_owned(),
            status: Ok(with("status")),
            ledger: Err(with("ledger")),
            updates: Ok(with("updates")),
            log: Ok(with("log").repeat(200_000)),
            audit: with("audit"),
            secrets: vec!["typed-in-the-wrong-place".to_owned()],
        };
        let mut bytes = Vec::new();
        write(&facts, &mut bytes).unwrap();
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut tar).unwrap();
        assert!(memchr::memmem::find(&tar, b"MARK").is_none());
        let text = String::from_utf8_lossy(&tar);
        for part in [
            "status [secret] status",
            "not known: ledger [secret] ledger",
            "audit [secret]",
            "name = \"edge\"",
            "log [secret] log",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(tar.len() < 3 << 20 && text.contains("bytes before this are left out"));
        assert_eq!(file_name("edge 1", facts.at), "edge-1-2026-11-24T0000.support.tar.gz");
    }
}
