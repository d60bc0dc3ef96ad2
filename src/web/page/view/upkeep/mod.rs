//! What keeps a box going: updates, name and network and time, its certificate, the first steps, support, backups.

pub(super) mod certificate;
pub(super) mod machine;
pub(super) mod start;
pub(super) mod support;
#[cfg(test)]
pub(super) mod tests;
pub(super) mod updates;
