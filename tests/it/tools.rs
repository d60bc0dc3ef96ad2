//! `queue` and `ledger`: beside a running box, on a stopped one, and on one that was killed and damaged.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::peers::appliance::{Appliance, program, until};

/// A box whose gateway is not there: nobody listens on port 1.
const SETTINGS: &str = r#"
name = "edge-1"
[queue]
flush_after = "10ms"
[[source]]
id = "firewalls"
type = "syslog"
listen = ["tcp://127.0.0.1:0"]
[[output]]
id = "gateway"
type = "lumberjack"
endpoint = ["127.0.0.1:1"]
"#;

/// What a command printed: standard output, standard error.
fn told(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn queue(edge: &Appliance, arguments: &[&str]) -> Output {
    program().arg("queue").args(arguments).arg("--config").arg(edge.settings()).output().unwrap()
}

fn ledger(edge: &Appliance, arguments: &[&str]) -> Output {
    program().arg("ledger").args(arguments).arg("--config").arg(edge.settings()).output().unwrap()
}

fn inspect(edge: &Appliance) -> Value {
    let output = queue(edge, &["inspect", "--json"]);
    assert!(output.status.success(), "{:?}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Starts a box and lets it store these lines.
fn storing(lines: &[&str]) -> Appliance {
    let edge = Appliance::start(SETTINGS);
    let mut sender = TcpStream::connect(edge.address("tcp://127.0.0.1:0", 0)).unwrap();
    for line in lines {
        sender.write_all(format!("{line}\n").as_bytes()).unwrap();
        // A batch of its own for each: the next one comes when this one is durable.
        let stored = lines.iter().position(|other| other == line).unwrap() as u64 + 1;
        until("the line is stored", || {
            (inspect(&edge)["ledger"]["firewalls"]["queued"].as_u64() == Some(stored)).then_some(())
        });
    }
    edge
}

fn stop(edge: &mut Appliance) -> ExitStatus {
    edge.signal(Signal::SIGTERM);
    edge.wait()
}

/// Exported events: id and message.
fn events(ndjson: &str) -> BTreeMap<String, String> {
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["event"]["id"], event["@metadata"]["_id"]);
        assert_eq!(event["agent"]["name"], "edge-1");
        (event["event"]["id"].as_str().unwrap().to_owned(), event["message"].as_str().unwrap().to_owned())
    };
    ndjson.lines().map(event).collect()
}

const LINES: [&str; 3] = ["<13>fw1 app: the first line", "<13>fw1 app: the second line", "<13>fw1 app: the third line"];

#[test]
fn tools_look_into_the_queue_of_a_running_box_and_of_a_stopped_one() {
    let mut edge = storing(&LINES);
    let before = inspect(&edge);
    assert_eq!((&before["running"], &before["closed"]), (&true.into(), &false.into()));
    let (words, _) = told(&queue(&edge, &["inspect"]));
    assert!(words.contains("a running program has it open") && words.contains("firewalls         3"), "{words}");
    let verified = queue(&edge, &["verify"]);
    let (words, _) = told(&verified);
    assert!(verified.status.success() && words.contains("nothing is wrong"), "{words}");
    assert!(words.contains("note: the index was not checked"), "{words}");
    let exported = queue(&edge, &["export"]);
    let (running, note) = told(&exported);
    assert!(exported.status.success() && note == "3 events were written\n", "{note}");
    let refused = queue(&edge, &["repair"]);
    let (_, words) = told(&refused);
    assert_eq!(refused.status.code(), Some(1));
    assert!(words.ends_with("is in use by a running program; stop that one first\n"), "{words}");
    for more in [&[][..], &["--offline"]] {
        let (words, error) = told(&ledger(&edge, more));
        let line = words.lines().nth(1).unwrap_or_else(|| panic!("{words}{error}"));
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["firewalls", "3", "0", "3", "0", "balances"],
            "{words}"
        );
    }
    let json: Value = serde_json::from_slice(&ledger(&edge, &["--json"]).stdout).unwrap();
    assert_eq!((&json["balances"], &json["sources"]["firewalls"]["received"]), (&true.into(), &3.into()));

    assert!(stop(&mut edge).success(), "{}", edge.all_lines());
    let after = inspect(&edge);
    assert_eq!((&after["running"], &after["closed"]), (&false.into(), &true.into()));
    assert_eq!(after["appliance"], before["appliance"]);
    let (words, _) = told(&queue(&edge, &["verify"]));
    assert!(words.ends_with("nothing is wrong\n") && !words.contains("note"), "{words}");
    let (stopped, _) = told(&queue(&edge, &["export", "--output", "gateway"]));
    assert_eq!(stopped, running, "ids and texts never change");
    assert_eq!(events(&stopped).into_values().collect::<Vec<_>>(), LINES);
    let offline = ledger(&edge, &["--offline"]);
    assert!(offline.status.success());
    let asked = ledger(&edge, &[]);
    assert_eq!(asked.status.code(), Some(1), "nobody answers");
    let repaired = queue(&edge, &["repair"]);
    let (words, _) = told(&repaired);
    assert!(repaired.status.success() && words.starts_with("nothing was wrong\n"), "{words}");
}

