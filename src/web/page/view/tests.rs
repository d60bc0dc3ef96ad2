//! Every page, with harmless and with hostile texts.

use std::collections::BTreeMap;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::event::SourceId;
use crate::queue::Totals;
use crate::status::{Board, Cause, Component, Count, Device, DropReason, Gauge, Health, Snapshot};
use crate::web::page::account::Role;
use crate::web::page::history::{Now, Series, Span};

/// Markup, quotes of both kinds, an entity, and a mark that turns the direction of writing.
const HOSTILE: &str = "<script>alert('x')</script>\"&amp;\u{202e}<!--";

fn series(span: Span, source: &str) -> Series {
    let wave =
        |scale: f32| (0..span.points()).map(|at| (at % 50 != 7).then_some(scale * (at % 9) as f32)).collect::<Vec<_>>();
    Series {
        span,
        step_seconds: span.step_seconds(),
        from_seconds: 1_795_478_400,
        received_per_second: wave(1_200.0),
        delivered_per_second: wave(1_100.0),
        dropped: wave(1.0),
        queued: wave(900.0),
        oldest_seconds: wave(3.0),
        queued_bytes: wave(9_000_000.0),
        compression: wave(1.5),
        sources: [(source.to_owned(), wave(1_200.0))].into(),
        now: Now {
            received_per_second: Some(1_234.6),
            delivered_per_second: Some(0.25),
            sources: [(source.to_owned(), 1_234.6)].into(),
            outputs: [("gateway".to_owned(), 0.25)].into(),
            last_events: [(source.to_owned(), 10)].into(),
        },
    }
}

fn snapshot(id: &str, words: &str) -> Snapshot {
    let board = Board::new(Clock::Fixed(std::sync::Arc::new(71_000_000.into())));
    let source = board.handle(Component::Source, id);
    source.set(Health::degraded(words, "raise receive_buffer"));
    source.counters().add(Count::ReceivedEvents, 1_234_567);
    source.counters().add(Count::ReceivedBytes, 1_536);
    source.counters().add(Count::Connections, 4);
    source.counters().set(Gauge::OpenConnections, 3);
    source.counters().drop_events(DropReason::KernelBuffer, 43);
    let queue = board.handle(Component::Queue, "queue");
    queue.set(Health::Healthy);
    queue.counters().set(Gauge::QueuedEvents, 957);
    queue.counters().set(Gauge::QueuedBytes, 33 << 20);
    queue.counters().set(Gauge::QueueLimitBytes, 10 << 30);
    let output = board.handle(Component::Output, "gateway");
    output.set(Health::failed("no gateway answers: connection refused", "check that the gateway runs"));
    output.counters().add(Count::DeliveredEvents, 400);
    output.counters().add(Count::DeliveredBytes, 7_400);
    output.counters().add(Count::SentBytes, 1_000);
    board.handle(Component::Box, "web").set(Health::Healthy);
    board.snapshot()
}

fn kinds(id: &str) -> Kinds {
    Kinds {
        sources: [(id.to_owned(), "syslog".to_owned())].into(),
        outputs: [("gateway".to_owned(), "lumberjack".to_owned())].into(),
    }
}

fn frame(here: Here, text: &str, role: Role) -> Frame {
    Frame {
        box_name: text.to_owned(),
        version: "0.1.0".to_owned(),
        visitor: Some(Visitor { name: text.to_owned(), role, csrf: "c5rf".to_owned() }),
        here,
        notice: Some(Notice { done: false, text: text.to_owned() }),
        troubles: Trouble::all(&snapshot(text, text)),
        support: crate::status::Support::default(),
        has_first_steps: true,
    }
}

fn stranger(text: &str) -> Frame {
    Frame { visitor: None, ..frame(Here::Elsewhere, text, Role::Viewer) }
}

