//! AMQP 1.0 as Event Hubs speaks it: a connection with its two request links (`$cbs`, `$management`), and readers of
//! partitions. The only folder that names the AMQP library.
//!
//! In: a stream, tokens, addresses, positions. Out: properties, events. Every answer is waited for at most 30 s; a
//! connection on which nothing comes for [`IDLE`] is broken.
//!
//! Facts: OASIS AMQP 1.0; Microsoft, "AMQP 1.0 in Azure Service Bus and Event Hubs protocol guide" (SASL ANONYMOUS, `$cbs`
//! put-token, one pair of its links per connection), read 2026-11; azure-eventhub for Python 5.15 (audience of the token,
//! `$management` READ, receiver address, filter and owner level). Settlement does not move anything in an event hub; events
//! are accepted because links without acceptance stall.

mod ask;
mod refusal;

use std::fmt;
use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{ReceiverAttachError, RecvError};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Session};
use fe2o3_amqp_types::definitions::Fields;
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, FilterSet, Message, MessageAnnotations, Source};
use fe2o3_amqp_types::primitives::{Symbol, Value};
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use tokio::time::timeout;

use self::ask::Asker;
use self::refusal::{link, refused, stopped, within};
use super::fault::{Doing, Fault};
use super::feed::Inflow;
use super::login::Token;
use super::socket::Bytes;

/// Silence after which the connection is broken. The peer is told half of it and sends empty frames at that pace; Microsoft's
/// .NET library takes the same minute.
const IDLE: Duration = Duration::from_secs(60);
/// The largest frame we take: what the vendor's libraries say. Larger events come in several.
const MAX_FRAME: u32 = 64 << 10;
/// Sessions of one connection, one for each partition and group: what the service allows.
const MAX_SESSIONS: u16 = 4_999;
/// The largest event: 1 MiB, and 20 MiB in clusters of one's own (Microsoft, "Event Hubs quotas and limits").
const MAX_EVENT: u64 = 24 << 20;
/// The descriptor of the selector filter (`apache.org:selector-filter:string`).
const SELECTOR: u64 = 0x0000_468c_0000_0004;

/// A logged-in connection.
pub(super) struct Wire {
    connection: ConnectionHandle<()>,
    /// Holds the request links; dropping it ends them.
    session: SessionHandle<()>,
    cbs: Asker,
    management: Option<Asker>,
}

/// Properties of an event hub.
#[derive(Clone, Debug)]
pub(super) struct HubFacts {
    /// When it was made: milliseconds since 1970.
    pub(super) created: i64,
    pub(super) partitions: Vec<String>,
}

/// Properties of a partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionFacts {
    /// The oldest event that is still there.
    pub(super) begin: i64,
    /// The newest; -1 if there never was one.
    pub(super) last: i64,
    pub(super) last_offset: String,
    pub(super) is_empty: bool,
}

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From<'a> {
    Earliest,
    After { offset: &'a str },
}

/// What a reader is attached by.
#[derive(Debug)]
pub(super) struct Attach<'a> {
    pub(super) hub: &'a str,
    pub(super) group: &'a str,
    pub(super) partition: &'a str,
    pub(super) from: From<'a>,
    /// With it, other readers are kept out.
    pub(super) owner_level: Option<u32>,
}

/// A reader of one partition.
pub(super) struct Reader {
    receiver: Receiver,
    /// What came and was not accepted; as many as were allowed at most.
    receipts: Vec<DeliveryInfo>,
    /// Dropping it ends the link.
    _session: SessionHandle<()>,
}

/// An event of the hub.
pub(super) struct Event {
    pub(super) sequence: i64,
    pub(super) offset: String,
    /// Milliseconds since 1970.
    pub(super) enqueued: i64,
    pub(super) key: Option<String>,
    /// The bytes of all data sections; `None` for a body of another kind.
    pub(super) body: Option<Vec<u8>>,
}

impl Wire {
    /// Opens a connection on a stream.
    ///
    /// # Errors
    /// As the service refuses it, or the stream breaks.
    pub(super) async fn open(stream: Box<dyn Bytes>, host: &str) -> Result<Self, Fault> {
        let idle = u32::try_from(IDLE.as_millis()).unwrap_or(u32::MAX);
        let opened = Connection::builder()
            .container_id(format!("sapphire-edge-{:016x}", rand::random::<u64>()))
            .hostname(host)
            .scheme("amqp")
            .sasl_profile(SaslProfile::Anonymous)
            .max_frame_size(MAX_FRAME)
            .channel_max(MAX_SESSIONS)
            .idle_time_out(idle)
            .open_with_stream(stream);
        let mut connection = within(Doing::Connect, opened).await?.map_err(|error| match error {
            fe2o3_amqp::connection::OpenError::RemoteClosedWithError(refusal) => refused(Doing::Connect, &refusal),
            other => Fault::Broken(other.to_string()),
        })?;
        let mut session = within(Doing::Connect, Session::begin(&mut connection))
            .await?
            .map_err(|error| Fault::Broken(error.to_string()))?;
        let cbs = Asker::attach(&mut session, "$cbs").await?;
        Ok(Self { connection, session, cbs, management: None })
    }

