//! HTTPS requests: the one place that names the HTTP client.
//!
//! In: a URL and header fields. Out: an answer whose body is read piece by piece or up to a limit. It trusts what the TLS
//! table says and speaks with our one provider, goes through the site's proxy, follows at most five redirects (none where a
//! request carries a secret) and never to plain HTTP. Bounded: time to connect, silence while reading, size of a body that
//! is read whole.
//!
//! Facts: RFC 9110 (HTTP), 10.2.3 (`Retry-After`). Environment variables for proxies are not looked at: the settings
//! decide.
//!
//! Not supported: HTTP/2, because one request at a time gains nothing from it. `tls.server_name` is what the certificate must
//! hold, and does not change the name that the server is told (SNI), which is the URL's.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use header::{HeaderMap, HeaderName, HeaderValue};

use super::tls::{ClientConfig, TlsError};
use super::{DialError, Endpoint, Proxy};

pub use reqwest::{Url, header};

/// A download site moves its files behind one or two redirects; more is a loop.
const MAX_REDIRECTS: usize = 5;
/// Longest wait that we let a server prescribe: beyond this it is better to ask again.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(6 * 3600);

/// How servers are reached.
#[derive(Clone, Debug)]
pub struct Reach<'a> {
    /// Whom we trust, and our own certificate where a server asks for one.
    pub tls: &'a ClientConfig,
    /// The HTTP proxy that the site demands.
    pub proxy: Option<&'a Proxy>,
    /// Time for name, connection and handshake together.
    pub connect_timeout: Duration,
    /// A server that sends nothing for this long is given up.
    pub read_timeout: Duration,
}

/// Makes requests. Certificates and the proxy's password are read when it is made: make one for each piece of work.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
}

/// What a request does.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Asks.
    Get,
    /// Sends a body.
    Post(Vec<u8>),
    /// Takes away.
    Delete,
}

/// The answer to a request: its head, and the body as far as it is read.
#[derive(Debug)]
pub struct Answer {
    inner: reqwest::Response,
}

/// Why there was no (good) answer.
#[derive(Debug)]
pub enum HttpError {
    /// Our certificates or CAs cannot be used.
    Tls(TlsError),
    /// The server could not be reached, or the connection broke.
    Dial(DialError),
    /// The server answered with an error.
    Status {
        /// What was asked for.
        url: Box<str>,
        /// Its code.
        code: u16,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The body is longer than the limit.
    TooLarge {
        /// What was asked for.
        url: Box<str>,
        /// The most bytes that are taken.
        limit: u64,
    },
    /// Anything else, such as an answer that is no HTTP, or a redirect in circles.
    Broken {
        /// What was asked for.
        url: Box<str>,
        /// Why.
        why: String,
    },
}

impl HttpClient {
    /// Reads the files and makes a client.
    ///
    /// # Errors
    /// When a certificate, key or password file cannot be used.
    pub async fn new(reach: &Reach<'_>) -> Result<Self, HttpError> {
        Self::with_redirects(reach, MAX_REDIRECTS).await
    }

    /// As [`HttpClient::new`], for requests that carry a secret: no redirect is followed, so that none of it goes to a host
    /// that the settings do not name.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub async fn direct(reach: &Reach<'_>) -> Result<Self, HttpError> {
        Self::with_redirects(reach, 0).await
    }

