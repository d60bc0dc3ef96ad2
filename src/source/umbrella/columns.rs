//! The columns of each folder, by place; and the row of names that some objects begin with.
//!
//! Facts: Cisco, Umbrella and Secure Access documentation, "Log Formats and Versioning" and the page of each log ("DNS", "Web",
//! "Cloud Firewall", "IPS", "DLP", "Admin Audit", "Zero Trust Access Log Formats"); Elastic's `cisco_umbrella` integration for
//! IP layer logs. The version of the schema stands nowhere in an object: every version appends columns to the one before, so a
//! row is read by place as far as it goes, and what is past the known ones is called `extra_1` and so on.
//!
//! Unconfirmed: the order of columns of the first versions (DNS with 10, proxy with 21), and `organization_id` of DNS.

/// What is known of a folder.
#[derive(Debug)]
pub(super) struct Known {
    /// The folders' names: one log has several.
    folders: &'static [&'static str],
    columns: &'static [&'static str],
}

const KNOWN: [Known; 8] = [
    Known {
        folders: &["dnslogs"],
        columns: &[
            "timestamp",
            "most_granular_identity",
            "identities",
            "internal_ip",
            "external_ip",
            "action",
            "query_type",
            "response_code",
            "domain",
            "categories",
            "most_granular_identity_type",
            "identity_types",
            "blocked_categories",
            "rule_id",
            "destination_countries",
            "organization_id",
        ],
    },
    Known {
        folders: &["proxylogs"],
        columns: &[
            "timestamp",
            "policy_identity_label",
            "internal_client_ip",
            "external_client_ip",
            "destination_ip",
            "content_type",
            "action",
            "url",
            "referer",
            "user_agent",
            "status_code",
            "request_size",
            "response_size",
            "response_body_size",
            "sha256",
            "categories",
            "av_detections",
            "puas",
            "amp_disposition",
            "amp_malware_name",
            "amp_score",
            "policy_identity_type",
            "blocked_categories",
            "identities",
            "identity_types",
            "request_method",
            "dlp_status",
            "certificate_errors",
            "file_name",
            "ruleset_id",
            "rule_id",
            "destination_list_ids",
            "isolate_action",
            "file_action",
            "warn_status",
            "forwarding_method",
            "producer",
            "msp_organization_id",
            "geo_location_of_blocked_destination_countries",
            "application_ids",
            "hostname",
            "data_center",
            "egress",
            "server_name",
            "time_based_rule",
            "security_overridden",
            "detected_response_file_type",
            "warn_categories",
            "organization_id",
        ],
    },
    Known {
        folders: &["iplogs"],
        columns: &[
            "timestamp",
            "identity",
            "source_ip",
            "source_port",
            "destination_ip",
            "destination_port",
            "categories",
        ],
    },
    Known {
        folders: &["firewalllogs", "firewallogs", "cloudfirewalllogs"],
        columns: &[
            "timestamp",
            "origin_ids",
            "identities",
            "identity_type",
            "direction",
            "protocol",
            "packet_size",
            "source_ip",
            "source_port",
            "destination_ip",
            "destination_port",
            "data_center",
            "rule_id",
            "action",
            "fqdns",
            "destination_list_ids",
            "first_packet_timestamp",
            "last_packet_timestamp",
            "packets_sent",
            "packets_received",
            "bytes_sent",
            "bytes_received",
            "firewall_event_id",
            "destination_country",
            "app_id",
            "private_resource_id",
            "private_app_group_id",
            "private_flow",
            "posture_id",
            "casi_category_ids",
            "traffic_source",
            "content_category_ids",
            "content_category_list_ids",
            "organization_id",
        ],
    },
    Known {
        folders: &["intrusionlogs"],
        columns: &[
            "timestamp",
            "identities",
            "identity_types",
            "generator_id",
            "signature_id",
            "signature_message",
            "signature_list_id",
            "severity",
            "attack_classification",
            "cves",
            "ip_protocol",
            "session_id",
            "source_ip",
            "source_port",
            "destination_ip",
            "destination_port",
            "action",
            "operation_mode",
            "policy_resource_id",
            "direction",
            "firewall_rule_id",
            "ips_config_type",
            "aws_region",
        ],
    },
    Known {
        folders: &["dlplogs"],
        columns: &[
            "timestamp",
            "event_type",
            "unique_event_id",
            "severity",
            "identity",
            "owner",
            "name",
            "application",
            "destination",
            "action",
            "rule",
            "data_classification",
            "data_identifier",
            "content_type",
            "file_size",
            "sha256",
            "file_label",
            "application_category",
            "traffic_direction",
            "private_resource_name",
            "private_resource_group_name",
            "destination_protocol",
            "destination_ip",
            "destination_port",
            "organization_id",
        ],
    },
    Known {
        folders: &["auditlogs"],
        columns: &["id", "timestamp", "email", "user", "type", "action", "logged_in_from", "before", "after"],
    },
    Known {
        folders: &["ztnalogs"],
        columns: &[
            "timestamp",
            "identity_email",
            "identity_labels",
            "identity_type_labels",
            "hostname",
            "verdict",
            "client_os",
            "client_browser",
            "client_geo_location",
            "client_ip",
            "ruleset_id",
            "rule_id",
            "private_app_group_id",
            "private_app_id",
            "private_resource_id",
            "private_resource_group_id",
            "step_up_auth_type",
            "step_up_auth_result",
            "step_up_auth_token_life",
            "posture_id",
            "requested_id_fqdn",
            "resolved_ip",
            "app_connector_group_id",
            "headend_type",
            "duo_device_id",
            "duo_device_id_string",
            "system_password",
            "client_firewall",
            "disk_encryption",
            "anti_malware_agents",
            "transaction_id",
            "block_reason",
            "application_port",
            "application_protocol",
            "tunnel_type",
            "secure_client_version",
            "possible_match_ruleset_id",
            "possible_match_rule_id",
            "possible_match_posture",
            "source_process_id",
            "source_process_name",
            "source_process_hash",
            "source_process_user_name",
            "organization_id",
            "ad_joined_id",
            "enforced_by",
            "ftd_enforcement_id",
            "ftd_enforcement_name",
            "mdm_source",
            "mdm_device_id",
            "mdm_is_managed",
            "mdm_is_compliant",
            "mdm_last_updated",
        ],
    },
];

