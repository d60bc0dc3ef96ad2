//! A command: who may give it, to whom, until when, and what it is.
//!
//! On the wire: `{"form": 1, "payload": "…", "signature": "…"}`. The payload is a text, so that exactly these bytes were signed
//! (Ed25519, base64); it is a JSON object in turn: `id` (random, never used twice), `to` (the box's id; `all` for offers),
//! `issued`, `expires`, and `do`. A key that is not known is an error in both: a condition that we do not understand must not be
//! passed over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::FORM;
use super::refusal::{Refusal, Wrong};
use super::stage::Stage;
use crate::clock::Timestamp;
use crate::control::Edit;
use crate::secret::PublicKeys;

/// Longest time for which a command is valid: it is carried out when somebody waits for it.
pub(super) const LONGEST: Duration = Duration::from_secs(3_600);
/// The same of an offer to all, which boxes that come later have to find.
const LONGEST_OFFER: Duration = Duration::from_secs(31 * 86_400);
/// How wrong the clocks of box and operator may be. A box without a time server is off by a second a day.
pub(super) const SKEW: Duration = Duration::from_secs(300);
/// Lengths of an id: 16 characters of base64 are 96 bits.
const ID: std::ops::RangeInclusive<usize> = 16..=64;
/// Whom an offer to all boxes is addressed to.
const ALL: &str = "all";

/// What comes from the broker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    form: u32,
    payload: String,
    signature: String,
}

/// What was signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    id: String,
    to: String,
    issued: jiff::Timestamp,
    expires: jiff::Timestamp,
    #[serde(rename = "do")]
    deed: Deed,
}

/// A command that is to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) id: String,
    pub(super) issued: Timestamp,
    /// When it need not be remembered any more, also where our clock is set back a little.
    pub(super) forgotten: Timestamp,
    pub(super) deed: Deed,
}

/// What can be commanded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Deed {
    /// Take this version for the newest word of what there is.
    Offer(Offer),
    /// Make a support bundle and send it.
    SupportBundle,
    /// Stop a source and start it again.
    RestartSource {
        /// Its id.
        source: String,
    },
    /// Change single keys of the settings.
    Settings(Edit),
    /// Keep the settings that were changed: the box was reached with them.
    ConfirmSettings,
}

/// A version that boxes may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offer {
    /// The version in the manifest.
    pub(super) version: String,
    /// The kind of boxes it is for.
    pub(super) compatible: String,
    /// Which share of all boxes takes part by now.
    #[serde(default)]
    pub(super) stage: Stage,
    /// The signed manifest.
    pub(super) manifest: String,
}

impl Deed {
    /// Its name in answers and events.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Offer(_) => "offer",
            Self::SupportBundle => "support_bundle",
            Self::RestartSource { .. } => "restart_source",
            Self::Settings(_) => "settings",
            Self::ConfirmSettings => "confirm_settings",
        }
    }
}

/// What a message is measured by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// Whose signature counts.
    pub(super) keys: &'a PublicKeys,
    /// This box.
    pub(super) id: &'a str,
    pub(super) now: Timestamp,
    /// It came where offers to all come.
    pub(super) is_for_all: bool,
}

/// Reads a message and checks whose it is, for whom, and whether it is fresh.
///
/// # Errors
/// Why it must not be carried out.
pub(super) fn open(bytes: &[u8], rules: Rules<'_>) -> Result<Command, Refusal> {
    let garbled = |error: serde_json::Error| Refusal::new(Wrong::Garbled, format!("it is no command: {error}"));
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(garbled)?;
    if envelope.form != FORM {
        let words = format!("it has the form {}, and this firmware understands {FORM}", envelope.form);
        return Err(Refusal::new(Wrong::Garbled, words));
    }
    if !rules.keys.have_signed(envelope.payload.as_bytes(), &envelope.signature) {
        let words = "it is not signed by a key of the fleet, or was changed since".to_owned();
        return Err(Refusal::new(Wrong::Forged, words));
    }
    // From here on it is one who may command that has made a mistake, or somebody who repeats what they said.
    let payload: Payload = serde_json::from_str(&envelope.payload).map_err(|error| {
        let words = format!("it is signed, and does not say what it must: {error}");
        Refusal::new(Wrong::Garbled, words)
    })?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !ID.contains(&payload.id.len()) || !payload.id.chars().all(is_plain) {
        let words = "its id is not 16 to 64 letters, digits, hyphens and underscores".to_owned();
        return Err(Refusal::new(Wrong::Garbled, words));
    }
    check(payload, rules)
}

