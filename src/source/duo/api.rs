//! Requests to the Admin API of one account: signed, within the budget, with words for refusals.
//!
//! The signature holds the time by the vendor's clock as far as we know it. Where ours is wrong the first answer, a refusal,
//! tells by how much (its `Date`), and the request goes out once more. The secret key's file is read for every request, so
//! that a new key is taken into use by itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::answer::{Listed, listed};
use super::log::DuoLog;
use super::sign::{Signature, Signed, date, query};
use super::words;
use crate::clock::Timestamp;
use crate::net::http::{Url, header};
use crate::source::pull::{Budget, Reply, Trouble, Wait, Way};

/// A key has 40 characters; a file that is larger is something else.
const MAX_SECRET: u64 = 4 << 10;
/// Duo refuses a time that is some 5 minutes off (not confirmed). If an answer says that we were off by more than this, the
/// request is worth sending again.
const CLOSE: Duration = Duration::from_secs(60);

/// The API of one account.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) way: Arc<Way>,
    /// The API hostname, which is signed.
    pub(super) host: String,
    /// Where it is reached.
    pub(super) root: Url,
    pub(super) integration_key: String,
    pub(super) secret_key_file: PathBuf,
    pub(super) signature: Signature,
    pub(super) budget: Budget,
    /// Bodies in memory, of all logs.
    pub(super) bodies: Arc<Semaphore>,
    /// Largest body.
    pub(super) max_body: usize,
}

impl Api {
    /// A place for a body in memory; waits until there is one.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.bodies).acquire_owned().await.ok()
    }

    /// Asks for a page of a log; `None` where the answer has only told that our clock is wrong: the same is to be asked again,
    /// by what is now known of Duo's.
    ///
    /// # Errors
    /// In words, whatever is no page.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(super) async fn page(&self, log: DuoLog, parameters: &[(&str, String)]) -> Result<Option<Listed>, Trouble> {
        let query = query(parameters);
        let signed_at = self.way.now();
        let reply = self.send(log.path(), &query, signed_at).await?;
        if reply.code == 401 && is_apart(signed_at, self.way.now()) {
            return Ok(None);
        }
        if reply.code == 200 {
            return listed(&reply.body).map(Some).ok_or_else(|| words::odd(log, &self.host));
        }
        let trouble = words::trouble(&reply, log, &self.host, self.way.skew());
        if let Wait::For(wait) = trouble.wait {
            self.budget.pause(wait);
        }
        Err(trouble)
    }

    async fn send(&self, path: &str, query: &str, time: Timestamp) -> Result<Reply, Trouble> {
        self.budget.take().await;
        let secret_key = self.secret_key().await?;
        let date = date(time);
        let signed = Signed { date: &date, method: "GET", host: &self.host, path, query };
        let authorization = self.signature.authorization(&signed, &self.integration_key, &secret_key);
        let mut url = self.root.clone();
        url.set_path(path);
        url.set_query(Some(query));
        let fields = [
            (header::HOST, self.host.clone()),
            (header::DATE, date.clone()),
            (header::AUTHORIZATION, authorization.to_string()),
            (header::ACCEPT, "application/json".to_owned()),
        ];
        self.way.ask(&url, &fields, None, self.max_body, &[]).await
    }

    async fn secret_key(&self) -> Result<Zeroizing<String>, Trouble> {
        let file = self.secret_key_file.display();
        let unreadable = |error: std::io::Error| {
            let what = format!("the file of the secret key, {file}, cannot be read: {error}");
            Trouble::login(what, "write the Secret key into the file, readable for the program")
        };
        let open = tokio::fs::File::open(&self.secret_key_file).await.map_err(unreadable)?;
        let mut text = Zeroizing::new(String::new());
        open.take(MAX_SECRET).read_to_string(&mut text).await.map_err(unreadable)?;
        let key = Zeroizing::new(text.trim().to_owned());
        if key.is_empty() {
            let what = format!("the file of the secret key, {file}, is empty");
            return Err(Trouble::login(what, "write the Secret key into it"));
        }
        Ok(key)
    }
}

fn is_apart(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) > CLOSE
}
