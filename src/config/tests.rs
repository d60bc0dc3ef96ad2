//! The example, the samples, and a table of bad files.

use std::fs;
use std::path::Path;

use super::kind::Part as _;
use super::*;
use crate::control::Edit;
use crate::form::Form;

/// What a file of the table says about itself: `# expect LINE:COLUMN KEY | part of what | part of the advice`.
#[derive(Debug)]
struct Expected {
    place: (usize, usize),
    key: String,
    what: String,
    advice: String,
}

fn expectations(text: &str) -> Vec<Expected> {
    let parse = |line: &str| {
        let (place, rest) = line.split_once(' ').unwrap();
        let (row, column) = place.split_once(':').unwrap();
        let parts: Vec<&str> = rest.split(" | ").collect();
        let [key, what, advice] = parts[..] else { panic!("{line}") };
        let key = if key == "-" { "" } else { key };
        Expected {
            place: (row.parse().unwrap(), column.parse().unwrap()),
            key: key.to_owned(),
            what: what.to_owned(),
            advice: advice.to_owned(),
        }
    };
    text.lines().filter_map(|line| line.strip_prefix("# expect ")).map(parse).collect()
}

/// Compares what is wrong with a file to what it says about itself.
fn differences(file: &Path, text: &str) -> Option<String> {
    let expected = expectations(text);
    assert!(!expected.is_empty(), "{} expects nothing", file.display());
    let Err(error) = Config::parse(file, text) else {
        return Some(format!("{}: nothing was found wrong", file.display()));
    };
    let ConfigError::Wrong { problems, .. } = &error else { panic!("{error}") };
    let same = |(expected, problem): (&Expected, &Problem)| {
        expected.place == (problem.line, problem.column)
            && expected.key == problem.key
            && problem.what.contains(&expected.what)
            && problem.advice.contains(&expected.advice)
    };
    let all = expected.len() == problems.len() && expected.iter().zip(problems).all(same);
    (!all).then(|| format!("expected {expected:#?}\nfound\n{error}\n{problems:#?}"))
}

#[test]
fn every_bad_file_gives_its_place_its_key_and_its_advice() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/settings");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut wrong = Vec::new();
    for file in &files {
        wrong.extend(differences(file, &fs::read_to_string(file).unwrap()));
    }
    assert!(wrong.is_empty(), "{} of {} files\n{}", wrong.len(), files.len(), wrong.join("\n\n"));
    assert!(files.len() >= 30, "{} files", files.len());
}

