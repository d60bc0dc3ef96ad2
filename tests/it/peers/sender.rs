//! Plain senders of syslog.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

/// Sends each text as a line over a TCP connection of its own, and closes it.
pub fn lines(to: SocketAddr, texts: &[String]) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all((texts.join("\n") + "\n").as_bytes()).unwrap();
}
