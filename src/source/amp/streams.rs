//! Event streams: the one that is ours, made where it is missing, deleted where it is of no use.
//!
//! Facts: `POST /v1/event_streams` with `name`, `event_type` and `group_guid` (empty lists mean all) answers with
//! `data.amqp_credentials`, which are shown this once; `DELETE /v1/event_streams/{id}`; at most 5 streams of an organization
//! (CiscoSecurity, amp-04-create-event-stream and amp-00-integration-workflows). Not confirmed: what a read-only key and a sixth
//! stream are answered with; 401 and 403 are taken for the first, an answer that speaks of a limit for the second, and polling
//! goes on in both cases.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::kept::{Credentials, Kept};
use super::settings::Config;
use super::types::Filter;
use super::words;
use crate::net::http::Verb;
use crate::secret::Secret;
use crate::source::pull::{Reply, Trouble};

/// Streams that an organization may have.
const MOST: usize = 5;

/// Our stream at the vendor.
#[derive(Debug)]
pub(super) struct Streams {
    api: Arc<Api>,
    kept: Kept,
}

/// Whether there is a stream to read.
#[derive(Debug)]
pub(super) enum Ready {
    /// There is; its number.
    Yes(String),
    /// None can be had; what and what to do.
    No((String, String)),
}

/// A stream in the vendor's list.
#[derive(Deserialize)]
struct Entry {
    id: Value,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Made {
    data: Stream,
}

#[derive(Deserialize)]
struct Stream {
    id: Value,
    amqp_credentials: Amqp,
}

#[derive(Deserialize)]
struct Amqp {
    user_name: String,
    password: String,
    queue_name: String,
    host: String,
    port: Value,
}

/// A number, or text that holds one.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Streams {
    /// What is kept from before. Blocks.
    ///
    /// # Errors
    /// When its file cannot be used.
    pub(super) fn open(state_dir: &Path, config: &Config, api: Arc<Api>) -> io::Result<Self> {
        Ok(Self { kept: Kept::open(state_dir, &config.id)?, api })
    }