#[test]
fn the_example_loads_holds_every_sample_and_writes_every_key() {
    let config = Config::parse(Path::new("example.toml"), EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    let samples = samples();
    assert_eq!(config.source.len() + config.output.len(), samples.len());
    for (name, sample, _) in samples {
        assert!(EXAMPLE.contains(sample), "example.toml does not hold the sample of {name} as it is now");
    }
    let missing = missing_keys(table::Sample::Whole(EXAMPLE), &table::Shape::of::<Config>());
    assert!(missing.is_empty(), "{missing:?}");
}

/// The keys of a struct that its sample does not write.
fn missing_keys(sample: table::Sample, shape: &table::Shape) -> Vec<String> {
    let (entries, headers) = (sample.entries(), sample.headers());
    let mut missing = Vec::new();
    shape.each_table(|table, keys| {
        for key in keys {
            let below = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
            let written = entries.iter().any(|entry| entry.table == table && entry.key == *key);
            if !written && !headers.contains(&below) {
                missing.push(below);
            }
        }
    });
    missing
}

/// The sample with one commented-out line made real: with its value, or with its example where it has none.
fn uncommented(sample: &'static str, entry: &table::sample::Entry) -> String {
    let example = table::Sample::Component(sample).example(&entry.table, &entry.key).unwrap();
    let real = |(at, line): (usize, &str)| match line.trim_start_matches('#').trim_start() {
        _ if at != entry.line => format!("{line}\n"),
        _ if entry.value.is_empty() => format!("{example}\n"),
        bare => format!("{bare}\n"),
    };
    sample.lines().enumerate().map(real).collect()
}

fn samples() -> Vec<(&'static str, &'static str, table::Shape)> {
    fn of<P: kind::Part>() -> impl Iterator<Item = (&'static str, &'static str, table::Shape)> {
        P::KINDS.iter().map(|kind| (kind.name, kind.sample, (kind.shape)()))
    }
    of::<source::Config>().chain(of::<output::Config>()).collect()
}

#[test]
fn every_sample_loads_and_so_it_does_with_each_default_written_out() {
    for (name, sample, shape) in samples() {
        let file = Path::new(name);
        let config = Config::parse(file, sample).unwrap_or_else(|error| panic!("{error}"));
        let entries = table::Sample::Component(sample).entries();
        for entry in entries.iter().filter(|entry| sample.lines().nth(entry.line).unwrap().starts_with('#')) {
            let text = uncommented(sample, entry);
            let parsed = Config::parse(file, &text);
            if shape.has_default(&entry.table, &entry.key) {
                let parsed = parsed.unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(parsed, config, "{name}: {} is not the default", entry.key);
            } else if let Err(error) = parsed {
                // A line that only makes sense beside another may be refused, but never for its key or its type.
                let ConfigError::Wrong { problems, .. } = &error else { panic!("{error}") };
                let about_shape =
                    |problem: &Problem| problem.what.contains("no key") || problem.what.contains("belong");
                assert!(!problems.iter().any(about_shape), "{error}");
            }
        }
    }
}

#[test]
fn every_key_of_a_component_is_written_in_its_sample() {
    for (name, sample, shape) in samples() {
        let missing = missing_keys(table::Sample::Component(sample), &shape);
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

/// Each type with its list, its sample, its form and the keys of its struct.
fn forms() -> Vec<(&'static str, &'static str, &'static Form, table::Shape)> {
    let all =
        source::FORMS.iter().map(|form| ("source", *form)).chain(output::FORMS.iter().map(|form| ("output", *form)));
    let of = |(list, form): (&'static str, &'static Form)| {
        let (sample, shape) = match list {
            "source" => {
                source::Config::KINDS.iter().find(|kind| kind.name == form.kind).map(|kind| (kind.sample, kind.shape))
            }
            _ => output::Config::KINDS.iter().find(|kind| kind.name == form.kind).map(|kind| (kind.sample, kind.shape)),
        }
        .unwrap_or_else(|| panic!("there is no {list} of type {}", form.kind));
        (list, sample, form, shape())
    };
    all.map(of).collect()
}

#[test]
fn every_type_has_a_form_and_what_it_asks_for_is_a_key_with_that_default() {
    assert_eq!(forms().len(), samples().len());
    for (_, _, form, shape) in forms() {
        let mut keys = Vec::new();
        shape.each_table(|table, names| {
            let below = |name: &String| if table.is_empty() { name.clone() } else { format!("{table}.{name}") };
            keys.extend(names.iter().map(below));
        });
        let inside =
            form.inside.iter().flat_map(|inside| inside.asks.iter().map(|f| format!("{}.{}", inside.list, f.key)));
        for key in form.fields().map(|field| field.key.to_owned()).chain(inside) {
            assert!(keys.contains(&key), "{}: there is no key {key}", form.kind);
        }
        for field in form.fields().filter(|field| !field.is_file()) {
            let (table, key) = field.key.rsplit_once('.').unwrap_or(("", field.key));
            let default = shape.default(table, key).map(|value| {
                let whole = field.key.rsplit('.').fold(value, |value, key| serde_json::json!({ key: value }));
                field.shown(&whole)
            });
            assert_eq!(field.default, default.unwrap_or_default(), "{}: {}", form.kind, field.key);
        }
    }
}

#[test]
fn a_form_filled_with_good_values_gives_those_settings() {
    for (list, sample, form, _) in forms() {
        let values = values(sample);
        let now = &values[list][0];
        let shown: Vec<(&str, String)> = form.fields().map(|field| (field.key, field.shown(now))).collect();
        let typed = |key: &str| shown.iter().find(|(name, _)| *name == key).map(|(_, text)| text.as_str());
        let file = |key: &str| form.fields().find(|field| field.key == key)?.value(now).cloned();
        let mut changes = form.patch(&serde_json::Value::Null, typed, file);
        for key in ["id", "type"] {
            changes.insert(key.to_owned(), now[key].clone());
        }
        if let Some(inside) = form.inside {
            let entry = &now[inside.list][0];
            let shown: Vec<(&str, String)> = inside.asks.iter().map(|field| (field.key, field.shown(entry))).collect();
            let typed = |key: &str| shown.iter().find(|(name, _)| *name == key).map(|(_, text)| text.as_str());
            let entry = inside.patch(&serde_json::Value::Null, typed);
            changes.insert(inside.list.to_owned(), serde_json::json!([entry]));
        }
        let text = edit("", &Edit::Add { list: list.to_owned(), values: changes }).unwrap();
        let parse = |text: &str| Config::parse(Path::new("x"), text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(parse(&text), parse(sample), "{}", form.kind);
        // And what is not changed in it changes nothing.
        let same =
            form.patch(now, |key| shown.iter().find(|(name, _)| *name == key).map(|(_, text)| text.as_str()), |_| None);
        assert!(same.is_empty(), "{}: {same:?}", form.kind);
    }
}

/// Whatever the text, the answer is settings or a list of places that are in it.
fn answers(text: &str) {
    let Err(ConfigError::Wrong { problems, .. }) = Config::parse(Path::new("x.toml"), text) else { return };
    assert!(!problems.is_empty());
    for problem in problems {
        let line = text.split('\n').nth(problem.line - 1).unwrap_or_else(|| panic!("{problem:?}"));
        assert!(problem.column <= line.chars().count() + 1, "{problem:?}");
        assert!(!problem.what.is_empty() && !problem.advice.is_empty(), "{problem:?}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        answers(&text);
    }

    #[test]
    fn a_damaged_example_is_answered_with_places(
        cut in 0..EXAMPLE.len(), length in 0..40_usize, put in "[\\[\\]\"'=#.a-z0-9\n{},:\u{e9}-]{0,6}"
    ) {
        let real: String = EXAMPLE.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line))).collect();
        for text in [EXAMPLE, &real] {
            let boundary = |mut at: usize| {
                while !text.is_char_boundary(at.min(text.len())) {
                    at += 1;
                }
                at.min(text.len())
            };
            let (begin, end) = (boundary(cut), boundary(cut + length));
            answers(&format!("{}{put}{}", &text[..begin], &text[end..]));
        }
    }
}
