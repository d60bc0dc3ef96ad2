//! The SFTP subsystem, version 3, as far as an upload needs it: create, write, sync, rename, and a look at what was sent.
//!
//! Facts: draft-ietf-secsh-filexfer-02; OpenSSH's PROTOCOL for `posix-rename@openssh.com`, `fsync@openssh.com`,
//! `limits@openssh.com`. OpenSSH's scp sets size, mode and times at the end of a file. A file is complete, and ours, when it is
//! closed; clients that write under another name first rename it within [`REST`] or before they leave.
//!
//! Not supported: reading, removing, links, appending to a file (a broken upload is sent again from its start).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::command;
use super::frames::{Frame, Frames, Piece};
use super::inbox::{Inbox, words_of};
use super::packet::{Code, Fields, LARGEST, Packet, kind, open, status};
use super::scp::Reply;
use crate::source::ssh::devices::asked;
use crate::source::ssh::staged::Upload;

/// How long a closed file may still be renamed by a client that stays.
const REST: Duration = Duration::from_secs(2);
/// Files and folders that a client may hold open.
const HANDLES: usize = 16;
/// Names that are remembered for a client that looks at what it sent; the oldest in the alphabet are forgotten first.
const NAMES: usize = 10_000;

/// One SFTP session.
#[derive(Debug)]
pub(super) struct Sftp {
    inbox: Inbox,
    frames: Frames,
    has_begun: bool,
    handles: BTreeMap<u32, Open>,
    next: u32,
    /// What it sent, with sizes.
    files: BTreeMap<String, u64>,
    folders: BTreeSet<String>,
    time: u32,
}

#[derive(Debug)]
enum Open {
    File { path: String, upload: Option<Upload>, refused: Option<String> },
    Folder { path: String, is_told: bool },
}

/// An answer of one packet.
type Answer = Result<Packet, (Code, String)>;

fn no(code: Code, words: &str) -> Answer {
    Err((code, words.to_owned()))
}

impl Sftp {
    pub(super) fn new(inbox: Inbox) -> Self {
        let seconds = inbox.shared.clock.now().micros() / 1_000_000;
        Self {
            inbox,
            frames: Frames::default(),
            has_begun: false,
            handles: BTreeMap::new(),
            next: 0,
            files: BTreeMap::new(),
            folders: BTreeSet::from(["/".to_owned()]),
            time: u32::try_from(seconds).unwrap_or(u32::MAX),
        }
    }