    /// The credentials, if there is a stream.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.kept.stream.as_ref()
    }

    /// Makes sure of a stream with this filter.
    ///
    /// # Errors
    /// When the vendor is not well, or the disk; a retry helps.
    pub(super) async fn ensure(&mut self, filter: &Filter) -> Result<Ready, Trouble> {
        let made_for = format!("{} {:?} {:?}", self.api.host(), filter.types, filter.groups);
        if let Some(stream) = self.kept.stream.as_ref().filter(|_| self.kept.made_for == made_for) {
            return Ok(Ready::Yes(stream.id.clone()));
        }
        let all = match list(&self.api).await? {
            Ok(all) => all,
            Err(reply) => return self.refused(&reply, &[]),
        };
        let (ours, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|entry| entry.name == self.kept.name);
        for entry in ours {
            // Its credentials are lost, or it holds other events than are wanted.
            if let Err(reply) = self.delete(&text(&entry.id)).await? {
                return self.refused(&reply, &[]);
            }
        }
        self.forget()?;
        let names: Vec<String> = others.into_iter().map(|entry| entry.name).collect();
        if names.len() >= MOST {
            return Ok(Ready::No(words::too_many(&names)));
        }
        let body = json!({ "name": self.kept.name, "event_type": filter.types, "group_guid": filter.groups });
        let url = self.api.url("v1/event_streams")?;
        match self.api.act(&url, Verb::Post(body.to_string().into_bytes())).await? {
            Ok(reply) => self.take(&reply, made_for),
            Err(reply) => self.refused(&reply, &names),
        }
    }

    /// Takes the credentials of a stream that was made: durable before anything else.
    fn take(&mut self, reply: &Reply, made_for: String) -> Result<Ready, Trouble> {
        let odd = || {
            let what = format!("{} made an event stream without credentials", self.api.host());
            Trouble::protocol(what, "if it stays, send the log to support, or set delivery = \"poll\"")
        };
        let Made { data } = serde_json::from_slice(&reply.body).map_err(|_| odd())?;
        let amqp = data.amqp_credentials;
        let id = text(&data.id);
        self.kept.stream = Some(Credentials {
            id: id.clone(),
            user: amqp.user_name,
            password: Secret::new(amqp.password),
            queue: amqp.queue_name,
            host: amqp.host,
            port: text(&amqp.port).parse().map_err(|_| odd())?,
        });
        self.kept.made_for = made_for;
        if let Err(error) = self.kept.write() {
            // Made anew once there is room: what cannot be kept must not be used.
            self.kept.stream = None;
            return Err(disk(&error));
        }
        tracing::info!(name = self.kept.name, id, "event stream made");
        Ok(Ready::Yes(id))
    }

    fn refused(&self, reply: &Reply, names: &[String]) -> Result<Ready, Trouble> {
        let said = words::text(reply).to_ascii_lowercase();
        if ["limit", "maximum", "too many", "exceed"].iter().any(|word| said.contains(word)) {
            return Ok(Ready::No(words::too_many(names)));
        }
        match reply.code {
            401 | 403 => Ok(Ready::No(words::read_only())),
            _ => Err(words::refused(reply, self.api.host())),
        }
    }

    /// Whether the vendor still lists our stream.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) async fn is_listed(&self) -> Result<bool, Trouble> {
        let Some(stream) = &self.kept.stream else { return Ok(false) };
        let all = list(&self.api).await?.map_err(|reply| words::refused(&reply, self.api.host()))?;
        Ok(all.iter().any(|entry| text(&entry.id) == stream.id && entry.name == self.kept.name))
    }

    /// Forgets the credentials: the next [`Streams::ensure`] deletes what is left of the stream, and makes another.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn forget(&mut self) -> Result<(), Trouble> {
        if self.kept.stream.take().is_some() {
            self.kept.write().map_err(|error| disk(&error))?;
        }
        Ok(())
    }

    /// Deletes our stream, which is no longer wanted.
    ///
    /// # Errors
    /// When it cannot be; it may be tried again.
    pub(super) async fn remove(&mut self) -> Result<(), Trouble> {
        let Some(id) = self.kept.stream.as_ref().map(|stream| stream.id.clone()) else { return Ok(()) };
        self.delete(&id).await?.map_err(|reply| words::refused(&reply, self.api.host()))?;
        self.forget()
    }

    async fn delete(&self, id: &str) -> Result<Result<(), Reply>, Trouble> {
        let mut url = self.api.url("v1/event_streams")?;
        // As a part of the path, whatever is in it.
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id);
        }
        match self.api.act(&url, Verb::Delete).await? {
            Err(reply) if reply.code != 404 => return Ok(Err(reply)),
            _ => tracing::info!(name = self.kept.name, id, "event stream deleted"),
        }
        Ok(Ok(()))
    }
}

fn disk(error: &io::Error) -> Trouble {
    let what = format!("the event stream's credentials cannot be kept ({error})");
    Trouble::protocol(what, "make room in the state folder, and make it writable; it is tried again by itself")
}

/// The organization's streams.
async fn list(api: &Api) -> Result<Result<Vec<Entry>, Reply>, Trouble> {
    let reply = match api.act(&api.url("v1/event_streams")?, Verb::Get).await? {
        Ok(reply) => reply,
        Err(reply) => return Ok(Err(reply)),
    };
    let odd =
        |_| Trouble::protocol(format!("the list of event streams of {} is none", api.host()), "check region and api");
    Ok(Ok(serde_json::from_slice::<List>(&reply.body).map_err(odd)?.data))
}

/// Whether streams can be asked for; makes none.
///
/// # Errors
/// In words.
pub(super) async fn probe(api: &Api) -> Result<(), Trouble> {
    match list(api).await? {
        Ok(_) => Ok(()),
        Err(reply) => Err(words::refused(&reply, api.host())),
    }
}
