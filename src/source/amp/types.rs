//! Which events are wanted: types by name or number, and groups.
//!
//! Facts: `GET /v1/event_types` lists number and name of each type (CiscoSecurity, amp-04-create-event-stream). Events carry
//! both themselves.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::api::Api;
use crate::source::pull::Trouble;

/// Types are added now and then.
const VALID: Duration = Duration::from_secs(24 * 3_600);

/// The wish, and the numbers of its types as far as they were looked up.
#[derive(Debug)]
pub(super) struct Types {
    wanted: Vec<String>,
    groups: Vec<String>,
    found: Option<(Instant, Vec<u64>)>,
}

/// What is asked for; nothing stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) types: Vec<u64>,
    pub(super) groups: Vec<String>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    id: u64,
    name: String,
}

impl Types {
    pub(super) fn new(wanted: &[String], groups: &[String]) -> Self {
        Self { wanted: wanted.to_vec(), groups: groups.to_vec(), found: None }
    }
}

/// The filter; names are looked up once a day.
///
/// # Errors
/// When the list cannot be had, or has no such name.
pub(super) async fn filter(api: &Api) -> Result<Filter, Trouble> {
    let mut types = api.types.lock().await;
    let groups = types.groups.clone();
    let is_new = |at: &Instant| at.elapsed() < VALID;
    if let Some((_, found)) = types.found.as_ref().filter(|(at, _)| is_new(at)) {
        return Ok(Filter { types: found.clone(), groups });
    }
    let is_plain = types.wanted.iter().all(|name| name.parse::<u64>().is_ok());
    let known = match list_if(!is_plain, api).await {
        Ok(known) => known,
        // What was right yesterday is right until the list can be had again.
        Err(trouble) => match types.found.take() {
            Some((_, found)) => {
                types.found = Some((Instant::now(), found.clone()));
                return Ok(Filter { types: found, groups });
            }
            None => return Err(trouble),
        },
    };
    let mut found = types.wanted.iter().map(|name| number(name, &known)).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    found.dedup();
    types.found = Some((Instant::now(), found.clone()));
    Ok(Filter { types: found, groups })
}

async fn list_if(is_needed: bool, api: &Api) -> Result<Vec<Kind>, Trouble> {
    if !is_needed {
        return Ok(Vec::new());
    }
    let reply = api.get(&api.url("v1/event_types")?).await?;
    let odd = |_| Trouble::protocol(format!("the list of event types of {} is none", api.host()), "check api");
    Ok(serde_json::from_slice::<List>(&reply.body).map_err(odd)?.data)
}

fn number(wanted: &str, known: &[Kind]) -> Result<u64, Trouble> {
    if let Ok(number) = wanted.parse() {
        return Ok(number);
    }
    if let Some(kind) = known.iter().find(|kind| kind.name.eq_ignore_ascii_case(wanted.trim())) {
        return Ok(kind.id);
    }
    let near =
        |kind: &&Kind| (strsim::jaro_winkler(&kind.name.to_lowercase(), &wanted.to_lowercase()) * 1_000.0) as u32;
    let meant = known.iter().max_by_key(near).map_or_else(String::new, |kind| format!(", such as {:?}", kind.name));
    Err(Trouble::login(
        format!("Secure Endpoint has no event type {wanted:?}"),
        format!("write in event_types names as the console shows them{meant}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers_and_a_wrong_one_is_answered_with_a_near_one() {
        let kind = |id, name: &str| Kind { id, name: name.into() };
        let known = [kind(1_090_519_054, "Threat Detected"), kind(553_648_143, "Threat Quarantined")];
        assert_eq!(number("threat detected ", &known), Ok(1_090_519_054));
        assert_eq!(number("553648147", &known), Ok(553_648_147));
        assert!(number("Threat Quarantine", &known).unwrap_err().todo.contains("\"Threat Quarantined\""));
    }
}