fn check(payload: Payload, rules: Rules<'_>) -> Result<Command, Refusal> {
    let refuse = |wrong, words: String| Err(Refusal::new(wrong, words).of(&payload.id));
    let is_offer = matches!(payload.deed, Deed::Offer(_));
    let (to, longest) = if rules.is_for_all { (ALL, LONGEST_OFFER) } else { (rules.id, LONGEST) };
    if payload.to != to {
        return refuse(Wrong::Foreign, format!("it is addressed to {:?}, and came to {to:?}", shown(&payload.to)));
    }
    if rules.is_for_all && !is_offer {
        return refuse(Wrong::Foreign, "only an offer can be addressed to all boxes".to_owned());
    }
    let moment = |time: jiff::Timestamp| Timestamp(u64::try_from(time.as_microsecond()).unwrap_or(0));
    let (issued, expires) = (moment(payload.issued), moment(payload.expires));
    if expires <= issued || expires.since(issued) > longest {
        let words = format!("it is valid for {:?}, and the longest is {longest:?}", expires.since(issued));
        return refuse(Wrong::Expired, words);
    }
    if rules.now > expires.after(SKEW) {
        return refuse(Wrong::Expired, format!("it was valid until {expires}, and here it is {}", rules.now));
    }
    if issued > rules.now.after(SKEW) {
        return refuse(Wrong::Expired, format!("it was issued at {issued}, and here it is {}", rules.now));
    }
    Ok(Command { id: payload.id, issued, forgotten: expires.after(2 * SKEW), deed: payload.deed })
}

