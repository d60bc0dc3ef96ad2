//! Settings with a way back, on the running program.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use sapphire_edge::status::Component;

use crate::peers::appliance::{Appliance, program, until};
use crate::peers::service::{Manner, Service};

const SETTINGS: &str = r#"# What our people have to know.
name = "edge-1"
[[source]]
id = "firewalls"   # the one in the cellar
type = "syslog"
listen = ["udp://127.0.0.1:0"]
[[output]]
id = "gateway"
type = "file"
path = "{dir}/events.ndjson"
"#;

fn settings(edge: &Appliance, arguments: &[&str]) -> Output {
    program().arg("settings").args(arguments).arg("--config").arg(edge.settings()).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn file(edge: &Appliance) -> String {
    fs::read_to_string(edge.settings()).unwrap()
}

/// Applies the settings in use with one text replaced by another.
fn change(edge: &Appliance, from: &str, to: &str) -> Output {
    let (before, new) = (file(edge), edge.folder().join("new.toml"));
    assert!(before.contains(from), "{before}");
    fs::write(&new, before.replace(from, to)).unwrap();
    settings(edge, &["apply", new.to_str().unwrap()])
}

fn copies(edge: &Appliance) -> usize {
    fs::read_dir(edge.folder().join("settings.kept")).map_or(0, |entries| entries.flatten().count())
}

#[test]
fn a_change_is_checked_in_use_at_once_told_and_can_be_gone_back_on() {
    let edge = Appliance::start(SETTINGS);
    until("the first settings are kept", || (copies(&edge) == 1).then_some(()));
    let wrong = change(&edge, "udp://127.0.0.1:0", "udp://127.0.0.1");
    assert!(!wrong.status.success() && told(&wrong).contains("source[firewalls].listen[0]"), "{}", told(&wrong));
    assert!(told(&wrong).contains("nothing was changed"));
    assert!(file(&edge).contains("udp://127.0.0.1:0"));
    let output = change(
        &edge,
        "[[output]]",
        "[[source]]\nid = \"servers\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n[[output]]",
    );
    assert!(
        output.status.success() && told(&output).contains("+id = \"servers\"") && told(&output).contains("in use"),
        "{}",
        told(&output)
    );
    edge.line(Component::Source, "servers", |line| line.health.word() == "healthy");
    assert!(file(&edge).contains("# the one in the cellar") && file(&edge).contains("servers"));
    until("the new settings are kept", || (copies(&edge) == 2).then_some(()));
    let events = until("the change is an event", || {
        let events = fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
        events.contains("settings_changed").then_some(events)
    });
    assert!(events.contains("somebody on the box changes the settings"), "{events}");
    let shown = told(&settings(&edge, &["show"]));
    assert!(shown.contains("copy") && !shown.contains("taken back"), "{shown}");
    let back = settings(&edge, &["apply", "--copy", "1"]);
    assert!(back.status.success() && told(&back).contains("-id = \"servers\""), "{}", told(&back));
    assert!(edge.status().unwrap().line(Component::Source, "servers").is_none());
    assert!(told(&settings(&edge, &["apply", "--copy", "77"])).contains("no copy 77"));
    assert!(told(&settings(&edge, &["confirm"])).contains("nothing waits to be confirmed"));
    edge.stop();
}

#[test]
fn what_does_not_start_is_taken_back_by_itself() {
    let edge = Appliance::start(SETTINGS);
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let before = file(&edge);
    let output = change(
        &edge,
        "[[output]]",
        &format!("[[source]]\nid = \"servers\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:{port}\"]\n[[output]]"),
    );
    assert!(
        !output.status.success() && told(&output).contains("source servers does not start with them"),
        "{}",
        told(&output)
    );
    assert_eq!(file(&edge), before);
    until("the source is gone", || edge.status()?.line(Component::Source, "servers").is_none().then_some(()));
    // What worked goes on.
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"<13>hello", edge.address("udp://127.0.0.1:0", 0)).unwrap();
    edge.received("firewalls", 1);
    let web = change(&edge, "[[output]]", &format!("[web]\nlisten = \"127.0.0.1:{port}\"\n[[output]]"));
    assert!(!web.status.success() && told(&web).contains("box web does not start"), "{}", told(&web));
    assert_eq!(file(&edge), before);
    edge.stop();
}

