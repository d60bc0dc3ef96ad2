//! The machine below: cables, the clock, disks that are full or slow, updates that are refused. Each on a box of its own.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sapphire_edge::clock::since_boot;

use super::super::SETTINGS;
use super::{BOX, Faces, NETWORK, QUEUE, now, row};
use crate::endure::slow_disk::shim;
use crate::endure::small_disk::SmallDisk;
use crate::peers::appliance::program;
use crate::peers::lights::Board;
use crate::peers::program::have;
use crate::peers::rauc::Machine;
use crate::update::manifest::{PATH, Publisher};
use crate::update::{ready, update};

const CABLE: &str = "put the cable in at both ends";
/// How long a machine has to be on before a clock that nobody set is told (`src/host/watch.rs`).
const CLOCK_SET: Duration = Duration::from_secs(300);

#[test]
fn a_cable_that_is_out_and_a_card_that_is_not_there_are_told_on_every_face() {
    let board = Board::default();
    let Some(command) = board.with(&program(), &[]) else { return };
    let card = "[[network.interface]]\nname = \"eth1\"\n";
    let Some(faces) = Faces::with(&format!("{SETTINGS}{card}"), command, board) else { return };
    faces.board.cable("eth1", false);
    let one = row("network", "the network card eth1 has no cable with somebody at its other end", CABLE);
    faces.tell(Some(now()), &[one], NETWORK);
    faces.board.cable("eth0", false);
    let none = row("network", "no network card has a cable with somebody at its other end: eth0, eth1", CABLE);
    faces.tell(Some(now()), &[none], NETWORK);
    faces.board.cable("eth0", true);
    faces.board.cable("eth1", true);
    let settings = std::fs::read_to_string(faces.edge.settings()).unwrap();
    let made = now();
    faces.edge.reload(&settings.replace("eth1", "eth7"));
    let named = row("network", "the network card eth7, and this machine has none of that name", "see under Box");
    faces.tell(Some(made), &[named], NETWORK);
    faces.edge.stop();
}

#[test]
fn a_clock_that_no_time_server_has_set_is_told_on_every_face() {
    if since_boot() < CLOCK_SET {
        return eprintln!("SKIPPED: this machine was switched on {:?} ago", since_boot());
    }
    let (board, run) = (Board::default(), tempfile::tempdir().unwrap());
    let time = run.path().join("systemd/timesync");
    std::fs::create_dir_all(&time).unwrap();
    std::fs::write(time.join("synchronized"), "").unwrap();
    let Some(command) = board.with(&program(), &[(run.path(), "/run")]) else { return };
    let Some(faces) = Faces::with(SETTINGS, command, board) else { return };
    std::fs::remove_file(time.join("synchronized")).unwrap();
    faces.tell(Some(now()), &[row("clock", "no time server has set the clock", "UDP port 123")], BOX);
    faces.edge.stop();
}

/// Sends to the first source until told to end.
fn keep_sending(faces: &Faces, done: &AtomicBool) {
    let (socket, to) = (UdpSocket::bind("127.0.0.1:0").unwrap(), faces.edge.address("udp://127.0.0.1:0", 0));
    while !done.load(Ordering::Relaxed) {
        let _ = socket.send_to(b"<13>Mar  5 10:15:30 fw1 app: hello", to);
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Tells of one row of the queue while somebody sends.
fn tell_of_queue(faces: &Faces, what: &'static str, todo: &'static str) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| keep_sending(faces, &done));
        let made = now();
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            faces.tell(Some(made), &[row("queue", what, todo)], QUEUE);
        }));
        done.store(true, Ordering::Relaxed);
        told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn a_disk_that_is_full_is_told_on_every_face() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED: a small disk cannot be mounted: {why}"),
    };
    let state = disk.path().join("state");
    let own = format!("state_dir = {state:?}\n[control]\nsocket = \"{{dir}}/control.sock\"\n[page]");
    let settings = SETTINGS.replacen("[page]", &own, 1).replacen(
        "\n[[source]]",
        "\n[queue]\nsegment_size = \"1MiB\"\nflush_after = \"50ms\"\n[[source]]",
        1,
    );
    let Some(faces) = Faces::of(&settings) else { return };
    disk.fill();
    tell_of_queue(&faces, "the disk is full: nothing can be stored", "free space");
    disk.free();
    faces.edge.stop();
}

#[test]
fn a_disk_that_is_slow_is_told_on_every_face() {
    let (board, folder) = (Board::default(), tempfile::tempdir().unwrap());
    let speed = folder.path().join("milliseconds");
    std::fs::write(&speed, "0").unwrap();
    let mut command = board.with(&program(), &[]).unwrap_or_else(program);
    command.env("LD_PRELOAD", shim(folder.path())).env("SLOW_SYNC_FILE", &speed);
    let settings = SETTINGS.replacen("\n[[source]]", "\n[queue]\nflush_after = \"50ms\"\n[[source]]", 1);
    let Some(faces) = Faces::with(&settings, command, board) else { return };
    std::fs::write(&speed, "2100").unwrap();
    tell_of_queue(&faces, "the disk is slow", "look at the kernel log");
    std::fs::write(&speed, "0").unwrap();
    faces.edge.stop();
}

#[test]
fn an_update_that_is_refused_is_told_on_every_face() {
    let Some(machine) = Machine::boot().filter(|_| have("openssl")) else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.release(1, "7.0.0", &bundle);
    let mut manifest = publisher.manifest(2, "7.0.0", &bundle);
    manifest["sha256"] = "ab".repeat(32).into();
    publisher.publish(&manifest);
    let board = Board::default();
    let command = board.with(&machine.program(), &[]).unwrap_or_else(|| machine.program());
    let keys = publisher.settings("check_every = \"1m\"\nreboot = \"by_hand\"");
    let settings = format!("{SETTINGS}[update]\n{}{keys}", machine.settings());
    let Some(faces) = Faces::with(&settings, command, board) else { return };
    // The box looks by itself, some seconds after its start.
    let damaged = row("update", "an update was not installed: ", "");
    faces.tell(None, &[damaged], BOX);
    ready(&faces.edge);
    publisher.site.put(PATH, b"<html>not found</html>\n".to_vec());
    let made = now();
    assert!(!update(&faces.edge, &["check"]).status.success());
    let unsigned = row("update", "no news of updates: ", "");
    faces.tell(Some(made), &[unsigned], BOX);
    faces.edge.stop();
}
