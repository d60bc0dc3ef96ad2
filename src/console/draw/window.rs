//! The windows over the rest: a menu, a question, the form, what came of a wish.

use super::{Piece, Row, Tone, row, rows};
use crate::console::form::{Field, Form};
use crate::console::view::{State, View, Window};
use crate::quantity::thousands;
use crate::status::{Component, Gauge};

/// Width of what stands before a field.
const LABEL: usize = 14;

/// The title and the lines of the window that is open, for a width.
pub(super) fn of(view: &View, width: usize) -> Option<(&'static str, Vec<Row>)> {
    Some(match &view.window {
        Window::None => return None,
        Window::Restart => ("Restart", restart(width)),
        Window::Reset { typed } => ("Factory reset", reset(view, typed, width)),
        Window::Form(form) => ("Network", of_form(form, width)),
        Window::Working { words, .. } => ("One moment", rows(Tone::Plain, words, width).collect()),
        Window::Trial { seconds_left, .. } => ("Keep these settings?", trial(view, *seconds_left, width)),
        Window::Note { title, words } => {
            let words = rows(Tone::Plain, words, width);
            (*title, words.chain([Row::new(), row(Tone::Plain, "Enter  back")]).collect())
        }
    })
}

fn restart(width: usize) -> Vec<Row> {
    let lost = "Nothing that was answered is lost. By UDP and plain TCP may be lost what comes while the box is away.";
    let keys = [
        "b    restart the box, which takes a minute or two",
        "p    restart the program, which takes seconds",
        "Esc  back",
    ];
    rows(Tone::Plain, lost, width).chain([Row::new()]).chain(keys.map(|key| row(Tone::Plain, key))).collect()
}

fn reset(view: &View, typed: &str, width: usize) -> Vec<Row> {
    let waiting = match &view.state {
        State::Seen(seen) => {
            seen.snapshot.line(Component::Queue, "queue").map_or(0, |line| line.gauge(Gauge::QueuedEvents))
        }
        _ => 0,
    };
    let events = match waiting {
        0 => String::new(),
        waiting => format!(
            " {} events wait for the gateway, and those that it does not take before the restart are lost.",
            thousands(waiting)
        ),
    };
    let words = format!(
        "Everything that this box was given goes for good: settings, accounts, secrets, certificates, host keys, and its queue.{events} It \
         comes back as new, with another claim code."
    );
    let mut question = row(Tone::Plain, "Type RESET and press Enter: ");
    question.push(Piece { text: format!("{typed:<6}"), tone: Tone::Input });
    rows(Tone::Bad, &words, width).chain([Row::new(), question, Row::new(), row(Tone::Plain, "Esc  back")]).collect()
}

fn trial(view: &View, seconds_left: u64, width: usize) -> Vec<Row> {
    let page = match view.pages.first() {
        Some(page) => format!("Look whether the box is reached: {page}"),
        None => "The box has no address now at which its page is reached.".to_owned(),
    };
    let until = format!("If nobody keeps them, the box goes back to those before in {seconds_left} s.");
    rows(Tone::Plain, "The new settings are in use.", width)
        .chain(rows(Tone::Strong, &page, width))
        .chain(rows(Tone::Worry, &until, width))
        .chain([Row::new(), row(Tone::Plain, "k  keep them"), row(Tone::Plain, "t  take them back now")])
        .collect()
}

fn of_form(form: &Form, width: usize) -> Vec<Row> {
    let way = if form.is_fixed { "< fixed address >" } else { "< DHCP >" };
    let card = format!("< {} >", form.name());
    let line = |field: Field| {
        let (label, text) = match field {
            Field::Card => ("card", card.as_str()),
            Field::Way => ("address by", way),
            Field::Address => ("address", form.address.as_str()),
            Field::Gateway => ("router", form.gateway.as_str()),
            Field::Dns => ("name servers", form.dns.as_str()),
        };
        let is_typed = !matches!(field, Field::Card | Field::Way);
        let room = width.saturating_sub(LABEL + 1);
        // The end is where one types.
        let text: String = text.chars().skip(text.chars().count().saturating_sub(room)).collect();
        let is_here = form.focus == field;
        let (text, tone) = match (is_here, is_typed) {
            (true, true) => (format!("{text}_"), Tone::Input),
            (true, false) => (text, Tone::Input),
            (false, _) => (text, Tone::Strong),
        };
        vec![Piece { text: format!("{label:<LABEL$}"), tone: Tone::Plain }, Piece { text, tone }]
    };
    let help = match form.focus {
        Field::Card | Field::Way => "left and right choose",
        Field::Address => "with the length of its network, such as 192.0.2.10/24",
        Field::Gateway => "such as 192.0.2.1",
        Field::Dns if form.is_fixed => "one or more, with blanks between them",
        Field::Dns => "none: those that DHCP gives",
    };
    let mut lines: Vec<Row> = form.fields().iter().map(|field| line(*field)).collect();
    lines.extend([Row::new(), row(Tone::Plain, help)]);
    for wrong in &form.wrong {
        lines.extend(rows(Tone::Bad, wrong, width));
    }
    lines.extend([Row::new(), row(Tone::Plain, "Tab  next line   Enter  take into use   Esc  back")]);
    lines
}