/// Every page, by name, filled with this text wherever a text from outside can stand.
fn pages(text: &str) -> Vec<(&'static str, String)> {
    let of = |here| frame(here, text, Role::Administrator);
    let (snapshot, series, kinds) = (snapshot(text, text), series(Span::Hour, text), kinds(text));
    let overview = Overview::of(&snapshot, &series, &kinds);
    let device = |is_silent| Device { name: text.to_owned(), last: Timestamp(71_000_000), is_silent };
    let one = SourcePage::of(&snapshot, &series, &kinds, text).unwrap();
    let one = one.with_devices(vec![device(false), device(true)]);
    let replay = Replay {
        minutes: 15,
        looked_at: 3,
        found: 1,
        words: text.to_owned(),
        events: vec![serde_json::json!({ "message": text, "host": { "name": text }, "sapphire": { "source": text } })],
    };
    let look =
        Live { source: text.to_owned(), text: text.to_owned(), sources: vec!["mail".to_owned()], replay: Some(replay) };
    let totals = Totals { received: 5, delivered: 7, dropped: [(DropReason::NotAllowed, 40)].into() };
    let good = Totals { received: 12_000, delivered: 11_000, dropped: [(DropReason::KernelBuffer, 43)].into() };
    let totals: BTreeMap<SourceId, Totals> = [(text.into(), totals), ("zz_good".into(), good)].into();
    let entry = AuditEntry {
        at: "1970-01-01T00:01:11.000Z".to_owned(),
        who: text.to_owned(),
        from: text.to_owned(),
        action: text.to_owned(),
        outcome: text.to_owned(),
        message: text.to_owned(),
    };
    let account = |name: &str| Account {
        name: name.to_owned(),
        role: Role::Viewer,
        last_login: Some("1970-01-01T00:01:11.000Z".to_owned()),
        locked_until: Some("1970-01-01T00:01:11.000Z".to_owned()),
    };
    let accounts = Accounts { accounts: vec![account(text), account("ada")] };
    let form = ["name", "role", "code", "password", "again", "current"]
        .into_iter()
        .fold(Form::default().refuse(text), |form, field| form.keep(field, text).fault(field, text));
    let form_page = entry::tests::full(text);
    let list = KindList { kinds: vec![KindShown { list: "source", kind: "x", title: "x", about: "x" }] };
    let outputs = Outputs::of(&snapshot, &series, &kinds);
    let consent = Consent { id: text.to_owned(), redirect: text.to_owned(), link: text.to_owned() };
    let mut all = vec![
        ("kinds", super::kinds(&of(Here::Sources), text, &list)),
        ("entry", super::entry(&of(Here::Sources), &form_page)),
        ("entry_seen", super::entry(&frame(Here::Sources, text, Role::Viewer), &form_page)),
        ("outputs", super::outputs(&of(Here::Outputs), &outputs)),
        ("consent", super::consent(&of(Here::Sources), &consent)),
        ("answered", answered(&stranger(text), text)),
        ("take", take(&of(Here::Sources), text, text)),
        ("overview", super::overview(&of(Here::Overview), &overview)),
        ("overview_part", Pieces::of(&overview).whole()),
        ("sources", sources(&of(Here::Sources), &Sources::of(&snapshot, &series, &kinds))),
        ("source", source(&of(Here::Sources), &one)),
        ("live", live(&of(Here::Live), &look)),
        ("ledger", ledger(&of(Here::Ledger), &Ledger::of("1970-01-01T00:01:11.000Z", &totals))),
        ("audit", audit(&of(Here::Audit), &Audit { entries: vec![entry] })),
        ("accounts", super::accounts(&of(Here::Accounts), &accounts, &form, &form)),
        ("own", super::accounts(&frame(Here::Accounts, text, Role::Viewer), &Accounts::default(), &form, &form)),
        ("login", login(&stranger(text), &form)),
        ("claim", claim(&stranger(text), &form)),
        ("error", error(&stranger(text), 404, text, text)),
    ];
    all.extend(upkeep::tests::pages(text, of, &stranger(text)));
    all
}

/// The frame of somebody who changes things, and of somebody who looks.
pub(super) fn administrator() -> Frame {
    frame(Here::Elsewhere, "ada", Role::Administrator)
}

pub(super) fn viewer() -> Frame {
    frame(Here::Elsewhere, "bob", Role::Viewer)
}

fn page(name: &str) -> String {
    pages("firewalls").into_iter().find(|(known, _)| *known == name).unwrap().1
}

/// Elements that have no end (HTML, section "Void elements"), and those of SVG that are written without one here.
const ENDLESS: [&str; 5] = ["meta", "link", "img", "input", "path"];

