//! File → tree → [`Config`]: gathers everything that is wrong on the way.

use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::kind::{self, Complaints, Item, Part};
use super::problem::{ConfigError, Problem, Source};
use super::table::{self, About, Finding, Sample, Shape, Table, tree};
use super::{Config, EXAMPLE, rules, syntax};
use crate::output;
use crate::source;

/// A settings file is a few kilobytes; this stops a wrong path from being read into memory.
pub(super) const LARGEST: u64 = 1 << 20;

/// Reads the file's text.
pub(super) fn read_file(file: &Path) -> Result<String, ConfigError> {
    let opened = std::fs::File::open(file).map_err(|error| ConfigError::unreadable(file, &error))?;
    read_text(file, opened)
}

/// Reads the text of an open file, which `file` names.
pub(super) fn read_text(file: &Path, opened: impl Read) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    let read = opened.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| ConfigError::unreadable(file, &error))?;
    if bytes.len() as u64 > LARGEST {
        let what = "the file is larger than 1 MiB".to_owned();
        return Err(ConfigError::Unreadable { file: file.to_owned(), what, advice: "name the settings file" });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let what = "the file is not UTF-8 here".to_owned();
        let problem = Source(&text).problem(&(valid..valid), String::new(), what, "save the file as UTF-8".to_owned());
        ConfigError::Wrong { file: file.to_owned(), problems: vec![problem] }
    })
}

/// Reads settings from the text of a file; `file` is only named in errors. Opens the files they name if `open` is set,
/// else does no I/O.
pub(super) fn parse(file: &Path, text: &str, open: bool) -> Result<Config, ConfigError> {
    let source = Source(text.strip_prefix('\u{feff}').unwrap_or(text));
    let (mut tree, errors) = DeTable::parse_recoverable(source.0);
    let syntax = syntax::problems(source, &errors);
    let mut sheet = Sheet { source, problems: Vec::new() };
    let config = sheet.config(&mut tree, open && syntax.is_empty());
    if let Some(first) = syntax.first().map(|problem| problem.line) {
        // The tree is as it was written only up to the first place that is no TOML.
        sheet.problems.retain(|(problem, missing)| problem.line < first && !missing);
    }
    let mut problems: Vec<Problem> = sheet.problems.into_iter().map(|(problem, _)| problem).chain(syntax).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError::Wrong { file: file.to_owned(), problems }),
    }
}

/// Settings that hold nothing but what decides where the control socket is.
pub(super) fn control_socket(text: &str) -> Config {
    let (tree, _) = DeTable::parse_recoverable(text);
    let text_at = |path: &str| {
        let found = tree::find(tree.get_ref(), &tree::parse_path(path))?;
        found.value.get_ref().as_str().map(PathBuf::from)
    };
    let mut config = Config::default();
    config.control.socket = text_at("control.socket");
    config.state_dir = text_at("state_dir").unwrap_or(config.state_dir);
    config
}

/// What is known about the file so far: what is wrong, and whether that is something that is not there.
struct Sheet<'s> {
    source: Source<'s>,
    problems: Vec<(Problem, bool)>,
}

impl Sheet<'_> {
    fn config(&mut self, tree: &mut Table<'_>, open: bool) -> Option<Config> {
        let top = Shape::of::<Config>().keys();
        let sources = self.list::<source::Config>(tree, &top, open);
        let outputs = self.list::<output::Config>(tree, &top, open);
        let about = About { sample: Sample::Whole(EXAMPLE), header: "", top: &[] };
        let (config, findings) = table::read::<Config>(tree, about);
        self.note("", findings);
        let mut config = config?;
        let own = rules::own(&config);
        let files = if open && own.is_empty() { rules::own_files(&config) } else { Vec::new() };
        self.note("", complaints(self.source, tree, own.into_iter().chain(files).collect()));
        let clashes = rules::same_address(&config, tree, &sources).into_iter().chain(rules::same_file(&outputs));
        for (base, finding) in clashes {
            self.note(&base, vec![finding]);
        }
        config.source = sources.into_iter().filter_map(|item| item.config).collect();
        config.output = outputs.into_iter().filter_map(|item| item.config).collect();
        Some(config)
    }

    /// One of the lists: reads every table, then asks every one that could be read for its own complaints.
    fn list<'a, P: Part>(&mut self, tree: &mut Table<'a>, top: &[String], open: bool) -> Vec<Item<'a, P>> {
        let mut items = match kind::take::<P>(tree.get_mut(), top) {
            Ok(items) => items,
            Err(finding) => {
                self.note("", vec![finding]);
                return Vec::new();
            }
        };
        for item in &mut items {
            let mut findings = std::mem::take(&mut item.findings);
            if let Some(config) = &item.config {
                findings.extend(complaints(self.source, &item.table, config.validate()));
                if open && findings.is_empty() {
                    findings.extend(complaints(self.source, &item.table, config.open_files()));
                }
            }
            self.note(&item.base, findings);
        }
        for (base, finding) in rules::same_ids::<P>(&items) {
            self.note(&base, vec![finding]);
        }
        items
    }

    fn note(&mut self, base: &str, findings: Vec<Finding>) {
        for finding in findings {
            let key = tree::show(base, &finding.path);
            let problem = self.source.problem(&finding.span, key, finding.what, finding.advice);
            self.problems.push((problem, finding.missing));
        }
    }
}

/// Finds the places that a room's own check complains about; a key that is not written is placed at its table.
fn complaints(source: Source<'_>, table: &Table<'_>, complaints: Complaints) -> Vec<Finding> {
    let place = |(key, text): (String, String)| {
        let path = tree::parse_path(&key);
        let prefixes =
            (1..=path.len()).rev().filter_map(|end| Some((end, tree::find(table.get_ref(), path.get(..end)?)?)));
        let (depth, span) = prefixes.map(|(end, found)| (end, found.value.span())).next().unwrap_or((0, table.span()));
        let (what, advice) = match text.split_once("; ") {
            Some((what, advice)) => (what.to_owned(), advice.to_owned()),
            // Only advice: what is wrong shows.
            None if depth < path.len() => {
                (format!("the key {:?} is missing", tree::show("", path.get(depth..).unwrap_or_default())), text)
            }
            None => (format!("{} is not possible here", source.0.get(span.clone()).unwrap_or("this")), text),
        };
        Finding { span, path, what, advice, missing: false }
    };
    complaints.into_iter().map(place).collect()
}
