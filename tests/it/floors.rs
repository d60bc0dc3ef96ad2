//! A room may import only from rooms on lower floors; rooms on one floor do not know each other.

use std::fs;
use std::path::{Path, PathBuf};

/// Room and floor, as the crate documentation draws them.
const FLOORS: [(&str, u8); 26] = [
    ("main", 9),
    ("command", 8),
    ("demo", 7),
    ("app", 6),
    ("config", 5),
    ("web", 4),
    ("console", 4),
    ("fleet", 4),
    ("source", 3),
    ("output", 3),
    ("host", 3),
    ("update", 3),
    ("hw", 3),
    ("support", 3),
    ("queue", 2),
    ("wire", 1),
    ("net", 1),
    ("status", 1),
    ("control", 1),
    ("event", 0),
    ("quantity", 0),
    ("secret", 0),
    ("clock", 0),
    ("durable", 0),
    ("form", 0),
    ("lib", 10),
];

/// Floor 0 is one floor of small words that may use each other.
fn may_import(from: &str, to: &str) -> bool {
    let floor = |room: &str| FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor);
    match (floor(from), floor(to)) {
        (Some(0), Some(0)) => true,
        (Some(from_floor), Some(to_floor)) => from == to || to_floor < from_floor,
        _ => false,
    }
}

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

/// Every `crate::room` (or `sapphire_edge::room`) path in a text that is not a comment, with its line number.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for marker in ["crate::", "sapphire_edge::"] {
            for part in code.split(marker).skip(1) {
                let room: String = part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                found.push((at + 1, room));
            }
        }
    }
    found
}

fn breaches(room: &str, text: &str) -> Vec<String> {
    let wrong = imports(text).into_iter().filter(|(_, to)| !may_import(room, to));
    wrong.map(|(line, to)| format!("line {line}: {room} may not import {to:?}")).collect()
}

#[test]
fn rooms_import_only_from_lower_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 10, "src was not found");
    let mut all = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let room = first.trim_end_matches(".rs");
        let text = fs::read_to_string(&file).unwrap();
        all.extend(breaches(room, &text).into_iter().map(|breach| format!("{}: {breach}", inside.display())));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn a_planted_breach_is_found() {
    assert_eq!(breaches("wire", "use crate::queue::Intake;").len(), 1);
    assert_eq!(breaches("source", "let x = crate::output::Config;").len(), 1);
    assert_eq!(breaches("queue", "use crate::{event::Batch};").len(), 1, "a brace group hides the room");
    assert!(breaches("source", "use crate::queue::Intake; // crate::output is not seen").is_empty());
}
