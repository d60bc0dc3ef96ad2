//! How many bytes of a connection the other end's kernel has not acknowledged.
#![allow(unsafe_code, reason = "SIOCOUTQ (tcp(7)) has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Bytes in the send queue, sent or not, that TCP on the other side has not acknowledged.
pub(super) fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, the other name of SIOCOUTQ, writes one int, and `bytes` is one that lives through the call; the
    // descriptor is open because it is borrowed.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}
