//! An archive of small files, written as it comes.
//!
//! Facts: POSIX.1-2008, pax, "ustar Interchange Format": blocks of 512 bytes, a header of octal numbers with a sum over itself,
//! two empty blocks at the end. Not supported: names of more than 100 bytes, which we do not have.

use std::io::{self, Write};

use crate::clock::Timestamp;

const BLOCK: usize = 512;

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Tar<W: Write> {
    to: W,
    at: Timestamp,
}

impl<W: Write> Tar<W> {
    /// An archive whose files were all made at this time.
    pub(super) fn new(to: W, at: Timestamp) -> Self {
        Self { to, at }
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.to.write_all(&header(name, content.len(), self.at))?;
        self.to.write_all(content)?;
        let rest = content.len().next_multiple_of(BLOCK) - content.len();
        self.to.write_all([0; BLOCK].get(..rest).unwrap_or_default())
    }

    /// Ends it; what it was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        Ok(self.to)
    }
}

/// Name, mode, owner, group, size, time, sum, type, magic: each at its place.
fn header(name: &str, size: usize, at: Timestamp) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let seconds = at.micros() / 1_000_000;
    let mut put = |at: usize, text: &str| {
        for (to, byte) in header.iter_mut().skip(at).zip(text.bytes()) {
            *to = byte;
        }
    };
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{seconds:011o}\0"));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    for (to, byte) in header.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *to = byte;
    }
    header
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_machines_own_tar_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let mut tar = Tar::new(std::fs::File::create(&path).unwrap(), Timestamp(1_795_478_400_000_000));
        let large = vec![b'x'; 100_000];
        for (name, content) in
            [("a/one.txt", &b"one\n"[..]), ("a/empty", b""), ("a/block", &[7; 512]), ("a/large", &large)]
        {
            tar.file(name, content).unwrap();
        }
        tar.finish().unwrap();
        let output = Command::new("tar").arg("-xvf").arg(&path).arg("-C").arg(folder.path()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(std::fs::read(folder.path().join("a/one.txt")).unwrap(), b"one\n");
        assert_eq!(std::fs::read(folder.path().join("a/empty")).unwrap(), b"");
        assert_eq!(std::fs::read(folder.path().join("a/block")).unwrap(), [7; 512]);
        assert_eq!(std::fs::read(folder.path().join("a/large")).unwrap(), large);
    }
}
