//! The XML of S3: lists of objects and refusals. The one file that names the XML reader.
//!
//! Facts: AWS, S3 API reference, "ListObjectsV2" and "Error responses".

use serde::Deserialize;

/// An object as it is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::source) struct Listed {
    /// Its name.
    pub(in crate::source) key: String,
    /// Its tag, with quotes: changes with its content.
    #[serde(rename = "ETag")]
    pub(in crate::source) tag: String,
    /// Its length in bytes.
    pub(in crate::source) size: u64,
    /// When it was last written (RFC 3339).
    pub(in crate::source) last_modified: String,
}

/// A page of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::source) struct ListPage {
    /// The objects, in the order of their names' bytes.
    #[serde(rename = "Contents")]
    pub(in crate::source) objects: Vec<Listed>,
    #[serde(rename = "CommonPrefixes")]
    prefixes: Vec<CommonPrefix>,
    /// Whether there are more.
    pub(in crate::source) is_truncated: bool,
    /// Names the next page.
    #[serde(rename = "NextContinuationToken")]
    pub(in crate::source) next: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CommonPrefix {
    prefix: String,
}

impl ListPage {
    /// The folders, where a delimiter was asked for.
    pub(in crate::source) fn folders(&self) -> impl Iterator<Item = &str> {
        self.prefixes.iter().map(|common| common.prefix.as_str())
    }

    /// `None` if it is no list.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        read(body, "<ListBucketResult")
    }
}

/// Why S3 refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    /// Where the bucket is, in some refusals.
    pub(super) region: Option<String>,
}

impl Refusal {
    /// All empty where it is none: a proxy's page, or no body at all.
    pub(super) fn read(body: &[u8]) -> Self {
        read(body, "<Error").unwrap_or_default()
    }
}

/// The code of a refusal, however its body is wrapped.
pub(super) fn code(body: &[u8]) -> Option<String> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code.trim().to_owned())
}

/// The reader takes whatever the root is called, so that is looked at first.
fn read<'de, T: Deserialize<'de>>(body: &'de [u8], root: &str) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let start = start.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or(start, |(_, rest)| rest);
    if !start.trim_start().starts_with(root) {
        return None;
    }
    quick_xml::de::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_folders_and_names_that_need_escapes() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix><KeyCount>3</KeyCount>
<MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated><NextContinuationToken>1ueG/==</NextContinuationToken>
<Contents><Key>d/a&amp;b &lt;&#xe9;&gt;.csv.gz</Key><LastModified>2026-01-05T10:10:00.000Z</LastModified><ETag>&quot;0cc1&quot;</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>d/z</Key><LastModified>2026-01-05T10:10:00.000Z</LastModified><ETag>"x"</ETag><Size>0</Size></Contents>
<CommonPrefixes><Prefix>dnslogs/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>proxylogs/</Prefix></CommonPrefixes></ListBucketResult>"#;
        let page = ListPage::read(body).unwrap();
        assert_eq!(page.objects[0].key, "d/a&b <é>.csv.gz");
        assert_eq!((page.objects[0].tag.as_str(), page.objects[0].size), ("\"0cc1\"", 5));
        assert_eq!(page.folders().collect::<Vec<_>>(), ["dnslogs/", "proxylogs/"]);
        assert_eq!((page.is_truncated, page.next.as_deref(), page.objects.len()), (true, Some("1ueG/=="), 2));
        let empty = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        assert!(ListPage::read(empty).unwrap().objects.is_empty());
        for odd in
            [&b"<html><body/></html>"[..], b"", b"<Error><Code>x</Code></Error>", b"<ListBucketResult><Contents>"]
        {
            assert!(ListPage::read(odd).is_none());
        }
    }

    #[test]
    fn a_refusal() {
        let body = b"<?xml version=\"1.0\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region><RequestId>1</RequestId></Error>";
        let refusal = Refusal::read(body);
        assert_eq!(
            (refusal.code.as_str(), refusal.region.as_deref()),
            ("AuthorizationHeaderMalformed", Some("eu-central-1"))
        );
        assert_eq!(Refusal::read(b"<html>").code, "");
    }
}