/// Every start tag of a page, in order; panics where tags are not nested as they must be.
fn tags(name: &str, html: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    let mut rest = html.strip_prefix("<!doctype html>").unwrap_or(html);
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        assert!(!tag.contains('<'), "{name}: <{tag}>");
        assert_eq!(tag.matches('"').count() % 2, 0, "{name}: <{tag}>");
        let element = tag.trim_start_matches('/').split_whitespace().next().unwrap().trim_end_matches('/').to_owned();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(element.clone()), "{name}: </{element}>");
        } else {
            if !ENDLESS.contains(&element.as_str()) {
                open.push(element);
            }
            all.push(tag.to_owned());
        }
    }
    assert!(open.is_empty(), "{name}: {open:?} stay open");
    all
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

#[test]
fn what_comes_from_outside_is_never_markup() {
    for (name, html) in pages(HOSTILE) {
        assert!(!html.contains("alert('x')"), "{name}");
        assert!(!html.contains("<script>") && !html.contains("<!--"), "{name}");
        assert!(html.contains("&#60;script&#62;alert(&#39;x&#39;)") || name == "own", "{name}: {html}");
        for tag in tags(name, &html) {
            for (part, _) in tag.split_whitespace().filter_map(|part| part.split_once('=')) {
                assert!(!part.starts_with("on") && part != "style", "{name}: <{tag}>");
            }
        }
    }
}

#[test]
fn what_comes_from_outside_cannot_turn_the_text_around_it() {
    // These isolate what is in them: the first by itself, the second by the style sheet, the others hold one text each.
    let isolating = ["bdi", "code", "option", "title", "pre", "textarea"];
    for (name, html) in pages(HOSTILE) {
        let mut inside = 0_i32;
        // A part is a tag, and the text after it.
        for part in html.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap();
            let element = tag.trim_start_matches('/').split_whitespace().next().unwrap();
            if isolating.contains(&element) {
                inside += if tag.starts_with('/') { -1 } else { 1 };
            }
            assert!(inside > 0 || !text.contains('\u{202e}'), "{name}: <{tag}>{text}");
        }
    }
}

#[test]
fn every_page_is_well_formed_and_labelled() {
    for (name, html) in pages("firewalls") {
        let tags = tags(name, &html);
        let ids: Vec<&str> = tags.iter().filter_map(|tag| attribute(tag, "id")).collect();
        for id in &ids {
            assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{name}: id {id:?}");
        }
        for list in ["for", "aria-labelledby", "aria-describedby"] {
            for id in tags.iter().filter_map(|tag| attribute(tag, list)).flat_map(str::split_whitespace) {
                assert!(ids.contains(&id), "{name}: {list} names {id:?}");
            }
        }
        let count = |start: &str| tags.iter().filter(|tag| tag.split_whitespace().next() == Some(start)).count();
        assert_eq!(count("table"), count("caption"), "{name}");
        assert_eq!(
            tags.iter().filter(|tag| tag.starts_with("th ") || *tag == "th").count(),
            html.matches("scope=\"").count()
        );
        if !name.ends_with("_part") {
            assert_eq!((count("h1"), count("main"), count("title").min(1)), (1, 1, 1), "{name}");
        }
    }
}

#[test]
fn forms_that_need_a_session_carry_the_secret() {
    for (name, html) in pages("firewalls") {
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap();
            let needs = form.contains("method=\"post\"") && !["login", "claim"].contains(&name);
            let has = form.contains("<input type=\"hidden\" name=\"csrf\" value=\"c5rf\">");
            assert_eq!(needs, has, "{name}: {form}");
        }
    }
}

#[test]
fn a_form_that_comes_back_keeps_what_was_typed_but_no_password() {
    let form = Form::default().keep("name", "ada").keep("password", "secret").fault("password", "too short");
    let html =
        accounts(&frame(Here::Accounts, "x", Role::Administrator), &Accounts::default(), &form, &Form::default());
    assert!(
        html.contains("id=\"add-name\" name=\"name\" type=\"text\" value=\"ada\"") && !html.contains("secret"),
        "{html}"
    );
    assert!(html.contains("aria-describedby=\"add-password-help add-password-fault\" aria-invalid=\"true\""));
    assert!(html.contains("<p class=\"fault\" id=\"add-password-fault\"><bdi>too short</bdi></p>"));
    assert!(!form.is_good() && Form::default().is_good());
}

