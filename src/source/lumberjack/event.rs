//! Whether bytes are an event, and the id it brings.
//!
//! An event is one JSON object. It is kept as it came, so it is checked here, once: what a gateway cannot parse would stop
//! an output for ever (Logstash closes the connection at every try). What only some parsers dislike is let through: lone
//! surrogates (`\ud800`, which Python writes for broken bytes) and numbers too large for a double.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2_iter;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Arrays and objects inside one another. Beats nest less than 10; Elasticsearch takes 20 by default, Jackson 1,000,
/// serde_json 128: so what passes here passes the parsers on its way.
const MAX_DEPTH: usize = 100;
/// Longest id that is taken as the event's own: Elasticsearch's limit for a document id.
const MAX_ID: usize = 512;

/// Why bytes are no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnEvent {
    #[error("an event is not UTF-8")]
    Utf8,
    #[error("an event is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("an event is no JSON object: {0}")]
    Json(#[from] serde_json::Error),
}

/// Checks an event; gives its `@metadata._id` if that is a text of 1 to 512 bytes.
pub(super) fn own_id(json: &[u8]) -> Result<Option<Cow<'_, str>>, NotAnEvent> {
    let text = std::str::from_utf8(json).map_err(|_| NotAnEvent::Utf8)?;
    if memchr2_iter(b'[', b'{', json).nth(MAX_DEPTH).is_some() && is_too_deep(json) {
        return Err(NotAnEvent::TooDeep);
    }
    let Some(metadata) = member(text, "@metadata")? else { return Ok(None) };
    // Values of another type, and texts that are none, are no error: they only name nothing.
    let id = member(metadata.get(), "_id").ok().flatten();
    let id = id.and_then(|id| match serde_json::from_str::<&str>(id.get()) {
        Ok(plain) => Some(Cow::Borrowed(plain)),
        Err(_) => serde_json::from_str::<String>(id.get()).ok().map(Cow::Owned),
    });
    Ok(id.filter(|id| (1..=MAX_ID).contains(&id.len())))
}

fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_text, mut is_escaped) = (0usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Reads an object to its end and gives the named member. Of members that come twice the last counts, as for Logstash's
/// parser.
fn member<'a>(object: &'a str, name: &str) -> Result<Option<&'a RawValue>, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_str(object);
    let found = from.deserialize_map(Members(name))?;
    from.end()?;
    Ok(found)
}

struct Members<'n>(&'n str);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Name(self.0))? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Tells whether a member has this name.
struct Name<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(json: &str) -> Option<String> {
        own_id(json.as_bytes()).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn the_id_is_the_metadata_id_if_it_is_a_text_of_fitting_length() {
        assert_eq!(id(r#"{"message":"x","@metadata":{"beat":"filebeat","_id":"abc"}}"#).as_deref(), Some("abc"));
        assert_eq!(id(r#"{"@metadata":{"_id":"a\"b\u00e4"}}"#).as_deref(), Some("a\"bä"));
        assert_eq!(id(r#"{"@metadata":{"_id":"first"},"@metadata":{"_id":"last"}}"#).as_deref(), Some("last"));
        assert_eq!(id(&format!(r#"{{"@metadata":{{"_id":"{}"}}}}"#, "x".repeat(512))).unwrap().len(), 512);
        for none in [
            "{}",
            r#"{"_id":"x"}"#,
            r#"{"@metadata":null}"#,
            r#"{"@metadata":"_id"}"#,
            r#"{"@metadata":{}}"#,
            r#"{"@metadata":{"_id":7}}"#,
            r#"{"@metadata":{"_id":""}}"#,
            r#"{"@metadata":{"_id":"\ud800"}}"#,
            r#"{"a":{"@metadata":{"_id":"x"}}}"#,
        ] {
            assert_eq!(id(none), None, "{none}");
        }
        assert_eq!(id(&format!(r#"{{"@metadata":{{"_id":"{}"}}}}"#, "x".repeat(513))), None);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for wrong in [
            "",
            " ",
            "{",
            "[]",
            "7",
            "\"x\"",
            "null",
            "{\"a\":1}x",
            "{\"a\":1}{}",
            "{a:1}",
            "{\"a\":NaN}",
            "{\"a\":1,}",
        ] {
            assert!(own_id(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(matches!(own_id(b"{\"a\":\"\xff\"}"), Err(NotAnEvent::Utf8)));
    }

    #[test]
    fn what_only_some_parsers_dislike_is_let_through() {
        for fine in [r#" {"a":1} "#, r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#, r#"{"a":1,"a":2}"#] {
            assert!(own_id(fine.as_bytes()).is_ok(), "{fine}");
        }
    }

    #[test]
    fn depth_is_bounded_and_brackets_in_text_do_not_count() {
        let nested = |depth: usize| format!("{}{}{}", "{\"a\":".repeat(depth), 1, "}".repeat(depth));
        assert!(own_id(nested(100).as_bytes()).is_ok());
        assert!(matches!(own_id(nested(101).as_bytes()), Err(NotAnEvent::TooDeep)));
        assert!(matches!(own_id("[".repeat(1_000_000).as_bytes()), Err(NotAnEvent::TooDeep)));
        assert!(own_id(format!(r#"{{"a":"{}\"{}"}}"#, "[".repeat(500), "{".repeat(500)).as_bytes()).is_ok());
        assert!(own_id(format!("{{\"a\":[{}[]]}}", "[],".repeat(500)).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = own_id(&bytes);
        }

        #[test]
        fn what_passes_is_what_a_strict_parser_takes_too(text in r#"[\{\}\[\]",:a1 ]{0,12}"#) {
            let strict = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.is_object());
            prop_assert_eq!(own_id(text.as_bytes()).is_ok(), strict);
        }
    }
}
