//! Lines of bounded length over a stream.

use std::io;

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Appends to `line` up to the next line end, which is taken but not kept; false at the end of the stream.
///
/// # Errors
/// `InvalidData` when the line is longer than `longest`; what the stream says.
///
/// # Cancel safety
/// Safe: what was read so far is in `line`, and the next call goes on.
pub(super) async fn read(
    from: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    longest: usize,
) -> io::Result<bool> {
    loop {
        let ready = from.fill_buf().await?;
        if ready.is_empty() {
            return Ok(false);
        }
        let end = memchr::memchr(b'\n', ready);
        let part = ready.get(..end.unwrap_or(ready.len())).unwrap_or_default();
        if line.len() + part.len() > longest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {longest} bytes")));
        }
        line.extend_from_slice(part);
        let taken = part.len() + usize::from(end.is_some());
        from.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Writes one value as a line of JSON.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_they_are_cut() {
        for size in [1, 2, 3, 100] {
            let mut from = BufReader::with_capacity(size, &b"one\n\ntwo\nrest"[..]);
            let mut lines = Vec::new();
            let mut line = Vec::new();
            while read(&mut from, &mut line, 4).await.unwrap() {
                lines.push(String::from_utf8(std::mem::take(&mut line)).unwrap());
            }
            assert_eq!(lines, ["one", "", "two"]);
            assert_eq!(line, b"rest");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_costs_no_memory() {
        let mut from = BufReader::new(tokio::io::repeat(b'x'));
        let mut line = Vec::new();
        let error = read(&mut from, &mut line, 100).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(line.len() <= 100);
    }
}
