use ratatui::backend::TestBackend;
use tokio::time::Instant;

use super::*;
use crate::console::ask::{Outcome, Seen, Silence};
use crate::console::keys::Key;
use crate::console::qr::Code;
use crate::console::sample;
use crate::control::{Card, SettingsNow, SettingsProblem};
use crate::status::{Component, Health};

fn view(said: Result<Seen, Silence>) -> View {
    let mut view = View::new(true, Instant::now());
    view.saw(sample::cards(), said, Instant::now());
    view.is_called(vec!["https://192.0.2.10/".to_owned()]);
    view
}

/// What a console of the smallest size shows of it, line by line.
fn shown(view: &View) -> Vec<String> {
    shown_on(view, 25)
}

fn shown_on(view: &View, height: u16) -> Vec<String> {
    let mut glass = Glass::new(TestBackend::new(80, height));
    glass.show(|width, height| draw(view, width, height)).unwrap();
    lines(&glass)
}

fn lines(glass: &Glass<TestBackend>) -> Vec<String> {
    let buffer = glass.backend().buffer();
    let line = |y| -> String { (0..buffer.area.width).map(|x| buffer.cell((x, y)).unwrap().symbol()).collect() };
    (0..buffer.area.height).map(line).collect()
}

/// What a window would show.
fn with(mut view: View, keys: &[Key]) -> String {
    for key in keys {
        view.key(*key, Instant::now());
    }
    shown(&view).join("\n")
}

#[test]
fn a_new_box_shows_its_code_its_page_and_what_the_keys_do() {
    let lines = shown(&view(Ok(sample::new(&sample::board()))));
    let text = lines.join("\n");
    assert!(
        lines[0].starts_with(" Sapphire Edge  edge-1") && lines[0].ends_with("version 1.2.3, up 0 s "),
        "{}",
        lines[0]
    );
    for part in [
        "claim code   0A1B-C2D3-E4F5",
        "page         https://192.0.2.10/",
        "certificate  sha256:AB",
        "network      eth0 192.0.2.10/24",
        "eth1 no cable",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("is degraded since"), "the claim is said once\n{text}");
    assert!(lines[24].starts_with(" n network  r restart  f factory reset  arrows scroll "), "{}", lines[24]);
    // The code is at the right, with its quiet zone, and nothing is written over it.
    let code = Code::of("https://192.0.2.10/").unwrap().rows(33, 17).unwrap();
    for (line, row) in lines.iter().skip(1).zip(&code) {
        let right: String = line.chars().skip(80 - 34).collect();
        assert_eq!(right, format!("{row} "));
    }
}

#[test]
fn faults_come_first_the_worst_above_in_the_words_of_the_status() {
    let board = sample::board();
    board.handle(Component::Source, "firewalls").set(Health::degraded("no event for an hour", "look at the firewall"));
    board.handle(Component::Output, "gateway").set(Health::failed("connection refused", "check \u{1b}[2J the gateway"));
    let lines = shown_on(&view(Ok(sample::claimed(&board))), 40);
    let at = |part: &str| {
        lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}\n{}", lines.join("\n")))
    };
    assert_eq!(at("One part does not work."), 2);
    assert_eq!(at("output gateway is failed since 2023-11-14T22:13:20.000Z"), 4);
    assert_eq!((at("connection refused"), at("to do: check [2J the gateway")), (5, 6));
    assert!(at("source firewalls is degraded since") > 6);
    assert!(at("1,000 events wait, the oldest for 1 min;") > at("no event for an hour"));
    assert!(at("failed       output gateway") < at("healthy      queue queue"), "and the parts in the same order");
}

#[test]
fn what_does_not_fit_is_scrolled_to() {
    let board = sample::board();
    for source in 0..30 {
        board.handle(Component::Source, &format!("s{source:02}")).set(Health::Healthy);
    }
    let mut view = view(Ok(sample::claimed(&board)));
    let lines = shown(&view);
    assert!(lines[24].trim_end().ends_with("more lines below"), "{}", lines[24]);
    view.scroll = 1_000;
    let mut glass = Glass::new(TestBackend::new(80, 25));
    let scroll = glass.show(|width, height| draw(&view, width, height)).unwrap();
    assert!(scroll < 100, "no further than the end: {scroll}");
    let lines = self::lines(&glass);
    assert!(lines[23].contains("box page") && lines[24].trim_end().ends_with("0 below"), "{}", lines.join("\n"));
    // The second time only what changed is drawn, and what is forgotten is drawn again.
    glass.show(|width, height| draw(&view, width, height)).unwrap();
    glass.forget();
    glass.show(|width, height| draw(&view, width, height)).unwrap();
    assert_eq!(self::lines(&glass), lines);
}

