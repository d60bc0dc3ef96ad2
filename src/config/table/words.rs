//! Turns what serde says about a value into what is wrong and what to write instead.
//!
//! serde's messages are part of no promise, but they come from a pinned version and the table of bad files in
//! `tests/data/settings` fails when they change. What is not recognised is shown as it is.

use toml::de::DeValue;

/// What a message of serde means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Meaning {
    /// There is no such key; these are known.
    UnknownKey {
        /// The keys of that table.
        known: Vec<String>,
    },
    /// This key has to be there.
    MissingKey(String),
    /// The value is none of these words.
    UnknownWord {
        /// The words.
        known: Vec<String>,
    },
    /// A value of this kind does not belong there.
    Type {
        /// What to write instead; empty where serde does not say.
        advice: String,
    },
    /// The value is of the right kind, and wrong.
    Value {
        /// What is wrong.
        what: String,
        /// What to write instead; may be empty.
        advice: String,
    },
}

/// The advice where a table should stand: the reader knows its name and says it.
pub(in crate::config) const A_TABLE: &str = "write a table";

/// Reads one message.
pub(in crate::config) fn meaning(message: &str) -> Meaning {
    let message = message.trim_end();
    if message.starts_with("unknown field ") {
        return Meaning::UnknownKey { known: quoted(message).skip(1).map(str::to_owned).collect() };
    }
    if message.starts_with("unknown variant ") {
        return Meaning::UnknownWord { known: quoted(message).skip(1).map(str::to_owned).collect() };
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return Meaning::MissingKey(quoted(rest).next().unwrap_or(rest).to_owned());
    }
    for prefix in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((_, expected)) = message.strip_prefix(prefix).and_then(|rest| rest.split_once(", expected ")) {
            return Meaning::Type { advice: format!("write {}", expected_words(expected)) };
        }
    }
    // What toml says of a number or a truth where an enum's word belongs.
    if message == "wanted string or table" {
        return Meaning::Type { advice: String::new() };
    }
    if message == "invalid socket address syntax" {
        let advice = "write an IP address and a port, such as \"127.0.0.1:9180\" or \"[::1]:9180\"";
        return Meaning::Value { what: "this is no IP address with a port".to_owned(), advice: advice.to_owned() };
    }
    let (what, advice) = message.split_once("; ").unwrap_or((message, ""));
    Meaning::Value { what: what.to_owned(), advice: advice.to_owned() }
}

/// The parts of a text between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What stands in the file.
pub(in crate::config) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// What should stand there.
fn expected_words(expected: &str) -> String {
    let whole = |least: &str, most: u64| format!("a whole number from {least} to {most}, without quotes");
    match expected {
        "u8" => whole("0", u64::from(u8::MAX)),
        "u16" => whole("0", u64::from(u16::MAX)),
        "u32" => whole("0", u64::from(u32::MAX)),
        "u64" | "usize" => "a whole number, 0 or more, without quotes".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number, without quotes".to_owned(),
        "f32" | "f64" => "a number, without quotes".to_owned(),
        "a boolean" => "true or false, without quotes".to_owned(),
        "a string" | "path string" | "a borrowed string" => "a text in quotes".to_owned(),
        "a sequence" => "a list in square brackets, texts in quotes".to_owned(),
        "a map" => "a table".to_owned(),
        text if text.starts_with("a nonzero") => "a whole number, 1 or more, without quotes".to_owned(),
        text if text.starts_with("struct ") => "a table".to_owned(),
        text => text.to_owned(),
    }
}

/// The known word that was most likely meant, if one is near enough.
pub(in crate::config) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    let scored = known.into_iter().map(|known| {
        let same_start = known.len() >= 3 && (word.starts_with(known) || known.starts_with(&word)) && word.len() >= 3;
        let score = strsim::normalized_damerau_levenshtein(&word, known);
        (known, if same_start { score.max(NEAR) } else { score })
    });
    let best = scored.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (best.1 >= NEAR).then_some(best.0)
}

/// Half of the letters in place: `lisen` and `listen` are 0.83, `cert` and `key` are 0.25.
const NEAR: f64 = 0.5;

/// Words as a list: `"a", "b" or "c"`.
pub(in crate::config) fn either<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_in_words_what_serde_says() {
        for (message, advice) in [
            ("invalid type: string \"5\", expected u16", "write a whole number from 0 to 65535, without quotes"),
            ("invalid type: integer `1`, expected a boolean", "write true or false, without quotes"),
            ("wanted string or table", ""),
        ] {
            assert_eq!(meaning(message), Meaning::Type { advice: advice.to_owned() });
        }
        let (what, advice) = ("\"30\" is not a duration".to_owned(), "write a number and a unit".to_owned());
        assert_eq!(meaning(&format!("{what}; {advice}")), Meaning::Value { what, advice });
        let known = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(meaning("unknown field `x`, expected `a` or `b`"), Meaning::UnknownKey { known: known.clone() });
        assert_eq!(meaning("unknown variant `x`, expected one of `a`, `b`"), Meaning::UnknownWord { known });
        assert_eq!(meaning("missing field `id`"), Meaning::MissingKey("id".to_owned()));
    }

    #[test]
    fn finds_the_word_that_was_meant() {
        let known = ["listen", "allow", "max_connections", "idle_timeout"];
        for (typed, meant) in [
            ("lisen", "listen"),
            ("Listen", "listen"),
            ("max-connections", "max_connections"),
            ("idle", "idle_timeout"),
        ] {
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
        assert_eq!(nearest("xyz", known), None);
        assert_eq!(either(["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
    }
}
