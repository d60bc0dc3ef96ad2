//! The view as a picture: lines of text in a few tones, which `paint` puts on a terminal.
//!
//! In: a [`View`] and the size of the terminal. Out: a [`Picture`]. Nothing here knows a terminal; all text is of letters that the
//! Linux console has.

mod body;
mod paint;
#[cfg(test)]
mod tests;
mod text;
mod window;

pub(super) use paint::{Glass, on_terminal, printed};

use super::view::{State, View, Window};

/// Columns that the text needs beside the code.
const LEAST_TEXT: usize = 36;
/// A long line is hard to read.
const WIDEST_TEXT: usize = 110;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Strong,
    Good,
    Worry,
    Bad,
    /// The first and the last line.
    Bar,
    /// What is being typed or chosen.
    Input,
}

/// Some text in one tone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    text: String,
    tone: Tone,
}

/// A line.
type Row = Vec<Piece>;

/// What a terminal shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    top: String,
    top_right: String,
    /// The lines that are in sight.
    rows: Vec<Row>,
    /// The lines of a QR code, on the right.
    code: Vec<String>,
    bottom: String,
    bottom_right: String,
    window: Option<(&'static str, Vec<Row>)>,
    /// Lines above those in sight.
    pub(super) scroll: usize,
}

/// Draws the view for a terminal of this size.
pub(super) fn draw(view: &View, width: usize, height: usize) -> Picture {
    let in_sight = height.saturating_sub(2);
    let code = code(view, width, in_sight);
    let wide = width.saturating_sub(2).min(WIDEST_TEXT);
    let narrow = width.saturating_sub(code.first().map_or(0, |row| row.chars().count() + 2) + 2);
    let rows = body::rows(view, wide, code.len(), narrow.min(wide));
    let all = rows.len().max(code.len());
    let scroll = view.scroll.min(all.saturating_sub(in_sight));
    let below = all.saturating_sub(scroll + in_sight);
    let (top, top_right) = top(view);
    Picture {
        top,
        top_right,
        rows: rows.into_iter().skip(scroll).take(in_sight).collect(),
        code: code.into_iter().skip(scroll).collect(),
        bottom: keys(view),
        bottom_right: match (scroll, below) {
            (0, 0) => String::new(),
            (0, below) => format!("{below} more lines below "),
            (above, below) => format!("{above} lines above, {below} below "),
        },
        window: window::of(view, width.saturating_sub(8).min(72)),
        scroll,
    }
}

/// The whole of it on one page for a printer, so high as it has to be.
pub(super) fn page(view: &View, width: usize) -> Picture {
    // No box has so many parts.
    let mut picture = draw(view, width, 10_000);
    picture.bottom.clear();
    picture
}

impl Picture {
    /// Lines that it needs, with the first and the last.
    fn height(&self) -> usize {
        self.rows.len().max(self.code.len()) + 2
    }
}

fn row(tone: Tone, text: &str) -> Row {
    vec![Piece { text: text::shown(text), tone }]
}

/// A text over as many lines as it needs.
fn rows(tone: Tone, text: &str, width: usize) -> impl Iterator<Item = Row> {
    text::wrapped(&text::shown(text), width).into_iter().map(move |text| vec![Piece { text, tone }])
}

fn top(view: &View) -> (String, String) {
    match &view.state {
        State::Seen(seen) => {
            let name = text::shown(&seen.face.name);
            let uptime = crate::quantity::uptime(seen.snapshot.uptime_seconds);
            (format!(" Sapphire Edge  {name}"), format!("version {}, up {uptime} ", seen.update.version))
        }
        _ => (" Sapphire Edge".to_owned(), format!("version {} ", env!("CARGO_PKG_VERSION"))),
    }
}

/// What the keys do, for the last line.
fn keys(view: &View) -> String {
    if !matches!(view.window, Window::None) {
        return String::new();
    }
    let actions = if view.may_act() {
        " n network  r restart  f factory reset "
    } else {
        " only shows: [screen] actions = false "
    };
    let leave = if view.stays() { "" } else { " q leave " };
    format!("{actions} arrows scroll {leave}")
}

/// The QR code of the page, while the box waits to be claimed and there is room for it.
fn code(view: &View, width: usize, height: usize) -> Vec<String> {
    let is_new = matches!(&view.state, State::Seen(seen) if seen.face.claim_code.is_some());
    let code = view.code.as_ref().filter(|_| is_new);
    code.and_then(|code| code.rows(width.saturating_sub(LEAST_TEXT + 3), height)).unwrap_or_default()
}
