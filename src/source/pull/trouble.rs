//! What keeps a feed from being pulled, in words, and when to try again.

use std::time::Duration;

use crate::net::DialError;
use crate::net::http::HttpError;
use crate::status::Cause;

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Wait {
    /// It may pass: soon, and then ever more rarely.
    Backoff,
    /// The vendor said when.
    For(Duration),
    /// A person has to do something first: rarely.
    Person,
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Trouble {
    /// What is wrong.
    pub(in crate::source) what: String,
    /// What a person should do.
    pub(in crate::source) todo: String,
    /// What lies behind it, roughly.
    pub(in crate::source) cause: Cause,
    /// When to ask again.
    pub(in crate::source) wait: Wait,
}

impl Trouble {
    /// A person has to change something at the vendor or in the settings.
    pub(in crate::source) fn login(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { what: what.into(), todo: todo.into(), cause: Cause::Login, wait: Wait::Person }
    }

    /// The vendor answered with something that is not expected.
    pub(in crate::source) fn protocol(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { what: what.into(), todo: todo.into(), cause: Cause::Protocol, wait: Wait::Backoff }
    }

    /// The vendor is not well, or wants fewer requests: it passes.
    pub(in crate::source) fn passing(what: impl Into<String>, wait: Option<Duration>) -> Self {
        Self {
            what: what.into(),
            todo: "it is tried again by itself; if it stays for hours, look at the vendor's service status".into(),
            cause: Cause::Unreachable,
            wait: wait.map_or(Wait::Backoff, Wait::For),
        }
    }
}

impl From<HttpError> for Trouble {
    fn from(error: HttpError) -> Self {
        let text = error.to_string();
        let (what, todo) = match &error {
            HttpError::Dial(dial) => (dial.what(), dial.todo()),
            HttpError::TooLarge { url, limit } => {
                (format!("the answer of {url} is larger than {limit} bytes"), "raise max_page of this source".into())
            }
            _ => {
                let (what, todo) = text.rsplit_once("; ").unwrap_or((&text, "check the network"));
                (what.to_owned(), todo.to_owned())
            }
        };
        let (cause, wait) = match &error {
            HttpError::Tls(_) => (Cause::Tls, Wait::Person),
            HttpError::Dial(dial) if dial.is_tls() => (Cause::Tls, Wait::Backoff),
            HttpError::Dial(DialError::ProxyPassword { .. }) => (Cause::Login, Wait::Person),
            HttpError::TooLarge { .. } => (Cause::Protocol, Wait::Backoff),
            _ => (Cause::Unreachable, Wait::Backoff),
        };
        Self { what, todo, cause, wait }
    }
}
