//! Carrying a command out: the other rooms are asked as the page asks them, and by the same rules.

use std::time::Duration;

use tokio::time::timeout;

use super::Neighbours;
use super::command::Deed;
use crate::control::{self, Answer, Edit, Settings, SettingsProblem, SettingsReply};

/// Bytes of a support bundle: parts of 2 MiB at most, which are texts, in a tenth of their size. Kept in memory while it is sent.
const BUNDLE: usize = 4 << 20;
/// The longest is a change of settings, which is given 30 s to start, behind one that is under way.
const WITHIN: Duration = Duration::from_secs(120);
/// The channel's own table, which it does not change: whoever does it wrong is cut off.
const OWN: &str = "fleet";

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    /// It was done; what should be known of it.
    Words(String),
    /// A support bundle.
    Bundle(Vec<u8>),
}

/// Does it; an error says why it was not done.
pub(super) async fn carry_out(neighbours: &impl Neighbours, deed: Deed, by: String) -> Result<Done, String> {
    let work = async {
        match deed {
            Deed::Offer(offer) => hand_over(neighbours, Some(offer.manifest)).await.map(Done::Words),
            Deed::SupportBundle => neighbours.support_bundle(BUNDLE).await.map(Done::Bundle),
            Deed::RestartSource { source } => match neighbours.restart_source(source, by).await {
                Answer::Done => Ok(Done::Words("the source was started again".to_owned())),
                other => Err(refused(other)),
            },
            Deed::Settings(edit) => change(neighbours, edit, by).await.map(Done::Words),
            Deed::ConfirmSettings => match neighbours.change(Settings::Confirm { by }).await {
                Answer::Settings(_) => Ok(Done::Words("the settings stay".to_owned())),
                other => Err(refused(other)),
            },
        }
    };
    let late = |_| Err(format!("it was not done within {} s; look at the status", WITHIN.as_secs()));
    timeout(WITHIN, work).await.unwrap_or_else(late)
}

/// Gives a manifest to whoever sees to updates, or takes it back.
pub(super) async fn hand_over(neighbours: &impl Neighbours, manifest: Option<String>) -> Result<String, String> {
    match neighbours.update(control::Update::Offer { manifest }).await {
        Answer::Update(_) => Ok("the offer is known; the box takes it in its window".to_owned()),
        other => Err(refused(other)),
    }
}

fn refused(answer: Answer) -> String {
    match answer {
        Answer::Refused(why) => why,
        other => format!("the box answered something else: {other:?}"),
    }
}

async fn change(neighbours: &impl Neighbours, edit: Edit, by: String) -> Result<String, String> {
    if is_own(&edit) {
        return Err(format!("[{OWN}] is not changed over its own channel; do it on the box's page"));
    }
    let (text, version) = match reply(neighbours.change(Settings::Edit(edit)).await)? {
        SettingsReply::Edited { text, version, .. } => (text, version),
        other => return Err(unusable(other)),
    };
    match reply(neighbours.change(Settings::Apply { text, version, by }).await)? {
        SettingsReply::Applied { confirm_within, later } => {
            let mut words = "the settings are in use".to_owned();
            if let Some(seconds) = confirm_within {
                words = format!("{words}, and go back in {seconds} s unless confirm_settings comes");
            }
            if !later.is_empty() {
                words = format!("{words}; {} at the next start of the program", later.join(", "));
            }
            Ok(words)
        }
        other => Err(unusable(other)),
    }
}

fn reply(answer: Answer) -> Result<SettingsReply, String> {
    match answer {
        Answer::Settings(reply) => Ok(*reply),
        other => Err(refused(other)),
    }
}

/// Why settings were not taken.
fn unusable(reply: SettingsReply) -> String {
    let line = |problem: &SettingsProblem| format!("{}: {}; {}", problem.key, problem.what, problem.advice);
    match reply {
        SettingsReply::Checked { problems, .. } if !problems.is_empty() => {
            let lines: Vec<String> = problems.iter().map(line).collect();
            format!("nothing was changed: {}", lines.join(" / "))
        }
        SettingsReply::TakenBack(why) => why,
        _ => "nothing was changed: the settings were not understood".to_owned(),
    }
}

/// Whether an edit touches the channel's own table.
fn is_own(edit: &Edit) -> bool {
    let is_below = |table: &str| table.split(['.', '[']).next().unwrap_or_default().trim() == OWN;
    match edit {
        Edit::Set { table, values } => is_below(table) || (table.is_empty() && values.contains_key(OWN)),
        Edit::Add { list, .. } => is_below(list),
        Edit::Remove { entry } => is_below(entry),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_channels_own_table_is_known_in_every_writing() {
        let edit = |value: serde_json::Value| is_own(&serde_json::from_value(value).unwrap());
        assert!(edit(json!({"set": {"table": "fleet", "values": {}}})));
        assert!(edit(json!({"set": {"table": "fleet.tls", "values": {}}})));
        assert!(edit(json!({"set": {"table": "", "values": {"fleet": null}}})));
        assert!(edit(json!({"remove": {"entry": "fleet"}})));
        assert!(!edit(json!({"set": {"table": "log", "values": {"fleet": 1}}})));
        assert!(!edit(json!({"add": {"list": "source", "values": {}}})));
    }
}
