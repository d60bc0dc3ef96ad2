//! The file output: what is in the file, and when it counts.

use std::path::Path;

use sapphire_edge::status::Count;
use tempfile::TempDir;

use crate::rig::{Output, many, soon};

struct Written {
    folder: TempDir,
}

impl Written {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn settings(&self, more: &str) -> String {
        format!("type = \"file\"\npath = {:?}\n{more}", self.path("events.ndjson"))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The messages in a file, line by line; a line that is no JSON shows as it is.
    fn messages(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        let message = |line: &str| match serde_json::from_str::<serde_json::Value>(line) {
            Ok(event) => event["message"].as_str().unwrap().rsplit(": ").next().unwrap().to_owned(),
            Err(_) => line.to_owned(),
        };
        text.lines().map(message).collect()
    }
}

#[tokio::test]
async fn events_are_lines_of_json_and_count_once_they_are_written() {
    let written = Written::new();
    let output = Output::start(&written.settings(""));
    let ticket = output.intake.submit(many(3)).await.unwrap();
    output.counted(Count::DeliveredEvents, 3).await;
    assert_eq!(written.messages("events.ndjson"), ["event 0", "event 1", "event 2"]);
    let size = std::fs::metadata(written.path("events.ndjson")).unwrap().len();
    assert_eq!(output.count(Count::SentBytes), size);
    soon(ticket.settled()).await.unwrap();
    output.health("healthy", "").await;
    output.stop().await;
    // A new run goes on in the same file.
    let output = Output::start(&written.settings(""));
    output.submit(&["more"]).await;
    output.counted(Count::DeliveredEvents, 1).await;
    assert_eq!(written.messages("events.ndjson"), ["event 0", "event 1", "event 2", "more"]);
    output.stop().await;
}

#[tokio::test]
async fn a_torn_last_line_is_closed_and_nothing_is_written_behind_it() {
    let written = Written::new();
    std::fs::write(written.path("events.ndjson"), "{\"message\":\"whole\"}\n{\"messa").unwrap();
    let output = Output::start(&written.settings(""));
    output.submit(&["new"]).await;
    output.counted(Count::DeliveredEvents, 1).await;
    assert_eq!(written.messages("events.ndjson"), ["whole", "{\"messa", "new"]);
    output.stop().await;
}

#[tokio::test]
async fn a_file_that_grew_is_renamed_and_only_some_are_kept() {
    let written = Written::new();
    let output = Output::start(&written.settings("max_size = \"64KiB\"\nkeep = 2"));
    let text = "x".repeat(40_000);
    for round in 1..=5 {
        output.submit(&[&text]).await;
        output.counted(Count::DeliveredEvents, round).await;
    }
    let mut names: Vec<_> =
        std::fs::read_dir(written.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["events.ndjson", "events.ndjson.1", "events.ndjson.2"]);
    for name in ["events.ndjson", "events.ndjson.1", "events.ndjson.2"] {
        assert_eq!(written.messages(name), [text.as_str()], "{name}");
    }
    output.stop().await;
}

#[tokio::test]
async fn a_file_that_somebody_moved_is_begun_anew() {
    let written = Written::new();
    let output = Output::start(&written.settings(""));
    output.submit(&["one"]).await;
    output.counted(Count::DeliveredEvents, 1).await;
    std::fs::rename(written.path("events.ndjson"), written.path("moved")).unwrap();
    output.submit(&["two"]).await;
    output.counted(Count::DeliveredEvents, 2).await;
    assert_eq!(written.messages("moved"), ["one"]);
    assert_eq!(written.messages("events.ndjson"), ["two"]);
    output.stop().await;
}

#[tokio::test]
async fn a_folder_that_is_missing_is_told_and_used_once_it_is_there() {
    let written = Written::new();
    let settings = written.settings("").replace("events.ndjson", "later/events.ndjson");
    let output = Output::start(&settings);
    output.submit(&["patient"]).await;
    output.health("failed", "cannot write").await;
    assert!(output.status.health().fault().unwrap().todo.contains("make its folder"));
    std::fs::create_dir(written.path("later")).unwrap();
    output.counted(Count::DeliveredEvents, 1).await;
    output.health("healthy", "").await;
    assert_eq!(written.messages("later/events.ndjson"), ["patient"]);
    output.stop().await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_whole_lines() {
    // Writing to it always fails with ENOSPC.
    if !Path::new("/dev/full").exists() {
        return;
    }
    let written = Written::new();
    std::os::unix::fs::symlink("/dev/full", written.path("events.ndjson")).unwrap();
    let output = Output::start(&written.settings(""));
    output.submit(&["kept in the queue"]).await;
    output.health("failed", "No space left").await;
    assert!(output.status.health().fault().unwrap().todo.contains("make room"));
    assert!(output.count(Count::DiskErrors) > 0);
    std::fs::remove_file(written.path("events.ndjson")).unwrap();
    output.counted(Count::DeliveredEvents, 1).await;
    assert_eq!(written.messages("events.ndjson"), ["kept in the queue"]);
    output.stop().await;
}

#[tokio::test]
async fn a_large_backlog_is_written_in_order() {
    let written = Written::new();
    let output = Output::start(&written.settings(""));
    for _ in 0..20 {
        output.intake.submit(many(1_000)).await.unwrap();
    }
    output.counted(Count::DeliveredEvents, 20_000).await;
    let messages = written.messages("events.ndjson");
    let expected = (0..20_000).map(|at| format!("event {}", at % 1_000));
    assert!(messages.iter().eq(expected.collect::<Vec<_>>().iter()));
    output.stop().await;
}
