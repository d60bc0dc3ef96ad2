//! An object's content, unpacked while it comes.
//!
//! Facts: RFC 1952 (gzip): an object may hold several members, one after the other; each ends with its checksum.

use std::io::{self, Write as _};

use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;

use crate::net::http::Answer;
use crate::source::pull::Trouble;

/// Packed bytes that are unpacked at once: gzip packs at most 1,032 to 1, so that this makes at most 2 MiB.
const STEP: usize = 2 << 10;
/// How gzip begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What keeps an object from being read on.
#[derive(Debug)]
pub(in crate::source) enum Broken {
    /// The network; it may be asked for again.
    Way(Trouble),
    /// What the vendor has is damaged: asking again gives the same.
    Damage(String),
}

/// The content of an object, from its beginning.
#[derive(Debug)]
pub(in crate::source) struct Body {
    answer: Answer,
    /// What came and is not unpacked yet.
    packed: Bytes,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Not yet seen enough.
    Unknown,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Body {
    pub(in crate::source) fn new(answer: Answer) -> Self {
        Self { answer, packed: Bytes::new(), kind: Kind::Unknown }
    }

    /// The next bytes, appended to `to`; false at the end, when all checksums were right.
    ///
    /// # Errors
    /// See [`Broken`]. What was appended before is good.
    ///
    /// # Cancel safety
    /// Dropping it ends the download.
    pub(in crate::source) async fn next(&mut self, to: &mut Vec<u8>) -> Result<bool, Broken> {
        if self.packed.is_empty() || matches!(self.kind, Kind::Unknown) {
            match self.answer.chunk().await.map_err(|error| Broken::Way(error.into()))? {
                Some(chunk) if self.packed.is_empty() => self.packed = chunk,
                Some(chunk) => self.packed = [&*self.packed, &*chunk].concat().into(),
                None => return self.end(to),
            }
            if matches!(self.kind, Kind::Unknown) && self.packed.len() >= MAGIC.len() {
                self.kind = if self.packed.starts_with(&MAGIC) {
                    Kind::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
                } else {
                    Kind::Plain
                };
            }
        }
        match &mut self.kind {
            Kind::Unknown => {}
            Kind::Plain => to.append(&mut std::mem::take(&mut self.packed).into()),
            Kind::Gzip(decoder) => {
                let step = self.packed.slice(..self.packed.len().min(STEP));
                let unpacked = decoder.write_all(&step);
                self.packed.advance(step.len());
                take(decoder, to);
                unpacked.map_err(|error| damage(&error))?;
            }
        }
        Ok(true)
    }

    fn end(&mut self, to: &mut Vec<u8>) -> Result<bool, Broken> {
        match &mut self.kind {
            Kind::Unknown => to.append(&mut std::mem::take(&mut self.packed).into()),
            Kind::Plain => {}
            Kind::Gzip(decoder) => {
                let ended = decoder.try_finish();
                take(decoder, to);
                ended.map_err(|error| damage(&error))?;
            }
        }
        Ok(false)
    }
}

/// Moves what is unpacked. A decoder that once needed much keeps no more than what a step usually makes.
fn take(decoder: &mut MultiGzDecoder<Vec<u8>>, to: &mut Vec<u8>) {
    let unpacked = decoder.get_mut();
    to.extend_from_slice(unpacked);
    unpacked.clear();
    unpacked.shrink_to(64 << 10);
}

fn damage(error: &io::Error) -> Broken {
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string(),
    };
    Broken::Damage(format!("its gzip stream is damaged: {why}"))
}
