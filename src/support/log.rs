//! The last lines of the log, kept in memory: the program itself cannot read the journal.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Some days of a box that is well; an hour of one that is not.
const MOST_LINES: usize = 2_000;
const MOST_BYTES: usize = 512 << 10;
/// Longer lines are cut: what they are about stands at their beginning.
const LONGEST: usize = 4 << 10;

/// The last lines. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Ring(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Ring {
    /// Takes a line: it is kept when this is dropped.
    #[must_use]
    pub fn line(&self) -> impl Write + use<> {
        Line { ring: self.clone(), bytes: Vec::new() }
    }

    /// All lines, the oldest first.
    #[must_use]
    pub fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn keep(&self, line: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += line.len();
        kept.lines.push_back(line);
        while kept.lines.len() > MOST_LINES || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.lines.pop_front() else { return };
            kept.bytes -= oldest.len();
        }
    }
}

struct Line {
    ring: Ring,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LONGEST.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.bytes).trim_end().to_owned();
        if !line.is_empty() {
            self.ring.keep(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_no_more() {
        let ring = Ring::default();
        for number in 0..MOST_LINES + 10 {
            writeln!(ring.line(), "line {number}").unwrap();
        }
        assert!(ring.text().starts_with("line 10\n") && ring.text().ends_with(&format!("line {}\n", MOST_LINES + 9)));
        for _ in 0..200 {
            ring.line().write_all(&vec![b'x'; 2 * LONGEST]).unwrap();
        }
        let text = ring.text();
        assert!(
            text.len() <= MOST_BYTES + MOST_LINES && text.lines().all(|line| line.len() <= LONGEST),
            "{}",
            text.len()
        );
    }
}
