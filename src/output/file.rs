//! Events as NDJSON in a file: one JSON object per line, appended, rotated by size.
//!
//! A chunk counts as delivered once it is written whole and the disk has it (`fdatasync`). A write that fails is cut off
//! again, so that a full disk leaves whole lines; a torn last line, which only a lost machine can leave, is closed with a
//! line feed at the next start, and its event comes again on a line of its own. Whoever reads the file must therefore skip
//! a line that is no JSON, and drop events it has by their id (at least once).
//!
//! A file that somebody moves or removes is noticed before the next write and begun anew.
//!
//! Not supported: compressing rotated files, naming them by time; two outputs that write to one path.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::deliver::{self, Ended, FarEnd, Report, Trouble};
use super::feed::{Chunk, ChunkLimits, Feed, Format};
use super::json::Json;
use super::{Context, OutputError};
use crate::event::{Batch, BatchNumber, OutputId, Record};
use crate::net::Backoff;
use crate::quantity::Size;
use crate::status::Count;

/// What is written and synced at once. A sync takes 0.4 ms on an idle disk and 6 to 9 ms on a busy one, so that at this size
/// it costs little beside writing, and events are delivered soon. Below a power of two, to which buffers grow.
const CHUNK: ChunkLimits = ChunkLimits { events: 16_384, bytes: 7 << 18 };
/// A disk that fails is tried again after this, and then ever more rarely.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// For the program and its group alone: events may hold what not everybody should read.
const MODE: u32 = 0o640;

/// An `[[output]]` of type `file`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this output: lower_snake_case.
    #[schemars(with = "String")]
    pub id: OutputId,
    /// Whether it runs; while it does not, events wait for it in the queue.
    #[serde(default = "crate::output::enabled")]
    pub enabled: bool,
    /// The file. Its folder must exist.
    pub path: PathBuf,
    /// A file that has grown to this is renamed to `.1`, the one before it to `.2`, and so on.
    #[serde(default = "max_size")]
    pub max_size: Size,
    /// How many renamed files are kept; older ones are removed.
    #[serde(default = "keep")]
    pub keep: u32,
    /// Whether the queue may let events go that only this output lacks, when space runs out.
    #[serde(default)]
    pub may_skip: bool,
}

/// Half an hour of 100 events a second; opens in an editor.
fn max_size() -> Size {
    Size::mib(256)
}

/// With `max_size`, 1.5 GiB at most.
fn keep() -> u32 {
    5
}

impl Config {
    /// See [`super::Config::validate`].
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        need(
            self.path.is_absolute() && self.path.file_name().is_some(),
            "path",
            "write the whole path of a file, such as \"/var/lib/sapphire-edge/events.ndjson\"",
        );
        need(self.max_size >= Size::kib(64), "max_size", "write a size of at least \"64KiB\"");
        need(self.keep <= 1_000, "keep", "write a number of files up to 1000");
        problems
    }

    /// See [`super::Config::open_files`]. The file itself is not made here.
    pub(super) fn open_files(&self) -> Vec<(String, String)> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => Vec::new(),
            Ok(_) => vec![("path".into(), format!("{} is no folder", folder.display()))],
            Err(error) => {
                let trouble = words(folder, &error);
                vec![("path".into(), format!("{}; {}", trouble.what, trouble.todo))]
            }
        }
    }
}

/// See [`super::run`].
pub(super) async fn run(config: Config, context: Context) -> Result<(), OutputError> {
    let format = Box::new(Lines { json: Json::new(&context), bytes: Vec::new() });
    let feed = Feed::new(context.reader, context.status.clone(), format, CHUNK);
    let Some(report) = Report::lines(&context.status, 1).next() else { return Ok(()) };
    deliver::run(Folder { config }, feed, Backoff::new(RETRY.0, RETRY.1), report, context.stop).await
}

struct Lines {
    json: Json,
    bytes: Vec<u8>,
}

impl Format for Lines {
    fn begin(&mut self, number: BatchNumber, batch: &Batch) {
        self.json.begin(number, batch);
    }

    fn record(&mut self, index: u32, record: &Record<'_>) -> bool {
        let unparsed = self.json.write(index, record, &mut self.bytes);
        self.bytes.push(b'\n');
        unparsed
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn finish(&mut self, to: &mut Vec<u8>) {
        // The buffer that comes is empty: trading it for ours spares a copy.
        std::mem::swap(&mut self.bytes, to);
        to.append(&mut self.bytes);
    }
}

struct Folder {
    config: Config,
}

impl FarEnd for Folder {
    type Link = Log;

