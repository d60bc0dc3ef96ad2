//! The box's certificate for the fleet: got with a one-time secret that a stick brings, renewed across its end, and lost when nobody
//! renews it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sapphire_edge::status::{Component, Health, Line};

use crate::peers::appliance::{Appliance, program, to_gateway, until};
use crate::peers::est::{Est, Fault};
use crate::peers::service::{Manner, Service};

const LINE: &str = "fleet_certificate";
const SECRET: &str = "tr0ub4dor-0nce";

struct Rig {
    est: Est,
    gateway: Service,
    edge: Appliance,
}

impl Rig {
    fn start() -> Self {
        let edge = Appliance::start("[enrolment]\nkeys = \"{dir}/none.pem\"\n");
        edge.line(Component::Box, "settings", |line| line.health == Health::Healthy);
        Self { est: Est::start(), gateway: Service::plain(Manner::Serve), edge }
    }

    /// The enrolment file of a box that its fleet calls `edge-7`.
    fn file(&self, secret: &str) -> String {
        let (url, ca) = (self.est.url(), fs::read_to_string(self.est.ca()).unwrap());
        let gateway = self.gateway.address();
        format!(
            "form = 1\nname = \"edge-7\"\ngateway = [\"{gateway}\"]\nsettings = '''\n{}'''\n[fleet]\nbroker = \"127.0.0.1:9\"\n\
             enrolment = \"{url}\"\nca = \"\"\"\n{ca}\"\"\"\nsecret = \"{secret}\"\n",
            to_gateway(gateway)
        )
    }

