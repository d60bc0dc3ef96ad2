//! What the box keeps secret, to be taken out of texts that leave it.
//!
//! Known are the lines of every file in the folders of secrets and of every file that the settings name as one, the values that
//! were taken out of the settings, and what whoever asks knows besides. Each is looked for as it is and in the forms in which
//! programs write it elsewhere. Certificates are public and are not looked for.
//!
//! Bounded: files by number and size; with more secrets than can be looked for there is no bundle.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::settings;

/// What stands in the place of one.
pub(super) const REMOVED: &str = "[secret]";
/// Folders below that of all state in which everything is secret.
const FOLDERS: [&str; 3] = ["files", "secrets", "ssh/host_keys"];
/// Files that are.
const FILES: [&str; 5] =
    ["page/claim-code", "page/certificate.key", "page/accounts.json", "fleet/key.pem", "fleet/one-time-secret"];
/// Shorter ones would tear other words apart, and are none that a person or a program chooses.
const SHORTEST: usize = 6;
/// A box with every kind of source has two dozen files of a few lines.
const MOST_FILES: usize = 512;
const LARGEST_FILE: u64 = 1 << 20;
/// Forms of all secrets together: each costs memory while they are looked for.
const MOST: usize = 20_000;

/// All that must not leave the box.
#[derive(Debug)]
pub(super) struct Secrets(AhoCorasick);

impl Secrets {
    /// Those of a state folder and a settings text, and more.
    ///
    /// # Errors
    /// When a file of secrets is there and cannot be read, or there are too many.
    pub(super) fn gather(state_dir: &Path, text: &str, more: &[String]) -> io::Result<Self> {
        let mut paths: BTreeSet<PathBuf> = FILES.iter().map(|file| state_dir.join(file)).collect();
        for folder in FOLDERS {
            let entries = match fs::read_dir(state_dir.join(folder)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                paths.insert(entry?.path());
            }
        }
        if let Ok(values) = toml::from_str::<Value>(text) {
            named("", &values, &mut paths);
        }
        let too_many = || io::Error::other("there are more files of secrets than can be kept out of a bundle");
        if paths.len() > MOST_FILES {
            return Err(too_many());
        }
        let mut forms = BTreeSet::new();
        for path in paths {
            of_file(&path, &mut forms)?;
        }
        for secret in settings::taken_out(text).iter().chain(more) {
            secret.lines().for_each(|line| of_line(line, true, &mut forms));
        }
        if forms.len() > MOST {
            return Err(too_many());
        }
        // The longest at a place, so that no rest of it stays.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms);
        finder.map(Self).map_err(io::Error::other)
    }

    /// A text with none of them in it.
    pub(super) fn out_of(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        self.0.replace_all_with(text, &mut clean, |_, _, to| {
            to.push_str(REMOVED);
            true
        });
        clean
    }
}

/// The files that the settings name as secrets.
fn named(key: &str, value: &Value, into: &mut BTreeSet<PathBuf>) {
    match value {
        Value::Object(table) => table.iter().for_each(|(key, value)| named(key, value, into)),
        Value::Array(list) => list.iter().for_each(|value| named(key, value, into)),
        Value::String(text) if (key.ends_with("_file") || key == "key") && text.starts_with('/') => {
            into.insert(PathBuf::from(text));
        }
        _ => {}
    }
}

fn of_file(path: &Path, forms: &mut BTreeSet<String>) -> io::Result<()> {
    let bytes = match fs::metadata(path) {
        Ok(known) if known.is_dir() => return Ok(()),
        Ok(known) if known.len() > LARGEST_FILE => {
            return Err(io::Error::other(format!("{} is larger than a secret", path.display())));
        }
        Ok(_) => fs::read(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Of the system, and not ours to read: then it is in nothing that we write.
        Err(_) => return Ok(()),
    };
    let text = String::from_utf8_lossy(&bytes);
    if path.extension().is_some_and(|ending| ending == "json") {
        // Accounts: what is secret in it are the hashes (PHC string format).
        text.split('"').filter(|part| part.starts_with('$')).for_each(|hash| of_line(hash, true, forms));
        return Ok(());
    }
    let is_public = text.contains("-----BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY");
    if !is_public {
        // The lines of a key are no words that anything else writes in another form.
        let is_key = text.contains("PRIVATE KEY");
        text.lines().filter(|line| !line.starts_with("-----")).for_each(|line| of_line(line, !is_key, forms));
    }
    Ok(())
}

/// A line of a secret, in all its forms.
fn of_line(line: &str, is_word: bool, forms: &mut BTreeSet<String>) {
    let line = line.trim();
    if line.len() < SHORTEST {
        return;
    }
    forms.insert(line.to_owned());
    if is_word {
        forms.extend(written(line));
    }
}

/// A word as JSON, TOML, addresses, logins and dumps have it.
fn written(word: &str) -> Vec<String> {
    let json = serde_json::to_string(word).unwrap_or_default();
    let (mut percent, mut hex) = (String::new(), String::new());
    for byte in word.bytes() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            percent.push(char::from(byte));
        } else {
            let _ = write!(percent, "%{byte:02X}");
        }
    }
    let debug = format!("{word:?}");
    let mut all = vec![STANDARD_NO_PAD.encode(word), URL_SAFE_NO_PAD.encode(word), percent, hex];
    all.extend([json, debug].iter().map(|quoted| quoted.trim_matches('"').to_owned()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_in_every_form_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        fs::create_dir(&files).unwrap();
        let secret = "p\"ss/w+rd \\ of ours";
        fs::write(files.join("duo"), format!("{secret}\n")).unwrap();
        fs::write(files.join("key.pem"), "-----BEGIN PRIVATE KEY-----\nAbCdEf012345\n-----END PRIVATE KEY-----\n")
            .unwrap();
        fs::write(files.join("ca.pem"), "-----BEGIN CERTIFICATE-----\nPublicLine\n-----END CERTIFICATE-----\n")
            .unwrap();
        let named = folder.path().join("elsewhere");
        fs::write(&named, "named-by-the-settings").unwrap();
        let text = format!("secret_file = {named:?}\ntoken = \"in-the-settings\"\n");
        let secrets = Secrets::gather(folder.path(), &text, &["typed-as-a-name".to_owned()]).unwrap();
        for form in [
            secret.to_owned(),
            serde_json::to_string(secret).unwrap(),
            format!("{secret:?}"),
            "p%22ss%2Fw%2Brd%20%5C%20of%20ours".to_owned(),
            base64::engine::general_purpose::STANDARD.encode(secret),
            "AbCdEf012345".to_owned(),
            "named-by-the-settings".to_owned(),
            "in-the-settings".to_owned(),
            "typed-as-a-name".to_owned(),
        ] {
            let clean = secrets.out_of(&format!("before {form} after"));
            assert!(clean.starts_with("before ") && clean.ends_with(" after"), "{clean}");
            assert!(clean.contains(REMOVED) && !clean.contains(form.trim_matches('"')), "{clean}");
        }
        assert_eq!(secrets.out_of("PublicLine stays"), "PublicLine stays");
    }

    #[test]
    fn without_knowing_them_nothing_is_given_away() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("files")).unwrap();
        fs::write(folder.path().join("files/large"), vec![b'x'; 2 << 20]).unwrap();
        assert!(Secrets::gather(folder.path(), "", &[]).unwrap_err().to_string().contains("larger than a secret"));
        let none = Secrets::gather(&folder.path().join("nothing"), "", &[]).unwrap();
        assert_eq!(none.out_of("as it was"), "as it was");
    }
}
