//! Asks a vendor, or connects to a far end, with what was typed: nothing is taken into use.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::super::super::Shared;
use super::draft::{Failure, Waiting};
use super::save::Who;
use super::{Faults, List, Wish};
use crate::clock::Clock;
use crate::form::Finding;
use crate::output;
use crate::source;

/// Less than the time that the page gives an answer (30 s), more than the time to connect (10 s).
const TEST_WITHIN: Duration = Duration::from_secs(22);

/// What a test found.
pub(super) struct Tested {
    pub(super) findings: Vec<Finding>,
    /// What was typed waits until it is taken into use.
    pub(super) secrets: Vec<Waiting>,
}

impl Shared {
    /// Tests an entry as it was typed.
    pub(super) async fn tested(&self, who: Who<'_>, wish: &Wish) -> Result<Tested, Failure> {
        let Ok(_alone) = self.testing.try_acquire() else {
            let words = "somebody is testing something at this moment; try again in half a minute";
            return Err(Faults::above(words).into());
        };
        let draft = self.draft(wish).await?;
        let entry = wish.list.find(&draft.values, &wish.id).cloned().unwrap_or_default();
        let asked = timeout(TEST_WITHIN, ask(wish.list, entry, self.context.clock.clone()));
        let mut findings = match asked.await {
            Ok(Ok(findings)) => findings,
            Ok(Err(words)) => return Err(Failure { faults: Faults::above(words), secrets: draft.secrets }),
            Err(_) => {
                let what = format!("there was no answer within {} s", TEST_WITHIN.as_secs());
                let todo = "check the network and the addresses; the test of a slow line is better done on the box, by \
                            `sapphire-edge source test`";
                vec![Finding::wrong(wish.form.title, what, todo.to_owned())]
            }
        };
        // The file that is named to a person is the one that it will be.
        for secret in &draft.secrets {
            let (waits, stays) = (&secret.typed, &secret.name);
            for (what, todo) in findings.iter_mut().filter_map(|finding| finding.fault.as_mut()) {
                (*what, *todo) = (what.replace(waits, stays), todo.replace(waits, stays));
            }
        }
        let wrong = findings.iter().find_map(|finding| finding.fault.as_ref().map(|(what, _)| what.clone()));
        let message = format!("{} tests the {} {}", who.visitor.name, wish.list.word(), wish.id);
        let action = if wish.list == List::Source { "source_tested" } else { "output_tested" };
        self.note_of(who, action, message, wrong.map_or(Ok(()), Err)).await;
        Ok(Tested { findings, secrets: draft.secrets })
    }
}

/// The entry of the settings, which were found good, asked once.
async fn ask(list: List, entry: Value, clock: Clock) -> Result<Vec<Finding>, String> {
    let unread = |error: serde_json::Error| format!("this did not work inside the box: {error}");
    Ok(match list {
        List::Source => source::test(&serde_json::from_value(entry).map_err(unread)?, clock).await,
        List::Output => output::test(&serde_json::from_value(entry).map_err(unread)?).await,
    })
}
