//! The settings: the file to edit, what a change would do, and the way back.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::frame::Frame;
use super::text;

/// The settings file and what one can do with it.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Settings {
    /// The file's path.
    pub file: String,
    /// The whole file, or what somebody makes of it.
    pub text: String,
    /// The version that the text was made from.
    pub version: String,
    /// What waits to be confirmed.
    pub trial: Option<Trial>,
    /// The copies of settings that have worked, the newest first.
    pub copies: Vec<Copy>,
    /// What came of looking at the text; none while it is what is in use.
    pub review: Option<Review>,
    /// List and type of what can be added.
    #[serde(skip)]
    pub samples: Vec<(&'static str, &'static str)>,
}

/// Settings that are taken back unless somebody confirms them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Trial {
    /// Who wanted them.
    pub by: String,
    /// Seconds that are left.
    pub seconds_left: u64,
}

/// A copy of settings that have worked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Copy {
    /// Its number.
    pub number: u64,
    /// Since when they were in use (RFC 3339).
    pub at: String,
}

/// What a text would do.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Review {
    /// What is wrong with it; nothing: it can be taken into use.
    pub problems: Vec<Problem>,
    /// What is different from the text in use, as a unified diff; empty: nothing.
    pub diff: String,
}

/// One thing that is wrong with a text.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path of the key; empty where the text is no TOML.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub advice: String,
}

/// A line of the differences.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    /// `added`, `removed`, or nothing.
    kind: &'static str,
    /// What a screen reader says before it.
    word: &'static str,
    text: &'a str,
}

impl Copy {
    fn clock(&self) -> String {
        text::clock(&self.at)
    }
}

impl Review {
    fn can_apply(&self) -> bool {
        self.problems.is_empty() && !self.diff.is_empty()
    }

    /// The lines of the differences, without the head.
    fn lines(&self) -> Vec<Line<'_>> {
        let lines = self.diff.lines().skip_while(|line| !line.starts_with("@@"));
        let line = |text: &'static str, word, line| Line { kind: text, word, text: line };
        lines
            .map(|text| match text.as_bytes().first() {
                Some(b'+') => line("added", "added", text),
                Some(b'-') => line("removed", "removed", text),
                _ => line("", "", text),
            })
            .collect()
    }
}

impl Settings {
    /// The types of one list.
    fn kinds<'a>(&'a self, list: &'a str) -> impl Iterator<Item = &'static str> + 'a {
        self.samples.iter().filter(move |(of, _)| *of == list).map(|(_, kind)| *kind)
    }

    /// As many rows as the text has, within reason.
    fn rows(&self) -> usize {
        self.text.lines().count().clamp(12, 40)
    }
}

#[derive(Debug, Template)]
#[template(path = "settings.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Settings,
}

pub(super) fn page(frame: &Frame, page: &Settings) -> String {
    super::render(&Page { frame, page })
}
