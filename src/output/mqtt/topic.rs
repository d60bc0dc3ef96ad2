//! Where a message goes: a template, filled with the box's name and the source.
//!
//! Facts: MQTT 5 section 4.7.1 (a topic that is published to holds no `+` and no `#`), 4.7.2 (`$` at the start is the
//! broker's), 4.7.3 (at least one character, no NUL, at most 65,535 bytes), 1.5.4 (no control characters).

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every message carries its topic; nobody means to write more.
const MOST: usize = 256;
/// Bytes of the longest topic that is likely: a template with both names. A name of a box has rarely a tenth of this.
pub(super) const LONGEST: usize = 1_024;

/// A topic with `{box}` and `{source}` in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Topic(String);

impl Topic {
    /// The topic for a source's messages. What would be a level, a wildcard or the broker's in a name becomes `_`.
    pub(super) fn fill(&self, name: &str, source: &str) -> String {
        // Braces of a name must not be taken for ours: one pass.
        let mut topic = String::with_capacity(self.0.len() + name.len() + source.len());
        let mut rest = self.0.as_str();
        while let Some((before, behind)) = rest.split_once('{') {
            let (word, after) = behind.split_once('}').unwrap_or((behind, ""));
            topic.push_str(before);
            topic.extend(level(if word == "box" { name } else { source }));
            rest = after;
        }
        topic.push_str(rest);
        topic
    }
}

/// The characters of a name as one level of a topic; never none.
fn level(name: &str) -> impl Iterator<Item = char> {
    let is_odd = |c: char| matches!(c, '/' | '+' | '#' | '$') || is_unfit(c);
    let name = if name.is_empty() { "_" } else { name };
    name.chars().take(MOST).map(move |c| if is_odd(c) { '_' } else { c })
}

/// Control characters, and the code points that are no characters.
fn is_unfit(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
}

impl Default for Topic {
    fn default() -> Self {
        Self("sapphire/{box}/{source}".to_owned())
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{text:?} is no topic: {why}; write \"sapphire/{{box}}/{{source}}\""));
        if text.is_empty() || text.len() > MOST {
            return wrong("it has to have 1 to 256 bytes");
        }
        if text.contains(['+', '#']) {
            return wrong("+ and # are wildcards, to which nothing can be published");
        }
        if text.starts_with('$') {
            return wrong("what begins with $ is the broker's own");
        }
        if text.chars().any(is_unfit) {
            return wrong("it holds a control character");
        }
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let found = rest.get(at..).unwrap_or_default();
            let Some(after) = found.strip_prefix("{box}").or_else(|| found.strip_prefix("{source}")) else {
                return wrong("braces may only hold box or source");
            };
            rest = after;
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Topic {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> Self {
        topic.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(text: &str) -> Topic {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_filled_in_and_make_no_levels() {
        assert_eq!(Topic::default().fill("edge-1", "firewalls"), "sapphire/edge-1/firewalls");
        assert_eq!(topic("{source}").fill("a", "b"), "b");
        assert_eq!(topic("{box}{source}/{box}").fill("{source}", "b"), "{source}b/{source}");
        assert_eq!(topic("x/{box}").fill("a/b+c#d\0", "b"), "x/a_b_c_d_");
        assert_eq!(topic("{box}/x").fill("$SYS", "b"), "_SYS/x");
        assert_eq!(topic("{box}/x").fill("", "b"), "_/x");
        assert_eq!(topic("plain").fill("a", "b"), "plain");
    }

    #[test]
    fn what_cannot_be_published_to_is_refused_in_words() {
        let long = "x".repeat(MOST + 1);
        for (text, part) in [
            ("", "1 to 256"),
            (long.as_str(), "1 to 256"),
            ("a/+/b", "wildcards"),
            ("a/#", "wildcards"),
            ("$SYS/x", "broker's own"),
            ("a\0b", "control"),
            ("a\nb", "control"),
            ("{host}", "braces"),
            ("a{", "braces"),
            ("a}", "braces"),
            ("{box", "braces"),
        ] {
            let words = text.parse::<Topic>().unwrap_err();
            assert!(words.contains(part), "{text:?}: {words}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_names_the_topic_can_be_published_to(
            template in "[a-z/]{0,5}(\\{box\\}|\\{source\\}|[a-z/]){1,5}",
            name in "\\PC{0,20}|[/+#$\0-\u{1f}]{0,5}",
            source in "[a-z_]{1,64}",
        ) {
            let template = topic(&template);
            let filled = template.fill(&name, &source);
            prop_assert!(!filled.is_empty() && filled.len() <= 65_535);
            prop_assert!(!filled.contains(['+', '#', '\0']) && !filled.starts_with('$'), "{filled:?}");
            let levels = |text: &str| text.matches('/').count();
            prop_assert_eq!(levels(&filled), levels(&template.to_string()));
        }
    }
}
