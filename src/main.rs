//! The process: its allocator, its crypto provider, its exit code.
#![allow(unsafe_code, reason = "the allocator's settings have no safe wrapper")]

use std::ffi::{c_int, c_long};
use std::process::ExitCode;

/// The queue and the encoders allocate on many threads at once, which the C library's allocator serialises.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Of mimalloc, which is linked in.
    fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay` (mimalloc.h, the same number in versions 2 and 3): how long freed memory is kept, in milliseconds.
const PURGE_DELAY: c_int = 15;
/// While 4 GiB of events came in at full speed the box had 79 MiB resident with mimalloc's own 1,000 ms, 54 with this, and 42
/// but a fifth less speed with 0.
const KEEP_MS: c_long = 10;

fn main() -> ExitCode {
    // Where the system gives huge pages to everybody (the allocator does not ask for them). Nothing became faster by them, and
    // memory doubled: 64 MiB resident when idle in place of 17, 140 under load in place of 75. Where it cannot be said, no harm.
    let _ = nix::sys::prctl::set_thp_disable(true);
    // SAFETY: it stores a number in a table of the allocator, at an index that is inside; no other thread runs yet.
    unsafe { mi_option_set(PURGE_DELAY, KEEP_MS) };
    // Our own TLS names its provider; this is for a library that would ask for the process's. It is only refused if there is
    // one already, which would be the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    sapphire_edge::command::main()
}
