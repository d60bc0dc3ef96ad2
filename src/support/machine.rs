//! The machine below: versions, disk, network, as far as the program's sandbox shows them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::quantity::size;

/// Entries of folders that are added up; more would take long on slow flash.
const MOST_ENTRIES: usize = 20_000;
/// Of each file of the system.
const LONGEST: usize = 64 << 10;

/// The program, the image, the kernel.
pub(super) fn versions() -> String {
    let mut text = format!("sapphire-edge {}\n", env!("CARGO_PKG_VERSION"));
    files(
        &mut text,
        &["/etc/os-release", "/proc/sys/kernel/osrelease", "/proc/uptime", "/proc/loadavg", "/proc/meminfo"],
    );
    text
}

/// Counters of the cards, sockets with their drops, routes, name servers.
pub(super) fn network() -> String {
    let mut text = String::new();
    let own =
        ["dev", "udp", "udp6", "snmp", "route", "ipv6_route", "if_inet6"].map(|file| format!("/proc/self/net/{file}"));
    let own: Vec<&str> = own.iter().map(String::as_str).chain(["/etc/resolv.conf"]).collect();
    files(&mut text, &own);
    text
}

/// Room of the disk of the state folder, and what takes it.
pub(super) fn disk(state_dir: &Path) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = match nix::sys::statvfs::statvfs(state_dir) {
        Ok(state) => {
            let unit = state.fragment_size();
            let (whole, free) = (state.blocks() * unit, state.blocks_available() * unit);
            writeln!(
                text,
                "{}: {} of {} free, {} inodes free",
                state_dir.display(),
                size(free),
                size(whole),
                state.files_available()
            )
        }
        Err(error) => writeln!(text, "{}: {error}", state_dir.display()),
    };
    let mut left = MOST_ENTRIES;
    let mut folders: Vec<PathBuf> =
        fs::read_dir(state_dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    for path in folders {
        let (files, bytes) = sum(&path, &mut left);
        let _ = writeln!(text, "{}: {files} files, {}", path.display(), size(bytes));
    }
    if left == 0 {
        text.push_str("there are more files than were added up\n");
    }
    text
}

/// Files below a path, and their bytes.
fn sum(path: &Path, left: &mut usize) -> (u64, u64) {
    let (mut files, mut bytes, mut open) = (0, 0, vec![path.to_owned()]);
    while let Some(path) = open.pop() {
        let Some(rest) = left.checked_sub(1) else { break };
        *left = rest;
        match fs::symlink_metadata(&path) {
            Ok(known) if known.is_dir() => {
                open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()).take(rest));
            }
            Ok(known) => (files, bytes) = (files + 1, bytes + known.len()),
            Err(_) => {}
        }
    }
    (files, bytes)
}

fn files(text: &mut String, paths: &[&str]) {
    for path in paths {
        let _ = match fs::read(path) {
            Ok(bytes) => {
                let bytes = bytes.get(..bytes.len().min(LONGEST)).unwrap_or_default();
                writeln!(text, "\n== {path}\n{}", String::from_utf8_lossy(bytes).trim_end())
            }
            Err(error) => writeln!(text, "\n== {path}: {error}"),
        };
    }
}
