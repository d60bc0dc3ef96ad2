//! Why reading from an event hub stopped: what the service or the network said, what that means, and what to do.
//!
//! Facts: AMQP 1.0 part 2.8.14 (conditions); Microsoft, "Event Hubs AMQP error codes" and "Event Hubs exceptions", read
//! 2026-11. Unknown conditions are treated as passing.

use std::fmt;
use std::time::Duration;

use crate::net::DialError;
use crate::status::Cause;

/// A reader that was pushed out comes back no sooner than this: two that push each other out give everything twice.
const AFTER_STOLEN: Duration = Duration::from_secs(30);
/// The service asks for 4 s at least when it is busy (Microsoft, "Event Hubs exceptions": ServerBusy).
const AFTER_BUSY: Duration = Duration::from_secs(10);

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Opening the connection.
    Connect,
    /// Showing our token.
    Login,
    /// Asking for the hub's or a partition's properties.
    Ask,
    /// Reading a partition.
    Read,
}

/// Why it stopped.
#[derive(Debug)]
pub(super) enum Fault {
    /// The namespace could not be reached.
    Dial(DialError),
    /// The service said no.
    Refused {
        doing: Doing,
        /// The AMQP condition, or the status code as text.
        condition: String,
        /// The service's own words.
        description: String,
    },
    /// No answer in time.
    Silent(Doing),
    /// The connection broke.
    Broken(String),
    /// The secret cannot be used: what, and what to do.
    Secret(String, String),
    /// The queue is closed: the box is stopping.
    Closed,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// Attach this partition again after a backoff.
    Attach,
    /// Attach it again after this long.
    AttachAfter(Duration),
    /// Another reader has it: look again after this long, without pushing anybody out.
    Yield(Duration),
    /// The position is not there any more: begin with the oldest event.
    StartOver,
    /// Connect again after a backoff.
    Connect,
}

impl Fault {
    fn condition(&self) -> &str {
        match self {
            Self::Refused { condition, .. } => condition,
            _ => "",
        }
    }

    /// What to do by ourselves.
    pub(super) fn cure(&self) -> Cure {
        let Self::Refused { doing, condition, description } = self else { return Cure::Connect };
        match condition.as_str() {
            "amqp:link:stolen" => Cure::Yield(AFTER_STOLEN),
            "com.microsoft:server-busy" => Cure::AttachAfter(AFTER_BUSY),
            "amqp:unauthorized-access" | "amqp:connection:forced" | "amqp:connection:framing-error" => Cure::Connect,
            "com.microsoft:argument-error" | "com.microsoft:argument-out-of-range" | "amqp:invalid-field"
                if *doing == Doing::Read && description.to_ascii_lowercase().contains("offset") =>
            {
                Cure::StartOver
            }
            _ if *doing == Doing::Read => Cure::Attach,
            _ => Cure::Connect,
        }
    }

    /// Whether it passes by itself and is too common to trouble anybody: the service moves partitions about every few hours.
    pub(super) fn is_routine(&self) -> bool {
        matches!(
            self.condition(),
            "amqp:link:detach-forced" | "amqp:connection:forced" | "com.microsoft:operation-cancelled"
        )
    }

    /// What lies behind it, for those who judge an update.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Dial(error) if error.is_tls() => Cause::Tls,
            Self::Dial(error) if error.is_login() => Cause::Login,
            Self::Dial(_) | Self::Silent(_) | Self::Broken(_) | Self::Closed => Cause::Unreachable,
            Self::Secret(..) => Cause::Login,
            Self::Refused { condition, .. } => match condition.as_str() {
                "amqp:unauthorized-access" | "401" | "403" => Cause::Login,
                "com.microsoft:server-busy" | "com.microsoft:timeout" | "amqp:internal-error" | "503" => {
                    Cause::Unreachable
                }
                condition if condition.starts_with("Entra") => Cause::Unreachable,
                _ => Cause::Protocol,
            },
        }
    }

    /// What is wrong and what to do, about this place.
    pub(super) fn words(&self, place: &Where<'_>) -> (String, String) {
        match self {
            Self::Dial(error) => (error.what(), dial_todo(error)),
            Self::Silent(doing) => (
                format!("{} does not answer ({doing})", place.namespace),
                "check the network; if it lasts, look at the namespace's health in the portal".into(),
            ),
            Self::Broken(why) => (
                format!("the connection to {} broke: {why}", place.namespace),
                "nothing, if it does not last: the box connects again by itself".into(),
            ),
            Self::Secret(what, todo) => (what.clone(), todo.clone()),
            Self::Closed => ("the queue is closed".into(), "nothing: the box is stopping".into()),
            Self::Refused { doing, condition, description } => {
                let (what, todo) = refused(*doing, condition, place);
                (format!("{what} ({condition}: {})", short(description)), todo)
            }
        }
    }
}