/// A text of others, of which a line is enough.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::fleet) const NOW: Timestamp = Timestamp(1_795_478_400_000_000);

    pub(in crate::fleet) fn pair() -> (Ed25519KeyPair, PublicKeys) {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        (pair, PublicKeys::new(vec![[7; 32], key]))
    }

    pub(in crate::fleet) fn signed(pair: &Ed25519KeyPair, payload: &str) -> Vec<u8> {
        let signature = STANDARD.encode(pair.sign(payload.as_bytes()).as_ref());
        json!({"form": 1, "payload": payload, "signature": signature}).to_string().into_bytes()
    }

    fn payload(change: impl FnOnce(&mut Value)) -> String {
        let mut value = json!({
            "id": "0123456789abcdef", "to": "edge-7", "issued": "2026-11-24T00:00:00Z",
            "expires": "2026-11-24T00:10:00Z", "do": {"restart_source": {"source": "firewalls"}},
        });
        change(&mut value);
        value.to_string()
    }

    fn read(bytes: &[u8], keys: &PublicKeys, is_for_all: bool) -> Result<Command, Refusal> {
        open(bytes, Rules { keys, id: "edge-7", now: NOW, is_for_all })
    }

    #[test]
    fn each_deed_is_read() {
        let (pair, keys) = pair();
        for (deed, name) in [
            (json!("support_bundle"), "support_bundle"),
            (json!({"restart_source": {"source": "firewalls"}}), "restart_source"),
            (json!({"settings": {"set": {"table": "log", "values": {"level": "debug"}}}}), "settings"),
            (json!("confirm_settings"), "confirm_settings"),
            (json!({"offer": {"version": "1.2.0", "compatible": "x", "stage": 10, "manifest": "m"}}), "offer"),
        ] {
            let command = read(&signed(&pair, &payload(|json| json["do"] = deed)), &keys, false).unwrap();
            assert_eq!(command.deed.name(), name);
            assert_eq!((command.id.as_str(), command.issued), ("0123456789abcdef", NOW));
        }
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let ((pair, keys), (other, _)) = (pair(), pair());
        let good = payload(|_| {});
        let offer = json!({"offer": {"version": "1.2.0", "compatible": "x", "manifest": "m"}});
        for (bytes, is_for_all, wrong, part) in [
            (b"no json".to_vec(), false, Wrong::Garbled, "no command"),
            (br#"{"form": 2, "payload": "", "signature": ""}"#.to_vec(), false, Wrong::Garbled, "the form 2"),
            (signed(&other, &good), false, Wrong::Forged, "not signed by a key of the fleet"),
            (signed(&pair, "{}"), false, Wrong::Garbled, "signed, and does not say"),
            (signed(&pair, &payload(|json| json["only_if"] = true.into())), false, Wrong::Garbled, "only_if"),
            (signed(&pair, &payload(|json| json["id"] = "short".into())), false, Wrong::Garbled, "its id"),
            (signed(&pair, &payload(|json| json["to"] = "edge-8".into())), false, Wrong::Foreign, "edge-8"),
            (signed(&pair, &good), true, Wrong::Foreign, "edge-7"),
            (signed(&pair, &payload(|json| json["to"] = "all".into())), true, Wrong::Foreign, "only an offer"),
            (
                signed(&pair, &payload(|json| json["expires"] = "2026-11-24T02:00:00Z".into())),
                false,
                Wrong::Expired,
                "the longest",
            ),
            (
                signed(&pair, &payload(|json| json["expires"] = "2026-11-24T00:00:00Z".into())),
                false,
                Wrong::Expired,
                "the longest",
            ),
            (
                signed(
                    &pair,
                    &payload(|json| {
                        json["issued"] = "2026-11-23T23:00:00Z".into();
                        json["expires"] = "2026-11-23T23:54:59Z".into();
                    }),
                ),
                false,
                Wrong::Expired,
                "was valid until",
            ),
            (
                signed(
                    &pair,
                    &payload(|json| {
                        json["issued"] = "2026-11-24T00:05:01Z".into();
                        json["expires"] = "2026-11-24T00:06:00Z".into();
                    }),
                ),
                false,
                Wrong::Expired,
                "was issued at",
            ),
            (
                signed(
                    &pair,
                    &payload(|json| {
                        (json["to"], json["do"]) = ("all".into(), offer.clone());
                        json["expires"] = "2027-11-24T00:00:00Z".into();
                    }),
                ),
                true,
                Wrong::Expired,
                "the longest",
            ),
        ] {
            let refusal = read(&bytes, &keys, is_for_all).unwrap_err();
            assert_eq!(refusal.wrong, wrong, "{refusal:?}");
            assert!(refusal.words.contains(part), "{part}: {refusal:?}");
            let is_known = matches!(wrong, Wrong::Foreign | Wrong::Expired);
            assert_eq!(refusal.command.is_some(), is_known, "{refusal:?}");
        }
    }

    #[test]
    fn an_offer_to_all_may_be_valid_for_a_month_and_is_for_all_where_no_stage_is_named() {
        let (pair, keys) = pair();
        let offer = json!({"offer": {"version": "1.2.0", "compatible": "x", "manifest": "m"}});
        let to_all = payload(|json| {
            (json["to"], json["do"]) = ("all".into(), offer);
            json["expires"] = "2026-12-20T00:00:00Z".into();
        });
        let command = read(&signed(&pair, &to_all), &keys, true).unwrap();
        let Deed::Offer(offer) = command.deed else { panic!("no offer") };
        assert_eq!(offer.stage, Stage::ALL, "where none is named, everybody");
        assert!(read(&signed(&pair, &to_all), &keys, false).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (_, keys) = pair();
            prop_assert!(read(&bytes, &keys, false).is_err());
        }

        /// Whatever byte is changed, and wherever it is cut, nothing is carried out that was not signed.
        #[test]
        fn no_changed_byte_is_taken(place in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let (pair, keys) = pair();
            let good = signed(&pair, &payload(|_| {}));
            let wanted = read(&good, &keys, false).unwrap();
            let at = place.index(good.len());
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            // Blanks between the keys of the envelope are not signed, and say nothing.
            prop_assert!(read(&bytes, &keys, false).map_or(true, |command| command == wanted), "byte {}", at);
            prop_assert!(read(&good[..at], &keys, false).is_err(), "cut at {}", at);
        }

        #[test]
        fn arbitrary_payloads_that_are_signed_are_commands_or_refused(text in ".{0,200}") {
            let (pair, keys) = pair();
            prop_assert!(read(&signed(&pair, &text), &keys, false).is_err());
        }

        /// The times decide alone: fresh is what is between issued and expires, give or take the skew.
        #[test]
        fn freshness_is_a_matter_of_the_times(issued in -20_000i64..20_000, valid in -100i64..8_000) {
            let (pair, keys) = pair();
            let base = jiff::Timestamp::from_microsecond(i64::try_from(NOW.micros()).unwrap()).unwrap();
            let at = |seconds: i64| Value::from((base + jiff::SignedDuration::from_secs(seconds)).to_string());
            let text = payload(|json| {
                json["issued"] = at(issued);
                json["expires"] = at(issued + valid);
            });
            let is_fresh = (1..=3_600).contains(&valid) && issued <= 300 && issued + valid >= -300;
            let read = read(&signed(&pair, &text), &keys, false);
            prop_assert_eq!(read.is_ok(), is_fresh, "{} {} {:?}", issued, valid, read);
        }
    }
}