    async fn open(&mut self, _report: &Report) -> Result<Log, Trouble> {
        let config = self.config.clone();
        let path = config.path.clone();
        let opened = spawn_blocking(move || Log::open(config)).await;
        opened.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| words(&path, &error))
    }

    async fn deliver(&mut self, link: Log, feed: &mut Feed, report: &Report, stop: &CancellationToken) -> Ended {
        let mut log = link;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                () = feed.prepare() => {}
            }
            let chunk = match feed.take() {
                Some(Ok(chunk)) => chunk,
                Some(Err(halt)) => return halt.into(),
                None => continue,
            };
            // Not cancelled by a stop: it takes milliseconds, and half a write helps nobody.
            let written = feed.beside(spawn_blocking(move || log.append(chunk))).await;
            match written {
                Ok(Ok((back, chunk))) => {
                    log = back;
                    report.status().counters().add(Count::SentBytes, chunk.bytes.len() as u64);
                    feed.acked(chunk.count);
                    feed.recycle(chunk);
                }
                Ok(Err(error)) => {
                    report.count(Count::DiskErrors);
                    return Ended::Lost(words(&self.config.path, &error));
                }
                Err(error) => return Ended::Lost(words(&self.config.path, &io::Error::other(error))),
            }
        }
    }
}

/// The open file. Blocks.
struct Log {
    config: Config,
    file: File,
    length: u64,
}

impl Log {
    fn open(config: Config) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(&config.path)?;
        let mut length = file.metadata()?.len();
        if length > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                tracing::warn!(path = %config.path.display(), "the last line was torn; it is closed with a line feed");
                file.write_all(b"\n")?;
                length += 1;
            }
        }
        sync_folder(&config.path)?;
        Ok(Self { config, file, length })
    }

    /// Writes a chunk and waits for the disk.
    fn append(self, chunk: Chunk) -> io::Result<(Self, Chunk)> {
        let mut log = self;
        if log.length > 0 && log.length.saturating_add(chunk.bytes.len() as u64) > log.config.max_size.bytes() {
            rotate(&log.config)?;
            log = Self::open(log.config)?;
        } else if !log.is_at_its_path() {
            log = Self::open(log.config)?;
        }
        let written = log.file.write_all(&chunk.bytes).and_then(|()| log.file.sync_data());
        if let Err(error) = written {
            // Best effort: if this fails too, the next start closes the torn line.
            let _ = log.file.set_len(log.length);
            return Err(error);
        }
        log.length += chunk.bytes.len() as u64;
        Ok((log, chunk))
    }

    /// Whether the path still leads to the file that is open.
    fn is_at_its_path(&self) -> bool {
        let same = |there: &fs::Metadata, here: &fs::Metadata| (there.dev(), there.ino()) == (here.dev(), here.ino());
        match (fs::metadata(&self.config.path), self.file.metadata()) {
            (Ok(there), Ok(here)) => same(&there, &here),
            _ => false,
        }
    }
}

/// Moves each file one further; the last falls away.
fn rotate(config: &Config) -> io::Result<()> {
    let path = &config.path;
    let numbered = |number: u32| {
        let mut name = path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if config.keep == 0 {
        fs::remove_file(path)?;
    }
    for number in (1..=config.keep).rev() {
        let from = if number == 1 { path.clone() } else { numbered(number - 1) };
        match fs::rename(from, numbered(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync_folder(path)
}

/// Makes names that were added or moved durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn words(path: &Path, error: &io::Error) -> Trouble {
    let shown = path.display();
    let todo = match error.kind() {
        io::ErrorKind::NotFound => "make its folder, or change path".to_owned(),
        io::ErrorKind::PermissionDenied => "let the program write there, or change path".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full: make room, or lower max_size and keep".to_owned(),
        io::ErrorKind::QuotaExceeded => "the quota is used up: raise it, or lower max_size and keep".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only: change path, or check the disk".to_owned(),
        io::ErrorKind::IsADirectory => "this is a folder: add the name of a file to path".to_owned(),
        _ => "check the disk".to_owned(),
    };
    Trouble::new(format!("cannot write {shown} ({error})"), todo)
}
