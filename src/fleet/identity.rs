//! Who this box is in the fleet: the name in its certificate, or where that has none, the box's id in event ids.

use std::io;
use std::path::Path;

use crate::event::ApplianceId;
use crate::net::tls::{Fingerprint, Said, TlsError};
use crate::status::Cause;

use super::trouble::Trouble;

/// Longest id: it stands in every topic.
const LONGEST: usize = 64;

/// This box, as the broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: String,
    /// Of the certificate.
    pub(super) fingerprint: Fingerprint,
}

impl Identity {
    /// Reads the certificate. Blocks on the disk, briefly.
    pub(super) fn read(certificate: Option<&Path>, appliance: ApplianceId) -> Result<Self, Trouble> {
        let certificate = certificate.unwrap_or(Path::new(""));
        let said = Said::in_file(certificate).map_err(|error| trouble(certificate, &error))?;
        let id = said.common_name.unwrap_or_else(|| appliance.to_string());
        if !is_id(&id) {
            let what = format!("the name {id:?} in {} is no box's id", certificate.display());
            let todo = "use a certificate whose name (CN) has 1 to 64 letters, digits, points, hyphens and underscores";
            return Err(Trouble::new(what, todo).because(Cause::Tls));
        }
        Ok(Self { id, fingerprint: said.fingerprint })
    }
}

/// The id of a box that has this certificate; nothing where there is none, or it names no box. Blocks on the disk, briefly.
#[must_use]
pub fn id_of(certificate: &Path) -> Option<String> {
    Said::in_file(certificate).ok()?.common_name.filter(|name| is_id(name))
}

/// Whether this can stand in a certificate's name and in a topic: one level without wildcards, which access lists can name.
pub(super) fn is_id(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=LONGEST).contains(&text.len()) && text.chars().all(is_plain)
}

fn trouble(certificate: &Path, error: &TlsError) -> Trouble {
    if let TlsError::Read { source, .. } = error
        && source.kind() == io::ErrorKind::NotFound
    {
        let todo = format!("enrol the box, or put its certificate and key there: {}", certificate.display());
        return Trouble::new("this box has no certificate for the fleet yet", todo).because(Cause::Tls);
    }
    Trouble::said(error, "put a good one in its place").because(Cause::Tls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::certs::Ca;

    #[test]
    fn a_box_is_called_as_its_certificate_and_what_is_wrong_with_it_is_said() {
        let ca = Ca::new();
        let pair = ca.pair("box", &["box"]);
        // The helper's certificates have a blank in their names.
        let trouble = Identity::read(Some(&pair.cert), ApplianceId(7)).unwrap_err();
        assert!(trouble.what.contains("is no box's id"), "{trouble:?}");
        assert_eq!(id_of(&pair.cert), None);
        let named = ca.path("named.pem");
        std::fs::write(&named, super::super::tests::certificate("edge-7", &ca.path("named.key"))).unwrap();
        assert_eq!(Identity::read(Some(&named), ApplianceId(7)).unwrap().id, "edge-7");
        let nameless = ca.path("nameless.pem");
        std::fs::write(&nameless, super::super::tests::certificate("", &ca.path("nameless.key"))).unwrap();
        assert_eq!(Identity::read(Some(&nameless), ApplianceId(7)).unwrap().id, "0000000000000007");
        let missing = Identity::read(Some(&ca.path("none.pem")), ApplianceId(7)).unwrap_err();
        assert!(missing.what.contains("no certificate for the fleet yet") && missing.todo.contains("none.pem"));
        std::fs::write(ca.path("bad.pem"), "nothing").unwrap();
        assert!(
            Identity::read(Some(&ca.path("bad.pem")), ApplianceId(7))
                .unwrap_err()
                .what
                .contains("holds no certificate")
        );
    }
}