    async fn with_redirects(reach: &Reach<'_>, redirects: usize) -> Result<Self, HttpError> {
        let policy = match redirects {
            0 => reqwest::redirect::Policy::none(),
            most => reqwest::redirect::Policy::limited(most),
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(reach.tls.rustls().map_err(HttpError::Tls)?)
            .https_only(true)
            .no_proxy()
            .redirect(policy)
            .connect_timeout(reach.connect_timeout)
            .read_timeout(reach.read_timeout)
            .user_agent(concat!("sapphire-edge/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = reach.proxy {
            let broken = |error: reqwest::Error| HttpError::Broken { url: "the proxy".into(), why: deepest(&error) };
            let mut via = reqwest::Proxy::all(format!("http://{}", proxy.endpoint)).map_err(broken)?;
            if let Some(user) = &proxy.user {
                via = via.basic_auth(user, &proxy.password().await.map_err(HttpError::Dial)?);
            }
            builder = builder.proxy(via);
        }
        let broken = |error: reqwest::Error| HttpError::Broken { url: "the client".into(), why: deepest(&error) };
        Ok(Self { client: builder.build().map_err(broken)? })
    }

    /// Asks for `url`. Any answer below 400 is a good one.
    ///
    /// # Errors
    /// When there is none.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub async fn get(&self, url: &Url, fields: &[(HeaderName, String)]) -> Result<Answer, HttpError> {
        let answer = self.send(url, fields, None).await?;
        let code = answer.code();
        if code < 400 {
            return Ok(answer);
        }
        Err(HttpError::Status { url: shown(url), code, retry_after: answer.retry_after() })
    }

    /// Sends a request, a POST where there is a body, and gives whatever the server answers: a vendor's API says in the body
    /// what is wrong.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the server may have done what it was asked.
    pub async fn send(
        &self,
        url: &Url,
        fields: &[(HeaderName, String)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, HttpError> {
        self.act(url, fields, body.map_or(Verb::Get, Verb::Post)).await
    }

    /// As [`HttpClient::send`], whatever the request does.
    ///
    /// # Errors
    /// As [`HttpClient::send`].
    ///
    /// # Cancel safety
    /// As [`HttpClient::send`].
    pub async fn act(&self, url: &Url, fields: &[(HeaderName, String)], verb: Verb) -> Result<Answer, HttpError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_str(value);
            let wrong = |_| HttpError::Broken { url: shown(url), why: format!("{name} cannot be sent") };
            let mut value = value.map_err(wrong)?;
            value.set_sensitive(*name == header::AUTHORIZATION);
            headers.insert(name.clone(), value);
        }
        let request = match verb {
            Verb::Get => self.client.get(url.clone()),
            Verb::Post(body) => self.client.post(url.clone()).body(body),
            Verb::Delete => self.client.delete(url.clone()),
        };
        let sent = request.headers(headers).send().await;
        Ok(Answer { inner: sent.map_err(|error| HttpError::of(url, &error))? })
    }
}

impl Answer {
    /// The status code: 200 for the whole, 206 for a part.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// A field of the head, if it is there and is text.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks before the length that was announced, or the server is silent for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let url = self.inner.url().clone();
        self.inner.chunk().await.map_err(|error| HttpError::of(&url, &error))
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Answer::chunk`], and when it is longer than `limit`.
    pub async fn body(mut self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                return Err(HttpError::TooLarge { url: shown(self.inner.url()), limit: limit as u64 });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// `Retry-After` in seconds, at most six hours. Its other form, a date, is not used: the box's clock may be wrong.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.field(&header::RETRY_AFTER)?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
    }
}

impl HttpError {
    fn of(url: &Url, error: &reqwest::Error) -> Self {
        let endpoint = url.host_str().and_then(|host| {
            let port = url.port_or_known_default()?;
            format!("{host}:{port}").parse::<Endpoint>().ok()
        });
        match (endpoint, io_error(error)) {
            (Some(endpoint), Some(inner)) => Self::Dial(DialError::tls(&endpoint, inner)),
            (Some(endpoint), None) if error.is_timeout() => {
                Self::Dial(DialError::TimedOut { what: endpoint.to_string() })
            }
            _ => Self::Broken { url: shown(url), why: deepest(error) },
        }
    }

    /// When the server wants to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same request may succeed soon, without a person.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Dial(error) => !error.is_tls(),
            Self::Status { code, .. } => *code >= 500 || *code == 408 || *code == 429,
            Self::Broken { .. } => true,
            Self::Tls(_) | Self::TooLarge { .. } => false,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Dial(error) => error.fmt(f),
            Self::Status { url, code: 404, .. } => write!(f, "{url} is not there (404); check the address"),
            Self::Status { url, code: code @ (401 | 403), .. } => {
                write!(f, "{url} may not be read by this box ({code}); check tls.cert, or ask the server's owner")
            }
            Self::Status { url, code, .. } => write!(f, "{url} was answered with {code}; look at the server's log"),
            Self::TooLarge { url, limit } => write!(f, "{url} is larger than {limit} bytes; check the address"),
            Self::Broken { url, why } if why.contains("tunnel") => {
                write!(f, "{url} could not be reached: {why}; check the proxy, its user and its password")
            }
            Self::Broken { url, why } => write!(f, "asking for {url} failed: {why}; check the address and the server"),
        }
    }
}

impl std::error::Error for HttpError {}

/// A URL as it may be shown: without user, password and query, which may be secrets.
fn shown(url: &Url) -> Box<str> {
    let mut url = url.clone();
    url.set_query(None);
    // Only URLs that have no host refuse this, and they have no user either.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    String::from(url).into()
}

/// The system's or TLS's own error inside, made anew so that it can be owned.
fn io_error(error: &reqwest::Error) -> Option<io::Error> {
    let mut cause = error.source();
    let mut found = None;
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Some(io::Error::new(io::ErrorKind::InvalidData, error.clone()));
        }
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            if let Some(error) = tls_error(error) {
                return Some(io::Error::new(io::ErrorKind::InvalidData, error.clone()));
            }
            found = Some(io::Error::new(error.kind(), error.to_string()));
        }
        cause = inner.source();
    }
    found
}

/// An I/O error may hold another one, which `source` passes over.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    super::tls::inner(error).or_else(|| tls_error(error.get_ref()?.downcast_ref()?))
}

/// The last cause says most.
fn deepest(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
