//! What the box keeps of its event stream: the name, and the credentials, which the vendor shows once.
//!
//! A file below the state folder that only our user reads, replaced in one step. The name is random and durable before the first
//! stream is made, so that a stream whose credentials were lost to a power cut is found again by it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::durable;
use crate::event::SourceId;
use crate::secret::Secret;

/// Where a stream is read.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The vendor's number of the stream.
    pub(super) id: String,
    pub(super) user: String,
    pub(super) password: Secret<String>,
    pub(super) queue: String,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What is kept.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// Our stream's name.
    pub(super) name: String,
    /// Which API it is at, and what it was asked to hold: another stream is made where one of the two changes.
    pub(super) made_for: String,
    pub(super) stream: Option<Credentials>,
}

/// The file.
#[derive(Deserialize, Serialize)]
struct File {
    name: String,
    #[serde(default)]
    made_for: String,
    #[serde(default)]
    stream: Option<Stream>,
}

#[derive(Deserialize, Serialize)]
struct Stream {
    id: String,
    user_name: String,
    password: String,
    queue_name: String,
    host: String,
    port: u16,
}

impl Kept {
    /// Reads the file, or begins one with a new name. Blocks.
    ///
    /// # Errors
    /// When the folder or the file cannot be used.
    pub(super) fn open(state_dir: &Path, source: &SourceId) -> io::Result<Self> {
        let folder = state_dir.join("amp");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(format!("{source}.json"));
        let file: File = match fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                io::Error::other(format!("{} cannot be read ({error}); take it away to begin anew", path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = format!("sapphire-edge {source} {:08x}", rand::random::<u32>());
                let kept = Self { path, name, made_for: String::new(), stream: None };
                kept.write()?;
                return Ok(kept);
            }
            Err(error) => return Err(error),
        };
        let stream = file.stream.map(|stream| Credentials {
            id: stream.id,
            user: stream.user_name,
            password: Secret::new(stream.password),
            queue: stream.queue_name,
            host: stream.host,
            port: stream.port,
        });
        Ok(Self { path, name: file.name, made_for: file.made_for, stream })
    }

    /// Makes what is known durable. Blocks.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub(super) fn write(&self) -> io::Result<()> {
        let stream = self.stream.as_ref().map(|stream| Stream {
            id: stream.id.clone(),
            user_name: stream.user.clone(),
            password: stream.password.expose().clone(),
            queue_name: stream.queue.clone(),
            host: stream.host.clone(),
            port: stream.port,
        });
        let file = File { name: self.name.clone(), made_for: self.made_for.clone(), stream };
        let text = Zeroizing::new(serde_json::to_vec(&file).map_err(io::Error::other)?);
        durable::replace(&self.path, &text)?;
        // The folder is ours alone already.
        fs::set_permissions(&self.path, Permissions::from_mode(0o600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_is_for_nobody_else() {
        let state = tempfile::tempdir().unwrap();
        let source = SourceId::from("amp");
        let mut kept = Kept::open(state.path(), &source).unwrap();
        let name = kept.name.clone();
        assert!(name.starts_with("sapphire-edge amp ") && kept.stream.is_none());
        let password = Secret::new("hunter2".to_owned());
        kept.stream = Some(Credentials {
            id: "17".into(),
            user: "17-ab".into(),
            password,
            queue: "event_stream_17".into(),
            host: "export-streaming.amp.cisco.com".into(),
            port: 443,
        });
        kept.write().unwrap();
        assert!(!format!("{kept:?}").contains("hunter2"));
        let again = Kept::open(state.path(), &source).unwrap();
        let stream = again.stream.unwrap();
        assert_eq!((again.name, stream.password.expose().as_str(), stream.port), (name, "hunter2", 443));
        let file = state.path().join("amp/amp.json");
        for (path, most) in [(file.as_path(), 0o600), (file.parent().unwrap(), 0o700)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, most);
        }
        fs::write(&file, "torn").unwrap();
        assert!(Kept::open(state.path(), &source).unwrap_err().to_string().contains("take it away"));
    }
}
