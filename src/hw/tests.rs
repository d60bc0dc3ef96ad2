//! The lights of a made-up board, in a folder that looks like the kernel's.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::clock::Clock;
use crate::status::Component;

/// A silicom-cordoba with a cable in its one card.
struct Rig {
    dir: tempfile::TempDir,
    board: Board,
    status: Handle,
    stop: CancellationToken,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for led in &profile("silicom-cordoba").leds {
            let folder = format!("class/leds/{}", led.class.as_ref().unwrap());
            for (file, text) in [
                ("brightness", "0"),
                ("max_brightness", "1"),
                ("multi_index", "red green blue amber"),
                ("multi_intensity", "0 0 0 0"),
            ] {
                write(&format!("{folder}/{file}"), text);
            }
        }
        write("class/net/lo/carrier", "1");
        write("class/net/eth0/carrier", "1");
        write("class/net/eth0/device/vendor", "0x8086");
        let board = Board::new(Clock::System);
        board.handle(Component::Output, "gateway").set(Health::Healthy);
        let status = board.handle(Component::Box, "lights");
        Self { dir, board, status, stop: CancellationToken::new() }
    }

    fn light(&self, name: &str) -> PathBuf {
        self.dir.path().join("class/leds").join(name).join("brightness")
    }

    fn is_lit(&self, name: &str) -> bool {
        fs::read_to_string(self.light(name)).unwrap() == "1"
    }

    /// Starts the lights; time is the test's.
    fn start(&self) -> impl Future<Output = ()> + use<> {
        let (sys, board, status) = (self.dir.path().to_owned(), self.board.clone(), self.status.clone());
        let stop = self.stop.clone();
        async move {
            let panel = Panel::open(&sys, &profile("silicom-cordoba"), &status);
            panel.show(&sys, &board, &status, stop).await;
        }
    }

    /// What a light does over so many steps, looked at in the middle of each.
    async fn watch(&self, name: &str, steps: usize) -> String {
        let mut seen = String::new();
        for _ in 0..steps {
            tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
            seen.push(if self.is_lit(name) { '#' } else { '.' });
        }
        seen
    }
}

fn profile(board: &str) -> Profile {
    Profile::all().find(|profile| profile.board == board).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_lights_follow_the_status_and_are_dark_at_the_end() {
    let rig = Rig::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(rig.start());
    // Half a step in, so that every look falls between two changes.
    tokio::time::sleep(Duration::from_millis(STEP_MS / 2)).await;
    assert_eq!(rig.watch("platled::fp_left", 4).await, "####");
    assert_eq!(rig.watch("platled::fp_right", 4).await, "....");

    rig.board.handle(Component::Output, "gateway").set(Health::failed("refused", "look at it"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seen = rig.watch("platled::fp_right", 28).await;
    assert!(format!("{seen}{seen}").contains("......#.#.#.#......."), "four blinks and a pause: {seen}");
    assert!(!rig.is_lit("platled::fp_center"));

    fs::write(rig.dir.path().join("class/net/eth0/carrier"), "0").unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seen = rig.watch("platled::fp_right", 20).await;
    assert!(format!("{seen}{seen}").contains("......#.#......."), "two blinks and a pause: {seen}");

    rig.stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    for name in ["platled::fp_left", "platled::fp_center", "platled::fp_right"] {
        assert!(!rig.is_lit(name), "{name}");
    }
    assert_eq!(rig.status.health(), Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_light_that_is_missing_is_a_fault_and_the_others_go_on() {
    let rig = Rig::new();
    fs::remove_dir_all(rig.light("platled::fp_right").parent().unwrap()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(rig.start());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let fault = rig.status.health().fault().cloned().unwrap();
    assert!(fault.what.contains("platled::fp_right"), "{}", fault.what);
    // The light for faults is the one that is missing, so the power light speaks: six blinks, for the box itself.
    let seen = rig.watch("platled::fp_left", 40).await;
    assert!(format!("{seen}{seen}").contains("......#.#.#.#.#.#......."), "{seen}");
    rig.stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_board_without_lights_is_well() {
    let rig = Rig::new();
    let panel = Panel::open(rig.dir.path(), &profile("generic-x86_64"), &rig.status);
    rig.stop.cancel();
    panel.show(rig.dir.path(), &rig.board, &rig.status, rig.stop.clone()).await;
    assert_eq!(rig.status.health(), Health::Healthy);
}

#[test]
fn link_is_that_of_a_card_not_of_loopback() {
    let rig = Rig::new();
    assert!(has_link(rig.dir.path()));
    fs::remove_dir_all(rig.dir.path().join("class/net/eth0")).unwrap();
    assert!(!has_link(rig.dir.path()));
    assert!(!has_link(&rig.dir.path().join("nowhere")));
}

#[test]
fn a_board_that_is_not_known_is_refused_with_those_that_are() {
    assert_eq!(Config::default().validate(), []);
    let wrong = Config { board: "toaster".to_owned() }.validate();
    let (key, text) = wrong.first().unwrap();
    assert_eq!(key, "board");
    assert!(text.starts_with("\"toaster\" is no board; write \"auto\" or one of \"generic-"), "{text}");
}
