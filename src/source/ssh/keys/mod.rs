//! Keys: ours, by which devices know the box, and theirs, by which the box knows them; and what may be spoken.

pub(super) mod algorithms;
pub(super) mod authorized;
pub(super) mod host;
