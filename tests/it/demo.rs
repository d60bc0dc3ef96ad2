//! The demo as a person runs it: the key proof that the box, the gateway and everything between them hold their promise.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::peers::appliance::program;

/// The numbers of a table row: sent, received, delivered, dropped, repeats.
fn numbers(output: &str, row: &str) -> Vec<u64> {
    let line = output.lines().rfind(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no row {row}:\n{output}"));
    assert!(line.ends_with("yes"), "{line}");
    line.split_whitespace().filter_map(|word| word.replace(',', "").parse().ok()).collect()
}

/// The number before `word` in the line that holds it.
fn number_before(output: &str, word: &str) -> u64 {
    let line = output.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word:?}:\n{output}"));
    let before = line.split(word).next().unwrap().trim();
    before.rsplit(' ').next().unwrap().replace(',', "").parse().unwrap_or_else(|_| panic!("{line}"))
}

/// Counts lines and different ids of the gateway's files, without the demo's own help.
fn lines_and_ids(folder: &Path) -> (u64, u64) {
    let (mut lines, mut ids) = (0, HashSet::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().contains("ndjson") {
            continue;
        }
        for line in BufReader::new(File::open(path).unwrap()).lines() {
            let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            assert!(event["message"].is_string(), "{event}");
            ids.insert(event["@metadata"]["_id"].as_str().unwrap().to_owned());
            lines += 1;
        }
    }
    (lines, ids.len() as u64)
}

#[test]
fn the_demo_ends_by_itself_with_a_perfect_balance() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let output = program().args(["demo", "--for", "20s", "--seed", "7", "--dir"]).arg(&state).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");

    let mut sum = vec![0; 5];
    for (source, least) in [("firewalls", 10_000), ("mail", 10_000), ("servers", 10_000), ("files", 1_000)] {
        let row = numbers(&text, source);
        assert_eq!((row[0], row[1], row[3]), (row[2], row[2], 0), "{text}");
        assert!(row[0] > least, "{text}");
        sum.iter_mut().zip(&row).for_each(|(sum, number)| *sum += number);
    }
    assert_eq!(numbers(&text, "all"), sum, "{text}");
    assert!(number_before(&text, " events wait in ") >= 50_000, "{text}");
    assert!(number_before(&text, " events a second") >= 5_000, "{text}");

    let (lines, ids) = lines_and_ids(&state.join("gateway"));
    assert_eq!(ids, sum[2], "every event has an id of its own");
    assert_eq!(lines, sum[2] + sum[4], "and all else in the file are the repeats the table tells of");
}

#[test]
fn an_interrupted_demo_ends_cleanly_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = program().arg("demo").env("TMPDIR", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(" events/s ")), "it never played");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    kill(Pid::from_raw(demo.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let status = demo.wait().unwrap();
    assert_eq!(status.code(), Some(1), "nothing can be said of the balance: {rest:?}");
    assert!(rest.iter().any(|line| line.contains("interrupted")), "{rest:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{rest:?}");
}
