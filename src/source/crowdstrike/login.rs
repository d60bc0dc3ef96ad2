//! Tokens: asked for with the API client's secret, kept for 80 % of their life.
//!
//! Facts: `POST /oauth2/token` with a form answers 201 and a token of 1,799 s; `member_cid` names a child tenant (CrowdStrike/falconpy,
//! OAuth2). A client of another cloud gets 308, or its cloud in `X-Cs-Region` (unconfirmed for the field). Repeated bad logins can lock
//! a client out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::cloud::FalconCloud;
use super::words::{self, Place};
use crate::net::http::{Url, header};
use crate::secret::Secret;
use crate::source::pull::{Budget, Trouble, Wait, Way};

/// A token's answer has some 2 KiB.
const MAX_ANSWER: usize = 64 << 10;
/// A secret has 40 characters; a file that is larger is something else.
const MAX_SECRET: u64 = 4 << 10;
/// Where the answer does not say how long a token lives: a little less than the usual half hour.
const LIFE: u64 = 1_500;
/// After so many refusals in a row the same secret is not tried again...
const MOST_REFUSALS: u32 = 3;
/// ...for this long: a client that was enabled again is found without a person.
const REST: Duration = Duration::from_secs(3_600);
/// Questions for tokens in a minute, and at once: the vendor takes 300 of one address (unconfirmed).
const PER_MINUTE: (u32, u32) = (60, 20);

/// The client as it logs in.
#[derive(Debug)]
pub(super) struct Login {
    url: Url,
    pub(super) cloud: FalconCloud,
    client_id: String,
    secret_file: PathBuf,
    member_cid: Option<String>,
    way: Arc<Way>,
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<(Arc<Secret<String>>, Instant)>,
    refused: Option<Refused>,
}

/// A secret that was refused, by its hash.
#[derive(Debug)]
struct Refused {
    hash: Vec<u8>,
    times: u32,
    at: Instant,
    trouble: Trouble,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Login {
    pub(super) fn new(root: &Url, config: &super::Config, way: Arc<Way>) -> Result<Self, String> {
        Ok(Self {
            url: root.join("oauth2/token").map_err(|error| error.to_string())?,
            cloud: config.cloud,
            client_id: config.client_id.clone(),
            secret_file: config.client_secret_file.clone(),
            member_cid: config.member_cid.clone(),
            way,
            budget: Budget::per_minute(PER_MINUTE.0, PER_MINUTE.1),
            state: Mutex::default(),
        })
    }

    /// A token, the kept one or a new one. Those who ask at the same time wait for the same one.
    ///
    /// # Errors
    /// In words of what Falcon says.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn token(&self) -> Result<Arc<Secret<String>>, Trouble> {
        let mut state = self.state.lock().await;
        if let Some((token, renew)) = &state.token
            && Instant::now() < *renew
        {
            return Ok(Arc::clone(token));
        }
        let secret = self.secret().await?;
        let hash = digest(&SHA256, secret.as_bytes()).as_ref().to_vec();
        let same = state.refused.as_ref().filter(|refused| refused.hash == hash && refused.at.elapsed() < REST);
        let times = same.map_or(0, |refused| refused.times);
        if let Some(refused) = same.filter(|refused| refused.times >= MOST_REFUSALS) {
            return Err(words::stopped(&refused.trouble));
        }
        match self.grant(&secret).await {
            Ok((token, life)) => {
                let token = Arc::new(token);
                let renew = Instant::now() + Duration::from_secs(life).mul_f64(0.8);
                *state = State { token: Some((Arc::clone(&token), renew)), refused: None };
                Ok(token)
            }
            Err(trouble) => {
                if trouble.wait == Wait::Person {
                    let trouble = trouble.clone();
                    state.refused = Some(Refused { hash, times: times + 1, at: Instant::now(), trouble });
                }
                Err(trouble)
            }
        }
    }

    /// Falcon refused this token: the next question makes a new one.
    pub(super) async fn forget(&self) {
        self.state.lock().await.token = None;
    }

    async fn grant(&self, secret: &str) -> Result<(Secret<String>, u64), Trouble> {
        self.budget.take().await;
        let mut form = Url::parse("form:").map_err(|error| Trouble::protocol(error.to_string(), "report this"))?;
        form.query_pairs_mut().append_pair("client_id", &self.client_id).append_pair("client_secret", secret);
        if let Some(member) = &self.member_cid {
            form.query_pairs_mut().append_pair("member_cid", member);
        }
        let body = form.query().unwrap_or_default().as_bytes().to_vec();
        let fields = [
            (header::CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned()),
            (header::ACCEPT, "application/json".to_owned()),
        ];
        let reply = self.way.ask(&self.url, &fields, Some(body), MAX_ANSWER, &words::fields()).await?;
        let place = Place { cloud: self.cloud, file: &self.secret_file, way: &self.way };
        if let Some(trouble) = words::other_cloud(&reply, &place) {
            return Err(trouble);
        }
        if !matches!(reply.code, 200 | 201) {
            return Err(words::no_token(&reply, &place));
        }
        let odd = |_| Trouble::protocol("the answer of the token endpoint is no token", "check api of this source");
        let answer: Answer = serde_json::from_slice(&reply.body).map_err(odd)?;
        Ok((Secret::new(answer.access_token), answer.expires_in.unwrap_or(LIFE).clamp(1, 86_400)))
    }

    async fn secret(&self) -> Result<Zeroizing<String>, Trouble> {
        use tokio::io::AsyncReadExt as _;
        let file = self.secret_file.display();
        let todo = "write the API client's secret into the file, readable for the program";
        let unreadable = |error: std::io::Error| {
            Trouble::login(format!("the file of the client secret, {file}, cannot be read: {error}"), todo)
        };
        let open = tokio::fs::File::open(&self.secret_file).await.map_err(unreadable)?;
        let mut text = Zeroizing::new(String::new());
        open.take(MAX_SECRET).read_to_string(&mut text).await.map_err(unreadable)?;
        let secret = Zeroizing::new(text.trim().to_owned());
        if secret.is_empty() {
            return Err(Trouble::login(format!("the file of the client secret, {file}, is empty"), todo));
        }
        Ok(secret)
    }
}