#[test]
fn the_page_shows_the_words_of_the_commands() {
    let html = page("overview");
    for words in [
        "output <bdi>gateway</bdi> is failed",
        "no gateway answers: connection refused",
        "<strong>To do:</strong> <bdi>check that the gateway runs</bdi>",
        "<time datetime=\"1970-01-01T00:01:11.000Z\">1970-01-01 00:01:11 UTC</time>",
        "source <bdi>firewalls</bdi> is degraded",
        "One part does not work. What to do stands below.",
        "<code>kernel_buffer</code> 43",
        "1,234,567",
        "1,235",
        "0.2",
        "957",
        "33 MiB of 10 GiB",
        "7.4 : 1",
        "1 min ago",
        "up 0 s",
        "<dd class=\"state healthy\">healthy</dd>",
    ] {
        assert!(html.contains(words), "{words}\n{html}");
    }
    assert!(page("source").contains("datagrams came faster than they were read") && page("source").contains("1.5 KiB"));
    let ledger = page("ledger");
    assert!(
        ledger.contains("DOES NOT BALANCE")
            && ledger.contains("are 47 together")
            && ledger.contains("<td>balances</td>")
    );
}

#[test]
fn the_verdict_is_that_of_the_worst_part() {
    let board = Board::new(Clock::System);
    let verdict = || {
        let verdict = Overview::of(&board.snapshot(), &Series::default(), &Kinds::default()).verdict;
        (verdict.state, verdict.words)
    };
    assert_eq!(verdict().1, "The box is well. It has no source yet.");
    let source = board.handle(Component::Source, "fw");
    assert_eq!(verdict().0, "starting");
    source.set(Health::Healthy);
    assert_eq!(verdict().1, "The box is well. It has no output yet: events wait.");
    let output = board.handle(Component::Output, "gateway");
    output.set(Health::Healthy);
    assert_eq!(verdict(), ("healthy".into(), "The box is well. Nothing needs to be done.".into()));
    // What the page asks of whoever stands before the box is no fault of the box.
    let page = board.handle(Component::Box, "page");
    page.counters().set(Gauge::Unclaimed, 1);
    page.set(Health::degraded("nobody has claimed this box", "claim it"));
    assert_eq!(verdict(), ("healthy".into(), "The box is well. Nobody has claimed it on its page yet.".into()));
    page.set(Health::degraded("its certificate expired", "renew it").because(Some(Cause::Tls)));
    assert_eq!(verdict().0, "degraded", "nobody has claimed it, and more");
    page.set(Health::Healthy);
    source.set(Health::degraded("x", "y"));
    assert_eq!(verdict(), ("degraded".into(), "The box works, but one part needs a look.".into()));
    output.set(Health::failed("x", "y"));
    assert_eq!(verdict().0, "failed");
    let troubles = Trouble::all(&board.snapshot());
    assert_eq!(
        (troubles[0].id.as_str(), troubles[1].id.as_str()),
        ("gateway", "fw"),
        "what does not work stands first"
    );
}

#[test]
fn a_viewer_sees_no_other_account_and_a_stranger_no_page() {
    let own = page("own");
    assert!(!own.contains("/accounts/add") && own.contains("/accounts/password") && !own.contains(">Accounts</a>"));
    let login = page("login");
    assert!(!login.contains("<nav") && !login.contains("/logout"));
    assert!(page("accounts").contains("aria-current=\"page\">Accounts</a>"));
    let claim = page("claim");
    assert!(claim.contains("on the label of the box") && claim.contains("sapphire-edge claim"));
}

#[test]
fn an_empty_box_has_pages_too() {
    let board = Board::new(Clock::System);
    let (snapshot, series, kinds) = (board.snapshot(), Series::default(), Kinds::default());
    let frame = Frame::default();
    for (name, html) in [
        ("overview", overview(&frame, &Overview::of(&snapshot, &series, &kinds))),
        ("sources", sources(&frame, &Sources::of(&snapshot, &series, &kinds))),
        ("live", live(&frame, &Live::default())),
        ("ledger", ledger(&frame, &Ledger::of("", &BTreeMap::new()))),
        ("audit", audit(&frame, &Audit::default())),
        ("accounts", accounts(&frame, &Accounts::default(), &Form::default(), &Form::default())),
    ] {
        tags(name, &html);
    }
    assert!(live(&frame, &Live::default()).contains("sapphire-edge tap"));
    assert!(SourcePage::of(&snapshot, &series, &kinds, "fw").is_none());
}

