//! What was answered is kept, and what broke off leaves nothing.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sapphire_edge::status::{Component, Count};

use crate::endure::small_disk::SmallDisk;
use crate::peers::program::{Running, python, text};
use crate::peers::service::Manner;
use crate::peers::ssh::{More, Site, good, mail_log};
use crate::peers::until;

/// Every line once, by its text and by its id; repeats only under the same id.
fn exactly(site: &Site, lines: &[String]) {
    let events = site.gateway.wait_for(lines);
    let mut ids = HashSet::new();
    let mut texts = HashSet::new();
    for event in &events {
        if ids.insert(event.id()) {
            assert!(texts.insert(event.message()), "{} came under two ids", event.message());
        }
    }
    assert_eq!(texts.len(), lines.len());
    assert!(lines.iter().all(|line| texts.contains(line.as_str())), "a line is missing");
}

/// Passes bytes on from a client until `limit` of them went through, then cuts both sides.
fn cutting_link(to: SocketAddr, limit: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(to) else { return };
            let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
            let (mut left, mut buffer) = (limit.load(Ordering::Relaxed), [0; 4096]);
            let (mut client, mut server) = (client, server);
            while left > 0 {
                let most = buffer.len().min(usize::try_from(left).unwrap());
                let Ok(count @ 1..) = client.read(&mut buffer[..most]) else { break };
                if server.write_all(&buffer[..count]).is_err() {
                    break;
                }
                left -= count as u64;
            }
            let _ = client.shutdown(std::net::Shutdown::Both);
            let _ = server.shutdown(std::net::Shutdown::Both);
        }
    });
    address
}

#[test]
fn cut_at_every_tenth_of_a_file_and_pushed_again_each_event_comes_once() {
    let Some(site) = Site::start(More { source: "max_auth_tries = 100", ..More::default() }) else { return };
    let (log, lines) = mail_log(2_000, 0);
    let file = site.file("mail.s", &log);
    let limit = Arc::new(AtomicU64::new(0));
    let link = cutting_link(site.address(), Arc::clone(&limit));
    let push = |tenth: u64| {
        // The handshake takes some KiB more.
        limit.store(if tenth > 10 { u64::MAX } else { 5_000 + log.len() as u64 * tenth / 10 }, Ordering::Relaxed);
        let mut scp = site.openssh("scp", &["-o", &format!("Port={}", link.port()), "-O"]);
        scp.arg(&file).arg("127.0.0.1:/in/").output().unwrap().status.success()
    };
    for tenth in 0..10 {
        assert!(!push(tenth), "{tenth}");
    }
    assert!(push(11) && push(11));
    exactly(&site, &lines);
    until("nothing is left", || site.staged().is_empty().then_some(()));
    assert_eq!(site.gateway.acked().len(), lines.len());
    site.edge.stop();
}

#[test]
fn killed_in_the_middle_of_an_upload_nothing_is_left_of_it() {
    let address = crate::peers::free_address();
    let listen = format!("\"tcp://{address}\"");
    let Some(mut site) = Site::start(More { listen: &listen, ..More::default() }) else { return };
    site.edge.address(&format!("tcp://{address}"), 0);
    let Some(mut peer) = python("paramiko_scp.py") else { return };
    peer.args([&address.port().to_string(), "esa1"]).arg(site.key("ed25519")).arg("hold").stdout(Stdio::piped());
    let mut holding = Running::start(&mut peer);
    let mut said = String::new();
    BufReader::new(holding.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), "holding");
    until("it is on its way", || site.staged().iter().any(|name| name.ends_with(".part")).then_some(()));
    site.edge.kill();
    drop(holding);
    assert!(!site.staged().is_empty());
    site.edge.restart();
    site.edge.address(&format!("tcp://{address}"), 0);
    assert_eq!(site.staged(), Vec::<String>::new());
    assert_eq!(site.gateway.count(), 0);
    site.edge.stop();
}

#[test]
fn killed_again_and_again_while_staged_files_are_read_each_event_comes_under_one_id() {
    let address = crate::peers::free_address();
    let listen = format!("\"tcp://{address}\"");
    let top = "[queue]\nflush_after = \"20ms\"\n";
    let Some(mut site) = Site::start(More { listen: &listen, top, ..More::default() }) else { return };
    let bound = format!("tcp://{address}");
    site.edge.address(&bound, 0);
    site.gateway.change(Manner::Slow);
    let mut all = Vec::new();
    for round in 0..3 {
        let (log, lines) = mail_log(1_000, round * 1_000);
        let file = site.file(&format!("mail.{round}"), log);
        good(&site.scp(&[], &[&file]));
        all.extend(lines);
        site.edge.kill();
        site.edge.restart();
        site.edge.address(&bound, 0);
    }
    site.gateway.change(Manner::Serve);
    exactly(&site, &all);
    until("nothing is left", || site.staged().is_empty().then_some(()));
    site.edge.stop();
}

#[test]
fn what_does_not_fit_is_refused_at_its_size_and_taken_later() {
    let top = "[queue]\nmax_size = \"4MiB\"\nsegment_size = \"1MiB\"\nreserve = \"1MiB\"\n";
    let Some(site) = Site::start(More { top, ..More::default() }) else { return };
    let large = site.file("large", vec![b'x'; 5 << 20]);
    let output = site.scp(&[], &[&large]);
    assert!(!output.status.success());
    site.edge.line(Component::Source, "ces", |line| {
        line.health.fault().is_some_and(|fault| fault.what.contains("has no room for it now"))
    });
    assert_eq!(site.staged(), Vec::<String>::new());
    let (log, lines) = mail_log(100, 0);
    good(&site.scp(&[], &[&site.file("small", log)]));
    exactly(&site, &lines);
    site.edge.line(Component::Source, "ces", |line| line.health.word() == "healthy");
    site.edge.stop();
}

