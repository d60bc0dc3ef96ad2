//! An object while it is read: pieces in, records out.

use super::csv::Rows;
use super::pass::Item;
use super::row::Writer;
use crate::source::s3::{Body, Broken, Filling};

/// An object that is open.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) item: Item,
    bucket: String,
    body: Body,
    rows: Rows,
    writer: Writer,
    /// The rows so far, the row of names included.
    pub(super) number: u64,
    /// So many are in the queue already.
    skip: u64,
    /// All its bytes are here, or all that can be had.
    is_over: bool,
}

impl Object {
    pub(super) fn new(item: Item, folder: &str, bucket: &str, body: Body, most: usize, skip: u64) -> Self {
        let writer = Writer::new(folder, bucket, &item.key);
        let bucket = bucket.to_owned();
        Self { item, bucket, body, rows: Rows::new(most), writer, number: 0, skip, is_over: false }
    }

    /// Takes records until the page is full or the object ends; whether it has ended.
    ///
    /// # Errors
    /// When no more of it can be had. The records before are in the page.
    pub(super) async fn fill(&mut self, filling: &mut Filling) -> Result<bool, Broken> {
        loop {
            while let Some(row) = if self.is_over { self.rows.last() } else { self.rows.next() } {
                self.number += 1;
                // The row of names is read each time.
                if self.number > 1 && self.number <= self.skip {
                    continue;
                }
                let Some(bytes) = self.writer.record(row, self.number) else { continue };
                if self.number <= self.skip {
                    continue;
                }
                filling.push(self.item.row(&self.bucket, self.number), bytes, None);
                if filling.is_full() {
                    return Ok(false);
                }
            }
            if self.is_over {
                return Ok(true);
            }
            self.is_over = !self.body.next(self.rows.room()).await?;
        }
    }

    /// Takes what was had as all there is.
    pub(super) fn give_up(&mut self) {
        self.is_over = true;
    }

    /// Rows that are dealt with.
    pub(super) fn reached(&self) -> u64 {
        self.number.max(self.skip)
    }
}
