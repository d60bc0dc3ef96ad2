//! The lights of a made-up board, in a folder that looks like the kernel's.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::clock::Clock;
use crate::status::{Board, Component, Health};

/// A silicom-cordoba with a cable in its one card.
struct Rig {
    dir: tempfile::TempDir,
    board: Board,
    /// Whether the program answers.
    answers: Arc<AtomicBool>,
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
        Self { dir, board, answers: Arc::new(AtomicBool::new(true)), stop: CancellationToken::new() }
    }

    fn light(&self, name: &str) -> PathBuf {
        self.dir.path().join("class/leds").join(name).join("brightness")
    }

    fn is_lit(&self, name: &str) -> bool {
        fs::read_to_string(self.light(name)).unwrap() == "1"
    }

    /// Starts the lights; time is the test's.
    fn start(&self) -> impl Future<Output = ()> + use<> {
        let (sys, board, answers) = (self.dir.path().to_owned(), self.board.clone(), Arc::clone(&self.answers));
        let stop = self.stop.clone();
        async move {
            let ask = async || answers.load(Ordering::Relaxed).then(|| board.snapshot());
            Panel::open(&sys, &profile("silicom-cordoba")).show(&sys, ask, stop).await;
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
    let watch = async {
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
    };
    tokio::join!(rig.start(), watch);
    for name in ["platled::fp_left", "platled::fp_center", "platled::fp_right"] {
        assert!(!rig.is_lit(name), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_ends_goes_dark_and_a_restart_does_not() {
    let rig = Rig::new();
    let watch = async {
        tokio::time::sleep(Duration::from_millis(STEP_MS / 2)).await;
        rig.answers.store(false, Ordering::Relaxed);
        assert_eq!(rig.watch("platled::fp_left", 32).await, "#".repeat(32), "a restart takes a few seconds");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!rig.is_lit("platled::fp_left"));
        let seen = rig.watch("platled::fp_right", 36).await;
        assert!(format!("{seen}{seen}").contains("......#.#.#.#.#.#......."), "six blinks: {seen}");
        rig.answers.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(rig.watch("platled::fp_left", 4).await, "####");
        rig.stop.cancel();
    };
    tokio::join!(rig.start(), watch);
}

#[tokio::test(start_paused = true)]
async fn a_light_that_is_missing_is_a_fault_and_the_others_go_on() {
    let rig = Rig::new();
    fs::remove_dir_all(rig.light("platled::fp_right").parent().unwrap()).unwrap();
    let watch = async {
        // Half a step more, so that every look falls between two changes.
        tokio::time::sleep(Duration::from_millis(1_000 + STEP_MS / 2)).await;
        // The light for faults is the one that is missing, so the power light speaks: six blinks, for the box itself.
        let seen = rig.watch("platled::fp_left", 40).await;
        assert!(format!("{seen}{seen}").contains("......#.#.#.#.#.#......."), "{seen}");
        rig.stop.cancel();
    };
    tokio::join!(rig.start(), watch);
}

#[tokio::test(start_paused = true)]
async fn a_board_without_lights_is_well() {
    let rig = Rig::new();
    let panel = Panel::open(rig.dir.path(), &profile("generic-x86_64"));
    rig.stop.cancel();
    panel.show(rig.dir.path(), async || None, rig.stop.clone()).await;
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
