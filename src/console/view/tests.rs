use super::*;
use crate::console::sample;
use crate::control::SettingsTrial;
use crate::status::Board;

fn at(seconds: u64) -> Instant {
    // Each test counts from its own moment; the runtime's clock does not run.
    Instant::now() + Duration::from_secs(seconds)
}

fn seen(stay: bool) -> View {
    let mut view = View::new(stay, at(0));
    view.saw(sample::cards(), Ok(sample::claimed(&sample::board())), at(0));
    view.is_called(vec!["https://192.0.2.10/".to_owned()]);
    view
}

/// The wish that these keys lead to; nothing where there is none.
fn wish(view: &mut View, keys: &[Key]) -> Option<Wish> {
    let next = keys.iter().map(|key| view.key(*key, at(1))).last().flatten();
    next.map(|next| match next {
        Next::Wish(wish) => wish,
        other => panic!("{other:?}"),
    })
}

fn letters(text: &str) -> Vec<Key> {
    text.chars().map(Key::Letter).collect()
}

fn settings(version: &str, trial: Option<u64>) -> SettingsNow {
    let trial = trial.map(|seconds_left| SettingsTrial { by: "ada".to_owned(), seconds_left });
    SettingsNow { version: version.to_owned(), trial, ..SettingsNow::default() }
}

#[tokio::test(start_paused = true)]
async fn a_reset_needs_the_word_and_a_restart_two_keys() {
    let mut view = seen(true);
    assert!(wish(&mut view, &letters("f")).is_none());
    assert!(
        wish(&mut view, &[letters("reset"), vec![Key::Enter]].concat()).is_none(),
        "small letters are not the word"
    );
    assert!(wish(&mut view, &[Key::Back; 9]).is_none());
    assert!(wish(&mut view, &[letters("RESE"), vec![Key::Enter]].concat()).is_none());
    assert!(matches!(wish(&mut view, &[letters("T"), vec![Key::Enter]].concat()), Some(Wish::Reset)));
    assert!(wish(&mut view, &[Key::Escape, Key::Enter]).is_none(), "it is being done");
    view.done(Outcome::Done, at(2));
    assert!(matches!(&view.window, Window::Note { words, .. } if words.contains("comes back as new")));
    assert!(wish(&mut view, &[Key::Enter]).is_none() && matches!(view.window, Window::None));
    assert!(wish(&mut view, &[letters("f"), vec![Key::Escape]].concat()).is_none());
    assert!(matches!(wish(&mut view, &letters("RB")), Some(Wish::RestartBox)));
    view.done(Outcome::Failed("it cannot be asked for".to_owned()), at(2));
    assert!(matches!(wish(&mut view, &[vec![Key::Enter], letters("rp")].concat()), Some(Wish::RestartProgram)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_where_the_settings_forbid_it_or_the_program_is_silent_and_nobody_leaves_who_is_to_stay() {
    let mut view = seen(true);
    let mut forbidden = sample::claimed(&sample::board());
    forbidden.face.actions = false;
    view.saw(sample::cards(), Ok(forbidden), at(2));
    for key in ["n", "r", "f", "q", "x"] {
        assert!(wish(&mut view, &letters(key)).is_none() && matches!(view.window, Window::None), "{key}");
    }
    let mut view = seen(false);
    view.saw(sample::cards(), Err(Silence::Gone), at(2));
    assert!(wish(&mut view, &letters("r")).is_none());
    assert!(matches!(&view.window, Window::Note { words, .. } if words.contains("does not answer")));
    assert!(wish(&mut view, &[Key::Escape]).is_none());
    assert!(matches!(view.key(Key::Letter('q'), at(3)), Some(Next::Leave)));
}

#[tokio::test(start_paused = true)]
async fn settings_on_trial_are_kept_taken_back_or_go_back_by_themselves() {
    let mut view = seen(true);
    let open = |view: &mut View| {
        assert!(matches!(wish(view, &letters("n")), Some(Wish::Settings)));
        view.done(Outcome::Settings(settings("old", None)), at(1));
        assert!(matches!(wish(view, &[Key::Enter]), Some(Wish::Network { .. })));
    };
    open(&mut view);
    view.done(Outcome::Wrong(Vec::new()), at(1));
    assert!(matches!(view.window, Window::Form(_)), "what was typed is not lost");
    assert!(matches!(wish(&mut view, &[Key::Enter]), Some(Wish::Network { .. })));
    view.done(Outcome::OnTrial(120), at(1));
    assert!(view.wants_settings());
    let look = |view: &mut View, settings: SettingsNow, seconds| {
        let mut said = sample::claimed(&sample::board());
        said.settings = Some(settings);
        view.saw(sample::cards(), Ok(said), at(seconds));
    };
    look(&mut view, settings("new", Some(118)), 200);
    assert!(matches!(view.window, Window::Trial { seconds_left: 118, .. }), "it is not left alone");
    assert!(matches!(wish(&mut view, &letters("t")), Some(Wish::TakeBack)));
    view.done(Outcome::Done, at(201));
    assert!(matches!(&view.window, Window::Note { words, .. } if words == TAKEN_BACK));
    view.key(Key::Enter, at(202));
    for (version, words) in [("new", KEPT), ("old", TAKEN_BACK)] {
        open(&mut view);
        view.done(Outcome::OnTrial(120), at(1));
        look(&mut view, settings("new", Some(60)), 63);
        look(&mut view, settings(version, None), 123);
        assert!(matches!(&view.window, Window::Note { words: said, .. } if said == words), "{:?}", view.window);
        view.key(Key::Enter, at(124));
    }
    // Somebody else's, who cannot reach the page any more.
    assert!(matches!(wish(&mut view, &letters("n")), Some(Wish::Settings)));
    view.done(Outcome::Settings(settings("new", Some(30))), at(7));
    assert!(matches!(wish(&mut view, &letters("k")), Some(Wish::Keep)));
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_left_alone_goes_away() {
    let mut view = seen(true);
    view.key(Key::Letter('f'), at(0));
    let look = |view: &mut View, seconds| view.saw(sample::cards(), Err(Silence::Gone), at(seconds));
    look(&mut view, 119);
    assert!(matches!(view.window, Window::Reset { .. }));
    look(&mut view, 121);
    assert!(matches!(view.window, Window::None));
}

#[tokio::test(start_paused = true)]
async fn rates_are_measured_between_two_looks_at_one_run_of_the_program() {
    let board = sample::board();
    let mut view = View::new(true, at(0));
    let look = |view: &mut View, seconds| view.saw(Vec::new(), Ok(sample::claimed(&board)), at(seconds));
    look(&mut view, 0);
    assert_eq!(view.rates, None);
    board.handle(Component::Source, "firewalls").counters().add(Count::ReceivedEvents, 2_000);
    look(&mut view, 2);
    assert_eq!(view.rates, Some((1_000, 0)));
    view.saw(Vec::new(), Ok(sample::claimed(&Board::new(crate::clock::Clock::System))), at(4));
    assert_eq!(view.rates, None, "its counters begin anew");
}