/// Where it happened, by the names of the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Where<'a> {
    pub(super) namespace: &'a str,
    pub(super) hub: &'a str,
    pub(super) group: &'a str,
    pub(super) partition: &'a str,
    /// The policy or the application that logs in, by its name.
    pub(super) login: &'a str,
}

fn refused(doing: Doing, condition: &str, place: &Where<'_>) -> (String, String) {
    let Where { namespace, hub, group, partition, login } = place;
    let at = if partition.is_empty() {
        format!("event hub {hub}")
    } else {
        format!("partition {partition} of event hub {hub}")
    };
    match condition {
        "amqp:unauthorized-access" | "401" | "403" => (
            format!("{namespace} refuses the login {login} for event hub {hub}"),
            "copy the primary key of the policy from the portal again; check that the policy exists and has the claim Listen (an \
             application: the role Azure Event Hubs Data Receiver), that the namespace's firewall lets this box in, and that the box's clock is right"
                .into(),
        ),
        "amqp:not-found" | "404" if doing == Doing::Read => (
            format!("event hub {hub} has no consumer group {group}"),
            "create it in the portal (the event hub > Consumer groups), or write consumer_group as the portal shows it".into(),
        ),
        "amqp:not-found" | "404" => (
            format!("there is no event hub {hub} in {namespace}"),
            "write event_hub and namespace as the portal shows them".into(),
        ),
        _ if condition.starts_with("Entra") => (
            format!("Entra gives no token for event hub {hub} now"),
            "nothing, if it passes; if it stays, check login, and that no proxy answers in its place".into(),
        ),
        "amqp:link:stolen" => (
            format!("another reader of consumer group {group} has {at}"),
            "give this box a consumer group of its own, or stop the other reader; this box takes over by itself when it ends"
                .into(),
        ),
        "amqp:resource-limit-exceeded" => (
            format!("{at} has too many readers in consumer group {group}, or {namespace} too many connections"),
            "give this box a consumer group of its own, or stop other readers (Basic tier: 100 connections, one group)".into(),
        ),
        "com.microsoft:server-busy" => (
            format!("{namespace} is busy and asks to wait"),
            "nothing, if it passes; if it stays, give the namespace more throughput units in the portal".into(),
        ),
        "com.microsoft:entity-disabled" => {
            (format!("event hub {hub} is disabled"), "enable it in the portal (the event hub > Overview)".into())
        }
        _ => (
            format!("{namespace} broke reading {at} off"),
            "nothing, if it passes: the box tries again by itself; if it stays, send this line to support".into(),
        ),
    }
}

fn dial_todo(error: &DialError) -> String {
    let todo = error.todo();
    if error.is_tls() || error.is_login() {
        return todo;
    }
    format!("{todo}; where only port 443 is open outwards, set transport = \"websocket\"")
}

/// The service's words are a line with identifiers that its support asks for; longer texts are cut.
fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "while connecting",
            Self::Login => "while logging in",
            Self::Ask => "while it was asked for partitions",
            Self::Read => "while a partition was opened",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(doing: Doing, condition: &str, description: &str) -> Fault {
        Fault::Refused { doing, condition: condition.into(), description: description.into() }
    }

    #[test]
    fn each_condition_has_its_cure_and_words_that_name_the_place() {
        let place = Where { namespace: "ns.example", hub: "h", group: "g", partition: "3", login: "p" };
        for (fault, cure, word) in [
            (refused(Doing::Read, "amqp:link:stolen", "New receiver"), Cure::Yield(AFTER_STOLEN), "another reader"),
            (refused(Doing::Read, "com.microsoft:server-busy", ""), Cure::AttachAfter(AFTER_BUSY), "is busy"),
            (
                refused(Doing::Read, "com.microsoft:argument-error", "The supplied offset '9' is invalid"),
                Cure::StartOver,
                "partition 3",
            ),
            (refused(Doing::Read, "com.microsoft:argument-error", "filter"), Cure::Attach, "partition 3"),
            (refused(Doing::Read, "amqp:link:detach-forced", "idle"), Cure::Attach, "partition 3"),
            (refused(Doing::Read, "amqp:not-found", ""), Cure::Attach, "no consumer group g"),
            (refused(Doing::Ask, "404", ""), Cure::Connect, "no event hub h"),
            (refused(Doing::Login, "401", ""), Cure::Connect, "refuses the login p"),
            (refused(Doing::Read, "amqp:unauthorized-access", ""), Cure::Connect, "refuses the login p"),
            (Fault::Silent(Doing::Ask), Cure::Connect, "does not answer"),
            (Fault::Broken("reset".into()), Cure::Connect, "broke: reset"),
        ] {
            assert_eq!(fault.cure(), cure, "{fault:?}");
            let (what, todo) = fault.words(&place);
            assert!(what.contains(word) && !todo.is_empty(), "{what}");
        }
    }
}