#[test]
fn an_export_goes_to_a_new_file_that_only_its_owner_reads() {
    let mut edge = storing(&LINES[..2]);
    assert!(stop(&mut edge).success());
    let file = edge.folder().join("events.json");
    let to = file.to_str().unwrap();
    let (text, note) = told(&queue(&edge, &["export", "--source", "firewalls", "--file", to]));
    assert_eq!((text.as_str(), note.as_str()), ("", "2 events were written\n"));
    assert_eq!(events(&fs::read_to_string(&file).unwrap()).len(), 2);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = queue(&edge, &["export", "--file", to]);
    assert_eq!(again.status.code(), Some(1));
    assert!(told(&again).1.contains("cannot be made"), "{:?}", told(&again));
    let none = queue(&edge, &["export", "--source", "nobody"]);
    assert_eq!(told(&none), (String::new(), "0 events were written\n".to_owned()));
    let (_, words) = told(&queue(&edge, &["export", "--output", "other"]));
    assert_eq!(words, "the queue knows no output \"other\"; the outputs are: gateway\n");
}

#[test]
fn what_is_no_queue_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for what in ["inspect", "verify", "export", "repair"] {
        let output = program().args(["queue", what, "--dir"]).arg(folder.path().join("nowhere")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}");
        assert!(told(&output).1.starts_with("there is no queue in "), "{what}: {:?}", told(&output));
    }
    let file = folder.path().join("events.json");
    let output = program().args(["queue", "export", "--dir", "/nowhere", "--file"]).arg(&file).output().unwrap();
    assert!(!output.status.success() && !file.exists(), "a file with nothing in it stays behind");
    let output = program().args(["queue", "verify", "--config"]).arg(folder.path().join("nowhere")).output().unwrap();
    assert!(told(&output).1.contains("name its folder with --dir"), "{:?}", told(&output));
}

/// Flips a bit in the stored text of a line, and says in which segment and where its record begins.
fn damage(folder: &Path, number: u64) -> (PathBuf, u64) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "seg") {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        // A batch's header: magic, type 1, and its number at 8; the payload is after 48 bytes and the extra part.
        let record =
            |at: &usize| bytes[*at..].starts_with(b"SER1\x01") && bytes[at + 8..at + 16] == number.to_le_bytes();
        if let Some(at) = (32..bytes.len() - 48).find(record) {
            let extra = u32::from_le_bytes(bytes[at + 36..at + 40].try_into().unwrap());
            bytes[at + 48 + usize::try_from(extra).unwrap() + 5] ^= 4;
            fs::write(&path, bytes).unwrap();
            return (path, at as u64);
        }
    }
    panic!("batch {number} is nowhere");
}

#[test]
fn a_damaged_queue_of_a_killed_box_is_found_mended_and_starts() {
    let mut edge = storing(&LINES);
    let (folder, settings) = (edge.folder().join("queue"), edge.settings());
    let run = |arguments: &[&str]| program().arg("queue").args(arguments).arg("--dir").arg(&folder).output().unwrap();
    edge.kill();
    {
        assert!(run(&["verify"]).status.success(), "{:?}", told(&run(&["verify"])));
        let (path, at) = damage(&folder, 2);
        let verified = run(&["verify"]);
        let (words, _) = told(&verified);
        assert_eq!(verified.status.code(), Some(1));
        let segment = path.file_stem().unwrap().to_str().unwrap().trim_start_matches('0').to_owned();
        let place =
            format!("segment {segment} at {at}: batch 2 with 1 events: the payload's checksum does not match\n");
        assert!(words.contains(&place), "{words}");
        let exported = run(&["export"]);
        let (text, note) = told(&exported);
        assert_eq!((exported.status.code(), text.lines().count()), (Some(1), 2), "{note}");
        assert!(note.contains("1 events are damaged and were left out"), "{note}");
        let offline = program().args(["ledger", "--offline", "--config"]).arg(&settings).output().unwrap();
        assert!(offline.status.success(), "by the headers it balances");

        owned_by_another(&folder);
        let repaired = run(&["repair"]);
        let (words, error) = told(&repaired);
        assert!(repaired.status.success(), "{words}{error}");
        assert!(words.contains("lost: 1 events of source firewalls, which count as dropped now\n"), "{words}");
        assert_eq!(fs::read_dir(folder.join("damaged")).unwrap().count(), 1);
        all_of_one_owner(&folder, fs::metadata(&folder).unwrap().uid());
        let (words, _) = told(&run(&["verify"]));
        assert!(words.ends_with("nothing is wrong\n"), "{words}");
        let offline = program().args(["ledger", "--offline", "--config"]).arg(&settings).output().unwrap();
        let (words, _) = told(&offline);
        let line: Vec<&str> = words.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(line, ["firewalls", "3", "0", "2", "1", "balances", "damaged", "1"], "{words}");
    }
    edge.restart();
    edge.log_line(&["the program did not end in good order"]);
    let (words, _) =
        until("it answers", || Some(told(&ledger(&edge, &[]))).filter(|(words, _)| words.contains("firewalls")));
    assert!(words.contains("balances"), "{words}");
    let seen = inspect(&edge);
    assert_eq!(seen["damage"], Value::Array(Vec::new()));
    assert!(!edge.all_lines().contains("damaged bytes"), "{}", edge.all_lines());
    edge.stop();
}

/// Gives all of a folder to another user, if the test may do that.
fn owned_by_another(folder: &Path) {
    if nix::unistd::geteuid().is_root() {
        every(folder, &mut |path| chown(path, Some(65_534), Some(65_534)).unwrap());
        // The folders above are its owner's alone.
        let mut above = folder.parent();
        while let Some(path) = above.filter(|path| *path != Path::new("/tmp") && path.parent().is_some()) {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            above = path.parent().filter(|parent| parent.starts_with(std::env::temp_dir()));
        }
    }
}

fn all_of_one_owner(folder: &Path, owner: u32) {
    every(folder, &mut |path| assert_eq!(fs::metadata(path).unwrap().uid(), owner, "{}", path.display()));
}

fn every(path: &Path, what: &mut impl FnMut(&Path)) {
    what(path);
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| every(&entry.unwrap().path(), what));
    }
}
