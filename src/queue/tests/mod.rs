//! The promise, tested: histories on a simulated disk, damage, and the real disk.

mod history;
mod real;
mod sim;
