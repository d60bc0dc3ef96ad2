//! Takes an entry into use, pauses it, and takes it out: each a deed with its line in the audit log.

use serde_json::{Map, Value, json};

use super::super::super::Shared;
use super::super::super::account::Visitor;
use super::super::super::audit::Deed;
use super::super::super::serve::Peer;
use super::super::change::Came;
use super::draft::{Draft, Edited, Failure};
use super::{Faults, List, Wish};
use crate::control::{Edit, Settings};

/// Who does something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    pub(super) peer: Peer,
    pub(super) visitor: &'a Visitor,
}

/// What was done: the word of the audit log, and of the page that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Added,
    Changed,
    Paused,
    Resumed,
    Removed,
    Consented,
    Keys,
}

impl Done {
    const ALL: [Self; 7] =
        [Self::Added, Self::Changed, Self::Paused, Self::Resumed, Self::Removed, Self::Consented, Self::Keys];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Removed => "removed",
            Self::Consented => "consented",
            Self::Keys => "keys",
        }
    }

    /// What is said on the page that follows.
    pub(super) fn of(word: &str) -> Option<&'static str> {
        let words = |done: Self| match done {
            Self::Added => "It is in use. If something does not start with it, the page says so.",
            Self::Changed => "The change is in use.",
            Self::Paused => "It is paused.",
            Self::Resumed => "It runs again.",
            Self::Removed => "It is taken out. Secrets that nothing names any more are under Files.",
            Self::Consented => "The administrator has consented, and the tenant is added.",
            Self::Keys => "The keys are in use.",
        };
        Self::ALL.into_iter().find(|done| done.word() == word).map(words)
    }

    fn action(self, list: List) -> &'static str {
        match (list, self) {
            (List::Source, Self::Added) => "source_added",
            (List::Source, Self::Changed) => "source_changed",
            (List::Source, Self::Paused) => "source_paused",
            (List::Source, Self::Resumed) => "source_resumed",
            (List::Source, Self::Removed) => "source_removed",
            (List::Output, Self::Added) => "output_added",
            (List::Output, Self::Paused) => "output_paused",
            (List::Output, Self::Resumed) => "output_resumed",
            (List::Output, Self::Removed) => "output_removed",
            (List::Output, _) => "output_changed",
            (List::Source, Self::Consented) => "source_consented",
            (List::Source, Self::Keys) => "source_keys_changed",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Added => "adds",
            Self::Changed => "changes",
            Self::Paused => "pauses",
            Self::Resumed => "resumes",
            Self::Removed => "removes",
            Self::Consented => "adds a tenant to",
            Self::Keys => "changes the keys of",
        }
    }
}

impl Shared {
    /// Takes what was typed into use.
    pub(super) async fn saved(&self, who: Who<'_>, wish: &Wish) -> Result<(), Failure> {
        let done = if wish.is_new { Done::Added } else { Done::Changed };
        match self.draft(wish).await {
            Ok(draft) => {
                let secrets = draft.secrets.clone();
                self.taken(who, wish, draft, done).await.map_err(|faults| Failure { faults, secrets })
            }
            Err(failure) => {
                let outcome = Err(failure.faults.words());
                self.note_deed(who, (done, wish.list, &wish.id), outcome).await;
                Err(failure)
            }
        }
    }

    async fn taken(&self, who: Who<'_>, wish: &Wish, draft: Draft, done: Done) -> Result<(), Faults> {
        let mut edited = Edited { text: draft.text, values: draft.values, version: draft.version };
        if !draft.secrets.is_empty() {
            let (files, secrets) = (self.files.clone(), draft.secrets);
            let moved = tokio::task::spawn_blocking(move || -> Result<Vec<_>, _> {
                let path = |secret: super::draft::Waiting| {
                    files.take_over(&secret.name, &secret.typed).map(|path| (secret.key, path))
                };
                secrets.into_iter().map(path).collect()
            });
            let moved = moved.await.map_err(|error| Faults::above(error.to_string()))?;
            let paths: Vec<(&str, String)> = moved.map_err(|error| Faults::above(error.to_string()))?;
            let path = |key: &str| paths.iter().find(|(name, _)| *name == key).map(|(_, path)| path.clone());
            edited = self.edited(wish.edit(&draft.before.values, path)).await.map_err(Faults::above)?;
        }
        let about = (done, wish.list, wish.id.as_str());
        if edited.text == draft.before.text {
            // Nothing but what is in its files was changed: it is read from there.
            self.note_deed(who, about, Ok(())).await;
            return Ok(());
        }
        self.applied(who, about, edited).await.map_err(|faults| match faults {
            Wrong::Settings(problems) => Faults::of(&problems, wish),
            Wrong::Words(words) => Faults::above(words),
        })
    }