    /// Takes what came: the answers to all packets that are complete.
    pub(super) async fn feed(&mut self, bytes: &[u8]) -> Reply {
        let mut reply = Reply::default();
        let (mut frames, mut rest) = (std::mem::take(&mut self.frames), bytes);
        loop {
            let understood = match frames.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Frame::Packet(packet))) => self.packet(packet, &mut reply.bytes).await,
                Ok(Some(Frame::Write(piece))) => self.write(piece, &mut reply.bytes).await,
                Err(words) => return self.malformed(words),
            };
            if understood.is_none() {
                return self.malformed("a packet does not decode");
            }
        }
        self.frames = frames;
        reply
    }

    /// The client sends nothing more. A file that it did not close is not whole.
    pub(super) fn end(&mut self) -> u32 {
        u32::from(self.give_up("the client ended without closing the file"))
    }

    /// Forgets files on their way. True if there was one.
    pub(super) fn give_up(&mut self, why: &str) -> bool {
        let mut cut = false;
        for open in std::mem::take(&mut self.handles).into_values() {
            if let Open::File { path, upload: Some(_), .. } = open {
                self.inbox.broken(&path, why);
                cut = true;
            }
        }
        self.inbox.shared.staging.release_names(&self.inbox.account.device.name);
        cut
    }

    fn malformed(&mut self, words: &str) -> Reply {
        self.inbox.malformed(words);
        self.give_up(words);
        Reply { bytes: Vec::new(), exit: Some(1) }
    }

    /// Answers one packet; `None` if it is none.
    async fn packet(&mut self, packet: &[u8], to: &mut Vec<u8>) -> Option<()> {
        let mut fields = Fields(packet);
        let kind = fields.byte()?;
        let id = fields.number()?;
        if !self.has_begun {
            // The number is the client's version here.
            self.has_begun = kind == kind::INIT;
            let version = Packet::new(kind::VERSION).number(3);
            let names: [&[u8]; 3] = [b"posix-rename@openssh.com", b"fsync@openssh.com", b"limits@openssh.com"];
            names.into_iter().fold(version, |packet, name| packet.text(name).text(b"1")).append_to(to);
            return self.has_begun.then_some(());
        }
        match self.answer(kind, id, &mut fields).await? {
            Ok(packet) => packet.append_to(to),
            Err((code, words)) => status(id, code, &words, to),
        }
        Some(())
    }

    async fn answer(&mut self, kind: u8, id: u32, fields: &mut Fields<'_>) -> Option<Answer> {
        Some(match kind {
            kind::OPEN => self.open(id, fields).await?,
            kind::CLOSE => self.close(fields.handle()?).await,
            kind::FSETSTAT => self.set_size(fields).await?,
            kind::FSTAT => self.size_of(id, fields.handle()?),
            kind::STAT | kind::LSTAT => self.look(id, fields.text()?),
            kind::SETSTAT => self.set_closed(fields)?,
            kind::REALPATH => self.real(id, fields.text()?),
            kind::MKDIR => self.make_folder(fields.text()?),
            kind::OPENDIR => self.open_folder(id, fields.text()?),
            kind::READDIR => self.list(id, fields.handle()?),
            kind::RENAME => self.rename(fields.text()?, fields.text()?).await,
            kind::EXTENDED => self.extended(id, fields).await?,
            kind::READ | kind::REMOVE | kind::RMDIR => no(Code::PermissionDenied, "files can only be sent to this box"),
            _ => no(Code::Unsupported, "this is not known here"),
        })
    }

    async fn open(&mut self, id: u32, fields: &mut Fields<'_>) -> Option<Answer> {
        let (path, flags) = (fields.text()?, fields.number()?);
        let announced = fields.size()?;
        let path = match command::path("/", path) {
            Ok(path) => path,
            Err(words) => return Some(no(Code::Failure, words)),
        };
        if flags & open::WRITE == 0 {
            return Some(no(Code::PermissionDenied, "files can only be sent to this box"));
        }
        if flags & open::APPEND != 0 || flags & open::CREATE == 0 {
            return Some(no(Code::PermissionDenied, "a file can only be sent whole"));
        }
        if self.folders.contains(&path) {
            return Some(no(Code::Failure, "this is a folder"));
        }
        Some(match self.inbox.begin(&path, announced).await {
            Ok(upload) => self.hold(id, Open::File { path, upload: Some(upload), refused: None }),
            Err(words) => no(Code::Failure, &words),
        })
    }

    fn hold(&mut self, id: u32, open: Open) -> Answer {
        if self.handles.len() >= HANDLES {
            return no(Code::Failure, "too many files are open");
        }
        self.next = self.next.wrapping_add(1);
        self.handles.insert(self.next, open);
        Ok(Packet::new(kind::HANDLE).number(id).text(&self.next.to_be_bytes()))
    }

    /// Takes a piece of what a write brings, and answers the last; `None` where the client has not begun.
    async fn write(&mut self, piece: Piece<'_>, to: &mut Vec<u8>) -> Option<()> {
        let taken = if self.has_begun { self.take(piece).await } else { return None };
        if piece.is_last {
            let (code, words) = taken.map_or_else(|words| (Code::Failure, words), |()| (Code::Ok, String::new()));
            status(piece.id, code, &words, to);
        }
        Some(())
    }

    /// After an error the file takes nothing more, so that its words are those of the last piece too.
    async fn take(&mut self, piece: Piece<'_>) -> Result<(), String> {
        let Some(Open::File { upload, refused, path }) = self.handles.get_mut(&piece.handle) else {
            return Err("no such file is open".to_owned());
        };
        let Some(open) = upload else { return Err(refused.clone().unwrap_or_default()) };
        let Err(error) = open.write_at(piece.offset, piece.bytes).await else { return Ok(()) };
        let words = self.inbox.refused(path, &words_of(error));
        (*upload, *refused) = (None, Some(words.clone()));
        Err(words)
    }

    async fn close(&mut self, handle: u32) -> Answer {
        match self.handles.remove(&handle) {
            None => no(Code::Failure, "no such file is open"),
            Some(Open::Folder { .. }) => no(Code::Ok, ""),
            Some(Open::File { upload: None, refused, .. }) => {
                no(Code::Failure, refused.as_deref().unwrap_or("the file is not whole"))
            }
            Some(Open::File { path, upload: Some(upload), .. }) => {
                let size = upload.size();
                match self.inbox.finish(upload, &path, REST).await {
                    Ok(()) => {
                        if self.files.len() >= NAMES {
                            self.files.pop_first();
                        }
                        self.add_folder(path.rsplit_once('/').map_or("", |(folder, _)| folder));
                        self.files.insert(path, size);
                        no(Code::Ok, "")
                    }
                    Err(words) => no(Code::Failure, &words),
                }
            }
        }
    }

    async fn set_size(&mut self, fields: &mut Fields<'_>) -> Option<Answer> {
        let (handle, size) = (fields.handle()?, fields.size()?);
        Some(match (self.handles.get_mut(&handle), size) {
            // Modes and times are of no use here, and a client that cannot set them would say that it failed.
            (_, None) => no(Code::Ok, ""),
            (Some(Open::File { upload: Some(upload), .. }), Some(size)) => match upload.set_size(size).await {
                Ok(()) => no(Code::Ok, ""),
                Err(error) => no(Code::Failure, &words_of(error)),
            },
            _ => no(Code::Failure, "no such file is open"),
        })
    }

    /// Attributes of a file that is closed: all but its size may be set, and are passed over.
    fn set_closed(&self, fields: &mut Fields<'_>) -> Option<Answer> {
        let (path, size) = (command::path("/", fields.text()?), fields.size()?);
        let known = path.ok().and_then(|path| self.files.get(&path).copied());
        Some(if size.is_none() || size == known {
            no(Code::Ok, "")
        } else {
            no(Code::PermissionDenied, "it is closed")
        })
    }

    fn size_of(&self, id: u32, handle: u32) -> Answer {
        match self.handles.get(&handle) {
            Some(Open::File { upload, .. }) => {
                let size = upload.as_ref().map_or(0, Upload::size);
                Ok(Packet::new(kind::ATTRS).number(id).attributes(size, false, self.time))
            }
            Some(Open::Folder { .. }) => Ok(Packet::new(kind::ATTRS).number(id).attributes(0, true, self.time)),
            None => no(Code::Failure, "no such file is open"),
        }
    }

    fn look(&self, id: u32, path: &[u8]) -> Answer {
        let Ok(clean) = command::path("/", path) else { return no(Code::NoSuchFile, "there is no such file") };
        if let Some(size) = self.files.get(&clean) {
            return Ok(Packet::new(kind::ATTRS).number(id).attributes(*size, false, self.time));
        }
        // Folders need not be made: a path that ends like one is one.
        if self.folders.contains(&clean) || path.ends_with(b"/") || path.ends_with(b"/.") {
            return Ok(Packet::new(kind::ATTRS).number(id).attributes(0, true, self.time));
        }
        no(Code::NoSuchFile, "there is no such file")
    }

    fn real(&mut self, id: u32, path: &[u8]) -> Answer {
        // OpenSSH's scp asks for the path of its target first, and then whether that is a folder, without the last slash.
        let is_folder = path.ends_with(b"/");
        match command::path("/", path) {
            Ok(path) => {
                if is_folder {
                    self.add_folder(&path);
                }
                let packet = Packet::new(kind::NAME).number(id).number(1).text(path.as_bytes()).text(path.as_bytes());
                Ok(packet.attributes(0, self.folders.contains(&path), self.time))
            }
            Err(words) => no(Code::NoSuchFile, words),
        }
    }

    /// Remembers a folder and those it lies in.
    fn add_folder(&mut self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([path.len()]);
        let folders: Vec<&str> = ends.filter_map(|end| path.get(..end)).filter(|folder| !folder.is_empty()).collect();
        if self.folders.len() + folders.len() <= NAMES {
            self.folders.extend(folders.into_iter().map(str::to_owned));
        }
    }

    fn make_folder(&mut self, path: &[u8]) -> Answer {
        match command::path("/", path) {
            Ok(path) if self.folders.len() < NAMES && !self.files.contains_key(&path) => {
                self.folders.insert(path);
                no(Code::Ok, "")
            }
            _ => no(Code::Failure, "the folder cannot be made"),
        }
    }

    fn open_folder(&mut self, id: u32, path: &[u8]) -> Answer {
        match command::path("/", path) {
            Ok(path) => self.hold(id, Open::Folder { path, is_told: false }),
            Err(words) => no(Code::NoSuchFile, words),
        }
    }

    /// What was sent in this session, as far as it fits into one packet.
    fn list(&mut self, id: u32, handle: u32) -> Answer {
        let Some(Open::Folder { path, is_told }) = self.handles.get_mut(&handle) else {
            return no(Code::Failure, "no such folder is open");
        };
        if std::mem::replace(is_told, true) {
            return no(Code::Eof, "");
        }
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        fn inside<'a>(full: &'a str, prefix: &str) -> Option<&'a str> {
            full.strip_prefix(prefix).filter(|name| !name.is_empty() && !name.contains('/'))
        }
        let files = self.files.iter().filter_map(|(path, size)| Some((inside(path, &prefix)?, *size, false)));
        let folders = self.folders.iter().filter_map(|path| Some((inside(path, &prefix)?, 0, true)));
        // Each takes up to 2 * 255 + 100 bytes.
        let entries: Vec<_> = folders.chain(files).take(LARGEST / 1_024).collect();
        let count = u32::try_from(entries.len()).unwrap_or(0);
        let packet = Packet::new(kind::NAME).number(id).number(count);
        Ok(entries.into_iter().fold(packet, |packet, (name, size, is_folder)| {
            let long = format!(
                "{}rw-r-----    1 0        0        {size:>10} Jan  1 00:00 {name}",
                if is_folder { 'd' } else { '-' }
            );
            packet.text(name.as_bytes()).text(long.as_bytes()).attributes(size, is_folder, self.time)
        }))
    }

    async fn rename(&mut self, from: &[u8], to: &[u8]) -> Answer {
        let (Ok(from), Ok(to)) = (command::path("/", from), command::path("/", to)) else {
            return no(Code::Failure, "a path is not understood");
        };
        let Some(size) = self.files.get(&from).copied() else {
            return no(Code::NoSuchFile, "there is no such file");
        };
        let (staging, device) =
            (std::sync::Arc::clone(&self.inbox.shared.staging), self.inbox.account.device.name.clone());
        let (old, new) = (from.clone(), to.clone());
        let renamed = asked(move || staging.rename(&device, &old, &new)).await;
        match renamed {
            // One that is read already keeps its name in events; the client cannot change that any more.
            Some(Ok(_)) => {
                self.files.remove(&from);
                self.files.insert(to, size);
                no(Code::Ok, "")
            }
            Some(Err(error)) => no(Code::Failure, &words_of(error.into())),
            None => no(Code::Failure, "the box is stopping"),
        }
    }

    async fn extended(&mut self, id: u32, fields: &mut Fields<'_>) -> Option<Answer> {
        Some(match fields.text()? {
            b"posix-rename@openssh.com" => self.rename(fields.text()?, fields.text()?).await,
            b"fsync@openssh.com" => match self.handles.get_mut(&fields.handle()?) {
                Some(Open::File { upload: Some(upload), .. }) => match upload.sync().await {
                    Ok(()) => no(Code::Ok, ""),
                    Err(error) => no(Code::Failure, &words_of(error)),
                },
                _ => no(Code::Failure, "no such file is open"),
            },
            // The largest packet, read, write, and how many handles.
            b"limits@openssh.com" => {
                let (packet, data) = (LARGEST as u64, (LARGEST - 1_024) as u64);
                let limits = Packet::new(kind::EXTENDED_REPLY).number(id).long(packet).long(data).long(data);
                Ok(limits.long(HANDLES as u64))
            }
            _ => no(Code::Unsupported, "this is not known here"),
        })
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        self.give_up("the connection ended; the device sends it again");
    }
}