    /// Shows a token for a resource, or a newer one.
    ///
    /// # Errors
    /// As the service refuses it.
    pub(super) async fn login(&mut self, audience: &str, token: &Token) -> Result<(), Fault> {
        let about = ApplicationProperties::builder()
            .insert("operation", "put-token")
            .insert("type", token.kind)
            .insert("name", audience)
            .build();
        let answer = self.cbs.ask(Doing::Login, about, Value::String(token.text.to_string())).await?;
        // The service says 202; the protocol guide allows 200.
        answer.good(Doing::Login, &[202, 200]).map(drop)
    }

    /// Asks for a hub's properties.
    ///
    /// # Errors
    /// As the service refuses it, or answers nonsense.
    pub(super) async fn hub(&mut self, hub: &str, token: &Token) -> Result<HubFacts, Fault> {
        let map = self.read("com.microsoft:eventhub", hub, None, token).await?;
        let partitions = match map.get("partition_ids") {
            Some(Value::Array(array)) => array.0.clone(),
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        };
        let partitions: Vec<String> = partitions.into_iter().filter_map(|id| text(&id)).collect();
        if partitions.is_empty() {
            return Err(Fault::Broken("its properties name no partition".into()));
        }
        Ok(HubFacts { created: number(map.get("created_at")).unwrap_or(0), partitions })
    }

    /// Asks for a partition's properties.
    ///
    /// # Errors
    /// As [`Wire::hub`].
    pub(super) async fn partition(&mut self, hub: &str, id: &str, token: &Token) -> Result<PartitionFacts, Fault> {
        let map = self.read("com.microsoft:partition", hub, Some(id), token).await?;
        let missing = || Fault::Broken("a partition's properties are incomplete".into());
        Ok(PartitionFacts {
            begin: number(map.get("begin_sequence_number")).ok_or_else(missing)?,
            last: number(map.get("last_enqueued_sequence_number")).ok_or_else(missing)?,
            last_offset: map.get("last_enqueued_offset").and_then(text).unwrap_or_default(),
            is_empty: matches!(map.get("is_partition_empty"), Some(Value::Bool(true))),
        })
    }

    async fn read(&mut self, kind: &str, hub: &str, partition: Option<&str>, token: &Token) -> Result<Map, Fault> {
        let mut about = ApplicationProperties::builder()
            .insert("operation", "READ")
            .insert("type", kind)
            .insert("name", hub)
            .insert("security_token", token.text.as_str());
        if let Some(partition) = partition {
            about = about.insert("partition", partition);
        }
        let management = match &mut self.management {
            Some(management) => management,
            None => self.management.insert(Asker::attach(&mut self.session, "$management").await?),
        };
        let answer = management.ask(Doing::Ask, about.build(), Value::Null).await?;
        match answer.good(Doing::Ask, &[200])? {
            Value::Map(map) => Ok(Map(map.into_iter().filter_map(|(key, value)| Some((text(&key)?, value))).collect())),
            _ => Err(Fault::Broken("the answer to a question about the event hub is no map".into())),
        }
    }

