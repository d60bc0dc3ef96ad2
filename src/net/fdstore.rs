//! Keeps sockets in systemd's descriptor store (sd_notify(3): `FDSTORE=1`), which outlives this process.
//!
//! Decision: `sd-notify` can do this too, but only with another crate that sends descriptors; one `sendmsg` does it.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::SocketName;

/// Begins every name we store under, so that what is ours can be told from a unit's socket.
const PREFIX: &str = "edge-";

/// The name in the store: at most 255 characters, none of them a colon or a control character (sd_notify(3), `FDNAME=`).
pub(super) fn store_name(name: &SocketName) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    PREFIX.chars().chain(name.to_string().chars().map(plain)).take(255).collect()
}

/// Whether a name handed over at start is one that we gave.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Puts a socket into the store.
///
/// # Errors
/// When the service manager cannot be told. Without a service manager nothing happens.
pub(super) fn keep(name: &str, socket: BorrowedFd<'_>) -> io::Result<()> {
    send(&format!("FDSTORE=1\nFDNAME={name}\n"), &[socket.as_raw_fd()])
}

/// Takes a socket out of the store.
///
/// # Errors
/// As [`keep`].
pub(super) fn forget(name: &str) -> io::Result<()> {
    send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), &[])
}

fn send(text: &str, descriptors: &[i32]) -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(path) => send_to(&path, text, descriptors),
        None => Ok(()),
    }
}

fn send_to(path: &OsStr, text: &str, descriptors: &[i32]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(path)?,
    }
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &[][..] } else { &rights };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(text.as_bytes())], control, MsgFlags::empty(), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;
    use std::os::fd::AsFd as _;

    use nix::sys::socket::{ControlMessageOwned, recvmsg};

    use super::*;

    #[test]
    fn names_are_such_as_the_service_manager_takes() {
        for text in ["udp://[::]:514", "tls://0.0.0.0:0"] {
            let name = store_name(&SocketName::new("fire walls", text.parse().unwrap(), 3));
            assert!(is_ours(&name) && name.len() < 255, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_graphic() && c != ':'), "{name}");
        }
        let name = |index| store_name(&SocketName::new("a", "udp://[::]:514".parse().unwrap(), index));
        assert_ne!(name(0), name(1));
        assert!(!is_ours("syslog.socket"));
    }

    #[test]
    fn the_socket_itself_arrives_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let kept = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        send_to(path.as_os_str(), "FDSTORE=1\nFDNAME=edge-x\n", &[kept.as_fd().as_raw_fd()]).unwrap();
        let mut text = [0u8; 100];
        let mut space = nix::cmsg_space!(i32);
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = MsgFlags::empty();
        let message = recvmsg::<()>(manager.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
        let descriptors = message.cmsgs().unwrap().map(|control| match control {
            ControlMessageOwned::ScmRights(descriptors) => descriptors.len(),
            _ => 0,
        });
        assert_eq!(descriptors.sum::<usize>(), 1);
        let length = message.bytes;
        assert_eq!(&text[..length], b"FDSTORE=1\nFDNAME=edge-x\n");
    }
}