#[test]
fn who_locks_themselves_out_is_let_in_again_and_a_restart_goes_back_too() {
    let mut edge = Appliance::start(SETTINGS);
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    let before = file(&edge);
    let page = "[page]\nlisten = [\"127.0.0.1:0\"]\n[[output]]";
    let output = change(&edge, "[[output]]", page);
    assert!(output.status.success() && told(&output).contains("taken back in 120 s unless"), "{}", told(&output));
    let line = edge.line(Component::Box, "settings", |line| line.health.fault().is_some());
    assert!(line.health.fault().unwrap().what.contains("if nobody confirms them"));
    assert!(told(&settings(&edge, &["show"])).contains("is taken back in"));
    assert!(told(&change(&edge, "edge-1", "edge-2")).contains("still waits to be confirmed"));
    assert!(settings(&edge, &["take-back"]).status.success());
    assert_eq!(file(&edge), before);
    edge.line(Component::Box, "settings", |line| line.health.fault().is_none());
    // Not confirmed when the power goes: the next start has what was before.
    assert!(change(&edge, "[[output]]", page).status.success());
    edge.kill();
    assert!(file(&edge).contains("[page]"));
    edge.restart();
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    assert_eq!(file(&edge), before);
    until("the way back is an event", || {
        let events = fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
        events.contains("the program started again before they were confirmed").then_some(())
    });
    // Confirmed: it stays.
    assert!(change(&edge, "[[output]]", page).status.success());
    assert!(settings(&edge, &["confirm"]).status.success());
    edge.signal(Signal::SIGTERM);
    edge.wait();
    edge.restart();
    edge.line(Component::Box, "page", |line| line.health.word() != "starting");
    assert!(file(&edge).contains("[page]"));
    edge.stop();
}

#[test]
fn an_enrolment_file_makes_a_new_box_one_of_a_sites() {
    let edge = Appliance::start(
        "# of the image\n[[output]]\nid = \"kept\"\ntype = \"file\"\npath = \"{dir}/events.ndjson\"\n",
    );
    edge.line(Component::Box, "settings", |line| line.health.word() == "healthy");
    let ca = crate::peers::certificates::Authority::new();
    let pem = fs::read_to_string(ca.ca()).unwrap();
    let stick = edge.folder().join("enrolment.toml");
    let source = "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://127.0.0.1:0\"]\n";
    let enrolment = format!(
        "form = 1\nname = \"edge-berlin\"\ngateway = [\"127.0.0.1:1\"]\nca = \"\"\"{pem}\"\"\"\nsettings = '''{source}'''\n"
    );
    fs::write(&stick, &enrolment).unwrap();
    let enrol = || program().arg("enrol").arg(&stick).arg("--config").arg(edge.settings()).output().unwrap();
    let output = enrol();
    assert!(output.status.success() && told(&output).contains("in use"), "{}", told(&output));
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    let refused =
        |line: &sapphire_edge::status::Line| line.health.fault().is_some_and(|fault| fault.what.contains("refused"));
    edge.line(Component::Output, "gateway", refused);
    let text = file(&edge);
    for part in ["# of the image", "edge-berlin", "files/gateway-ca.pem"] {
        assert!(text.contains(part), "{text}");
    }
    fs::write(&stick, enrolment.replace("form = 1", "form = 9")).unwrap();
    assert!(told(&enrol()).contains("update the box first"));
    assert_eq!(file(&edge), text);
    edge.stop();
}

/// A folder in place of a stick, and what the box writes there.
struct Folder<'e> {
    edge: &'e Appliance,
    folder: tempfile::TempDir,
}

impl Folder<'_> {
    /// Reads this file off it; what is on it then. Whoever reads it is ended as soon as that is there, as when the stick is pulled.
    fn with(&self, file: &str) -> String {
        fs::write(self.folder.path().join("sapphire-edge.toml"), file).unwrap();
        let result = self.folder.path().join("sapphire-edge-result.txt");
        let _ = fs::remove_file(&result);
        let mut stick =
            program().arg("stick").arg(self.folder.path()).arg("--config").arg(self.edge.settings()).spawn().unwrap();
        let said = until("the result is there", || {
            let said = fs::read_to_string(&result).ok()?;
            said.contains("\nname ").then_some(said)
        });
        stick.kill().unwrap();
        stick.wait().unwrap();
        until("the stick is gone", || self.edge.status()?.line(Component::Box, "stick").is_none().then_some(()));
        said
    }
}