#[test]
fn the_models_are_what_the_api_answers() {
    let (snapshot, series, kinds) = (snapshot("firewalls", "x"), series(Span::Day, "firewalls"), kinds("firewalls"));
    let json = serde_json::to_value(Overview::of(&snapshot, &series, &kinds)).unwrap();
    assert_eq!(json["verdict"]["state"], "failed");
    assert_eq!(json["sources"][0]["dropped"][0]["events"], 43);
    assert_eq!(json["charts"][0]["curves"][0]["points"].as_array().unwrap().len(), 288);
    assert!(json["charts"][0]["curves"][0]["points"][7].is_null());
    let schema = schemars::schema_for!(Overview).to_value();
    assert!(schema["properties"]["verdict"].is_object(), "{schema}");
    let visitor = serde_json::to_string(&frame(Here::Live, "x", Role::Viewer)).unwrap();
    assert!(!visitor.contains("c5rf"), "the secret of the forms is for forms");
}

/// A box at a second after the tests' moment, at which nothing came since.
fn idle(seconds: u64, sources: &[&str]) -> Overview {
    let micros = std::sync::Arc::new((71_000_000 + seconds * 1_000_000).into());
    let board = Board::new(Clock::Fixed(micros));
    sources.iter().for_each(|id| board.handle(Component::Source, id).set(Health::Healthy));
    board.handle(Component::Output, "gateway").set(Health::Healthy);
    board.handle(Component::Queue, "queue").set(Health::Healthy);
    Overview::of(&board.snapshot(), &series(Span::Hour, "firewalls"), &kinds("firewalls"))
}

#[test]
fn only_what_changed_is_pushed() {
    let before = Pieces::of(&idle(0, &["firewalls", "mail"]));
    let whole = before.since(None).unwrap();
    let said = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
    assert_eq!(said(&whole)["whole"], before.whole());
    assert_eq!(before.since(Some(&before)), None, "nothing did");
    // Two seconds later: the time, and nothing else.
    let after = Pieces::of(&idle(2, &["firewalls", "mail"])).since(Some(&before)).unwrap();
    let parts = said(&after)["parts"].as_array().unwrap().clone();
    assert!(parts.len() == 1 && parts[0].as_str().unwrap().contains("data-part=\"verdict\""), "{after}");
    println!("{} bytes were pushed, and {} are", whole.len(), after.len());
    assert!(after.len() * 40 < whole.len(), "{} of {}", after.len(), whole.len());
    // A source more is another page.
    let more = Pieces::of(&idle(2, &["firewalls", "mail", "web"]));
    assert_eq!(said(&more.since(Some(&before)).unwrap())["whole"], more.whole());
}

#[test]
fn every_piece_is_one_element_with_a_name_of_its_own() {
    let html = Pieces::of(&idle(0, &["firewalls", "mail"])).whole();
    let tags = tags("overview", &html);
    let names: Vec<&str> = tags.iter().filter_map(|tag| attribute(tag, "data-part")).collect();
    for name in ["verdict", "troubles", "tiles", "chart flow", "table", "source mail", "queue", "output gateway"] {
        assert_eq!(names.iter().filter(|other| **other == name).count(), 1, "{name} in {names:?}");
    }
}

#[test]
fn rows_of_the_table_stay_as_they_are_until_the_next_one_is_over() {
    let table = |from: u64| {
        let series = Series { from_seconds: 1_795_478_400 + from, ..series(Span::Hour, "firewalls") };
        Overview::of(&snapshot("firewalls", "x"), &series, &Kinds::default()).table
    };
    let whole = table(0);
    assert_eq!((whole.rows.len(), whole.rows[59].at.as_str()), (60, "2026-11-24T00:00:00.000Z"));
    for from in [10, 20, 50] {
        let rows = table(from).rows;
        assert_eq!((rows.len(), &rows[0].at, &rows[58].at), (59, &whole.rows[0].at, &whole.rows[58].at), "{from}");
    }
}