#[test]
fn a_program_that_is_silent_is_told_with_what_to_do() {
    let starting = shown(&view(Err(Silence::Gone))).join("\n");
    assert!(starting.contains("The program is starting.") && starting.contains("eth0 192.0.2.10/24"), "{starting}");
    let mut ended = view(Ok(sample::claimed(&sample::board())));
    ended.saw(sample::cards(), Err(Silence::Gone), Instant::now());
    let text = shown(&ended).join("\n");
    assert!(text.contains("The program does not run.") && text.contains("to do: wait"), "{text}");
    assert!(shown(&view(Err(Silence::Hangs))).join("\n").contains("The program does not answer."));
    let refused = Silence::Refused("the socket may not be used by this user".to_owned());
    assert!(shown(&view(Err(refused))).join("\n").contains("the socket may not be used by this user"));
}

#[test]
fn each_window_says_what_its_keys_do() {
    let claimed = || view(Ok(sample::claimed(&sample::board())));
    let restart = with(claimed(), &[Key::Letter('r')]);
    assert!(restart.contains("│ b    restart the box") && restart.contains("Restart"), "{restart}");
    let reset = with(claimed(), &[Key::Letter('f'), Key::Letter('R'), Key::Letter('E')]);
    assert!(reset.contains("1,000") && reset.contains("press Enter: RE"), "{reset}");
    let mut form = claimed();
    form.key(Key::Letter('n'), Instant::now());
    form.done(Outcome::Settings(SettingsNow::default()), Instant::now());
    let text = with(form, &[Key::Tab, Key::Letter(' '), Key::Tab, Key::Back]);
    assert!(text.contains("card          < eth0 >") && text.contains("address       192.0.2.10/2_"), "{text}");
    let mut trial = claimed();
    trial.key(Key::Letter('n'), Instant::now());
    trial.done(Outcome::OnTrial(97), Instant::now());
    let text = with(trial, &[]);
    assert!(
        text.contains("in 97 s") && text.contains("https://192.0.2.10/") && text.contains("k  keep them"),
        "{text}"
    );
}

#[test]
fn what_is_wrong_with_a_form_stands_in_it() {
    let mut form = view(Ok(sample::claimed(&sample::board())));
    form.key(Key::Letter('n'), Instant::now());
    form.done(Outcome::Settings(SettingsNow::default()), Instant::now());
    form.key(Key::Enter, Instant::now());
    let problem = SettingsProblem {
        line: 3,
        column: 1,
        key: "network.interface[0].address[0]".to_owned(),
        what: "\"192.0.2.10\" has no length of its network".to_owned(),
        advice: "write the address with the length of its network, such as \"192.0.2.10/24\"".to_owned(),
    };
    form.done(Outcome::Wrong(vec![problem]), Instant::now());
    let text = with(form, &[]);
    assert!(text.contains("has no length of its network; write") && text.contains("Esc  back"), "{text}");
}

#[test]
fn it_is_drawn_in_any_size_and_printed_whole() {
    let board = sample::board();
    let mut seen = sample::new(&board);
    seen.face.cards = vec![Card { name: "eth9".to_owned(), ..Card::default() }];
    let mut view = view(Ok(seen));
    for keys in [&[][..], &[Key::Letter('r')], &[Key::Escape, Key::Letter('f')]] {
        keys.iter().for_each(|key| drop(view.key(*key, Instant::now())));
        for (width, height) in [(1, 1), (2, 3), (20, 5), (80, 24), (300, 100)] {
            Glass::new(TestBackend::new(width, height)).show(|width, height| draw(&view, width, height)).unwrap();
        }
    }
    let paper = printed(&page(&view, 80), 80);
    assert!(paper.contains(sample::CODE) && paper.contains("healthy      source firewalls: 12,345"), "{paper}");
    assert!(paper.lines().all(|line| line.chars().count() <= 80), "{paper}");
    assert!(!paper.contains("arrows scroll"));
}
