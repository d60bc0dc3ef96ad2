//! Fetches a bundle, and goes on where it stopped: after a break of the connection, and after a restart of the program.
//!
//! A part is kept with what it is a part of (address, SHA-256, the server's tag). A range is asked for only under the same
//! strong tag (`If-Range`, RFC 9110 section 13.1.5) or where a SHA-256 will tell. The bundle gets its name only when it is
//! whole, on the disk, and the right one. The space is looked at before the first byte is taken.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _, BufWriter};
use tokio::time::{Instant, sleep};

use super::super::error::UpdateError;
use crate::net::Backoff;
use crate::net::http::{Answer, HttpClient, HttpError, Url, header};
use crate::quantity::size;

/// The wait after a break in which something came; it doubles up to a minute while nothing comes.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Breaks one after the other in which nothing came: about six minutes. After that the next look at the manifest goes on.
const FRUITLESS: u32 = 12;
/// A server that wants to be left alone for longer is asked again at the next look.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(900);
/// A server that sends a few bytes at a time must not hold us for ever.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// What is left free for everything else on the disk: the queue's records of positions are written there too.
const SPARE: u64 = 64 << 20;
/// Written at one stroke: several blocks of any flash.
const BUFFER: usize = 256 << 10;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(in super::super) struct Want {
    pub(in super::super) url: Url,
    /// Its length, where the manifest tells.
    pub(in super::super) size: Option<u64>,
    /// What it must be, where the manifest tells.
    pub(in super::super) sha256: Option<[u8; 32]>,
    /// The largest that is taken.
    pub(in super::super) limit: u64,
}

/// What a part is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    url: String,
    sha256: Option<[u8; 32]>,
    /// The server's strong tag.
    tag: Option<String>,
}

/// Fetches it into `folder` and says where it is. `progress` is told how many bytes of how many are there.
///
/// # Errors
/// When it does not fit, is not there, is another one, or does not come in spite of many tries.
///
/// # Cancel safety
/// What came stays, and the next call goes on.
pub(in super::super) async fn download(
    client: &HttpClient,
    want: &Want,
    folder: &Path,
    mut progress: impl FnMut(u64, Option<u64>),
) -> Result<PathBuf, UpdateError> {
    let mut part = Part::open(folder, want)?;
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let (begin, mut fruitless) = (Instant::now(), 0);
    loop {
        let before = part.length;
        let error = match part.fetch(client, &mut progress).await {
            Ok(()) => match part.finish().await? {
                Some(path) => return Ok(path),
                // A part that was made of two files; once more from the start.
                None => continue,
            },
            Err(UpdateError::Http(error)) if error.is_passing() => error,
            Err(error) => return Err(error),
        };
        fruitless = if part.length > before { 0 } else { fruitless + 1 };
        if fruitless == 0 {
            backoff.reset();
        }
        let wait = backoff.next_delay().max(error.retry_after().unwrap_or_default());
        if fruitless >= FRUITLESS || wait > LONGEST_RETRY_AFTER || begin.elapsed() >= LONGEST {
            return Err(error.into());
        }
        tracing::info!(%error, at = part.length, wait_secs = wait.as_secs_f32(), "the download broke; it goes on");
        sleep(wait).await;
    }
}

/// The part that is there.
#[derive(Debug)]
struct Part<'a> {
    want: &'a Want,
    path: PathBuf,
    marker_path: PathBuf,
    whole: PathBuf,
    marker: Marker,
    length: u64,
    /// Whether any of it came in an earlier request.
    is_patched: bool,
}

impl<'a> Part<'a> {
    fn open(folder: &Path, want: &'a Want) -> Result<Self, UpdateError> {
        let (path, marker_path) = (folder.join("bundle.part"), folder.join("bundle.part.json"));
        let whole = folder.join("bundle.raucb");
        remove(&whole)?;
        let marker = fs::read(&marker_path).ok().and_then(|text| serde_json::from_slice::<Marker>(&text).ok());
        let wanted = Marker { url: want.url.to_string(), sha256: want.sha256, tag: None };
        let same = marker.filter(|marker| marker.url == wanted.url && marker.sha256 == wanted.sha256);
        let mut part = Self { want, path, marker_path, whole, length: 0, is_patched: false, marker: wanted };
        match same {
            Some(marker) => {
                part.length = fs::metadata(&part.path).map_or(0, |metadata| metadata.len());
                part.marker = marker;
            }
            None => remove(&part.path)?,
        }
        Ok(part)
    }

