//! What can go wrong with an update, in words that say what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::net::http::HttpError;
use crate::quantity::size;

/// Why RAUC did not do what it was asked for.
#[derive(Debug)]
pub(super) enum RaucError {
    /// It is not on this machine, or does not start.
    NotThere(String),
    /// The bus does not let us call it.
    NotAllowed(String),
    /// It takes the call and does not answer.
    Hangs(&'static str),
    /// It went away while it worked.
    Vanished,
    /// It has no such method: an older RAUC.
    Unknown,
    /// It refused; its own words.
    Said(String),
}

impl RaucError {
    pub(super) fn of(error: zbus::Error) -> Self {
        match error {
            zbus::Error::FDO(inner) => match *inner {
                zbus::fdo::Error::UnknownMethod(_) => Self::Unknown,
                zbus::fdo::Error::Failed(text) => Self::Said(text),
                zbus::fdo::Error::AccessDenied(text) => Self::NotAllowed(text),
                other => Self::NotThere(other.to_string()),
            },
            zbus::Error::MethodError(_, Some(text), _) => Self::Said(text),
            zbus::Error::InputOutput(error) if error.kind() == io::ErrorKind::TimedOut => Self::Hangs("rauc"),
            other => Self::NotThere(other.to_string()),
        }
    }

    /// Whether a new connection is needed, as against a no to one question.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::NotThere(_) | Self::NotAllowed(_) | Self::Hangs(_) | Self::Vanished)
    }
}

impl fmt::Display for RaucError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere(why) => write!(f, "rauc does not run here ({why}); only the firmware image can be updated"),
            Self::NotAllowed(why) => {
                write!(f, "the bus does not let this user call rauc ({why}); check rauc's D-Bus policy")
            }
            Self::Hangs(what) => write!(f, "no answer in time from {what}; restart the box if this stays"),
            Self::Vanished => f.write_str("rauc ended in the middle of its work; see its log, and try again"),
            Self::Unknown => f.write_str("this rauc is too old; 1.8 is the oldest that is known to work"),
            Self::Said(text) => f.write_str(&explain(text)),
        }
    }
}

/// RAUC's words, with what they mean for the person who wanted the update. The patterns are those of RAUC 1.8 and 1.13
/// (`signature.c`, `bundle.c`, `install.c`) and of OpenSSL 3.
fn explain(text: &str) -> String {
    let text = text.trim();
    let has = |part: &str| text.contains(part);
    let meaning = if has("Compatible mismatch") {
        "the bundle is for another kind of box; take the one for this box"
    } else if has("certificate has expired") || has("not yet valid") {
        "the certificate that signed the bundle is not valid now; check the box's clock, or have the bundle signed again"
    } else if has("unable to get local issuer") || has("self-signed certificate") || has("self signed certificate") {
        "the bundle is signed by a key that this box does not trust; take one of the box's maker"
    } else if has("asn1 encoding routines") {
        // The signer's certificate names a CA that is known, and that CA's key did not sign it.
        "the bundle is signed by a key that this box does not trust, or was damaged; download it again"
    } else if has("ignature size") || has("too small") || has("magic") || has("Invalid identifier") {
        "the bundle was cut off or is no bundle; download it again"
    } else if has("ignature") || has("digest") || has("parse") || has("decode") || has("CMS") || has("verif") {
        "the bundle is damaged or was changed after it was signed; download it again"
    } else if has("already processing") || has("Already processing") {
        "rauc is at work already; wait until it is done"
    } else if has("No space left") {
        "there is no space left; free some, and try again"
    } else if has("does not exist") || has("No such file") {
        "the file is not there, or rauc may not read it; check the path"
    } else {
        return if text.is_empty() {
            "rauc failed without saying why; see its log".to_owned()
        } else {
            format!("rauc failed: {text}")
        };
    };
    format!("{meaning} (rauc: {text})")
}

/// Why there was no update.
#[derive(Debug)]
pub(super) enum UpdateError {
    /// RAUC.
    Rauc(RaucError),
    /// The server of the manifest or the bundle.
    Http(HttpError),
    /// The manifest's rules, or the versions'; said in full.
    Refused(String),
    /// The settings name no manifest.
    NoManifest,
    /// A file of ours.
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The bundle would not fit.
    NoSpace {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The download came to an end that is not the bundle's.
    Broken(String),
}

impl From<RaucError> for UpdateError {
    fn from(error: RaucError) -> Self {
        Self::Rauc(error)
    }
}

impl From<HttpError> for UpdateError {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

impl UpdateError {
    pub(super) fn file(path: &std::path::Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rauc(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
            Self::Refused(words) | Self::Broken(words) => f.write_str(words),
            Self::NoManifest => {
                f.write_str("the settings name no manifest; set update.manifest, or name a file to install")
            }
            Self::File { path, source } => {
                write!(f, "{} cannot be used ({source}); check the disk and its rights", path.display())
            }
            Self::NoSpace { needed, free } => write!(
                f,
                "the bundle needs {} of disk and {} are free; make the queue smaller, or wait until it has drained",
                size(*needed),
                size(*free)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that RAUC 1.8 said (`tests/it/update`), and 1.13's of its source.
    #[test]
    fn raucs_words_get_their_meaning() {
        for (text, part) in [
            ("Compatible mismatch: Expected 'a' but bundle manifest has 'b'", "another kind of box"),
            ("signature verification failed: Verify error: unable to get local issuer certificate", "does not trust"),
            ("signature verification failed: Verify error: self-signed certificate", "does not trust"),
            ("Signature size (724349842793) exceeds bundle size", "cut off"),
            ("signature verification failed: Verify error: certificate has expired", "clock"),
            ("Failed verifying inline signature: bad digest", "damaged"),
            ("", "without saying why"),
            ("Error while writing status file: x", "rauc failed: Error while writing status file: x"),
        ] {
            assert!(explain(text).contains(part), "{text}: {}", explain(text));
        }
    }
}