/// The first line of a file that a fleet's operator has signed, made as README says.
fn signature(folder: &std::path::Path, body: &str) -> String {
    let (file, signature) = (folder.join("enrolment.toml"), folder.join("enrolment.sig"));
    fs::write(&file, body).unwrap();
    let mut sign = Command::new("openssl");
    sign.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(folder.join("fleet.key"));
    assert!(sign.arg("-in").arg(&file).arg("-out").arg(&signature).status().unwrap().success());
    format!("# sapphire-enrolment-1 {}\n", STANDARD.encode(fs::read(signature).unwrap()))
}

#[test]
fn a_stick_enrols_a_new_box_and_one_that_is_set_up_only_by_a_signature() {
    let edge = Appliance::start("[enrolment]\nkeys = \"{dir}/keys.pem\"\n[page]\nlisten = [\"127.0.0.1:0\"]\n");
    edge.line(Component::Box, "page", |line| line.health.word() == "degraded");
    let stick = Folder { edge: &edge, folder: tempfile::tempdir().unwrap() };
    let (gateway, next) = (Service::plain(Manner::Serve), Service::plain(Manner::Serve));
    // An output of this id is led to the gateway; without TLS, which no enrolment file can have, it has to be there first.
    let to = |gateway: &str| {
        format!(
            "form = 1\nname = \"edge-berlin\"\ngateway = [\"{gateway}\"]\nsettings = '''\n[[output]]\nid = \"gateway\"\ntype = \
             \"lumberjack\"\ntransport = \"tcp\"\nendpoint = [\"{gateway}\"]\n'''\n"
        )
    };
    let file = to(&gateway.address().to_string());
    let said = stick.with("form = 9\n");
    assert!(said.contains("not taken: this is no enrolment file") && said.contains("to do: "), "{said}");
    let said = stick
        .with(&file.replace("'''\n[[", "'''\n[[source]]\nid = \"x\"\ntype = \"syslog\"\nlisten = [\"udp://1\"]\n[["));
    assert!(said.contains("not taken: the settings would not be right with it: source[x].listen[0]"), "{said}");
    let said = stick.with(&file.replace("name =", "not_after = \"2026-01-01T00:00:00Z\"\nname ="));
    assert!(said.contains("not taken: it could be taken until 2026-01-01"), "{said}");
    assert!(!self::file(&edge).contains("edge-berlin"), "nothing was changed");

    let said = stick.with(&file);
    for part in
        ["was taken: it is in use; a gateway answers", "name         edge-berlin", "claim code   ", "certificate  "]
    {
        assert!(said.contains(part), "{part}: {said}\n{}", edge.all_lines());
    }
    assert!(stick.with(&file).contains("Nothing was changed: this box is set up already as the file says"));
    let other = to(&next.address().to_string());
    assert!(stick.with(&other).contains("not taken: this box is set up already, and takes from a stick only what"));

    let folder = edge.folder();
    for line in ["genpkey -algorithm ed25519 -out fleet.key", "pkey -in fleet.key -pubout -out keys.pem"] {
        assert!(Command::new("openssl").args(line.split(' ')).current_dir(folder).status().unwrap().success());
    }
    assert!(stick.with(&other).contains("not taken: it is not signed by a key that this box trusts"));
    assert!(stick.with(&format!("{}{other}", signature(folder, &file))).contains("not taken: it is not signed"));
    assert!(self::file(&edge).contains(&gateway.address().to_string()));
    let said = stick.with(&format!("{}{other}", signature(folder, &other)));
    assert!(said.contains("was taken: it is in use; a gateway answers"), "{said}");
    assert!(self::file(&edge).contains(&next.address().to_string()));
    edge.stop();
}

#[test]
fn what_somebody_else_wrote_in_the_meantime_is_not_overwritten() {
    let edge = Appliance::start(SETTINGS);
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    let output = change(&edge, "[[output]]", "[page]\nlisten = [\"127.0.0.1:0\"]\n[[output]]");
    assert!(output.status.success(), "{}", told(&output));
    let by_hand = format!("# by hand\n{}", file(&edge));
    fs::write(edge.settings(), &by_hand).unwrap();
    assert!(settings(&edge, &["take-back"]).status.success());
    assert_eq!(file(&edge), by_hand);
    edge.stop();
}
