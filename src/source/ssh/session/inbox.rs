//! What SCP and SFTP share: a device's way to its staged files, and the words for what is refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::guard::Meter;
use crate::source::ssh::Shared;
use crate::source::ssh::devices::Account;
use crate::source::ssh::staged::{Facts, Found, Upload, UploadError};
use crate::status::Count;

/// For one session that has logged in.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    pub(super) shared: Arc<Shared>,
    pub(super) account: Arc<Account>,
    pub(super) peer: SocketAddr,
    pub(super) meter: Arc<Meter>,
}

impl Inbox {
    fn device(&self) -> &str {
        &self.account.device.name
    }

    /// Begins a file.
    ///
    /// # Errors
    /// In words for the device why it is refused.
    pub(super) async fn begin(&self, path: &str, size: Option<u64>) -> Result<Upload, String> {
        let shared = &self.shared;
        let most = shared.config.max_file.bytes();
        let admitted = match size {
            Some(size) if size > most => Err(words_of(UploadError::TooLarge(most))),
            size => shared.devices.admit(&self.account, size.unwrap_or(0), shared.clock.now()),
        };
        let begun = match admitted {
            Ok(()) => Upload::begin(&shared.staging, size, most).await.map_err(words_of),
            Err(words) => Err(words),
        };
        match begun {
            Ok(upload) => {
                self.meter.uploading.store(true, Ordering::Relaxed);
                Ok(upload)
            }
            Err(words) => Err(self.refused(path, &words)),
        }
    }

    /// Takes custody of a file, which may be renamed for `rest`.
    ///
    /// # Errors
    /// In words for the device why it is not stored.
    pub(super) async fn finish(&self, upload: Upload, path: &str, rest: Duration) -> Result<(), String> {
        let shared = &self.shared;
        self.meter.uploading.store(false, Ordering::Relaxed);
        // Where its size was not announced, it is held against the day's bytes now.
        if let Err(words) = shared.devices.admit(&self.account, upload.size(), shared.clock.now()) {
            return Err(self.refused(path, &words));
        }
        let facts = Facts {
            device: self.device().to_owned(),
            path: path.to_owned(),
            peer: self.peer,
            received: shared.clock.now().micros(),
            size: 0,
            sha256: String::new(),
        };
        match upload.finish(facts, rest).await {
            Ok((found, size)) => {
                let is_repeat = found == Found::Repeat;
                shared.devices.stored(&self.account, size, is_repeat, shared.clock.now());
                shared.status.devices().heard(self.device(), shared.clock.now());
                tracing::info!(device = self.device(), file = path, bytes = size, is_repeat, peer = %self.peer, "file stored");
                Ok(())
            }
            Err(error) => Err(self.refused(path, &words_of(error))),
        }
    }

    /// Counts, logs and shows that a file is not taken.
    pub(super) fn refused(&self, path: &str, words: &str) -> String {
        self.meter.uploading.store(false, Ordering::Relaxed);
        let what = format!("{path} was refused: {words}");
        tracing::warn!(device = self.device(), file = path, reason = words, peer = %self.peer, "file refused");
        self.shared.devices.failed(self.device(), self.shared.clock.now(), what);
        words.to_owned()
    }

    /// A file did not come to its end; nothing of it is kept.
    pub(super) fn broken(&self, path: &str, words: &str) {
        self.meter.uploading.store(false, Ordering::Relaxed);
        tracing::info!(device = self.device(), file = path, reason = words, peer = %self.peer, "upload broke off");
        self.shared.devices.failed(
            self.device(),
            self.shared.clock.now(),
            format!("the upload of {path} broke off: {words}"),
        );
    }

    /// The device broke the protocol.
    pub(super) fn malformed(&self, words: &str) {
        self.shared.status.counters().add(Count::ProtocolErrors, 1);
        if let Some(left_out) = self.shared.complaints.due() {
            tracing::warn!(device = self.device(), peer = %self.peer, reason = words, left_out, "the peer broke the protocol");
        }
    }
}

/// An error in words for the device.
pub(super) fn words_of(error: UploadError) -> String {
    match error {
        UploadError::Disk(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
            "the disk of the box is full; try again later".into()
        }
        other => other.to_string(),
    }
}

/// Bytes of words that a device is told at most.
pub(super) const WORDS: usize = 512;

/// Words as one line of plain text.
pub(super) fn one_line(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect()
}
