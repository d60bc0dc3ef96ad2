//! What is wrong in a settings file, and where, as people read it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The longest part of a line that an error quotes.
const EXCERPT: usize = 120;

/// One thing that is wrong in the settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path of the key, such as `source[firewalls].tls.cert`; empty where the file is no TOML at that place.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub advice: String,
    /// The line of the file, and how many characters of it are meant.
    pub(super) excerpt: (String, usize),
}

/// Why there are no settings. Trying again helps only after the file was changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read at all.
    #[error("{}: {what}: {advice}", file.display())]
    Unreadable {
        /// The file as it was named.
        file: PathBuf,
        /// What went wrong.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// The file was read, and these things are wrong in it; never empty, in the order of the file.
    #[error("{}", Listing { file, problems })]
    Wrong {
        /// The file as it was named.
        file: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "check the path, or write the file",
            io::ErrorKind::PermissionDenied => "let the user of this program read it",
            io::ErrorKind::IsADirectory => "name the file inside the folder",
            _ => "check the disk and the path",
        };
        Self::Unreadable { file: file.to_owned(), what: error.to_string(), advice }
    }

    /// The first thing that is wrong, for a single line of status.
    #[must_use]
    pub fn headline(&self) -> String {
        match self {
            Self::Unreadable { .. } => self.to_string(),
            Self::Wrong { file, problems } => {
                let more = problems.len().saturating_sub(1);
                let first = problems.first().map(|problem| problem.line(file)).unwrap_or_default();
                if more == 0 { first } else { format!("{first} (and {more} more)") }
            }
        }
    }
}

impl Problem {
    /// The problem in one line: file, line, column, key, what, advice.
    fn line(&self, file: &Path) -> String {
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        format!("{}:{}:{}: {key}{}; {}", file.display(), self.line, self.column, self.what, self.advice)
    }
}

struct Listing<'a> {
    file: &'a Path,
    problems: &'a [Problem],
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}:{}: ", self.file.display(), problem.line, problem.column)?;
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            writeln!(f, "{}", problem.what)?;
            let (line, width) = &problem.excerpt;
            let number = problem.line.to_string();
            let margin = " ".repeat(number.len());
            writeln!(f, "  {number} | {line}")?;
            let pad = " ".repeat(problem.column.saturating_sub(1));
            write!(f, "  {margin} | {pad}{} {}", "^".repeat((*width).max(1)), problem.advice)?;
        }
        Ok(())
    }
}

/// The text of the file, to turn a place in it into a line and a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a>(pub &'a str);

impl Source<'_> {
    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub(super) fn place(self, offset: usize) -> (usize, usize) {
        let before = self.0.get(..offset).unwrap_or(self.0);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
        (line, column)
    }

    /// A problem at a place of the text.
    pub(super) fn problem(self, span: &Range<usize>, key: String, what: String, advice: String) -> Problem {
        let (line, column) = self.place(span.start);
        let text = self.0.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
        let marked = self.0.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default().chars().count();
        let room = shown.chars().count().saturating_sub(column - 1);
        Problem { line, column, key, what, advice, excerpt: (shown, marked.min(room)) }
    }
}
