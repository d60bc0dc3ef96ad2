//! The promise, tested: histories on a simulated disk, damage, and the real disk.

mod flips;
mod hands;
mod history;
mod real;
pub(super) mod sim;
