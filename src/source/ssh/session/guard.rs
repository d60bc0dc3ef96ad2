//! The stream under a session, with a way to cut it and a count of what came.
//!
//! russh runs a session in a task of its own that nobody can end from outside: it ends when its stream does.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::net::Stream;

/// What a session and its keeper both know.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Bytes that came.
    pub(super) received: AtomicU64,
    /// A file is on its way.
    pub(super) uploading: AtomicBool,
    pub(super) logged_in: AtomicBool,
    /// A key or password was refused.
    pub(super) refused: AtomicBool,
}

/// A stream that breaks when `cut` is cancelled.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: Stream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    meter: Arc<Meter>,
}

impl Guarded {
    pub(super) fn new(stream: Stream, cut: CancellationToken, meter: Arc<Meter>) -> Self {
        Self { stream, cut: Box::pin(cut.cancelled_owned()), meter }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.meter.received.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
