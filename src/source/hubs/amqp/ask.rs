//! Questions and answers: a pair of links to one of the service's own nodes, `$cbs` or `$management`.

use fe2o3_amqp::link::{ReceiverAttachError, RecvError, SendError, SenderAttachError};
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message, MessageId, Properties, Source, Target};
use fe2o3_amqp_types::primitives::{SimpleValue, Value};

use super::refusal::{detached, link, refused, stopped, within};
use super::{Doing, Fault};

/// The largest answer: partitions of a hub by name, of which there are 2,000 at most.
const MAX_ANSWER: u64 = 1 << 20;

/// A pair of links for questions and answers.
pub(super) struct Asker {
    node: &'static str,
    sender: Sender,
    receiver: Receiver,
    reply_to: String,
    asked: u64,
}

/// What the service answers.
pub(super) struct Answer {
    code: i64,
    description: String,
    condition: Option<String>,
    body: Value,
}

impl Asker {
    /// Attaches the pair.
    ///
    /// # Errors
    /// As the service refuses it.
    pub(super) async fn attach(session: &mut SessionHandle<()>, node: &'static str) -> Result<Self, Fault> {
        let name = format!("{node}-{:016x}", rand::random::<u64>());
        let doing = if node == "$cbs" { Doing::Login } else { Doing::Ask };
        let sender = Sender::builder()
            .name(format!("{name}-sender"))
            .source(Source::builder().address(name.clone()).build())
            .target(node)
            .attach(session);
        let sender = within(doing, sender).await?.map_err(|error| match error {
            SenderAttachError::RemoteClosedWithError(refusal) => refused(doing, &refusal),
            SenderAttachError::SessionStopped(reason) => stopped(&reason),
            other => Fault::Broken(other.to_string()),
        })?;
        let receiver = Receiver::builder()
            .name(format!("{name}-receiver"))
            .source(node)
            .target(Target::builder().address(name.clone()).build())
            .auto_accept(true)
            .max_message_size(MAX_ANSWER)
            .attach(session);
        let receiver = within(doing, receiver).await?.map_err(|error| match error {
            ReceiverAttachError::RemoteClosedWithError(refusal) => refused(doing, &refusal),
            ReceiverAttachError::SessionStopped(reason) => stopped(&reason),
            other => Fault::Broken(other.to_string()),
        })?;
        Ok(Self { node, sender, receiver, reply_to: name, asked: 0 })
    }

    /// Asks, and waits for the answer to this question.
    ///
    /// # Errors
    /// When the link ends, or no answer comes.
    pub(super) async fn ask(
        &mut self,
        doing: Doing,
        about: ApplicationProperties,
        body: Value,
    ) -> Result<Answer, Fault> {
        self.asked += 1;
        let id = format!("{}-{}", self.node, self.asked);
        let properties = Properties::builder().message_id(id.clone()).reply_to(self.reply_to.clone()).build();
        let message = Message::builder().properties(properties).application_properties(about).value(body).build();
        within(doing, self.sender.send(message)).await?.map_err(|error| match error {
            SendError::LinkStateError(error) => link(doing, &error),
            SendError::Detached(error) => detached(doing, &error),
            other => Fault::Broken(other.to_string()),
        })?;
        within(doing, self.answer(doing, &MessageId::String(id))).await?
    }

    /// Waits for the answer to one question; older ones are passed over.
    async fn answer(&mut self, doing: Doing, id: &MessageId) -> Result<Answer, Fault> {
        loop {
            let delivery = self.receiver.recv::<Body<Value>>().await.map_err(|error| match error {
                RecvError::LinkStateError(error) => link(doing, &error),
                other => Fault::Broken(other.to_string()),
            })?;
            let message = delivery.into_message();
            if message.properties.and_then(|properties| properties.correlation_id).as_ref() != Some(id) {
                continue;
            }
            let about = message.application_properties.map(|about| about.0).unwrap_or_default();
            let field = |names: [&str; 2]| names.iter().find_map(|name| about.get(*name)).cloned();
            let words = |value: Option<SimpleValue>| match value {
                Some(SimpleValue::String(text)) => Some(text),
                Some(SimpleValue::Symbol(symbol)) => Some(symbol.0),
                _ => None,
            };
            let code = match field(["status-code", "statusCode"]) {
                Some(SimpleValue::Int(code)) => i64::from(code),
                Some(SimpleValue::Long(code)) => code,
                Some(SimpleValue::Uint(code)) => i64::from(code),
                _ => 0,
            };
            let body = match message.body {
                Body::Value(value) => value.0,
                _ => Value::Null,
            };
            let description = words(field(["status-description", "statusDescription"])).unwrap_or_default();
            let condition = words(field(["error-condition", "errorCondition"]));
            return Ok(Answer { code, description, condition, body });
        }
    }
}

impl Answer {
    /// Its body, if its code is one of these.
    ///
    /// # Errors
    /// What the service says instead.
    pub(super) fn good(self, doing: Doing, codes: &[i64]) -> Result<Value, Fault> {
        if codes.contains(&self.code) {
            return Ok(self.body);
        }
        // The conditions that matter here have codes of HTTP; those of AMQP say more in other cases.
        let condition = match (self.code, self.condition) {
            (401 | 403 | 404, _) | (_, None) => self.code.to_string(),
            (_, Some(condition)) => condition,
        };
        Err(Fault::Refused { doing, condition, description: self.description })
    }
}
