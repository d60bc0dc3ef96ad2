//! The certificates in an answer of an enrolment server: a certs-only CMS message in base64.
//!
//! Facts: RFC 7030 sections 4.1.3 and 4.2.3 (a certs-only Simple PKI Response, RFC 5272 section 4.1, in base64), RFC 8951 section 3
//! (line ends in it do not count), RFC 5652 sections 3, 5.1 and 10.2.2 (`ContentInfo`, `SignedData`, `CertificateSet`), X.690
//! sections 8 and 10 (DER). Strict: what is not DER, is signed, or holds anything but X.509 certificates is an error. Bounded:
//! [`MOST`] certificates; no part is copied before all was read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A chain has three or four; a server may hand out a few roots.
const MOST: usize = 16;

const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed: the content of a `ContentInfo`, and the certificates of `SignedData`.
const CONTEXT_0: u8 = 0xa0;
/// `[1]`, constructed: revocation lists.
const CONTEXT_1: u8 = 0xa1;
/// 1.2.840.113549.1.7.2, signedData (RFC 5652 section 5.1).
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// The certificates in the body of an answer, in DER; nothing where it is not what it should be.
pub(super) fn certificates(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    in_message(&STANDARD.decode(text).ok()?)
}

fn in_message(der: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut message = Reader(der);
    let mut info = Reader(message.take(SEQUENCE)?);
    message.end()?;
    (info.take(OID)? == SIGNED_DATA).then_some(())?;
    let mut content = Reader(info.take(CONTEXT_0)?);
    info.end()?;
    let mut signed = Reader(content.take(SEQUENCE)?);
    content.end()?;
    signed.take(INTEGER)?;
    signed.take(SET)?;
    signed.take(SEQUENCE)?;
    let mut set = Reader(signed.take(CONTEXT_0)?);
    if signed.is_next(CONTEXT_1) {
        signed.take(CONTEXT_1)?;
    }
    signed.take(SET)?.is_empty().then_some(())?;
    signed.end()?;
    let mut found = Vec::new();
    while !set.0.is_empty() {
        (found.len() < MOST).then_some(())?;
        found.push(set.whole(SEQUENCE)?.to_vec());
    }
    (!found.is_empty()).then_some(found)
}

/// Elements of DER, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn is_next(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The content of the next element, which has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element(tag).map(|(_, content)| content)
    }

    /// The next element, which has this tag, with its head.
    fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element(tag).map(|(whole, _)| whole)
    }

    fn element(&mut self, tag: u8) -> Option<(&'a [u8], &'a [u8])> {
        let (first, rest) = self.0.split_first()?;
        (*first == tag).then_some(())?;
        let (short, rest) = rest.split_first()?;
        let (length, rest) = match short {
            0..=0x7f => (usize::from(*short), rest),
            // Up to four bytes of length, as few as it takes; 0x80 would be a length that is not said.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                let length = bytes.iter().fold(0_u64, |length, byte| (length << 8) | u64::from(*byte));
                let is_least = length > 0x7f && bytes.first() != Some(&0);
                (usize::try_from(length).ok().filter(|_| is_least)?, rest)
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some((whole, content))
    }

    /// Nothing may follow.
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::net::tls::certs::Ca;

    /// What openssl makes of these certificates, in DER.
    fn message(certificates: &[&std::path::Path]) -> Vec<u8> {
        let mut openssl = Command::new("openssl");
        openssl.args(["crl2pkcs7", "-nocrl", "-outform", "DER"]);
        for file in certificates {
            openssl.arg("-certfile").arg(file);
        }
        let output = openssl.output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn what_openssl_makes_is_read_whole_and_nothing_that_is_changed_in_its_frame() {
        let ca = Ca::new();
        let pair = ca.pair("edge", &["edge-7"]);
        let der = message(&[&pair.cert, &ca.file]);
        let text = STANDARD.encode(&der);
        let lines: String =
            text.as_bytes().chunks(64).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect();
        let found = certificates(lines.as_bytes()).unwrap();
        assert_eq!((found.len(), &found[0]), (2, &pair.der));
        assert_eq!(certificates(text.as_bytes()).unwrap(), found);
        for cut in 0..der.len() {
            assert_eq!(in_message(&der[..cut]), None, "cut at {cut}");
        }
        assert_eq!(in_message(&[&der[..], b"\0"].concat()), None, "something follows");
        assert_eq!(in_message(&message(&[])), None, "there is no certificate");
        assert_eq!(certificates(b"-----BEGIN PKCS7-----"), None);
        assert_eq!(in_message(&message(&vec![pair.cert.as_path(); MOST + 1])), None, "there are too many");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(in_message(&bytes), None);
            let _ = certificates(&bytes);
        }

        #[test]
        fn whatever_is_flipped_what_is_read_lies_within(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let inner = [&[SEQUENCE, 3, INTEGER, 1, 7][..], &[SEQUENCE, 0][..]].concat();
            let mut der = vec![SEQUENCE, 0, OID, 9];
            der.extend(SIGNED_DATA);
            der.extend([CONTEXT_0, 0, SEQUENCE, 0, INTEGER, 1, 1, SET, 0, SEQUENCE, 0, CONTEXT_0, 7]);
            der.extend(&inner);
            der.extend([SET, 0]);
            let length = der.len();
            for (place, from) in [(1, 2), (14, 15), (16, 17)] {
                der[place] = u8::try_from(length - from).unwrap();
            }
            prop_assert_eq!(in_message(&der).unwrap().concat(), inner);
            let at = at.index(der.len());
            der[at] ^= flip;
            if let Some(found) = in_message(&der) {
                prop_assert!(found.concat().len() <= 7 && found.iter().all(|one| memchr::memmem::find(&der, one).is_some()));
            }
        }
    }
}