    /// Asks for what is missing and writes it down.
    async fn fetch(
        &mut self,
        client: &HttpClient,
        progress: &mut impl FnMut(u64, Option<u64>),
    ) -> Result<(), UpdateError> {
        let may_go_on = self.marker.tag.is_some() || self.want.sha256.is_some();
        if !may_go_on || self.want.size.is_some_and(|size| self.length > size) {
            self.length = 0;
        }
        if self.length > 0 && self.want.size == Some(self.length) {
            self.is_patched = true;
            return Ok(());
        }
        self.check_space(self.want.size)?;
        let answer = match client.get(&self.want.url, &self.range()).await {
            // There is nothing from there on: the part is no part of this file.
            Err(HttpError::Status { code: 416, .. }) => {
                self.length = 0;
                client.get(&self.want.url, &[]).await?
            }
            answer => answer?,
        };
        let total = self.begin(&answer)?;
        self.check_space(total)?;
        self.take(answer, total, progress).await
    }

    fn range(&self) -> Vec<(header::HeaderName, String)> {
        let mut fields = Vec::new();
        if self.length > 0 {
            fields.push((header::RANGE, format!("bytes={}-", self.length)));
            fields.extend(self.marker.tag.iter().map(|tag| (header::IF_RANGE, tag.clone())));
        }
        fields
    }

    /// Reads the head: where the body begins, and how long the whole is.
    fn begin(&mut self, answer: &Answer) -> Result<Option<u64>, UpdateError> {
        let broken = |words: &str| Err(UpdateError::Broken(format!("{words}; look at the server of the bundle")));
        let announced = |name| answer.field(name).and_then(|text| text.trim().parse::<u64>().ok());
        let total = match (answer.code(), self.length) {
            (206, from @ 1..) => {
                let Some((first, total)) = answer.field(&header::CONTENT_RANGE).and_then(content_range) else {
                    return broken("the server sent a part without saying which");
                };
                if first != from {
                    return broken("the server sent another part than the one that was asked for");
                }
                self.is_patched = true;
                total
            }
            (200, _) => {
                self.length = 0;
                self.is_patched = false;
                announced(&header::CONTENT_LENGTH)
            }
            (code, _) => return broken(&format!("the server answered with {code} and not with the bundle")),
        };
        if let (Some(size), Some(total)) = (self.want.size, total)
            && size != total
        {
            let words = "the bundle on the server has {} bytes, and the manifest says {}; ask its publisher";
            return Err(UpdateError::Refused(words.replacen("{}", &total.to_string(), 1).replacen(
                "{}",
                &size.to_string(),
                1,
            )));
        }
        let tag = answer.field(&header::ETAG).filter(|tag| tag.starts_with('"')).map(str::to_owned);
        if self.length == 0 || tag.is_some() {
            self.marker.tag = tag;
        }
        let text = serde_json::to_vec(&self.marker).unwrap_or_default();
        fs::write(&self.marker_path, text).map_err(|source| UpdateError::file(&self.marker_path, source))?;
        Ok(self.want.size.or(total))
    }

    async fn take(
        &mut self,
        mut answer: Answer,
        total: Option<u64>,
        progress: &mut impl FnMut(u64, Option<u64>),
    ) -> Result<(), UpdateError> {
        let failed = |source| UpdateError::file(&self.path, source);
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.path);
        let mut file = tokio::fs::File::from_std(file.map_err(failed)?);
        file.set_len(self.length).await.map_err(failed)?;
        file.seek(std::io::SeekFrom::Start(self.length)).await.map_err(failed)?;
        let mut file = BufWriter::with_capacity(BUFFER, file);
        let most = total.unwrap_or(self.want.limit);
        let ended = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if self.length + chunk.len() as u64 > most => {
                    let limit = size(most);
                    break Err(UpdateError::Refused(format!("the bundle is longer than {limit}; ask its publisher")));
                }
                Ok(Some(chunk)) => {
                    file.write_all(&chunk).await.map_err(failed)?;
                    self.length += chunk.len() as u64;
                    progress(self.length, total);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        // Also what came before a break counts.
        file.flush().await.map_err(failed)?;
        file.get_ref().sync_all().await.map_err(failed)?;
        ended
    }

