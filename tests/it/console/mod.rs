//! The screen on the HDMI port, in a terminal: what whoever stands before it sees, and what they can do.

/// Addresses, restarts, the factory reset.
mod acts;
/// Keys, signals and terminals that go away.
mod ends;

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use sapphire_edge::status::Component;

use crate::page;
use crate::peers::appliance::{Appliance, program, until};
use crate::peers::free_address;
use crate::peers::tmux::{Terminal, scanned};

/// A box with a page, a card that is not there, and somewhere to put its events; `{page}` is the page's address.
const SETTINGS: &str = r#"# Of the image.
name = "edge-1"
[page]
listen = ["{page}"]
[[network.interface]]
name = "eth7" # the uplink
[update]
runtime_dir = "{dir}/run"
[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://127.0.0.1:0"]
[[output]]
id = "archive"
type = "file"
path = "{dir}/events.ndjson"
"#;

fn settings(page: SocketAddr) -> String {
    SETTINGS.replace("{page}", &page.to_string())
}

/// The screen of a box.
fn command(edge: &Appliance, arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("console").args(arguments).arg("--config").arg(edge.settings());
    command
}

/// The screen in a terminal, as systemd runs it.
fn screen(edge: &Appliance) -> Option<Terminal> {
    Terminal::run(&command(edge, &["--stay"]))
}

/// What `console --once` prints, and whether it ended well.
fn printed(edge: &Appliance) -> (String, bool) {
    let output = command(edge, &["--once"]).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

#[test]
fn a_new_box_shows_its_claim_code_and_a_code_that_a_phone_reads_until_it_is_claimed() {
    let page = free_address();
    let edge = Appliance::start(&settings(page));
    let Some(screen) = screen(&edge) else { return };
    let url = format!("https://{page}/");
    screen.shows("claim code");
    let code = page::said(&edge, "claim code");
    let text = screen.shows(&code);
    for part in ["Sapphire Edge  edge-1", "Nobody has claimed this box.", &url, "n network  r restart  f factory reset"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let certificate = page::said(&edge, "certificate");
    let letters = |text: &str| text.split_whitespace().collect::<String>();
    let (paper, answered) = printed(&edge);
    assert!(answered && paper.contains(&code) && paper.contains(&url), "{paper}");
    assert!(certificate.split_at(20).0 == &letters(&paper[paper.find("sha256:").unwrap()..])[..20], "{paper}");
    for picture in [&text, &paper] {
        if let Some(read) = scanned(picture) {
            assert_eq!(read, url, "{picture}");
        }
    }
    let Some(curl) = page::Curl::to(page) else { return };
    let password = page::PASSWORD;
    let fields = [("code", code.as_str()), ("name", "ada"), ("password", password), ("again", password)];
    assert_eq!(curl.form("/claim", &fields).status, 303);
    screen.shows_as("the page and no code", |text| {
        text.contains(&url) && !text.contains("claim code") && !text.contains('█')
    });
    edge.stop();
}

#[test]
fn faults_are_shown_in_the_words_of_the_status_and_the_numbers_with_them() {
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output =
        format!("[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\nendpoint = [\"{gone}\"]\ntransport = \"tcp\"\n");
    let edge = Appliance::start(&format!("{}{output}", settings(free_address())));
    let Some(screen) = screen(&edge) else { return };
    let line = edge.line(Component::Output, "gateway", |line| line.health.fault().is_some());
    let fault = line.health.fault().unwrap();
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (status, _) = {
        let output = program().arg("status").arg("--config").arg(edge.settings()).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status)
    };
    let (paper, _) = printed(&edge);
    // The code stands beside the text: its letters are no part of it.
    let paper = flat(&paper.replace(['█', '▀', '▄'], " "));
    for words in [
        format!("output gateway is failed since {}", fault.since),
        fault.what.clone(),
        format!("to do: {}", fault.todo),
    ] {
        assert!(flat(&status).contains(&flat(&words)) && paper.contains(&flat(&words)), "{words}\n{status}\n{paper}");
    }
    screen.shows("output gateway is failed since");
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = edge.address("udp://127.0.0.1:0", 0);
    for _ in 0..100 {
        sender.send_to(b"<13>hello", to).unwrap();
    }
    edge.received("firewalls", 100);
    // Scrolled to, however long the list is.
    let pressed = |key: &str, part: &str| {
        let found = || {
            screen.keys(&[key]);
            screen.text().contains(part).then_some(())
        };
        until(part, found);
    };
    pressed("NPage", "source firewalls: 100");
    pressed("PPage", "Nobody has claimed this box.");
    edge.stop();
}

#[test]
fn a_program_that_ends_and_comes_back_is_seen() {
    let mut edge = Appliance::start(&settings(free_address()));
    let Some(screen) = screen(&edge) else { return };
    screen.shows("edge-1");
    edge.kill();
    let text = screen.shows("The program does not run.");
    assert!(text.contains("to do: wait, it is started again by itself."), "{text}");
    let (paper, answered) = printed(&edge);
    assert!(!answered && paper.contains("The program does not run."), "{paper}");
    screen.keys(&["r"]);
    screen.shows("nothing can be done here");
    screen.keys(&["Enter"]);
    edge.restart();
    screen.shows_as("the box again", |text| text.contains("edge-1") && text.contains("claim code"));
    edge.freeze();
    screen.shows("The program does not answer.");
    edge.signal(nix::sys::signal::Signal::SIGCONT);
    screen.shows("edge-1");
    edge.stop();
}

#[test]
fn where_the_settings_say_so_it_only_shows() {
    let edge = Appliance::start(&format!("{}[screen]\nactions = false\n", settings(free_address())));
    let Some(screen) = screen(&edge) else { return };
    screen.shows("only shows: [screen] actions = false");
    screen.types("nrfq");
    // The keys were read before the next picture.
    let before = edge.logged();
    edge.reload(&settings(free_address()));
    edge.log_line_after(before, &["the new settings are in force"]);
    let text = screen.shows("n network  r restart  f factory reset");
    assert!(!text.contains('┌'), "no window is open\n{text}");
    edge.stop();
}