#[test]
fn a_disk_that_fills_in_the_middle_of_an_upload_is_told_to_the_device_and_leaves_nothing() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => return println!("disk full: skipped, a small disk cannot be mounted: {why}"),
    };
    let top = format!(
        "state_dir = \"{}\"\n[control]\nsocket = \"{{dir}}/control.sock\"\n[queue]\nsegment_size = \"1MiB\"\n",
        disk.path().join("state").display()
    );
    let Some(site) = Site::start(More { top: &top, ..More::default() }) else { return };
    let staged = || fs::read_dir(disk.path().join("state/ssh/ces/staged")).unwrap().count();
    // Its bound lets it in: what is left of the disk does not hold it.
    let large = site.file("large", vec![b'x'; 60 << 20]);
    let output = site.scp(&[], &[&large]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("the disk of the box is full"), "{output:?}");
    assert_eq!(staged(), 0);
    site.edge.line(Component::Source, "ces", |line| {
        line.health.fault().is_some_and(|fault| fault.what.contains("the disk of the box is full"))
    });
    // By SFTP too; and one that would fit, on a disk that somebody else filled.
    assert!(!site.openssh("scp", &["-s"]).arg(&large).arg("127.0.0.1:/in/").output().unwrap().status.success());
    disk.fill();
    let (log, lines) = mail_log(2_000, 0);
    let file = site.file("mail.s", log);
    assert!(!site.scp(&[], &[&file]).status.success());
    assert_eq!(staged(), 0);
    disk.free();
    good(&site.scp(&[], &[&file]));
    exactly(&site, &lines);
    site.edge.line(Component::Source, "ces", |line| line.health.word() == "healthy");
    site.edge.stop();
}

#[test]
fn the_files_and_bytes_of_a_day_are_bounded() {
    let device = "max_files_per_day = 2\nmax_bytes_per_day = \"1KiB\"";
    let Some(site) = Site::start(More { device, ..More::default() }) else { return };
    assert!(!site.scp(&[], &[&site.file("large", "y".repeat(2_000))]).status.success());
    good(&site.scp(&[], &[&site.file("one", "1\n"), &site.file("two", "2\n")]));
    assert!(!site.scp(&[], &[&site.file("three", "3\n")]).status.success());
    site.edge.stop();
}

#[test]
fn fifty_uploads_at_once() {
    let Some(site) = Site::start(More::default()) else { return };
    let mut all = Vec::new();
    let mut running = Vec::new();
    for number in 0..50 {
        let (log, lines) = mail_log(50, number * 50);
        let file = site.file(&format!("mail.{number}"), log);
        let mut scp = site.openssh("scp", &["-O", "-o", "ConnectTimeout=60"]);
        running.push(scp.arg(file).arg("127.0.0.1:/in/").stderr(Stdio::piped()).spawn().unwrap());
        all.extend(lines);
    }
    for child in running {
        good(&child.wait_with_output().unwrap());
    }
    exactly(&site, &all);
    site.edge.stop();
}

#[test]
fn compressed_files_are_inflated_and_damaged_ones_are_told_of() {
    let Some(site) = Site::start(More::default()) else { return };
    let (log, lines) = mail_log(500, 0);
    let plain = site.file("mail.gz.plain", &log);
    let gzip = |file: &std::path::Path| Command::new("gzip").arg("-c").arg(file).output().unwrap().stdout;
    let whole = gzip(&plain);
    // Two members, as a rotation may leave them.
    let (half, rest) = log.split_at(log.find("\nTue").unwrap() + 1);
    let two = [gzip(&site.file("a", half)), gzip(&site.file("b", rest))].concat();
    good(&site.scp(&[], &[&site.file("mail.gz", &two)]));
    exactly(&site, &lines);
    good(&site.scp(&[], &[&site.file("torn.gz", &whole[..whole.len() / 2])]));
    until("the damage is told", || site.gateway.notices().values().any(|n| n["kind"] == "file_damaged").then_some(()));
    until("nothing is left", || site.staged().is_empty().then_some(()));
    site.edge.stop();
}

#[test]
fn memory_does_not_depend_on_the_size_of_a_file() {
    let Some(site) = Site::start(More { source: "max_file = \"4GiB\"", ..More::default() }) else { return };
    // `tests/run --full` pushes 2 GiB.
    let mib: usize = std::env::var("SSH_LARGE_MIB").map_or(256, |mib| mib.parse().unwrap());
    let (log, lines) = mail_log(1_300, 0);
    let path = site.file("large.log", "");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let (mut size, mut events) = (0, 0);
    while size < mib << 20 {
        // Different content each time, at little cost.
        let block = log.replace(" Info: ", &format!(" Info: {size:x} "));
        file.write_all(block.as_bytes()).unwrap();
        (size, events) = (size + block.len(), events + lines.len() as u64);
    }
    let (id, mut peak) = (site.edge.id(), 0);
    let mut scp = site.openssh("scp", &["-O"]).arg(&path).arg("127.0.0.1:/in/").spawn().unwrap();
    let mut is_done = false;
    until("all of it is settled", || {
        peak = peak.max(resident(id));
        is_done = is_done || scp.try_wait().unwrap().is_some();
        let settled = site.edge.status()?.line(Component::Source, "ces")?.count(Count::SettledEvents);
        (is_done && settled == events).then_some(())
    });
    assert!(scp.wait().unwrap().success());
    eprintln!("{mib} MiB: {events} events, peak of resident memory {} MiB", peak >> 20);
    assert!(peak < 64 << 20, "{} MiB resident", peak >> 20);
    site.edge.stop();
}

/// Resident bytes of a process.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: 0 kB");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}
