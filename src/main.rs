//! The process: its allocator, its crypto provider, its exit code.

use std::process::ExitCode;

/// The queue and the encoders allocate on many threads at once, which the C library's allocator serialises.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages where the system leaves that to programs. Nothing became faster by them, and memory
    // doubled: 64 MiB resident when idle in place of 17, 140 under load in place of 75. Where it cannot be said, no harm.
    let _ = nix::sys::prctl::set_thp_disable(true);
    // Our own TLS names its provider; this is for a library that would ask for the process's. It is only refused if there is
    // one already, which would be the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    sapphire_edge::command::main()
}
