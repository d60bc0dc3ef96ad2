//! Records of Azure event hubs: where they stood, and of which stream they are.
//!
//! In: a record as the queue keeps it (a line of JSON with its [`Place`], then the bytes as they came). Out: its place, and
//! a [`Label`] read from the record itself. The record is never changed; a record that is no JSON gets no label but its
//! hub's.
//!
//! Facts: Microsoft, "Common and service-specific schemas for Azure resource logs" (`time`, `resourceId`, `category`),
//! "Application Gateway diagnostics" (`timeStamp` in the v2 SKU), "Stream Microsoft Defender XDR events" (category
//! `AdvancedHunting-` and the table), "Stream Entra logs to an event hub" (resource `microsoft.aadiam`), read 2026-11. Intune
//! shares the category `AuditLogs` with Entra and is told apart by its missing Entra resource.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;

/// Where a record stood in its event hub, and what was odd about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveDeserialize)]
pub struct Place<'a> {
    /// The namespace's host name.
    #[serde(borrow)]
    pub namespace: Cow<'a, str>,
    /// The event hub.
    #[serde(borrow)]
    pub hub: Cow<'a, str>,
    /// The consumer group it was read by.
    #[serde(borrow)]
    pub group: Cow<'a, str>,
    /// The partition.
    #[serde(borrow)]
    pub partition: Cow<'a, str>,
    /// The sequence number of the hub's event.
    pub sequence: i64,
    /// Its offset, which is text.
    #[serde(borrow)]
    pub offset: Cow<'a, str>,
    /// When the hub took it: milliseconds since 1970.
    pub enqueued: u64,
    /// Its partition key.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Cow<'a, str>>,
    /// Its number in the event's envelope, from 0.
    pub record: u32,
    /// What was odd, as a word.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Cow<'a, str>>,
}

impl<'a> Place<'a> {
    /// Appends the stored form: the line, and the record behind it.
    pub fn write(&self, record: &[u8], to: &mut Vec<u8>) {
        // Strings and numbers in memory: this cannot fail.
        let _ = serde_json::to_writer(&mut *to, self);
        to.push(b'\n');
        to.extend_from_slice(record);
    }

    /// Takes the stored form apart; `None` if it is not that.
    #[must_use]
    pub fn read(stored: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let end = memchr::memchr(b'\n', stored)?;
        let (line, rest) = stored.split_at_checked(end)?;
        Some((serde_json::from_slice(line).ok()?, rest.get(1..)?))
    }
}

/// What a record says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label<'a> {
    /// The stream, by the names of Elastic's Azure integration where it has one.
    pub dataset: &'static str,
    /// The record's own time.
    pub time: Option<Timestamp>,
    /// `category`.
    pub category: Option<Cow<'a, str>>,
    /// `resourceId`.
    pub resource: Option<Cow<'a, str>>,
}

/// What no rule knows.
const UNKNOWN: &str = "azure.eventhub";

/// Recognises a record's stream.
#[must_use]
pub fn label<'a>(record: &'a [u8], hub: &str) -> Label<'a> {
    let Ok(found) = serde_json::from_slice::<Found<'_>>(record) else {
        return Label { dataset: by_hub(hub).unwrap_or(UNKNOWN), ..Label::default() };
    };
    let category = found.category.as_deref().unwrap_or_default();
    let resource = found.resource.as_deref().unwrap_or_default().to_ascii_lowercase();
    let dataset = by_category(category, &resource)
        .or_else(|| by_resource(&resource, &found))
        .or_else(|| by_hub(hub))
        .unwrap_or(UNKNOWN);
    let time = found.time.as_deref().and_then(Timestamp::said);
    Label { dataset, time, category: found.category, resource: found.resource }
}

fn by_category(category: &str, resource: &str) -> Option<&'static str> {
    let is_entra = resource.contains("microsoft.aadiam");
    Some(match category {
        "SignInLogs"
        | "NonInteractiveUserSignInLogs"
        | "ServicePrincipalSignInLogs"
        | "ManagedIdentitySignInLogs"
        | "ADFSSignInLogs" => "azure.signinlogs",
        "AuditLogs" if is_entra => "azure.auditlogs",
        "RiskyUsers" | "UserRiskEvents" | "RiskyServicePrincipals" | "ServicePrincipalRiskEvents" => {
            "azure.identity_protection"
        }
        "ProvisioningLogs" => "azure.provisioning",
        "AuditLogs" | "OperationalLogs" | "DeviceComplianceOrg" | "Devices" if resource.is_empty() => "azure.intune",
        "SQLSecurityAuditEvents" | "DevOpsOperationsAudit" => "azure.sql",
        "Administrative" | "Security" | "ServiceHealth" | "Alert" | "Recommendation" | "Policy" | "Autoscale"
        | "ResourceHealth" => "azure.activitylogs",
        _ if category.starts_with("AdvancedHunting-") => "azure.defender_atp",
        _ if category.starts_with("ApplicationGateway") => "azure.application_gateway",
        _ if is_entra => "azure.entra",
        _ => return None,
    })
}

fn by_resource(resource: &str, found: &Found<'_>) -> Option<&'static str> {
    if resource.contains("/microsoft.sql/") {
        return Some("azure.sql");
    }
    if resource.contains("/microsoft.network/applicationgateways/") {
        return Some("azure.application_gateway");
    }
    if resource.is_empty() {
        return None;
    }
    Some(if found.is_metric { "azure.metrics" } else { "azure.platformlogs" })
}

/// The names that Azure gives a hub where the administrator chooses none.
fn by_hub(hub: &str) -> Option<&'static str> {
    let hub = hub.to_ascii_lowercase();
    Some(match hub.strip_prefix("insights-logs-").unwrap_or(&hub) {
        "insights-operational-logs" | "insights-activity-logs" => "azure.activitylogs",
        "auditlogs" => "azure.auditlogs",
        "sqlsecurityauditevents" => "azure.sql",
        rest if rest.ends_with("signinlogs") => "azure.signinlogs",
        rest if rest.starts_with("advancedhunting") => "azure.defender_atp",
        rest if rest.starts_with("applicationgateway") => "azure.application_gateway",
        rest if rest.starts_with("insights-metrics") => "azure.metrics",
        _ if hub.starts_with("insights-logs-") => "azure.platformlogs",
        _ => return None,
    })
}

