//! The far end of `scp -t`: the legacy SCP protocol, fed with bytes as they come.
//!
//! Facts (OpenSSH scp.c, `sink`): 0 at the start; then lines. `T` with times, `C` with mode, size and name, `D` to enter a folder,
//! `E` to leave it, each answered by 0, or by 1 and a text (refused, go on) or 2 and a text (the end). After the 0 to a `C`
//! exactly size bytes come, then the sender's own status: 0, or 1 and a text where it could not read its file, which has been
//! filled up with zeros. That is answered once, when the file is stored. A line has 2,047 bytes at most. Answering before all
//! announced bytes came would put both sides out of step. libssh2 leaves its status out and ends the channel after the last byte
//! (observed with ssh2-python 1.2); where the connection breaks instead the file is not taken.

use std::time::Duration;

use super::command::{self, Sink};
use super::inbox::{Inbox, one_line};
use crate::source::ssh::staged::Upload;

/// OpenSSH's buffer for a line.
const LONGEST_LINE: usize = 2_047;
/// Folders inside each other.
const DEEPEST: usize = 16;

/// One `scp -t`.
#[derive(Debug)]
pub(super) struct Scp {
    inbox: Inbox,
    recursive: bool,
    /// The target, and the folders that were entered below it.
    folders: Vec<String>,
    state: State,
    line: Vec<u8>,
    /// Something was refused: the exit status says so.
    failed: bool,
}

#[derive(Debug)]
enum State {
    /// A line is read.
    Line,
    /// A file comes.
    Data { file: Option<Upload>, path: String, left: u64, refused: Option<String> },
    /// The sender's own status of that file is read.
    Status { file: Option<Upload>, path: String, refused: Option<String> },
    /// The words of its status are read.
    Excuse { path: String },
    /// Nothing more is read.
    Ended,
}

/// What to do with the channel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    /// The exit status with which it ends.
    pub(super) exit: Option<u32>,
}

impl Scp {
    /// Begins, with the first answer to send.
    pub(super) fn new(inbox: Inbox, sink: &Sink) -> Result<(Self, Reply), &'static str> {
        let target = command::path("/", sink.target.as_bytes())?;
        let scp = Self {
            inbox,
            recursive: sink.recursive,
            folders: vec![target],
            state: State::Line,
            line: Vec::new(),
            failed: false,
        };
        Ok((scp, Reply { bytes: vec![0], exit: None }))
    }

    /// Takes what came.
    pub(super) async fn feed(&mut self, mut bytes: &[u8]) -> Reply {
        let mut reply = Reply::default();
        while !bytes.is_empty() && reply.exit.is_none() {
            bytes = match &mut self.state {
                State::Line | State::Excuse { .. } => self.take_line(bytes, &mut reply).await,
                State::Data { .. } => self.take_data(bytes).await,
                State::Status { .. } => self.take_status(bytes, &mut reply).await,
                State::Ended => return reply,
            };
        }
        reply
    }

    /// The device sends nothing more: the exit status. A file of which every announced byte came is whole.
    pub(super) async fn end(&mut self) -> u32 {
        if let State::Status { file, path, refused: None } = &mut self.state
            && let Some(upload) = file.take()
        {
            let path = std::mem::take(path);
            self.state = State::Ended;
            let stored = self.inbox.finish(upload, &path, Duration::ZERO).await;
            return u32::from(self.failed || stored.is_err());
        }
        let cut = self.give_up("the device ended it in the middle of the file");
        u32::from(self.failed || cut)
    }

    /// Forgets a file that is on its way. True if there was one.
    pub(super) fn give_up(&mut self, why: &str) -> bool {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Data { path, refused: None, .. } | State::Status { path, refused: None, .. } => {
                self.inbox.broken(&path, why);
                true
            }
            _ => false,
        }
    }

    async fn take_line<'a>(&mut self, bytes: &'a [u8], reply: &mut Reply) -> &'a [u8] {
        let end = memchr::memchr(b'\n', bytes);
        let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        if self.line.len() + part.len() > LONGEST_LINE {
            self.fatal("a line is too long", reply);
            return &[];
        }
        self.line.extend_from_slice(part);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.obey(&line, reply).await;
        }
        rest.get(1..).unwrap_or_default()
    }

    async fn obey(&mut self, line: &[u8], reply: &mut Reply) {
        if let State::Excuse { path } = &self.state {
            let words = format!("the device could not read it: {}", one_line(&String::from_utf8_lossy(line)));
            self.inbox.broken(path, &words);
            self.state = State::Line;
            self.refuse("the file was not whole and is not kept", reply);
            return;
        }
        let Some((kind, rest)) = line.split_first() else { return self.fatal("an empty line", reply) };
        match kind {
            1 => tracing::debug!(words = one_line(&String::from_utf8_lossy(rest)), "the peer warns"),
            2 => {
                tracing::info!(words = one_line(&String::from_utf8_lossy(rest)), peer = %self.inbox.peer, "the peer gave up");
                self.failed = true;
                self.state = State::Ended;
                reply.exit = Some(1);
            }
            b'T' if is_times(rest) => reply.bytes.push(0),
            b'C' => self.file(rest, reply).await,
            b'D' if !self.recursive => self.fatal("a folder came without -r", reply),
            b'D' => self.enter(rest, reply),
            b'E' if rest.is_empty() && self.folders.len() > 1 => {
                self.folders.pop();
                reply.bytes.push(0);
            }
            _ => self.fatal("a line is not understood", reply),
        }
    }

    async fn file(&mut self, rest: &[u8], reply: &mut Reply) {
        let (size, name) = match header(rest) {
            Ok(header) => header,
            Err(words) => return self.fatal(words, reply),
        };
        let path = match command::path(&self.folder(), name.as_bytes()) {
            Ok(path) => path,
            Err(words) => return self.fatal(words, reply),
        };
        match self.inbox.begin(&path, Some(size)).await {
            Ok(upload) => {
                reply.bytes.push(0);
                let file = Some(upload);
                self.state = match size {
                    0 => State::Status { file, path, refused: None },
                    left => State::Data { file, path, left, refused: None },
                };
            }
            Err(words) => self.refuse(&words, reply),
        }
    }

    fn enter(&mut self, rest: &[u8], reply: &mut Reply) {
        let name = match header(rest) {
            Ok((_, name)) => name,
            Err(words) => return self.fatal(words, reply),
        };
        let folder = command::path(&self.folder(), name.as_bytes());
        match folder {
            Ok(folder) if self.folders.len() <= DEEPEST => {
                self.folders.push(folder);
                reply.bytes.push(0);
            }
            _ => self.fatal("the folders are too deep", reply),
        }
    }

    async fn take_data<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let State::Data { file, left, path, refused } = &mut self.state else { return bytes };
        let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        let (data, rest) = bytes.split_at(count);
        *left -= data.len() as u64;
        if let Some(upload) = file
            && let Err(error) = upload.write(data).await
        {
            // The rest is read all the same: see above.
            *refused = Some(self.inbox.refused(path, &super::inbox::words_of(error)));
            *file = None;
        }
        if *left == 0 {
            self.state = match std::mem::replace(&mut self.state, State::Line) {
                State::Data { file, path, refused, .. } => State::Status { file, path, refused },
                other => other,
            };
        }
        rest
    }

    async fn take_status<'a>(&mut self, bytes: &'a [u8], reply: &mut Reply) -> &'a [u8] {
        let Some((status, rest)) = bytes.split_first() else { return bytes };
        let State::Status { file, path, refused } = std::mem::replace(&mut self.state, State::Line) else {
            return bytes;
        };
        match (status, file, refused) {
            (0, Some(file), None) => match self.inbox.finish(file, &path, Duration::ZERO).await {
                Ok(()) => reply.bytes.push(0),
                Err(words) => self.refuse(&words, reply),
            },
            (0, _, words) => self.refuse(&words.unwrap_or_default(), reply),
            (1 | 2, ..) => self.state = State::Excuse { path },
            _ => {
                self.inbox.broken(&path, "the byte after the file is no status");
                self.fatal("the byte after the file is no status", reply);
            }
        }
        rest
    }

    fn folder(&self) -> String {
        self.folders.last().cloned().unwrap_or_default()
    }

    /// This item is refused; the next may come.
    fn refuse(&mut self, words: &str, reply: &mut Reply) {
        self.failed = true;
        reply.bytes.push(1);
        reply.bytes.extend_from_slice(format!("scp: {}\n", one_line(words)).as_bytes());
    }

    /// Nothing more is understood.
    fn fatal(&mut self, words: &str, reply: &mut Reply) {
        self.inbox.malformed(words);
        self.failed = true;
        self.state = State::Ended;
        reply.bytes.push(2);
        reply.bytes.extend_from_slice(format!("scp: {words}\n").as_bytes());
        reply.exit = Some(1);
    }
}

