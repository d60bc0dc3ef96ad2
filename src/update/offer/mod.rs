//! What the operator offers: a signed manifest at an HTTPS address, and the bundle that it names.
//!
//! In: an address, keys, the time. Out: a manifest that was checked, and a file whose size and SHA-256 are the manifest's. Beside
//! them, what a person brings as a file ([`Upload`]).

mod download;
mod manifest;
mod upload;
mod window;

pub use upload::Upload;
pub use window::{Day, Window};

pub(super) use download::{Want, download};
pub(super) use manifest::{LARGEST, Manifest, read_keys};
pub(super) use window::Schedule;
