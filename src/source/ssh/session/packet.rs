//! SFTP version 3 packets (draft-ietf-secsh-filexfer-02), as far as an upload needs them.

/// The largest packet: OpenSSH's `SFTP_MAX_MSG_LENGTH`, 256 KiB.
pub(super) const LARGEST: usize = 256 << 10;

/// Packet types (section 3).
pub(super) mod kind {
    pub(in super::super) const INIT: u8 = 1;
    pub(in super::super) const VERSION: u8 = 2;
    pub(in super::super) const OPEN: u8 = 3;
    pub(in super::super) const CLOSE: u8 = 4;
    pub(in super::super) const READ: u8 = 5;
    pub(in super::super) const WRITE: u8 = 6;
    pub(in super::super) const LSTAT: u8 = 7;
    pub(in super::super) const FSTAT: u8 = 8;
    pub(in super::super) const SETSTAT: u8 = 9;
    pub(in super::super) const FSETSTAT: u8 = 10;
    pub(in super::super) const OPENDIR: u8 = 11;
    pub(in super::super) const READDIR: u8 = 12;
    pub(in super::super) const REMOVE: u8 = 13;
    pub(in super::super) const MKDIR: u8 = 14;
    pub(in super::super) const RMDIR: u8 = 15;
    pub(in super::super) const REALPATH: u8 = 16;
    pub(in super::super) const STAT: u8 = 17;
    pub(in super::super) const RENAME: u8 = 18;
    pub(in super::super) const STATUS: u8 = 101;
    pub(in super::super) const HANDLE: u8 = 102;
    pub(in super::super) const NAME: u8 = 104;
    pub(in super::super) const ATTRS: u8 = 105;
    pub(in super::super) const EXTENDED: u8 = 200;
    pub(in super::super) const EXTENDED_REPLY: u8 = 201;
}

/// Flags of `OPEN` (section 6.3).
pub(super) mod open {
    pub(in super::super) const WRITE: u32 = 2;
    pub(in super::super) const APPEND: u32 = 4;
    pub(in super::super) const CREATE: u32 = 8;
}

/// Flags of attributes (section 5).
mod attr {
    pub(super) const SIZE: u32 = 1;
    pub(super) const OWNER: u32 = 2;
    pub(super) const PERMISSIONS: u32 = 4;
    pub(super) const TIMES: u32 = 8;
}

/// Answers of `STATUS` (section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Ok = 0,
    Eof = 1,
    NoSuchFile = 2,
    PermissionDenied = 3,
    Failure = 4,
    Unsupported = 8,
}

/// Walks the fields of a packet.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    pub(super) fn long(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*bytes))
    }

    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }

    /// A handle as we made it; one of another form was never open.
    pub(super) fn handle(&mut self) -> Option<u32> {
        let handle = self.text()?;
        Some(handle.try_into().map_or(0, u32::from_be_bytes))
    }

    /// The size in attributes, where they hold one; the other attributes are passed over.
    pub(super) fn size(&mut self) -> Option<Option<u64>> {
        let flags = self.number()?;
        if flags & attr::SIZE == 0 { Some(None) } else { Some(Some(self.long()?)) }
    }
}

/// Writes a packet: its length comes last.
#[derive(Debug)]
pub(super) struct Packet(Vec<u8>);

impl Packet {
    pub(super) fn new(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn text(self, text: &[u8]) -> Self {
        let mut packet = self.number(u32::try_from(text.len()).unwrap_or(0));
        packet.0.extend_from_slice(text);
        packet
    }

    /// Size, permissions and times (in seconds since the epoch).
    pub(super) fn attributes(self, size: u64, is_folder: bool, time: u32) -> Self {
        let mode = if is_folder { 0o040_750 } else { 0o100_640 };
        let packet = self.number(attr::SIZE | attr::OWNER | attr::PERMISSIONS | attr::TIMES).long(size);
        packet.number(0).number(0).number(mode).number(time).number(time)
    }

    pub(super) fn append_to(mut self, to: &mut Vec<u8>) {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(0);
        if let Some(place) = self.0.get_mut(..4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        to.extend_from_slice(&self.0);
    }
}

/// A `STATUS` packet.
pub(super) fn status(id: u32, code: Code, words: &str, to: &mut Vec<u8>) {
    Packet::new(kind::STATUS).number(id).number(code as u32).text(words.as_bytes()).text(b"en").append_to(to);
}
