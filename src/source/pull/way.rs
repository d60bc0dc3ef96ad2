//! The way to a vendor: client, proxy, CA; whole answers of bounded size; the vendor's clock.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::fmt::rfc2822;
use tokio::sync::Mutex;

use super::Trouble;
use crate::clock::{Clock, Timestamp};
use crate::net::http::header::{DATE, HeaderName};
use crate::net::http::{Answer, HttpClient, Reach, Url, Verb};
use crate::net::tls::ClientConfig;
use crate::net::{Endpoint, Proxy};

/// A vendor that sends nothing for this long is asked again: advanced hunting may think for 200 s.
const READ_TIMEOUT: Duration = Duration::from_secs(240);
/// A clock that differs more than this breaks windows and assertions: a person is told. Filebeat warns from here on too.
const SKEW: i64 = 5 * 60;
/// Seconds of difference that the way there and the whole seconds of the `Date` field explain.
const NOISE: i64 = 2;

/// The answer to a request, read whole.
#[derive(Clone, Debug)]
pub(in crate::source) struct Reply {
    /// Its status code.
    pub(in crate::source) code: u16,
    /// Its body.
    pub(in crate::source) body: Bytes,
    /// When the vendor wants to be asked again.
    pub(in crate::source) retry_after: Option<Duration>,
    /// The header fields that were asked for, in that order.
    pub(in crate::source) fields: Vec<Option<String>>,
}

/// How the vendors of one source are reached. Files are read again after every failure to connect.
#[derive(Debug)]
pub(in crate::source) struct Way {
    tls: ClientConfig,
    proxy: Option<Proxy>,
    connect_timeout: Duration,
    clock: Clock,
    client: Mutex<Option<HttpClient>>,
    /// Seconds by which the vendor's clock is ahead of ours.
    ahead: AtomicI64,
    /// Requests that were answered.
    answered: AtomicU64,
}

impl Way {
    pub(in crate::source) fn new(route: &super::Route<'_>, clock: Clock) -> Self {
        let proxy = route.proxy.map(|endpoint: &Endpoint| Proxy {
            endpoint: endpoint.clone(),
            user: route.proxy_user.map(str::to_owned),
            password_file: route.proxy_password_file.map(PathBuf::from),
        });
        let connect_timeout = route.connect_timeout.0;
        let (client, ahead, answered) = (Mutex::new(None), AtomicI64::new(0), AtomicU64::new(0));
        Self { tls: route.tls.clone(), proxy, connect_timeout, clock, client, ahead, answered }
    }

    /// The time by the vendor's clock, as far as it is known: windows are cut by it, so that a wrong clock of ours neither
    /// loses records nor is refused.
    pub(in crate::source) fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed).saturating_mul(1_000_000);
        Timestamp(self.clock.now().0.saturating_add_signed(ahead))
    }

    /// How many requests were answered since this was last asked.
    pub(in crate::source) fn take_answered(&self) -> u64 {
        self.answered.swap(0, Ordering::Relaxed)
    }

    /// By how many seconds the vendor's clock is ahead of ours, if that is so much that a person should know.
    pub(in crate::source) fn skew(&self) -> Option<i64> {
        Some(self.ahead.load(Ordering::Relaxed)).filter(|ahead| ahead.abs() > SKEW)
    }

    /// Sends a request (a POST where there is a body) and reads the answer, whatever its code, up to `limit` bytes; of its
    /// header the fields in `wanted`.
    ///
    /// # Errors
    /// When there is no whole answer.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(in crate::source) async fn ask(
        &self,
        url: &Url,
        fields: &[(HeaderName, String)],
        body: Option<Vec<u8>>,
        limit: usize,
        wanted: &[HeaderName],
    ) -> Result<Reply, Trouble> {
        self.act(url, fields, body.map_or(Verb::Get, Verb::Post), limit, wanted).await
    }

    /// As [`Way::ask`], whatever the request does.
    ///
    /// # Errors
    /// As [`Way::ask`].
    ///
    /// # Cancel safety
    /// As [`Way::ask`].
    pub(in crate::source) async fn act(
        &self,
        url: &Url,
        fields: &[(HeaderName, String)],
        verb: Verb,
        limit: usize,
        wanted: &[HeaderName],
    ) -> Result<Reply, Trouble> {
        let answer = self.start(url, fields, verb).await?;
        let whole = self.whole(answer, limit, wanted).await;
        if whole.is_err() {
            *self.client.lock().await = None;
        }
        whole
    }

    /// Asks for a body that is read as it comes; whatever the answer's code.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection, and so does dropping the answer.
    pub(in crate::source) async fn open(&self, url: &Url, fields: &[(HeaderName, String)]) -> Result<Answer, Trouble> {
        self.start(url, fields, Verb::Get).await
    }

    async fn start(&self, url: &Url, fields: &[(HeaderName, String)], verb: Verb) -> Result<Answer, Trouble> {
        let sent = match self.client().await {
            Ok(client) => client.act(url, fields, verb).await.map_err(Trouble::from),
            Err(trouble) => Err(trouble),
        };
        let Ok(answer) = sent else {
            *self.client.lock().await = None;
            return sent;
        };
        self.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(theirs) = answer.field(&DATE).and_then(|date| rfc2822::parse(date).ok()) {
            let ours = i64::try_from(self.clock.now().0 / 1_000_000).unwrap_or(i64::MAX);
            let ahead = theirs.timestamp().as_second().saturating_sub(ours);
            self.ahead.store(if ahead.abs() <= NOISE { 0 } else { ahead }, Ordering::Relaxed);
        }
        Ok(answer)
    }

    /// The rest of an answer.
    ///
    /// # Errors
    /// When it ends too early, or is longer than `limit`.
    pub(in crate::source) async fn whole(
        &self,
        answer: Answer,
        limit: usize,
        wanted: &[HeaderName],
    ) -> Result<Reply, Trouble> {
        let (code, retry_after) = (answer.code(), answer.retry_after());
        let fields = wanted.iter().map(|name| answer.field(name).map(str::to_owned)).collect();
        let body = answer.body(limit).await?.into();
        Ok(Reply { code, body, retry_after, fields })
    }

    async fn client(&self) -> Result<HttpClient, Trouble> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let reach = Reach {
            tls: &self.tls,
            proxy: self.proxy.as_ref(),
            connect_timeout: self.connect_timeout,
            read_timeout: READ_TIMEOUT,
        };
        let made = HttpClient::direct(&reach).await?;
        *client = Some(made.clone());
        Ok(made)
    }
}
