//! Sockets that were bound before this process began: by systemd's socket units, or by an earlier run that left them in the
//! service manager's descriptor store. Both arrive the same way (sd_listen_fds(3): `LISTEN_FDS` from descriptor 3 on).
#![allow(unsafe_code, reason = "a descriptor handed over at start is only known by its number")]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once the descriptors were taken: owning them twice would close them under their other owner.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The descriptors handed over, with their names; nothing at every call after the first.
///
/// # Errors
/// When the environment variables of the service manager are garbled.
pub(super) fn take() -> io::Result<Vec<(String, OwnedFd)>> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    // SAFETY: `listen_fds_with_names` returns only descriptors that the service manager opened for this very process
    // (it compares LISTEN_PID) and that it could set close-on-exec on, so they are open; nobody else in this process
    // takes descriptors from LISTEN_FDS, and TAKEN makes this happen once.
    let own = |(fd, name)| (name, unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(sd_notify::listen_fds_with_names()?.map(own).collect())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::process::{Command, Stdio};

    use crate::net::{Listen, SocketName, Sockets};

    /// Plays both parts: started by `cargo test` it starts itself again, as the service manager would, with a socket that
    /// already holds a datagram; the second time it must find both.
    #[test]
    fn a_socket_and_what_waits_in_it_survive_into_the_next_process() {
        if std::env::var_os("LISTEN_PID").is_some() {
            let address = std::env::var("EDGE_TEST_ADDRESS").unwrap().parse().unwrap();
            let sockets = Sockets::from_service_manager().unwrap();
            let socket = sockets.udp(&SocketName::new("fw", Listen::Udp(address), 0), false).unwrap();
            let mut receiver = crate::net::Receiver::new(socket, 4, 100);
            assert_eq!(receiver.receive().unwrap(), 1);
            assert_eq!(receiver.datagrams().next().unwrap().bytes, b"from before");
            assert!(
                Sockets::from_service_manager()
                    .unwrap()
                    .bound(&SocketName::new("fw", Listen::Udp(address), 0))
                    .is_none()
            );
            return;
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"from before", address).unwrap();
        // The shell puts the socket where sd_listen_fds(3) says the first one is, and knows the process id that exec keeps.
        let script = "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=syslog.socket exec \"$0\" --exact \"$1\"";
        let name = "net::inherited::tests::a_socket_and_what_waits_in_it_survive_into_the_next_process";
        let output = Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env("EDGE_TEST_ADDRESS", address.to_string())
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(socket)))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