/// The names of an object's columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    known: &'static [&'static str],
    /// From the object's own row of names, in place of the known ones.
    own: Vec<String>,
}

impl Columns {
    /// Those of a folder, by the last part of its path; none where it is not known.
    pub(super) fn of(folder: &str) -> Self {
        let folder = folder.rsplit('/').next().unwrap_or_default();
        let known = KNOWN.iter().find(|known| known.folders.contains(&folder));
        Self { known: known.map_or(&[], |known| known.columns), own: Vec::new() }
    }

    /// Takes the first row of an object for names, if that is what it is: there is no date where one must be, but a word.
    pub(super) fn take_names(&mut self, fields: &[impl AsRef<str>]) -> bool {
        let fields: Vec<&str> =
            fields.iter().map(|field| field.as_ref().trim_start_matches('\u{feff}').trim()).collect();
        let is_name = |text: &&&str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-' | '/' | '(' | ')' | '.'))
        };
        let is_time = |text: &&&str| {
            matches!(plain(text).as_str(), "timestamp" | "date" | "time" | "datetime" | "event_timestamp" | "date_time")
        };
        let place = self.known.iter().position(|name| *name == "timestamp");
        let found = match place {
            Some(place) => fields.get(place).filter(is_name).is_some(),
            None => self.known.is_empty() && fields.iter().any(|field| is_time(&field)),
        };
        if !found || fields.iter().any(|field| is_moment(field)) {
            return false;
        }
        self.own.clear();
        for field in fields {
            let name = plain(field);
            let count = self.own.iter().filter(|other| **other == name).count();
            self.own.push(if count > 0 { format!("{name}_{}", self.own.len() + 1) } else { name });
        }
        true
    }

    /// The name of the column at a place, from 0; `None` where nothing is known of the object.
    pub(super) fn name(&self, place: usize) -> Option<std::borrow::Cow<'_, str>> {
        use std::borrow::Cow;
        if let Some(own) = self.own.get(place) {
            return Some(Cow::Borrowed(own));
        }
        if let Some(known) = self.known.get(place).filter(|_| self.own.is_empty()) {
            return Some(Cow::Borrowed(known));
        }
        let count = if self.own.is_empty() { self.known.len() } else { self.own.len() };
        (count > 0).then(|| Cow::Owned(format!("extra_{}", place - count + 1)))
    }
}

/// A column's name in small letters, with `_` between its words.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_").to_ascii_lowercase();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// Whether a field is `YYYY-MM-DD HH:MM:SS`, or ISO 8601, which Elastic's integration takes too. UTC ("DNS Log Formats").
pub(super) fn is_moment(field: &str) -> bool {
    let like = b"0000-00-00 00:00:00";
    field.len() >= like.len()
        && field.bytes().zip(like).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            b' ' => matches!(byte, b' ' | b'T'),
            other => byte == *other,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(columns: &Columns, count: usize) -> Vec<String> {
        (0..count).filter_map(|place| columns.name(place)).map(std::borrow::Cow::into_owned).collect()
    }

    #[test]
    fn every_count_has_names() {
        let dns = Columns::of("1234/dnslogs");
        assert_eq!(names(&dns, 10).last().unwrap(), "categories");
        assert_eq!(names(&dns, 18)[15..], ["organization_id", "extra_1", "extra_2"]);
        assert_eq!(names(&Columns::of("proxylogs"), 49).last().unwrap(), "organization_id");
        let counts = KNOWN.map(|known| known.columns.len());
        assert_eq!(counts, [16, 49, 7, 34, 23, 25, 9, 53]);
        assert!(names(&Columns::of("newlogs"), 5).is_empty());
    }

    #[test]
    fn names_in_the_first_row_are_taken_and_data_is_not() {
        let mut dns = Columns::of("dnslogs");
        assert!(!dns.take_names(&["2026-01-05 10:03:19", "laptop"]));
        assert!(!dns.take_names(&["", "laptop"]), "an empty time is no name");
        assert!(dns.take_names(&["\u{feff}Timestamp", "Most Granular Identity", "timestamp"]));
        assert_eq!(names(&dns, 4), ["timestamp", "most_granular_identity", "timestamp_3", "extra_1"]);
        let mut audit = Columns::of("auditlogs");
        assert!(!audit.take_names(&["", "2026-01-05T10:03:19Z", "a@example.com"]));
        assert!(audit.take_names(&["id", "timestamp", "email"]));
        let mut new = Columns::of("newlogs");
        assert!(!new.take_names(&["a", "b"]));
        assert!(new.take_names(&["Date", "b"]));
        assert_eq!(names(&new, 2), ["date", "b"]);
    }
}