    /// Pauses an entry, or lets it run again.
    pub(super) async fn paused(&self, who: Who<'_>, list: List, id: &str, is_paused: bool) -> Result<(), String> {
        // Without the key it runs.
        let enabled = if is_paused { json!(false) } else { Value::Null };
        let values = Map::from_iter([("enabled".to_owned(), enabled)]);
        let done = if is_paused { Done::Paused } else { Done::Resumed };
        let table = format!("{}[{id}]", list.word());
        self.changed_by(who, (done, list, id), Edit::Set { table, values }).await.map_err(|wrong| wrong.words())
    }

    /// Takes an entry out of the settings.
    pub(super) async fn taken_out(&self, who: Who<'_>, list: List, id: &str) -> Result<(), String> {
        let entry = format!("{}[{id}]", list.word());
        self.changed_by(who, (Done::Removed, list, id), Edit::Remove { entry }).await.map_err(|wrong| wrong.words())
    }

    /// Takes a change of the settings into use.
    pub(super) async fn changed_by(&self, who: Who<'_>, about: (Done, List, &str), what: Edit) -> Result<(), Wrong> {
        match self.edited(what).await {
            Ok(edited) => self.applied(who, about, edited).await,
            Err(why) => {
                self.note_deed(who, about, Err(why.clone())).await;
                Err(Wrong::Words(why))
            }
        }
    }

    async fn applied(&self, who: Who<'_>, about: (Done, List, &str), edited: Edited) -> Result<(), Wrong> {
        let Edited { text, version, .. } = edited;
        let reply = self.ask_settings(Settings::Apply { text, version, by: who.visitor.name.clone() }).await;
        let result = match reply.and_then(Came::of) {
            Ok(Came::Wrong(problems)) => Err(Wrong::Settings(problems)),
            Ok(Came::InUse(_) | Came::PageAnew) => Ok(()),
            Err(why) => Err(Wrong::Words(why)),
        };
        self.note_deed(who, about, result.as_ref().copied().map_err(Wrong::words)).await;
        result
    }

    async fn note_deed(&self, who: Who<'_>, (done, list, id): (Done, List, &str), outcome: Result<(), String>) {
        let message = format!("{} {} the {} {id}", who.visitor.name, done.verb(), list.word());
        self.note_of(who, done.action(list), message, outcome).await;
    }

    /// A line in the audit log.
    pub(super) async fn note_of(
        &self,
        who: Who<'_>,
        action: &'static str,
        message: String,
        outcome: Result<(), String>,
    ) {
        let Peer(from) = who.peer;
        self.audit.note(Deed { action, who: who.visitor.name.clone(), from, outcome, message }).await;
    }
}

/// Why a change is not in use.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The settings say so.
    Settings(Vec<crate::control::SettingsProblem>),
    /// In words.
    Words(String),
}

impl Wrong {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Words(words) => words.clone(),
            Self::Settings(problems) => {
                let words = |problem: &crate::control::SettingsProblem| {
                    format!("{}: {}; {}", problem.key, problem.what, problem.advice)
                };
                problems.first().map(words).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deed_has_words_and_others_have_none() {
        for done in Done::ALL {
            assert!(Done::of(done.word()).is_some());
            for list in List::ALL {
                assert!(done.action(list).starts_with(list.word()), "{done:?}");
            }
        }
        assert_eq!(Done::of("<script>"), None);
    }
}
