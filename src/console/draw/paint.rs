//! The one door to ratatui: puts a picture on a terminal, or on paper.
//!
//! Decision: not its `Terminal`, whose way to clear asks the terminal where the cursor is and reads the answer from the keyboard,
//! which is read here already. What is left of it is little: the difference between two buffers.

use std::io::{self, Stdout};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Block, Clear, Widget as _};

use super::{Picture, Row, Tone};

/// The console of the smallest screen; also for a terminal that does not know its size, as on a serial line.
const SMALLEST: (u16, u16) = (80, 25);

/// A terminal, and what is on it.
#[derive(Debug)]
pub(in crate::console) struct Glass<B: Backend> {
    backend: B,
    shown: Option<Buffer>,
}

/// The terminal that this process has.
pub(in crate::console) fn on_terminal() -> Glass<CrosstermBackend<Stdout>> {
    Glass::new(CrosstermBackend::new(io::stdout()))
}

impl<B: Backend> Glass<B> {
    pub(super) fn new(backend: B) -> Self {
        Self { backend, shown: None }
    }

    /// Something else may have written on it: the next picture is put there whole.
    pub(in crate::console) fn forget(&mut self) {
        self.shown = None;
    }

    /// Shows what `draw` makes of the terminal's size; how far that is scrolled.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(in crate::console) fn show(&mut self, draw: impl FnOnce(usize, usize) -> Picture) -> Result<usize, B::Error> {
        let size = self.backend.window_size()?.columns_rows;
        let (width, height) = if size.width == 0 || size.height == 0 { SMALLEST } else { (size.width, size.height) };
        let area = Rect::new(0, 0, width, height);
        let picture = draw(width.into(), height.into());
        let new = paint(&picture, area);
        let shown = match self.shown.take() {
            Some(shown) if shown.area == area => shown,
            _ => {
                self.backend.clear()?;
                Buffer::empty(area)
            }
        };
        self.backend.draw(shown.diff(&new).into_iter())?;
        self.backend.flush()?;
        self.shown = Some(new);
        Ok(picture.scroll)
    }

    #[cfg(test)]
    pub(super) fn backend(&self) -> &B {
        &self.backend
    }
}

/// The picture as plain lines, whole.
pub(in crate::console) fn printed(picture: &Picture, width: usize) -> String {
    let (width, height) =
        (u16::try_from(width).unwrap_or(SMALLEST.0), u16::try_from(picture.height()).unwrap_or(u16::MAX));
    let buffer = paint(picture, Rect::new(0, 0, width, height));
    let line = |y| -> String { (0..width).filter_map(|x| buffer.cell((x, y))).map(Cell::symbol).collect() };
    (0..height).map(|y| format!("{}\n", line(y).trim_end())).collect()
}

fn paint(picture: &Picture, area: Rect) -> Buffer {
    let mut buffer = Buffer::empty(area);
    let last = area.height.saturating_sub(1);
    bar(&mut buffer, 0, &picture.top, &picture.top_right);
    for (y, row) in (1..last).zip(&picture.rows) {
        put(&mut buffer, (0, y), area.width, row);
    }
    for (y, row) in (1..last).zip(&picture.code) {
        let x = area.width.saturating_sub(u16::try_from(row.chars().count()).unwrap_or(u16::MAX).saturating_add(1));
        // Black and grey whatever the terminal's colours are, so that light is light.
        buffer.set_string(x, y, row, Style::new().fg(Color::Gray).bg(Color::Black));
    }
    if last > 0 {
        bar(&mut buffer, last, &picture.bottom, &picture.bottom_right);
    }
    if let Some((title, rows)) = &picture.window {
        window(&mut buffer, title, rows);
    }
    buffer
}

/// One of the bars, its second text at the right.
fn bar(buffer: &mut Buffer, y: u16, left: &str, right: &str) {
    let width = buffer.area.width;
    buffer.set_style(Rect::new(0, y, width, 1), style(Tone::Bar));
    buffer.set_string(0, y, left, style(Tone::Bar));
    let x = width.saturating_sub(u16::try_from(right.chars().count()).unwrap_or(u16::MAX));
    if usize::from(x) > left.chars().count() {
        buffer.set_string(x, y, right, style(Tone::Bar));
    }
}

fn put(buffer: &mut Buffer, (mut x, y): (u16, u16), right: u16, row: &Row) {
    for piece in row {
        let room = right.saturating_sub(x);
        (x, _) = buffer.set_stringn(x, y, &piece.text, room.into(), style(piece.tone));
    }
}

/// A window in the middle, with a frame.
fn window(buffer: &mut Buffer, title: &str, rows: &[Row]) {
    let area = buffer.area;
    let letters = |row: &Row| row.iter().map(|piece| piece.text.chars().count()).sum::<usize>();
    let widest = rows.iter().map(letters).chain([title.chars().count() + 2]).max().unwrap_or(0);
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(rows.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    let frame = Rect::new(x, y, width, height);
    Clear.render(frame, buffer);
    Block::bordered().title(format!(" {title} ")).render(frame, buffer);
    for (y, row) in (y + 1..(y + height).saturating_sub(1)).zip(rows) {
        put(buffer, (x + 2, y), (x + width).saturating_sub(2), row);
    }
}

/// The 16 colours of the console, and its bold.
fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Worry => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::LightRed),
        Tone::Bar => Style::new().fg(Color::Black).bg(Color::Gray),
        Tone::Input => Style::new().fg(Color::Black).bg(Color::Cyan),
    }
}
