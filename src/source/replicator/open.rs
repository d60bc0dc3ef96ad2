//! A file while it is read: pieces in, lines out.
//!
//! A line's number counts the lines that hold anything; it is the same in every run, whatever the pieces.

use std::collections::VecDeque;

use super::message::File;
use super::wanted::Wanted;
use crate::source::pull::{Line, Lines};
use crate::source::s3::{Body, Broken, Filling};

/// Unpacked bytes that are cut into lines at once.
const BITE: usize = 64 << 10;
/// After so many bites the messages are looked after, also while no line is wanted.
const BITES: usize = 64;

/// A file that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    body: Body,
    lines: Lines,
    /// Lines that were cut and not yet taken.
    cut: VecDeque<Line>,
    unpacked: Vec<u8>,
    /// How far that was cut.
    at: usize,
    /// The lines so far.
    number: u64,
    /// So many are in the queue already.
    skip: u64,
    /// All its bytes came.
    is_read: bool,
    /// All its lines are cut, or all that can be had.
    is_over: bool,
}

impl Open {
    /// Keeps at most `most` bytes of a line, and gives none of the first `skip` lines.
    pub(super) fn new(file: File, body: Body, most: usize, skip: u64) -> Self {
        let (lines, cut, unpacked) = (Lines::new(most), VecDeque::new(), Vec::new());
        Self { file, body, lines, cut, unpacked, at: 0, number: 0, skip, is_read: false, is_over: false }
    }

    /// Takes lines until the page is full, the file ends or much was read; whether it has ended.
    ///
    /// # Errors
    /// When no more of it can be had. The lines before are in the page.
    ///
    /// # Cancel safety
    /// Dropping it ends the download.
    pub(super) async fn fill(&mut self, wanted: &Wanted, filling: &mut Filling) -> Result<bool, Broken> {
        for _ in 0..BITES {
            while let Some(line) = self.cut.pop_front() {
                self.number += 1;
                if self.number <= self.skip || !wanted.line(&line.bytes) {
                    continue;
                }
                filling.push(self.file.line(self.number), line.bytes, line.cut_from);
                if filling.is_full() {
                    return Ok(false);
                }
            }
            if self.is_over {
                return Ok(true);
            }
            self.bite().await?;
        }
        Ok(false)
    }

    async fn bite(&mut self) -> Result<(), Broken> {
        if self.at == self.unpacked.len() {
            self.at = 0;
            self.unpacked.clear();
            self.is_read = self.is_read || !self.body.next(&mut self.unpacked).await?;
        }
        self.cut_up_to(self.unpacked.len().min(self.at + BITE));
        if self.is_read && self.at == self.unpacked.len() {
            self.give_up();
        }
        Ok(())
    }

    fn cut_up_to(&mut self, end: usize) {
        let mut lines = Vec::new();
        self.lines.push(self.unpacked.get(self.at..end).unwrap_or_default(), &mut lines);
        self.at = end;
        self.cut.extend(lines);
    }

    /// Takes what was had as all there is.
    pub(super) fn give_up(&mut self) {
        self.cut_up_to(self.unpacked.len());
        self.cut.extend(self.lines.last());
        self.is_over = true;
    }

    /// Lines that are dealt with.
    pub(super) fn reached(&self) -> u64 {
        self.number.max(self.skip)
    }
}