    /// Enrols it on the command line.
    fn enrol(&self, secret: &str) {
        let path = self.edge.folder().join("enrolment.toml");
        fs::write(&path, self.file(secret)).unwrap();
        let output = program().arg("enrol").arg(&path).arg("--config").arg(self.edge.settings()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.edge.folder().join("fleet").join(name)
    }

    /// Waits for the box's words.
    fn says(&self, words: &str) -> Line {
        let says = |line: &Line| {
            line.health.fault().is_some_and(|fault| fault.what.contains(words) || fault.todo.contains(words))
        };
        self.edge.line(Component::Box, LINE, says)
    }

    fn is_well(&self) {
        self.edge.line(Component::Box, LINE, |line| line.health == Health::Healthy);
    }

    fn certificate(&self) -> String {
        fs::read_to_string(self.path("certificate.pem")).unwrap_or_default()
    }

    /// Waits until the certificate is another one.
    fn renewed(&self, before: &str) -> String {
        until("the certificate is another one", || {
            Some(self.certificate()).filter(|now| !now.is_empty() && now != before)
        })
    }
}

/// What openssl says of the box's certificate and key: they belong together, the fleet's CA has signed it, and whose it is.
fn subject(rig: &Rig) -> String {
    let openssl = |line: &str, file: &Path| {
        let output = Command::new("openssl").args(line.split(' ')).arg(file).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (certificate, ca) = (rig.path("certificate.pem"), rig.est.fleet_ca());
    assert_eq!(openssl("x509 -noout -pubkey -in", &certificate), openssl("pkey -pubout -in", &rig.path("key.pem")));
    openssl(&format!("verify -no_check_time -purpose sslclient -CAfile {}", ca.display()), &certificate);
    openssl("x509 -noout -subject -nameopt RFC2253 -in", &certificate).trim().to_owned()
}

#[test]
fn a_stick_enrols_the_box_its_secret_is_wiped_and_the_certificate_is_renewed_across_its_end() {
    let rig = Rig::start();
    rig.est.admit("edge-7", SECRET);
    rig.est.certificates_last(Duration::from_secs(4));
    let stick = tempfile::tempdir().unwrap();
    fs::write(stick.path().join("sapphire-edge.toml"), rig.file(SECRET)).unwrap();
    let mut reads = program().arg("stick").arg(stick.path()).arg("--config").arg(rig.edge.settings()).spawn().unwrap();
    let first = rig.renewed("");
    assert_eq!(subject(&rig), "subject=CN=edge-7");
    // It lasts for four seconds more of ten minutes: it is due at once, and it is renewed before its end.
    rig.est.certificates_last(Duration::from_secs(86_400));
    rig.renewed(&first);
    // One of those that last for seconds may have come in between.
    let last = until("one that lasts is there", || {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-checkend", "3600", "-in"]).arg(rig.path("certificate.pem"));
        openssl.output().unwrap().status.success().then(|| rig.certificate())
    });
    rig.is_well();
    until("the first one has ended", || {
        let old = rig.edge.folder().join("first.pem");
        fs::write(&old, &first).unwrap();
        let ends = Command::new("openssl").args(["x509", "-noout", "-checkend", "0", "-in"]).arg(old).output();
        (!ends.unwrap().status.success()).then_some(())
    });
    rig.is_well();
    assert_eq!(subject(&rig), "subject=CN=edge-7");
    assert_eq!(rig.certificate(), last, "it rests until it is due");
    let seen = rig.est.seen();
    assert_eq!(seen.iter().filter(|seen| *seen == "simpleenroll 200").count(), 1, "{seen:?}");
    assert!(seen.contains(&"simplereenroll 200".to_owned()), "{seen:?}");

    assert!(!rig.path("one-time-secret").exists(), "it is used");
    until("the result is on the stick", || stick.path().join("sapphire-edge-result.txt").exists().then_some(()));
    reads.kill().unwrap();
    reads.wait().unwrap();
    let left = fs::read_to_string(stick.path().join("sapphire-edge.toml")).unwrap();
    assert!(!left.contains(SECRET) && left.contains("broker = "), "{left}");
    for (text, place) in
        [(rig.edge.all_lines(), "the log"), (fs::read_to_string(rig.edge.settings()).unwrap(), "the settings")]
    {
        assert!(!text.contains(SECRET), "the secret is in {place}");
    }
    assert!(
        rig.edge.all_lines().contains("fleet_enrolled") && rig.edge.all_lines().contains("fleet_certificate_renewed")
    );
    rig.edge.stop();
}

#[test]
fn what_the_server_does_wrong_is_said_and_tried_again_until_it_is_right() {
    let rig = Rig::start();
    rig.est.admit("edge-7", SECRET);
    rig.est.set_fault(Some(Fault::Busy));
    rig.enrol(SECRET);
    for (fault, words) in [
        (Fault::Busy, "answered 503"),
        (Fault::NotYet, "has not granted"),
        (Fault::Garbled, "no certificates that can be read"),
        (Fault::NotOurs, "none of those in its answer"),
        (Fault::OtherName, "it is for \"edge-8\""),
    ] {
        rig.est.set_fault(Some(fault));
        rig.says(words);
        assert!(rig.path("one-time-secret").exists() && rig.certificate().is_empty());
    }
    rig.est.set_fault(None);
    rig.is_well();
    assert_eq!(subject(&rig), "subject=CN=edge-7");
    assert!(!rig.path("one-time-secret").exists());
    let first = rig.certificate();

    // Another secret while the first certificate holds: one that nobody knows changes nothing, the right one is used at once.
    rig.enrol("nobody-knows-it");
    rig.says("does not take the box's one-time secret (401)");
    assert_eq!(rig.certificate(), first);
    rig.est.admit("edge-7", "an0ther-0ne");
    rig.enrol("an0ther-0ne");
    let second = rig.renewed(&first);
    rig.is_well();

    // The answer is lost on its way: the secret is used, and the box says so.
    rig.est.admit("edge-7", "th1rd");
    rig.est.set_fault(Some(Fault::Cut));
    rig.enrol("th1rd");
    rig.says("it was used already");
    assert_eq!(rig.certificate(), second);
    rig.edge.stop();
}

#[test]
fn a_certificate_that_nobody_renews_ends_and_only_a_new_secret_helps() {
    let mut rig = Rig::start();
    rig.says_nothing();
    rig.est.admit("edge-7", SECRET);
    rig.est.certificates_last(Duration::from_secs(2));
    rig.enrol(SECRET);
    let first = rig.renewed("");
    rig.est.set_down(true);
    let line = rig.says("ended on");
    assert!(
        matches!(line.health, Health::Failed(_)) && line.health.fault().unwrap().todo.contains("new enrolment file")
    );
    rig.est.set_down(false);
    // Over a restart too, and although the server would take a request again.
    rig.edge.kill();
    rig.edge.restart();
    rig.says("its one-time secret is used");
    let asked = rig.est.seen().len();
    rig.est.certificates_last(Duration::from_secs(86_400));
    rig.est.admit("edge-7", "an0ther-0ne");
    rig.enrol("an0ther-0ne");
    rig.renewed(&first);
    rig.is_well();
    assert_eq!(rig.est.seen()[asked..], ["simpleenroll 200"]);
    rig.edge.stop();
}

impl Rig {
    /// Without a fleet there is no line of it.
    fn says_nothing(&self) {
        self.edge.line(Component::Box, "settings", |line| line.health == Health::Healthy);
        assert!(self.edge.status().unwrap().line(Component::Box, LINE).is_none());
    }
}
