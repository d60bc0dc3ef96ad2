//! Answers cut into records by place, so that each record is forwarded byte by byte as it came.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The elements of a JSON array, each as it stands there; `None` if it is none.
pub(in crate::source) fn elements(body: &Bytes) -> Option<Vec<Bytes>> {
    let body = plain(body);
    let raw: Vec<&RawValue> = serde_json::from_slice(&body).ok()?;
    Some(raw.into_iter().map(|raw| body.slice_ref(raw.get().as_bytes())).collect())
}

/// A page of OData, or of a query's rows.
#[derive(Debug)]
pub(in crate::source) struct Listed {
    /// Its records.
    pub(in crate::source) records: Vec<Bytes>,
    /// Where the next page is.
    pub(in crate::source) next: Option<String>,
}

/// The records of `{"value":[…],"@odata.nextLink":…}`, or of a query's `Results` (Graph writes `results`).
pub(in crate::source) fn listed(body: &Bytes) -> Option<Listed> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow, alias = "Results", alias = "results")]
        value: Vec<&'a RawValue>,
        #[serde(rename = "@odata.nextLink")]
        next: Option<String>,
    }
    let body = plain(body);
    let envelope: Envelope<'_> = serde_json::from_slice(&body).ok()?;
    let records = envelope.value.into_iter().map(|raw| body.slice_ref(raw.get().as_bytes())).collect();
    Some(Listed { records, next: envelope.next })
}

/// Without a byte order mark.
fn plain(body: &Bytes) -> Bytes {
    if body.starts_with(b"\xef\xbb\xbf") { body.slice(3..) } else { body.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_out_byte_by_byte() {
        let body = Bytes::from_static(b"\xef\xbb\xbf[ {\"b\":1.0,\"a\":639199803770463703} ,\n{\"x\":\"\\u00e9\"} ]");
        let all = elements(&body).unwrap();
        assert_eq!(all, [&b"{\"b\":1.0,\"a\":639199803770463703}"[..], b"{\"x\":\"\\u00e9\"}"]);
        assert!(elements(&Bytes::from_static(b"[{\"a\":1}")).is_none());
        let body = Bytes::from_static(
            b"{\"@odata.context\":\"c\",\"value\":[{\"id\":\"1\"}],\"@odata.nextLink\":\"https://x/?a\"}",
        );
        let page = listed(&body).unwrap();
        assert_eq!((page.records.len(), page.next.as_deref()), (1, Some("https://x/?a")));
        for text in [r#"{"Stats":{},"Schema":[],"Results":[{"a":1},{"a":1}]}"#, r#"{"schema":[],"results":[1,2]}"#] {
            assert_eq!(listed(&Bytes::from_static(text.as_bytes())).unwrap().records.len(), 2);
        }
        assert!(listed(&Bytes::from_static(b"<html>")).is_none());
    }
}
