//! Which of the certificates that a server gives is ours, and whether it is taken.

use crate::clock::Timestamp;
use crate::fleet::trouble::Trouble;
use crate::net::tls::own::{Issued, OwnKey, would_be_taken};
use crate::status::Cause;

/// What the server's answer has to hold.
pub(super) struct Wanted<'a> {
    pub(super) key: &'a OwnKey,
    pub(super) id: &'a str,
    pub(super) present: Option<&'a [u8]>,
}

impl Wanted<'_> {
    /// The certificate for our key, and the chain to show with it.
    pub(super) fn choose(
        &self,
        granted: Vec<Vec<u8>>,
        roots: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<(Issued, Vec<Vec<u8>>), Trouble> {
        let wrong = |what: String| {
            let todo = "look at the enrolment server; the box tries again by itself";
            Trouble::new(format!("the enrolment server's certificate is not taken: {what}"), todo)
                .because(Cause::Protocol)
        };
        let (mut ours, mut between) = (None, Vec::new());
        for der in granted.into_iter().chain(roots.iter().cloned()) {
            let issued = Issued::read(&der).map_err(|error| wrong(error.to_string()))?;
            if issued.is_for(self.key) {
                ours.get_or_insert((issued, der));
            } else if !issued.is_root && !between.contains(&der) {
                between.push(der);
            }
        }
        let (issued, der) = ours.ok_or_else(|| wrong("none of those in its answer is for the box's key".to_owned()))?;
        let named = issued.common_name.as_deref().unwrap_or_default();
        let is_same = match self.present {
            Some(present) => Issued::read(present).is_ok_and(|present| present.subject == issued.subject),
            None => named == self.id,
        };
        if !is_same {
            return Err(wrong(format!("it is for {named:?}, and this box is {:?}", self.id)));
        }
        let chain: Vec<Vec<u8>> = std::iter::once(der).chain(between).collect();
        // A box without a battery for its clock may be behind at its first start. The secret is used by now, and there is no other.
        would_be_taken(&chain, roots, now.max(issued.begins)).map_err(wrong)?;
        Ok((issued, chain))
    }
}
