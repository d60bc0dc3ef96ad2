//! The certificate of the page itself.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use crate::web::page::view::{Form, Frame, Trial, text};

/// The certificate that the page shows.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Certificate {
    /// Whether the box made and signed it itself.
    pub is_own: bool,
    /// Names and addresses that it is good for.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// Its SHA-256 fingerprint, as `sapphire-edge claim` prints it.
    pub fingerprint: String,
    /// From when on it is good (RFC 3339).
    pub begins: String,
    /// When it ends (RFC 3339).
    pub ends: String,
    /// The file it lies in.
    pub file: String,
    /// Settings that wait to be confirmed.
    #[serde(skip)]
    pub trial: Option<Trial>,
}

#[derive(Debug, Template)]
#[template(path = "upkeep/certificate.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Certificate,
    form: &'a Form,
}

impl Page<'_> {
    fn clock(&self, at: &str) -> String {
        text::clock(at)
    }
}

pub(in crate::web::page::view) fn page(frame: &Frame, page: &Certificate, form: &Form) -> String {
    crate::web::page::view::render(&Page { frame, page, form })
}
