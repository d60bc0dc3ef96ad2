//! Each real client, in each of its ways.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sapphire_edge::status::{Component, Count};

use crate::peers::program::{have, python, run};
use crate::peers::ssh::{More, Site, good};

/// Pushes as one client does, waits for the events, and expects these texts under these paths.
fn expect(site: &Site, from: usize, wanted: &[(&str, &str)]) {
    let events = site.gateway.wait_acked(from + wanted.len());
    let found: BTreeMap<String, String> = events
        .iter()
        .map(|event| (event.message().to_owned(), event.json["log"]["file"]["path"].as_str().unwrap().to_owned()))
        .collect();
    for (text, path) in wanted {
        assert_eq!(found.get(*text).map(String::as_str), Some(*path), "{text}: {found:#?}");
    }
    assert_eq!(events.len(), from + wanted.len(), "{found:#?}");
}

#[test]
fn openssh_in_all_its_ways() {
    let Some(site) = Site::start(More::default()) else { return };
    let file = |name: &str| site.file(name, format!("by {name}\n"));
    good(&site.scp(&["-v"], &[&file("scp-o")]));
    good(&site.openssh_with("scp", "rsa", &["-O"]).arg(file("scp-rsa")).arg("127.0.0.1:").output().unwrap());
    good(&site.openssh("scp", &[]).arg(file("scp-sftp")).arg("127.0.0.1:/in/").output().unwrap());
    good(&site.openssh("scp", &["-p"]).args([file("two-1"), file("two-2")]).arg("127.0.0.1:/in/").output().unwrap());
    file("tree/deep");
    good(&site.openssh("scp", &["-O", "-r"]).arg(site.home.path().join("tree")).arg("127.0.0.1:in").output().unwrap());
    let batch = site.file(
        "batch",
        format!(
            "put {0} /in/part\nrename /in/part /in/sftp-b\nls /in\nmkdir /sub\ncd /sub\nput {1}\n-rm /in/sftp-b\n-get /in/sftp-b\n",
            file("sftp-b").display(),
            file("sftp-cd").display()
        ),
    );
    good(&site.openssh("sftp", &["-b"]).arg(batch).arg("127.0.0.1").output().unwrap());
    let wanted = [
        ("by scp-o", "/in/scp-o"),
        ("by scp-rsa", "/scp-rsa"),
        ("by scp-sftp", "/in/scp-sftp"),
        ("by two-1", "/in/two-1"),
        ("by two-2", "/in/two-2"),
        ("by tree/deep", "/in/tree/deep"),
        ("by sftp-b", "/in/sftp-b"),
        ("by sftp-cd", "/sub/sftp-cd"),
    ];
    expect(&site, 0, &wanted);
    // Nothing but files, and nothing comes back.
    for words in [&["true"][..], &["-N", "-R", "0:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"], &[]] {
        let mut ssh = site.openssh("ssh", words);
        if words.first() != Some(&"true") {
            ssh.arg("127.0.0.1");
        } else {
            ssh = site.openssh("ssh", &["127.0.0.1", "true"]);
        }
        assert!(!ssh.output().unwrap().status.success(), "{words:?}");
    }
    let fetch = site.openssh("scp", &["-O", "127.0.0.1:/in/scp-o"]).arg(site.home.path()).output().unwrap();
    assert!(!fetch.status.success());
    site.edge.stop();
}

#[test]
fn putty_dropbear_and_libssh2() {
    let Some(site) = Site::start(More::default()) else { return };
    if !have("pscp") || !have("puttygen") || !have("dbclient") || !have("dropbearconvert") {
        return;
    }
    let (port, home) = (site.address().port().to_string(), site.home.path());
    let file = |name: &str| site.file(name, format!("by {name}\n"));
    run(Command::new("puttygen").arg(site.key("rsa")).args(["-O", "private", "-o"]).arg(home.join("rsa.ppk")));
    let keys = run(Command::new("ssh-keyscan").args(["-p", &port, "-t", "ed25519", "127.0.0.1"]));
    let line = keys.lines().find(|line| line.contains("ssh-ed25519")).unwrap();
    let print =
        run(Command::new("ssh-keygen").args(["-l", "-f"]).arg(site.file("host.pub", line.split_once(' ').unwrap().1)));
    let print = print.split(' ').nth(1).unwrap();
    for (mode, name) in [("-scp", "pscp-scp"), ("-sftp", "pscp-sftp")] {
        let mut pscp = Command::new("pscp");
        pscp.env("HOME", home).args(["-batch", "-hostkey", print, mode, "-P", &port, "-l", "esa1", "-i"]);
        good(&pscp.arg(home.join("rsa.ppk")).arg(file(name)).arg("127.0.0.1:/in/").output().unwrap());
    }
    run(Command::new("dropbearconvert")
        .args(["openssh", "dropbear"])
        .arg(site.key("rsa"))
        .arg(home.join("rsa.dropbear")));
    let wrapper =
        site.file("wrapper", format!("#!/bin/sh\nexec dbclient -y -y -i {}/rsa.dropbear \"$@\"\n", home.display()));
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let mut scp = Command::new("scp");
    scp.env("HOME", home).args(["-O", "-P", &port, "-S"]).arg(wrapper).arg(file("dbclient"));
    good(&scp.arg("esa1@127.0.0.1:/in/").output().unwrap());
    let mut wanted =
        vec![("by pscp-scp", "/in/pscp-scp"), ("by pscp-sftp", "/in/pscp-sftp"), ("by dbclient", "/in/dbclient")];
    if let Some(mut libssh2) = python("libssh2_scp.py") {
        libssh2.args([&port, "esa1"]).arg(site.key("rsa")).arg(file("libssh2")).arg("/in/libssh2");
        assert_eq!(run(&mut libssh2).trim(), "status 0");
        wanted.push(("by libssh2", "/in/libssh2/libssh2"));
    }
    expect(&site, 0, &wanted);
    site.edge.stop();
}

fn paramiko(site: &Site, play: &[&str]) -> Option<Command> {
    let mut python = python("paramiko_scp.py")?;
    python.args([&site.address().port().to_string(), "esa1"]).arg(site.key("ed25519")).args(play);
    Some(python)
}

#[test]
fn paramiko_by_hand_with_all_that_is_wrong() {
    let Some(site) = Site::start(More::default()) else { return };
    for play in ["lines", "status", "sftp", "forward"] {
        let Some(mut peer) = paramiko(&site, &[play]) else { return };
        let said = run(&mut peer);
        assert_eq!(said.lines().next(), Some("good"), "{play}: {said}");
    }
    let wanted = [
        ("after the huge one", "/in/small"),
        ("good one", "/in/mail.@$1.s"),
        ("deep one", "/sub/deep"),
        ("unsure 1", "/unsure"),
        ("renamed one", "/in/final.log"),
        ("first", "/order.log"),
        ("second", "/order.log"),
    ];
    expect(&site, 0, &wanted);
    site.edge.line(Component::Source, "ces", |line| line.count(Count::ProtocolErrors) >= 16);
    assert!(!Path::new("/tmp/order.log").exists());
    site.edge.stop();
}

#[test]
fn ten_thousand_small_files_on_one_channel() {
    let Some(site) = Site::start(More { device: "max_files_per_day = 20000", ..More::default() }) else { return };
    let Some(mut peer) = paramiko(&site, &["many", "10000"]) else { return };
    assert_eq!(run(&mut peer).trim(), "good");
    assert_eq!(site.gateway.wait_acked(10_000).len(), 10_000);
    site.edge.stop();
}
