//! Forms that bring a file (multipart/form-data), part by part: no part is ever held as a whole.
//!
//! Facts: RFC 7578 (form-data), RFC 2046, 5.1.1 (boundaries: a line break before them belongs to them). Bounded: the header of
//! a part, the parts of a form, and how long the next bytes are waited for; how much of a part is taken is for its taker to say.
//!
//! Ours, and not `multer`, which axum would use: besides what we have anyway it brings `encoding_rs`, tables for
//! character sets in which no form of ours comes (version 3.1, read 2026-11); what is left is what stands below.
//!
//! Not supported: parts inside parts, transfer encodings (no browser sends them), file names in other encodings: names of files
//! are not used.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use bytes::{Buf as _, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::timeout;

/// A browser writes a few lines.
const LARGEST_HEADER: usize = 4 << 10;
/// Our forms have three fields.
const MOST_PARTS: usize = 16;
/// RFC 2046, 5.1.1.
const LONGEST_BOUNDARY: usize = 70;
/// Whoever sends nothing for this long has gone.
const NEXT_WITHIN: Duration = Duration::from_secs(60);

/// Why a form cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum MultipartError {
    #[error("this is no form with a file (multipart/form-data)")]
    NoForm,
    #[error("the form is not written as forms are")]
    Garbled,
    #[error("the field {0} is too long")]
    TooLong(String),
    #[error("the form broke off")]
    Broken,
}

/// A form on its way.
#[derive(Debug)]
pub(super) struct Multipart {
    body: BodyDataStream,
    /// What ends a part: a line break, two dashes, the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    parts: usize,
    /// Inside a part, or what stands before the first one.
    is_inside: bool,
    is_over: bool,
}

impl Multipart {
    /// A form of this body.
    pub(super) fn of(headers: &HeaderMap, body: Body) -> Result<Self, MultipartError> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut parts = kind.split(';').map(str::trim);
        if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data")) {
            return Err(MultipartError::NoForm);
        }
        let boundary = parts.find_map(|part| part.strip_prefix("boundary=")).map(|text| text.trim_matches('"'));
        let boundary = boundary.filter(|text| (1..=LONGEST_BOUNDARY).contains(&text.len()));
        let boundary = boundary.ok_or(MultipartError::NoForm)?;
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first boundary has no line break before it: with one it is like the others.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        Ok(Self { body: body.into_data_stream(), delimiter, buffer, parts: 0, is_inside: true, is_over: false })
    }

    /// Goes on to the next part; its name. What was not taken of the one before is passed over.
    pub(super) async fn next(&mut self) -> Result<Option<String>, MultipartError> {
        if self.is_over {
            return Ok(None);
        }
        while self.chunk().await?.is_some() {}
        let after = self.take(2).await?;
        if *after == *b"--" {
            self.is_over = true;
            return Ok(None);
        }
        self.parts += 1;
        if *after != *b"\r\n" || self.parts > MOST_PARTS {
            return Err(MultipartError::Garbled);
        }
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > LARGEST_HEADER {
                return Err(MultipartError::Garbled);
            }
            self.fill().await?;
        };
        let head = self.buffer.split_to(end);
        self.buffer.advance(4);
        self.is_inside = true;
        name_of(&head).map(Some).ok_or(MultipartError::Garbled)
    }

    /// The next bytes of this part; nothing at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        while self.is_inside {
            if let Some(end) = memchr::memmem::find(&self.buffer, &self.delimiter) {
                if end > 0 {
                    return Ok(Some(self.buffer.split_to(end).freeze()));
                }
                self.buffer.advance(self.delimiter.len());
                self.is_inside = false;
                break;
            }
            // A delimiter may have begun at the end of what is here.
            let safe = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
            if safe > 0 {
                return Ok(Some(self.buffer.split_to(safe).freeze()));
            }
            self.fill().await?;
        }
        Ok(None)
    }

    /// The whole part as text, if it has at most `most` bytes.
    pub(super) async fn text(&mut self, name: &str, most: usize) -> Result<String, MultipartError> {
        let bytes = self.bytes(name, most).await?;
        String::from_utf8(bytes).map_err(|_| MultipartError::Garbled)
    }

    /// The whole part, if it has at most `most` bytes.
    pub(super) async fn bytes(&mut self, name: &str, most: usize) -> Result<Vec<u8>, MultipartError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > most {
                return Err(MultipartError::TooLong(name.to_owned()));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    async fn take(&mut self, count: usize) -> Result<BytesMut, MultipartError> {
        while self.buffer.len() < count {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(count))
    }

    async fn fill(&mut self) -> Result<(), MultipartError> {
        match timeout(NEXT_WITHIN, self.body.next()).await {
            Ok(Some(Ok(bytes))) => {
                self.buffer.extend_from_slice(&bytes);
                Ok(())
            }
            _ => Err(MultipartError::Broken),
        }
    }
}

