//! The half of whoever asks.

use std::io;
use std::path::Path;

use tokio::io::BufReader;
use tokio::net::UnixStream;

use super::{Answer, ControlError, Request, line};

/// An answer is a snapshot of a few hundred components, or one event: 64 KiB of text by default, six times that where every
/// character must be escaped, and its fields.
const LONGEST_ANSWER: usize = 16 << 20;

/// A question to the running program.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Client {
    /// Connects and asks.
    ///
    /// # Errors
    /// When no program listens there or this user may not ask.
    pub async fn ask(path: &Path, request: &Request) -> Result<Self, ControlError> {
        let mut stream = UnixStream::connect(path).await.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => ControlError::NotAllowed { path: path.to_owned() },
            _ => ControlError::NotRunning { path: path.to_owned(), source },
        })?;
        line::write(&mut stream, request).await?;
        Ok(Self { stream: BufReader::new(stream), line: Vec::new() })
    }

    /// The next answer; `None` when there are no more.
    ///
    /// # Errors
    /// When the connection breaks or what comes is no answer.
    ///
    /// # Cancel safety
    /// Safe: the next call goes on.
    pub async fn next(&mut self) -> Result<Option<Answer>, ControlError> {
        if !line::read(&mut self.stream, &mut self.line, LONGEST_ANSWER).await? {
            return Ok(None);
        }
        let answer = serde_json::from_slice(&self.line);
        self.line.clear();
        Ok(Some(answer?))
    }
}
