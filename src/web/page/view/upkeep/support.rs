//! Support and backups: what goes out of the box as a file, and comes back.

use askama::Template;

use crate::web::page::view::{Form, Frame};

#[derive(Debug, Template)]
#[template(path = "upkeep/support.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    form: &'a Form,
}

pub(in crate::web::page::view) fn page(frame: &Frame, form: &Form) -> String {
    crate::web::page::view::render(&Page { frame, form })
}