    /// Attaches a reader to a partition. It gets nothing until it is given credit.
    ///
    /// # Errors
    /// As the service refuses it.
    pub(super) async fn attach(&mut self, attach: &Attach<'_>) -> Result<Reader, Fault> {
        let Attach { hub, group, partition, from, owner_level } = attach;
        let begun = within(Doing::Read, Session::begin(&mut self.connection)).await?;
        let mut session = begun.map_err(|error| Fault::Broken(error.to_string()))?;
        let after = match from {
            From::Earliest => "-1",
            From::After { offset } => offset,
        };
        let selector = format!("amqp.annotation.x-opt-offset > '{}'", after.replace('\'', "''"));
        let selector = Described { descriptor: Descriptor::Code(SELECTOR), value: Value::String(selector) };
        let mut filter = FilterSet::new();
        filter.insert(Symbol::from("apache.org:selector-filter:string"), Value::Described(Box::new(selector)));
        let address = format!("{hub}/ConsumerGroups/{group}/Partitions/{partition}");
        let source = Source::builder().address(address).filter(filter).build();
        let mut properties = Fields::new();
        if let Some(level) = owner_level {
            properties.insert(Symbol::from("com.microsoft:epoch"), Value::Long(i64::from(*level)));
        }
        let attached = Receiver::builder()
            .name(format!("sapphire-edge-{partition}-{:016x}", rand::random::<u64>()))
            .source(source)
            .credit_mode(CreditMode::Manual)
            .properties(properties)
            .max_message_size(MAX_EVENT)
            .verify_incoming_source(false)
            .attach(&mut session);
        let receiver = within(Doing::Read, attached).await?.map_err(|error| match error {
            ReceiverAttachError::RemoteClosedWithError(refusal) => refused(Doing::Read, &refusal),
            ReceiverAttachError::SessionStopped(reason) => stopped(&reason),
            other => Fault::Broken(other.to_string()),
        })?;
        Ok(Reader { receiver, receipts: Vec::new(), _session: session })
    }

    /// Waits until the connection ends by itself.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn ended(&mut self) -> Fault {
        match self.connection.on_close().await {
            Err(fe2o3_amqp::connection::Error::RemoteClosedWithError(refusal)) => refused(Doing::Connect, &refusal),
            Err(error) => Fault::Broken(error.to_string()),
            Ok(()) => Fault::Broken("it was closed".into()),
        }
    }

    /// Says farewell, for a moment at most.
    pub(super) async fn close(mut self) {
        let _ = timeout(FAREWELL, self.connection.close()).await;
    }
}

/// The answer to a farewell changes nothing.
const FAREWELL: Duration = Duration::from_millis(500);

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Inflow for Reader {
    async fn allow(&mut self, events: u32) {
        let _ = self.receiver.set_credit(events).await;
    }

    async fn next(&mut self) -> Result<Option<Event>, Fault> {
        match self.receiver.recv::<Body<Value>>().await {
            Ok(delivery) => {
                let (receipt, message) = delivery.into_parts();
                self.receipts.push(receipt);
                Ok(Some(event(message)))
            }
            Err(RecvError::MessageDecode(error)) => {
                self.receipts.push(error.info);
                Ok(None)
            }
            Err(RecvError::LinkStateError(error)) => Err(link(Doing::Read, &error)),
            Err(error) => Err(Fault::Broken(error.to_string())),
        }
    }

    async fn accept(&mut self) {
        let receipts = std::mem::take(&mut self.receipts);
        if !receipts.is_empty() {
            let _ = self.receiver.accept_all(receipts).await;
        }
    }
}

fn event(message: Message<Body<Value>>) -> Event {
    let annotations = message.message_annotations.as_ref();
    let body = match message.body {
        Body::Data(data) => {
            let mut sections = data.into_iter().map(|section| section.0.into_vec());
            let first = sections.next().unwrap_or_default();
            Some(sections.fold(first, |mut all, section| {
                all.extend(section);
                all
            }))
        }
        Body::Value(value) => match value.0 {
            Value::String(text) => Some(text.into_bytes()),
            Value::Binary(bytes) => Some(bytes.into_vec()),
            _ => None,
        },
        Body::Sequence(_) | Body::Empty => None,
    };
    Event {
        sequence: number(annotation(annotations, "x-opt-sequence-number")).unwrap_or(-1),
        offset: annotation(annotations, "x-opt-offset").and_then(text).unwrap_or_default(),
        enqueued: number(annotation(annotations, "x-opt-enqueued-time")).unwrap_or(0),
        key: annotation(annotations, "x-opt-partition-key").and_then(text),
        body,
    }
}

fn annotation<'a>(annotations: Option<&'a MessageAnnotations>, name: &str) -> Option<&'a Value> {
    let key: &dyn fe2o3_amqp_types::messaging::annotations::AnnotationKey = &name;
    annotations?.0.get(key)
}

/// A map with text keys.
struct Map(std::collections::BTreeMap<String, Value>);

impl Map {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }
}

fn number(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Long(number) => Some(*number),
        Value::Int(number) => Some(i64::from(*number)),
        Value::Uint(number) => Some(i64::from(*number)),
        Value::Ulong(number) => i64::try_from(*number).ok(),
        Value::Timestamp(time) => Some(time.milliseconds()),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Symbol(symbol) => Some(symbol.0.clone()),
        _ => None,
    }
}