impl Drop for Scp {
    fn drop(&mut self) {
        self.give_up("the connection ended; the device sends it again");
    }
}

/// `<mode> <size> <name>`.
fn header(rest: &[u8]) -> Result<(u64, String), &'static str> {
    let mut parts = rest.splitn(3, |byte| *byte == b' ');
    let (mode, size, name) = (parts.next(), parts.next(), parts.next());
    let is_mode = |mode: &[u8]| (3..=5).contains(&mode.len()) && mode.iter().all(|c| (b'0'..=b'7').contains(c));
    if !mode.is_some_and(is_mode) {
        return Err("the mode of a file is no number");
    }
    let digits = |text: &&[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let size = size.filter(digits).and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
    // Larger than any file offset of POSIX.
    let size = size.filter(|size| i64::try_from(*size).is_ok()).ok_or("the size of a file is no number")?;
    Ok((size, command::name(name.ok_or("a file has no name")?)?))
}

/// `<mtime> <usec> <atime> <usec>`.
fn is_times(rest: &[u8]) -> bool {
    let words: Vec<&[u8]> = rest.split(|byte| *byte == b' ').collect();
    words.len() == 4 && words.iter().all(|word| (1..=20).contains(&word.len()) && word.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_strictly() {
        assert_eq!(header(b"0644 5 mail.@1.s"), Ok((5, "mail.@1.s".into())));
        assert_eq!(header(b"0644 9223372036854775807 a b"), Ok((i64::MAX as u64, "a b".into())));
        for bad in [
            &b"0644 5"[..],
            b"0644  5 x",
            b"0844 5 x",
            b"0644 -1 x",
            b"0644 +1 x",
            b"0644 9223372036854775808 x",
            b"0644 5 ../x",
            b"0644 5 ..",
            b"0644 5 ",
            b"0644 5 /etc/passwd",
            b"0644 5 a\0b",
            b"",
            b"0644 0x5 x",
            b"0644 99999999999999999999999 x",
            b"06 5 x",
        ] {
            assert!(header(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(is_times(b"1709633730 0 1709633730 0"));
        assert!(!is_times(b"1709633730 0 1709633730") && !is_times(b"a 0 1 0") && !is_times(b""));
    }
}
