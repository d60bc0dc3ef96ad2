//! What is to be done at which time, by what is in the box.

use super::keep::{Folder, OneTime};
use crate::clock::Timestamp;
use crate::fleet::trouble::Trouble;
use crate::net::tls::own::Issued;
use crate::status::Cause;

/// What there is to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing, until then.
    Rest(Timestamp),
    /// The certificate is to be got with the secret.
    First(OneTime),
    /// It is to be renewed.
    Renew(Vec<u8>),
    /// Nothing can be done without somebody.
    Stuck(Trouble),
}

/// What is in the box.
#[derive(Debug)]
pub(super) struct Have {
    pub(super) certificate: Option<(Issued, Vec<u8>)>,
    pub(super) secret: Option<OneTime>,
}

impl Have {
    /// Looks for it. A secret that is for another server than this is as good as none.
    pub(super) fn look(folder: &Folder, server: Option<&str>) -> Result<Self, Trouble> {
        let chain = folder.certificate().map_err(|error| Trouble::disk(&error))?;
        // One that is none is as good as none: it is got or asked for again.
        let first = chain.into_iter().next().and_then(|der| Some((Issued::read(&der).ok()?, der)));
        let secret = folder.secret().map_err(|error| Trouble::disk(&error))?;
        let secret = secret.filter(|secret| secret.server.is_none() || secret.server.as_deref() == server);
        Ok(Self { certificate: first, secret })
    }

    /// What follows from it now; `late` from 0 to 1 says how much of the spread this box waits.
    pub(super) fn step(self, now: Timestamp, late: f64) -> Step {
        match (self.certificate, self.secret) {
            (_, Some(secret)) => Step::First(secret),
            (Some((issued, der)), None) if now < issued.ends => match due(&issued, late) {
                due if now >= due => Step::Renew(der),
                due => Step::Rest(due),
            },
            (Some((issued, _)), None) => {
                let what = format!(
                    "the box's certificate for the fleet ended on {}, and its one-time secret is used",
                    issued.ends
                );
                Step::Stuck(
                    Trouble::new(what, "bring the box a new enrolment file, with another secret").because(Cause::Login),
                )
            }
            (None, None) => {
                let what = "this box has no certificate for the fleet and no one-time secret for its enrolment server";
                Step::Stuck(Trouble::new(what, "bring the box an enrolment file with a secret").because(Cause::Login))
            }
        }
    }
}

/// When a certificate is to be renewed.
pub(super) fn due(issued: &Issued, late: f64) -> Timestamp {
    let life = issued.ends.since(issued.begins);
    issued.begins.after(life.mul_f64(2.0 / 3.0 + late.clamp(0.0, 1.0) / 12.0))
}