/// The field that a part is for.
fn name_of(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let is_it = |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition: form-data");
    let line = head.split("\r\n").find(is_it)?;
    let name = line.split(';').map(str::trim).find_map(|part| part.strip_prefix("name="))?;
    Some(name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    fn headers(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        headers
    }

    /// All parts of a body that comes in pieces of this size.
    async fn parts(body: &[u8], size: usize) -> Result<Vec<(String, Vec<u8>)>, MultipartError> {
        let pieces: Vec<_> = body.chunks(size).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        let kind = headers("multipart/form-data; boundary=\"XX\"");
        let mut form = Multipart::of(&kind, Body::from_stream(stream::iter(pieces)))?;
        let mut all = Vec::new();
        while let Some(name) = form.next().await? {
            let bytes = form.bytes(&name, 1 << 20).await?;
            all.push((name, bytes));
        }
        Ok(all)
    }

    fn form(file: &[u8]) -> Vec<u8> {
        let begin = "--XX\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nsecret\r\n--XX\r\n\
                     Content-Disposition: form-data; name=\"bundle\"; filename=\"a.raucb\"\r\n\
                     Content-Type: application/octet-stream\r\n\r\n";
        [begin.as_bytes(), file, b"\r\n--XX--\r\n"].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_file_comes_as_it_was_however_it_is_cut(file in proptest::collection::vec("[\r\n\\-X]{0,9}", 0..40), size in 1..50_usize) {
            // What looks like a boundary and is none.
            let mut file = file.concat();
            while file.contains("--XX") {
                file = file.replace("--XX", "--");
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let found = runtime.block_on(parts(&form(file.as_bytes()), size)).unwrap();
            prop_assert_eq!(&found[0], &("csrf".to_owned(), b"secret".to_vec()));
            prop_assert_eq!(&found[1], &("bundle".to_owned(), file.into_bytes()));
            prop_assert_eq!(found.len(), 2);
        }

        #[test]
        fn arbitrary_bytes_are_an_error_or_parts_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _ = runtime.block_on(parts(&bytes, 7));
        }
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_or_is_too_long_is_refused() {
        let whole = form(b"0123456789");
        for cut in 0..whole.len() - 4 {
            assert!(parts(&whole[..cut], 1_000).await.is_err(), "{cut}");
        }
        let mut long = Multipart::of(&headers("multipart/form-data; boundary=XX"), Body::from(whole)).unwrap();
        assert_eq!(long.next().await.unwrap().as_deref(), Some("csrf"));
        assert!(matches!(long.text("csrf", 5).await, Err(MultipartError::TooLong(_))));
        // What was not taken is passed over.
        assert_eq!(long.next().await.unwrap().as_deref(), Some("bundle"));
        assert_eq!(long.next().await.unwrap(), None);
        for kind in ["application/json", "multipart/form-data", "multipart/form-data; boundary="] {
            assert!(matches!(Multipart::of(&headers(kind), Body::empty()), Err(MultipartError::NoForm)), "{kind}");
        }
        let many = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n".repeat(20);
        assert!(parts(format!("{many}--XX--").as_bytes(), 100).await.is_err());
    }
}
