//! A message of the feed's queue: which files were written.
//!
//! Facts: `{"cid":…,"timestamp":1492726639137,"fileCount":4,"totalSize":349986220,"bucket":…,"pathPrefix":"data/UUID",
//! "files":[{"path":"data/UUID/part-00000.gz","size":90506436,"checksum":…}]}` (CrowdStrike/FDR, sample consumer;
//! m-mizutani/aws-falcon-data-forwarder, the sample message of its test). The vendor's consumer refuses paths that lead out of its
//! folder; here they are refused as names, because a path with `..` is another object once it is an address.

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::source::pull::RecordId;
use crate::source::s3::is_bucket;

/// The longest key of an object (AWS, "Creating object key names").
const LONGEST_PATH: usize = 1_024;
/// Of what is not understood, so much is told.
const SHOWN: usize = 120;

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bucket: String,
    pub(super) path: String,
    /// When the vendor told of it.
    pub(super) at: Timestamp,
    /// Names it for ever: bucket, path and size.
    pub(super) id: RecordId,
    /// How often it could not be read.
    pub(super) tries: u32,
}

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) files: Vec<File>,
    /// What of it cannot be followed, in words.
    pub(super) refused: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    bucket: String,
    #[serde(default)]
    timestamp: Option<u64>,
    #[serde(default)]
    path_prefix: String,
    files: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    path: String,
    #[serde(default)]
    size: u64,
}

impl File {
    fn new(bucket: &str, listed: Listed, at: Timestamp) -> Self {
        let (path, size) = (listed.path, listed.size.to_be_bytes());
        let id = RecordId::of(&[b"falcon_replicator file", bucket.as_bytes(), path.as_bytes(), &size]);
        Self { bucket: bucket.to_owned(), path, at, id, tries: 0 }
    }

    /// The id of one of its lines, whose number counts from 1.
    pub(super) fn line(&self, number: u64) -> RecordId {
        let (bucket, path) = (self.bucket.as_bytes(), self.path.as_bytes());
        RecordId::of(&[b"falcon_replicator", bucket, path, &number.to_be_bytes()])
    }
}

/// Reads a message; one without a time counts as told at `now`.
pub(super) fn read(body: &str, now: Timestamp) -> Told {
    let refuse = |why: String| Told { refused: vec![why], ..Told::default() };
    let read = match serde_json::from_str::<Body>(body) {
        Ok(read) => read,
        Err(error) if error.is_data() => {
            return refuse(format!("a message is none of the replicator ({error}): {}", shown(body)));
        }
        Err(_) => return refuse(format!("a message is no JSON: {}", shown(body))),
    };
    if !is_bucket(&read.bucket) {
        return refuse(format!("a message names a bucket that can be none: {}", shown(&read.bucket)));
    }
    let at = read.timestamp.map_or(now, |millis| Timestamp(millis.saturating_mul(1_000)).min(now));
    let (good, bad): (Vec<_>, Vec<_>) =
        read.files.into_iter().partition(|listed| is_inside(&read.path_prefix, &listed.path));
    let refused = |listed: Listed| format!("a message names a file outside its folder: {}", shown(&listed.path));
    Told {
        files: good.into_iter().map(|listed| File::new(&read.bucket, listed, at)).collect(),
        refused: bad.into_iter().map(refused).collect(),
    }
}

/// Whether a path stays below its prefix, whoever reads it.
fn is_inside(prefix: &str, path: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "." | "..") && !part.contains(char::is_control);
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    let is_below = rest.is_some_and(|rest| prefix.is_empty() || rest.starts_with('/'));
    is_below
        && !path.is_empty()
        && !path.starts_with('/')
        && path.len() <= LONGEST_PATH
        && path.split('/').all(is_plain)
}

/// The beginning of a text from outside.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(SHOWN).collect();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn message(prefix: &str, paths: &[&str]) -> String {
        let files: Vec<_> = paths.iter().map(|path| json!({ "path": path, "size": 7, "checksum": "0" })).collect();
        json!({
            "cid": "0123", "timestamp": 1_492_726_639_137_u64, "fileCount": paths.len(), "totalSize": 7, "bucket": "cs-prod-cannon-0",
            "pathPrefix": prefix, "files": files,
        })
        .to_string()
    }

    #[test]
    fn files_of_a_message() {
        let told = read(&message("data/0d1f", &["data/0d1f/part-00000.gz", "data/0d1f/_SUCCESS"]), NOW);
        assert_eq!((told.files.len(), told.refused.len()), (2, 0));
        let file = &told.files[0];
        assert_eq!((file.bucket.as_str(), file.path.as_str()), ("cs-prod-cannon-0", "data/0d1f/part-00000.gz"));
        assert_eq!(file.at, Timestamp(1_492_726_639_137_000));
        assert_eq!(file.line(1), read(&message("data", &["data/0d1f/part-00000.gz"]), NOW).files[0].line(1));
        assert_ne!((file.id, file.line(1)), (told.files[1].id, file.line(2)));
        // Only what is needed is needed.
        let least = read(r#"{"bucket":"b-0","files":[{"path":"x/y.gz"}],"more":1}"#, NOW);
        assert_eq!((least.files[0].path.as_str(), least.files[0].at), ("x/y.gz", NOW));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused_one_by_one() {
        for path in [
            "data/0d1f/../other/x.gz",
            "data/0d1f/./x.gz",
            "../x.gz",
            "/data/0d1f/x.gz",
            "data/0d1fx/x.gz",
            "aidmaster/x.gz",
            "data/0d1f/..",
            "data/0d1f/a\nb",
            "data/0d1f",
            "",
        ] {
            let told = read(&message("data/0d1f", &["data/0d1f/good.gz", path]), NOW);
            assert_eq!((told.files.len(), told.refused.len()), (1, 1), "{path}");
            assert!(told.refused[0].contains("outside its folder"), "{told:?}");
        }
        let long = format!("data/{}", "x".repeat(1_100));
        assert_eq!(read(&message("data/", &[&long]), NOW).refused.len(), 1);
        assert_eq!(read(&message("", &["..", "a/b.gz"]), NOW).files.len(), 1);
    }

    #[test]
    fn what_is_no_message_is_said_and_not_followed() {
        for (body, word) in [
            ("", "no JSON"),
            ("hello", "no JSON"),
            ("{\"bucket\":\"b-0\",\"files\":[", "no JSON"),
            ("[]", "none of the replicator"),
            ("{}", "none of the replicator"),
            (r#"{"Records":[{"eventName":"ObjectCreated:Put"}]}"#, "none of the replicator"),
            (r#"{"bucket":"b-0","files":[{"size":1}]}"#, "none of the replicator"),
            (r#"{"bucket":"evil.example/x","files":[]}"#, "can be none"),
        ] {
            let told = read(body, NOW);
            assert!(told.files.is_empty() && told.refused.len() == 1, "{body}: {told:?}");
            assert!(told.refused[0].contains(word), "{body}: {told:?}");
        }
    }
}
