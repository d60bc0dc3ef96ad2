//! Why a broker refuses or leaves: the reason codes of MQTT 5, section 2.4, which mean the same in every packet.

/// A reason code. From 0x80 on nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub u8);

impl Reason {
    /// All is well.
    pub const SUCCESS: Self = Self(0);
    /// The message was taken, and thrown away because nobody has subscribed to its topic.
    pub const NO_SUBSCRIBERS: Self = Self(0x10);
    /// The message was refused because we may not write there; the connection, because we may not come in.
    pub const NOT_AUTHORIZED: Self = Self(0x87);

    /// Whether it says that something was not done.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        // MQTT 3.1.1, table 3.1: a broker that knows no MQTT 5 answers our greeting with 1 (section 3.1.2.2).
        self.0 >= 0x80 || matches!(self.0, 1..=3)
    }

    /// Whether it is about who we are.
    #[must_use]
    pub fn is_login(self) -> bool {
        matches!(self.0, 0x86 | 0x87 | 0x8a | 0x8c)
    }

    /// Whether waiting may be all that is needed.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(self.0, 0 | 3 | 0x88 | 0x89 | 0x8b | 0x8d | 0x8e | 0x96..=0x98 | 0x9f)
    }

    /// What it says, to be read after "because".
    #[must_use]
    pub fn words(self) -> String {
        let words = match self.0 {
            0 => "it had no more to say",
            1 | 0x84 => "it does not speak MQTT 5",
            2 | 0x85 => "it does not take the client id",
            3 | 0x88 => "it is not available",
            0x04 => "the client asked for it",
            0x10 => "nobody has subscribed to the topic",
            0x80 => "of a reason that it does not tell",
            0x81 => "it could not read a packet",
            0x82 => "a packet was not expected",
            0x83 => "of a rule of its own",
            0x86 => "the user or the password is wrong",
            0x87 => "it is not authorized",
            0x89 => "it is busy",
            0x8a => "this client is banned",
            0x8b => "it is shutting down",
            0x8c => "it wants another way to log in",
            0x8d => "it did not hear from us in time",
            0x8e => "another client has come with the same client id",
            0x8f => "it does not take the topic filter",
            0x90 => "it does not take the topic",
            0x93 => "too many messages were in flight",
            0x95 => "the packet is too large",
            0x96 => "messages come too fast",
            0x97 => "a quota is used up",
            0x98 => "an administrator said so",
            0x99 => "the payload is not as it should be",
            0x9a => "it keeps no messages",
            0x9b => "it does not take QoS 1",
            0x9c | 0x9d => "another broker is to be used",
            0x9f => "connections come too fast",
            0xa0 => "the longest time of a connection is over",
            code => return format!("of reason code 0x{code:02x}"),
        };
        words.to_owned()
    }

    /// What a person should do when a broker says so to `user`, whose client id is `client`.
    #[must_use]
    pub fn todo(self, user: Option<&str>, client: &str) -> String {
        match self.0 {
            1 | 0x84 => "use a broker with MQTT 5, or allow it there".to_owned(),
            2 | 0x85 => format!("set client_id to one that the broker takes instead of {client:?}"),
            0x86 | 0x87 | 0x8a | 0x8c => match user {
                Some(user) => format!(
                    "check user and password_file, and that the broker lets user {user:?} in with client id {client:?}"
                ),
                None => format!(
                    "set user and password_file, or have the broker let in client id {client:?} with its certificate"
                ),
            },
            0x8e => format!("give every box its own name, or set client_id: {client:?} is used twice"),
            0x95 => "raise the broker's limit for packets, or lower batch_size".to_owned(),
            0x90 => "change topic to one that the broker takes".to_owned(),
            0x93 => "lower in_flight".to_owned(),
            0x96 | 0x97 | 0x9f => "raise this client's quota at the broker, or wait".to_owned(),
            0x9b => "let the broker take QoS 1: without it nothing is acknowledged".to_owned(),
            0x9c | 0x9d => "ask the broker's owner for its new address, and set it as the endpoint".to_owned(),
            _ => "look at the broker's log; it is tried again by itself".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words_and_something_to_do() {
        for code in 0..=255 {
            let reason = Reason(code);
            assert!(!reason.words().is_empty() && !reason.todo(None, "edge-1").is_empty());
            assert!(reason.is_refusal() || !reason.is_login());
        }
        assert!(!Reason::SUCCESS.is_refusal() && !Reason::NO_SUBSCRIBERS.is_refusal());
        assert_eq!(Reason(0xee).words(), "of reason code 0xee");
        assert!(Reason::NOT_AUTHORIZED.todo(Some("box"), "edge-1").contains("user \"box\""));
    }
}
