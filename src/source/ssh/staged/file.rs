//! One staged file: its data, and its facts behind them.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::source::sign::hex;

/// The last bytes of a staged file.
const MAGIC: &[u8; 8] = b"SESTAGE1";
/// The facts are far smaller; more is damage.
const LARGEST: u64 = 64 << 10;

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::source::ssh) struct Facts {
    /// The device's name in the settings.
    pub(in crate::source::ssh) device: String,
    /// Folder and name as the device gave them.
    pub(in crate::source::ssh) path: String,
    /// Where it came from.
    pub(in crate::source::ssh) peer: SocketAddr,
    /// When it was complete, in microseconds.
    pub(in crate::source::ssh) received: u64,
    /// Bytes of data.
    pub(in crate::source::ssh) size: u64,
    /// SHA-256 of the data, in lower-case hexadecimal.
    pub(in crate::source::ssh) sha256: String,
}

/// By what a repeat is known: a hash of device, path, size and hash.
pub(super) type Key = [u8; 16];

impl Facts {
    pub(super) fn key(&self) -> Key {
        let text = format!("{}\0{}\0{}\0{}", self.device, self.path, self.size, self.sha256);
        first_half(text.as_bytes())
    }

    /// The start of the ids of its events: a hash of device and data, without the name, so that the same lines have the same
    /// ids however the file is called.
    pub(super) fn id(&self) -> String {
        hex(&first_half(format!("{}\0{}", self.device, self.sha256).as_bytes()))
    }

    pub(super) fn received(&self) -> Timestamp {
        Timestamp(self.received)
    }

    /// The stored form.
    pub(super) fn trailer(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(MAGIC);
        Ok(bytes)
    }

    fn read(file: &File) -> io::Result<Option<Self>> {
        let length = file.metadata()?.len();
        let mut end = [0; 12];
        let Some(at) = length.checked_sub(end.len() as u64) else { return Ok(None) };
        file.read_exact_at(&mut end, at)?;
        let (count, magic) = end.split_at(4);
        let count = u64::from(count.try_into().map_or(0, u32::from_be_bytes));
        let Some(start) = at.checked_sub(count).filter(|_| magic == MAGIC && count <= LARGEST) else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start)?;
        let facts: Option<Self> = serde_json::from_slice(&bytes).ok();
        Ok(facts.filter(|facts| facts.size <= start))
    }
}

fn first_half(bytes: &[u8]) -> Key {
    digest(&SHA256, bytes).as_ref().first_chunk().copied().unwrap_or_default()
}

/// The number in a file's name.
pub(super) fn number(path: &Path) -> Option<u64> {
    u64::from_str_radix(path.file_stem()?.to_str()?, 16).ok()
}

/// A file in custody.
#[derive(Debug)]
pub(in crate::source::ssh) struct Staged {
    pub(super) path: PathBuf,
    pub(in crate::source::ssh) facts: Facts,
}

impl Staged {
    /// Reads the facts of a file; `None` if it is damaged.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let facts = Facts::read(&File::open(path)?)?;
        Ok(facts.map(|facts| Self { path: path.to_owned(), facts }))
    }

    /// Appends other facts, and makes them durable.
    pub(super) fn rewrite(&self, facts: &Facts) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let end = file.metadata()?.len();
        file.write_all_at(&facts.trailer()?, end)?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_facts_count_and_a_torn_end_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0000000000000001.staged");
        let facts = Facts {
            device: "esa1".into(),
            path: "/in/mail.@20240305T101530.s".into(),
            peer: "192.0.2.5:40000".parse().unwrap(),
            received: 5,
            size: 3,
            sha256: "ab".repeat(32),
        };
        let mut bytes = b"a\nb".to_vec();
        bytes.extend(facts.trailer().unwrap());
        std::fs::write(&path, &bytes).unwrap();
        let staged = Staged::open(&path).unwrap().unwrap();
        assert_eq!(staged.facts, facts);
        let renamed = Facts { path: "/in/other".into(), ..facts.clone() };
        staged.rewrite(&renamed).unwrap();
        assert_eq!(Staged::open(&path).unwrap().unwrap().facts, renamed);
        assert_eq!(renamed.id(), facts.id());
        assert_ne!(renamed.key(), facts.key());
        for cut in [0, 2, 8, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(Staged::open(&path).unwrap().is_none(), "{cut}");
        }
        assert_eq!(number(&path), Some(1));
    }
}
