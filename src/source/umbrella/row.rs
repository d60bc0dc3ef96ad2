//! A row as a record: a JSON object with its place, its columns by name, and its text as it stood.
//!
//! ```json
//! {"Timestamp":"2026-01-05 10:03:19","folder":"dnslogs","bucket":"b","object":"…/dnslogs/2026-01-05/2026-01-05-10-00-a1b2.csv.gz",
//!  "row":1,"columns":{"timestamp":"2026-01-05 10:03:19","domain":"example.com."},"event":{"original":"\"2026-01-05 10:03:19\",…"}}
//! ```
//!
//! Decision: outputs read a pulled record as JSON and take its time from `Timestamp`, so a row goes in as JSON, and nothing has
//! to change there. `event.original` is the whole row, so that nothing is lost of what the columns do not say (empty ones are
//! left out of `columns`); the repetition costs little after compression.
//!
//! An odd row has `"odd":true`; the bytes of one that is not UTF-8 are also in `raw_base64`.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};

use super::columns::{Columns, is_moment};
use super::csv::{Fields, Row};

/// Writes rows of one object; all share one buffer.
#[derive(Debug)]
pub(super) struct Writer {
    /// `"folder":…,"bucket":…,"object":…,"row":`
    place: String,
    columns: Columns,
    buffer: BytesMut,
}

impl Writer {
    pub(super) fn new(folder: &str, bucket: &str, key: &str) -> Self {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let place = format!(r#""folder":{},"bucket":{},"object":{},"row":"#, text(folder), text(bucket), text(key));
        Self { place, columns: Columns::of(folder), buffer: BytesMut::new() }
    }

    /// The record of a row, whose number counts from 1; `None` for the row of names.
    pub(super) fn record(&mut self, row: Row<'_>, number: u64) -> Option<Bytes> {
        let text = String::from_utf8_lossy(row.bytes);
        if number == 1 && !row.is_odd {
            let fields: Vec<_> = Fields::of(&text).collect();
            if self.columns.take_names(&fields) {
                return None;
            }
        }
        let mut to = (&mut self.buffer).writer();
        // Writing to memory cannot fail.
        let _ = to.write_all(b"{");
        if let Some(moment) = Fields::of(&text).take(2).find(|field| is_moment(field)) {
            let _ = to.write_all(br#""Timestamp":"#);
            string(&mut to, &moment);
            let _ = to.write_all(b",");
        }
        let _ = write!(to, "{}{number}", self.place);
        let mut open: &[u8] = br#","columns":{"#;
        for (place, field) in Fields::of(&text).enumerate().filter(|(_, field)| !field.is_empty()) {
            let Some(name) = self.columns.name(place) else { break };
            let _ = to.write_all(open);
            string(&mut to, &name);
            let _ = to.write_all(b":");
            string(&mut to, &field);
            open = b",";
        }
        let _ = to.write_all(if open == b"," { br#"},"event":{"original":"# } else { br#","event":{"original":"# });
        string(&mut to, &text);
        let _ = to.write_all(b"}");
        if row.is_odd {
            let _ = to.write_all(br#","odd":true"#);
        }
        if std::str::from_utf8(row.bytes).is_err() {
            let _ = write!(to, r#","raw_base64":"{}""#, STANDARD.encode(row.bytes));
        }
        let _ = to.write_all(b"}");
        Some(self.buffer.split().freeze())
    }
}

fn string(to: &mut impl std::io::Write, text: &str) {
    // As above.
    let _ = serde_json::to_writer(to, text);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(writer: &mut Writer, row: &[u8], number: u64) -> Option<Value> {
        let bytes = writer.record(Row { bytes: row, is_odd: false }, number)?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn a_row_by_place_and_by_its_own_names() {
        let mut writer = Writer::new("dnslogs", "b", "p/dnslogs/x.csv.gz");
        let row = br#""2026-01-05 10:03:19", "Doe ""J"", x","","","10.0.0.1""#;
        let found = record(&mut writer, row, 1).unwrap();
        assert_eq!(found["Timestamp"], "2026-01-05 10:03:19");
        assert_eq!((&found["row"], &found["object"]), (&json!(1), &json!("p/dnslogs/x.csv.gz")));
        let columns = json!({
            "timestamp": "2026-01-05 10:03:19", "most_granular_identity": "Doe \"J\", x", "external_ip": "10.0.0.1",
        });
        assert_eq!(found["columns"], columns);
        assert_eq!(found["event"]["original"], std::str::from_utf8(row).unwrap());
        let mut writer = Writer::new("dnslogs", "b", "k");
        assert!(record(&mut writer, b"\"timestamp\",\"policy identity\"", 1).is_none());
        assert_eq!(record(&mut writer, row, 2).unwrap()["columns"]["policy_identity"], "Doe \"J\", x");
    }

    #[test]
    fn what_is_not_known_or_odd_goes_out_whole() {
        let mut writer = Writer::new("newlogs", "b", "k");
        let found = record(&mut writer, b"\"x\",\"2026-01-05T10:03:19Z\",\"\xff\"", 1).unwrap();
        assert!(found.get("columns").is_none());
        assert_eq!(
            (&found["Timestamp"], &found["raw_base64"]),
            (&json!("2026-01-05T10:03:19Z"), &json!("IngiLCIyMDI2LTAxLTA1VDEwOjAzOjE5WiIsIv8i"))
        );
        let odd = writer.record(Row { bytes: b"y", is_odd: true }, 2).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&odd).unwrap()["odd"], true);
    }
}