/// The members that matter, whatever the case of their names.
#[derive(Default)]
struct Found<'a> {
    time: Option<Cow<'a, str>>,
    category: Option<Cow<'a, str>>,
    resource: Option<Cow<'a, str>>,
    is_metric: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Found<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Found<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
                let mut found = Found::default();
                while let Some(name) = map.next_key()? {
                    let place = match name {
                        Name::Time => &mut found.time,
                        Name::Category => &mut found.category,
                        Name::Resource => &mut found.resource,
                        Name::Metric | Name::Other => {
                            found.is_metric |= matches!(name, Name::Metric);
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let value = text(map.next_value::<&RawValue>()?.get());
                    *place = place.take().or(value);
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A JSON string's text; `None` if it is another value.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

#[derive(Clone, Copy)]
enum Name {
    Time,
    Category,
    Resource,
    Metric,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                let names = [
                    ("time", Name::Time),
                    ("timestamp", Name::Time),
                    ("category", Name::Category),
                    ("resourceid", Name::Resource),
                    ("metricname", Name::Metric),
                ];
                let known = names.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
                Ok(known.map_or(Name::Other, |(_, name)| *name))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> Place<'static> {
        Place {
            namespace: "contoso.servicebus.windows.net".into(),
            hub: "insights-logs-auditlogs".into(),
            group: "$Default".into(),
            partition: "0".into(),
            sequence: 7,
            offset: "4096".into(),
            enqueued: 1_795_500_000_000,
            key: Some("a\n\"b".into()),
            record: 2,
            mark: None,
        }
    }

    proptest! {
        #[test]
        fn a_stored_record_comes_back(record in proptest::collection::vec(any::<u8>(), 0..200), key in ".{0,20}") {
            let place = Place { key: Some(key.into()), ..place() };
            let mut stored = Vec::new();
            place.write(&record, &mut stored);
            prop_assert_eq!(Place::read(&stored), Some((place, &record[..])));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), hub in ".{0,20}") {
            let _ = Place::read(&bytes);
            let _ = label(&bytes, &hub);
        }
    }

    #[test]
    fn every_stream_of_the_customer_guide_is_recognised() {
        let entra = r#""resourceId":"/tenants/t/providers/Microsoft.aadiam""#;
        for (record, hub, dataset) in [
            (format!(r#"{{"category":"AuditLogs",{entra}}}"#), "h", "azure.auditlogs"),
            (format!(r#"{{"category":"SignInLogs",{entra}}}"#), "h", "azure.signinlogs"),
            (format!(r#"{{"category":"NonInteractiveUserSignInLogs",{entra}}}"#), "h", "azure.signinlogs"),
            (format!(r#"{{"category":"RiskyUsers",{entra}}}"#), "h", "azure.identity_protection"),
            (format!(r#"{{"category":"New",{entra}}}"#), "h", "azure.entra"),
            (r#"{"category":"AuditLogs","tenantId":"t"}"#.into(), "h", "azure.intune"),
            (r#"{"category":"Administrative","resourceId":"/SUBSCRIPTIONS/S"}"#.into(), "h", "azure.activitylogs"),
            (r#"{"category":"ApplicationGatewayAccessLog"}"#.into(), "h", "azure.application_gateway"),
            (r#"{"category":"SQLSecurityAuditEvents"}"#.into(), "h", "azure.sql"),
            (r#"{"category":"X","resourceId":"/s/providers/Microsoft.Sql/servers/a"}"#.into(), "h", "azure.sql"),
            (r#"{"category":"AdvancedHunting-DeviceEvents"}"#.into(), "h", "azure.defender_atp"),
            (
                r#"{"category":"AuditEvent","resourceId":"/S/PROVIDERS/MICROSOFT.KEYVAULT/V"}"#.into(),
                "h",
                "azure.platformlogs",
            ),
            (r#"{"metricName":"cpu","resourceId":"/S/x"}"#.into(), "h", "azure.metrics"),
            (r#"{"a":1}"#.into(), "insights-operational-logs", "azure.activitylogs"),
            ("no json".into(), "insights-logs-signinlogs", "azure.signinlogs"),
            ("no json".into(), "mine", "azure.eventhub"),
        ] {
            assert_eq!(label(record.as_bytes(), hub).dataset, dataset, "{record}");
        }
    }

    #[test]
    fn the_time_is_the_records_own() {
        for (record, time) in [
            (r#"{"time":"2026-01-05T10:02:23.0616003Z"}"#, Some("2026-01-05T10:02:23.061Z")),
            (r#"{"timeStamp":"2026-01-05T10:00:01+00:00"}"#, Some("2026-01-05T10:00:01.000Z")),
            (r#"{"time":"1/5/2026 10:00:02 AM"}"#, None),
            (r#"{"time":12}"#, None),
            (r#"{"time":"2026-01-05T10:00:01Z","Time":"x"}"#, Some("2026-01-05T10:00:01.000Z")),
        ] {
            assert_eq!(label(record.as_bytes(), "h").time.map(|time| time.to_string()).as_deref(), time, "{record}");
        }
    }
}
