//! Who has sent and sends nothing any more: shown in the source's health and told as an event, once for each device.
//!
//! A device is the name in a verified certificate, the name that an SSH key belongs to, or else an address: what stands behind a
//! relay is one device. Only who was heard since the program started is missed, and only for the time in which the source could
//! hear: its listeners were bound, and the queue had room for senders that can be held back.
//!
//! Not supported: learning how often a device sends; who sends more rarely than `silent_after` needs a longer one.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Context;
use crate::event::{Notice, Origin, SourceId, Teller};
use crate::quantity::Span;
use crate::queue::Intake;
use crate::status::{Device, Gauge, Handle};

/// Names that a sentence holds; the rest is a number.
const NAMED: usize = 3;
/// Range of the setting.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(6 * 86_400);

/// How long a device may be silent: a duration, or `"never"` where nobody is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct SilentAfter(Option<Span>);

/// A firewall or an agent that has sent nothing for an hour has a reason that a person should know.
impl Default for SilentAfter {
    fn default() -> Self {
        Self(Some(Span::secs(3_600)))
    }
}

impl FromStr for SilentAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let span = text.parse::<Span>().ok().filter(|span| (LEAST..=MOST).contains(&span.0));
        span.map(|span| Self(Some(span)))
            .ok_or_else(|| format!("{text:?} is no such time; write a duration from \"1s\" to \"6d\", or \"never\""))
    }
}

impl TryFrom<String> for SilentAfter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for SilentAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(span) => span.fmt(f),
            None => f.write_str("never"),
        }
    }
}

impl From<SilentAfter> for String {
    fn from(after: SilentAfter) -> Self {
        after.to_string()
    }
}

/// Watches over the devices of a source.
#[derive(Debug)]
pub(super) struct Silence {
    source: SourceId,
    after: SilentAfter,
    status: Handle,
    intake: Intake,
    teller: Teller,
    /// From when on the source has been able to hear.
    since: Mutex<Instant>,
}

impl Silence {
    pub(super) fn new(source: SourceId, after: SilentAfter, context: &Context) -> Self {
        let (status, intake, teller) = (context.status.clone(), context.intake.clone(), context.teller.clone());
        Self { source, after, status, intake, teller, since: Mutex::new(Instant::now()) }
    }

    /// Looks, tells of who fell silent and who came back, and says in words who is missed. `can_hear`: all listeners are bound.
    pub(super) fn look(&self, can_hear: bool) -> Option<(String, String)> {
        let since = {
            let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            if !can_hear || self.intake.room_bytes() == 0 {
                *since = Instant::now();
            }
            *since
        };
        let after = self.after.0.map_or(Duration::MAX, |after| after.0);
        self.status.devices().look(after, since).iter().for_each(|device| self.tell(device));
        let all = self.status.devices().list();
        let silent: Vec<&Device> = all.iter().filter(|device| device.is_silent).collect();
        let counters = self.status.counters();
        counters.set(Gauge::Devices, all.len() as u64);
        counters.set(Gauge::SilentDevices, silent.len() as u64);
        words(&silent, self.after)
    }

    fn tell(&self, device: &Device) {
        let (source, name, last) = (self.source.to_string(), device.name.clone(), device.last.to_string());
        let (action, message) = if device.is_silent {
            let after = self.after;
            (
                "device_silent",
                format!("the device {name} of source {source} has sent nothing for {after} (last on {last})"),
            )
        } else {
            ("device_speaks", format!("the device {name} of source {source} sends again"))
        };
        let facts = [("source", source), ("device", name), ("last_event", last)];
        self.teller.tell(Notice::new(action, !device.is_silent, message, &facts));
    }
}

/// Who is missed, in words that stay the same while nothing changes.
fn words(silent: &[&Device], after: SilentAfter) -> Option<(String, String)> {
    let what = match silent {
        [] => return None,
        [one] => {
            format!("the device {} sends nothing any more (last on {}, silent_after is {after})", one.name, one.last)
        }
        many => {
            let named: Vec<&str> = many.iter().take(NAMED).map(|device| device.name.as_str()).collect();
            let more = many.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let (count, named) = (many.len(), named.join(", "));
            format!("{count} devices send nothing any more: {named}{more} (silent_after is {after})")
        }
    };
    let todo = "look at the device and at the network between; one that is gone for good can be forgotten on the source's page, \
                and one that sends more rarely needs a longer silent_after";
    Some((what, todo.to_owned()))
}

/// What a sender is called: by its certificate or key, or else by its address.
pub(super) fn device_of(origin: &Origin) -> Option<String> {
    let name = origin.name.as_deref().map(str::to_owned);
    name.or_else(|| origin.peer.map(|peer| peer.ip().to_string()))
}

/// Notes a sender of a connection, once a second at most.
#[derive(Debug)]
pub(super) struct Noted {
    device: Option<String>,
    noted: Option<Instant>,
}

impl Noted {
    /// Whoever is at the other end.
    pub(super) fn new(origin: &Origin) -> Self {
        Self { device: device_of(origin), noted: None }
    }

    /// It sent something.
    pub(super) fn heard(&mut self, status: &Handle) {
        let now = Instant::now();
        if self.noted.is_none_or(|noted| now.duration_since(noted) >= Duration::from_secs(1))
            && let Some(device) = &self.device
        {
            status.devices().heard(device, status.now());
            self.noted = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn the_setting_is_a_duration_or_never() {
        for good in ["1h", "never", "1m", "6d"] {
            assert_eq!(good.parse::<SilentAfter>().unwrap().to_string(), good);
        }
        assert_eq!(SilentAfter::default().to_string(), "1h");
        for bad in ["", "0s", "7d", "1", "Never", "an hour"] {
            assert!(bad.parse::<SilentAfter>().unwrap_err().contains("; write"), "{bad}");
        }
    }

    #[test]
    fn the_words_name_a_few_and_count_the_rest() {
        let device = |name: &str| Device { name: name.to_owned(), last: Timestamp(0), is_silent: true };
        let all: Vec<Device> = ["fw1", "fw2", "fw3", "fw4"].map(device).into();
        let some = |count: usize| words(&all.iter().take(count).collect::<Vec<_>>(), SilentAfter::default());
        assert_eq!(some(0), None);
        let (one, todo) = some(1).unwrap();
        assert_eq!(one, "the device fw1 sends nothing any more (last on 1970-01-01T00:00:00.000Z, silent_after is 1h)");
        assert!(todo.contains("forgotten on the source's page"));
        assert_eq!(some(2).unwrap().0, "2 devices send nothing any more: fw1, fw2 (silent_after is 1h)");
        assert_eq!(
            some(4).unwrap().0,
            "4 devices send nothing any more: fw1, fw2, fw3 and 1 more (silent_after is 1h)"
        );
    }
}