    /// Checks what is there and gives it its name; `None` where a patched file is not the right one.
    async fn finish(&mut self) -> Result<Option<PathBuf>, UpdateError> {
        let path = self.path.clone();
        if let Some(wanted) = self.want.sha256 {
            let summed =
                tokio::task::spawn_blocking(move || sum(&path)).await.unwrap_or_else(|error| Err(error.into()));
            let found = summed.map_err(|source| UpdateError::file(&self.path, source))?;
            if found != wanted || self.want.size.is_some_and(|size| size != self.length) {
                remove(&self.path)?;
                self.length = 0;
                if std::mem::take(&mut self.is_patched) {
                    tracing::warn!("the parts of the download do not make the bundle; once more from the start");
                    return Ok(None);
                }
                let words = "the bundle on the server is not the one that the manifest names (its sha256 differs); \
                             ask its publisher";
                return Err(UpdateError::Refused(words.to_owned()));
            }
        }
        fs::rename(&self.path, &self.whole).map_err(|source| UpdateError::file(&self.whole, source))?;
        remove(&self.marker_path)?;
        Ok(Some(self.whole.clone()))
    }

    fn check_space(&self, total: Option<u64>) -> Result<(), UpdateError> {
        let Some(total) = total else { return Ok(()) };
        if total > self.want.limit {
            let (size, limit) = (size(total), size(self.want.limit));
            return Err(UpdateError::Refused(format!(
                "the bundle has {size}, which is more than update.max_size ({limit}); raise that, or ask its publisher"
            )));
        }
        check_room(self.path.parent().unwrap_or(Path::new("/")), total.saturating_sub(self.length))
    }
}

/// Whether so many bytes more fit on the folder's disk, with some left over.
pub(super) fn check_room(folder: &Path, more: u64) -> Result<(), UpdateError> {
    let state = nix::sys::statvfs::statvfs(folder).map_err(|error| UpdateError::file(folder, error.into()))?;
    let free = state.blocks_available() * state.fragment_size();
    let needed = more.saturating_add(SPARE);
    if free < needed { Err(UpdateError::NoSpace { needed, free }) } else { Ok(()) }
}

/// Takes a file away that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), UpdateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(UpdateError::file(path, error)),
        _ => Ok(()),
    }
}

/// `bytes 100-199/1000`: the first byte, and the whole length where it is known (RFC 9110 section 14.4).
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

fn sum(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = fs::File::open(path)?;
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER]);
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            Some([]) | None => break,
            Some(bytes) => context.update(bytes),
        }
    }
    let digest = context.finish();
    digest.as_ref().try_into().map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_begun() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::parse("https://127.0.0.1/x").unwrap();
        let want = Want { url, size: Some(1 << 60), sha256: None, limit: u64::MAX };
        let part = Part::open(folder.path(), &want).unwrap();
        let error = part.check_space(want.size).unwrap_err();
        assert!(matches!(error, UpdateError::NoSpace { needed, .. } if needed > 1 << 60));
        assert!(error.to_string().starts_with("the bundle needs 1048576 TiB of disk and "), "{error}");
        assert!(part.check_space(Some(1 << 10)).is_ok() && part.check_space(None).is_ok());
        let small = Want { limit: 1 << 20, ..want.clone() };
        let part = Part::open(folder.path(), &small).unwrap();
        assert!(matches!(part.check_space(Some(2 << 20)), Err(UpdateError::Refused(_))));
    }

    #[test]
    fn a_content_range_is_read_or_refused() {
        assert_eq!(content_range("bytes 100-199/1000"), Some((100, Some(1_000))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for text in ["", "bytes */1000", "bytes=1-2/3", "items 1-2/3", "bytes x-2/3"] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
