//! A bucket: lists of its objects, and an object piece by piece.
//!
//! Facts: AWS, S3 API reference, "ListObjectsV2" and "GetObject"; S3 user guide, "Virtual hosting of general purpose buckets"
//! (names with dots do not fit the certificate, so they go into the path) and "Amazon S3 endpoints".

use std::path::PathBuf;
use std::sync::Arc;

use super::sign::{AccessKey, ToSign, sign};
use super::words::{self, Advice, Missing, Names};
use super::xml::ListPage;
use crate::net::http::header::HeaderName;
use crate::net::http::{Answer, Url};
use crate::secret::Secret;
use crate::source::SourceError;
use crate::source::pull::{Reply, Trouble, Way};
use crate::source::sign::encode;

/// 1,000 objects with names of 1,024 bytes, each byte escaped, fit.
const LONGEST_LIST: usize = 8 << 20;
/// A refusal is shorter.
const LONGEST_REFUSAL: usize = 64 << 10;

/// What is signed with.
#[derive(Clone, Debug)]
pub(in crate::source) struct Login {
    pub(in crate::source) key_id: String,
    /// Read for each request, so that a new secret is taken into use by itself.
    pub(in crate::source) secret_file: PathBuf,
    pub(in crate::source) region: String,
}

/// Where a bucket is.
#[derive(Clone, Debug)]
pub(in crate::source) struct Place<'a> {
    /// In place of AWS's own address.
    pub(in crate::source) endpoint: Option<Url>,
    /// Whether the bucket's name goes into the path.
    pub(in crate::source) is_path_style: bool,
    pub(in crate::source) bucket: &'a str,
}

/// A bucket that is read.
#[derive(Debug)]
pub(in crate::source) struct Bucket {
    way: Arc<Way>,
    login: Login,
    /// Ends with a slash.
    root: Url,
    names: Names,
}

/// What is listed.
#[derive(Clone, Debug, Default)]
pub(in crate::source) struct Listing<'a> {
    /// Names begin so.
    pub(in crate::source) prefix: &'a str,
    /// Whether what follows the prefix is cut at the next `/`, into folders.
    pub(in crate::source) is_folders: bool,
    /// Names after this one.
    pub(in crate::source) after: Option<&'a str>,
    /// The next page of the same question.
    pub(in crate::source) token: Option<&'a str>,
    /// At most so many; 1,000 where the vendor decides.
    pub(in crate::source) most: Option<u32>,
}

impl Login {
    /// Signs a request by the vendor's clock.
    ///
    /// # Errors
    /// When the secret's file cannot be used.
    pub(super) async fn sign(
        &self,
        way: &Way,
        service: &str,
        url: &Url,
        fields: &[(HeaderName, String)],
        body: Option<&[u8]>,
    ) -> Result<Vec<(HeaderName, String)>, Trouble> {
        let text = tokio::fs::read_to_string(&self.secret_file).await;
        let text = text.map_err(|error| words::no_secret(&self.secret_file, &format!("cannot be read ({error})")))?;
        let text = Secret::new(text);
        let secret = text.expose().trim().to_owned();
        if secret.is_empty() {
            return Err(words::no_secret(&self.secret_file, "is empty"));
        }
        let key = AccessKey { id: self.key_id.clone(), secret: Secret::new(secret) };
        let method = if body.is_some() { "POST" } else { "GET" };
        let (region, body) = (self.region.as_str(), body.unwrap_or_default());
        Ok(sign(&ToSign { method, url, region, service, fields, body }, &key, way.now()))
    }
}

impl Bucket {
    /// # Errors
    /// When there is no such address.
    pub(in crate::source) fn new(
        way: Arc<Way>,
        login: Login,
        place: &Place<'_>,
        advice: Advice,
    ) -> Result<Self, SourceError> {
        let (bucket, region) = (place.bucket, login.region.as_str());
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let is_path_style = place.is_path_style || bucket.contains('.');
        let wrong = |_| SourceError::Settings("bucket, region or endpoint make no address".to_owned());
        let mut root = match &place.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Url::parse(&format!("https://s3.{region}.{domain}/")).map_err(wrong)?,
        };
        if is_path_style {
            root = root.join(&format!("{}/", encode(bucket, b""))).map_err(wrong)?;
        } else {
            let host = format!("{bucket}.{}", root.host_str().unwrap_or_default());
            root.set_host(Some(&host)).map_err(wrong)?;
        }
        let names = Names { bucket: bucket.to_owned(), region: region.to_owned(), advice };
        Ok(Self { way, login, root, names })
    }

    /// How it is reached, and the vendor's clock.
    pub(in crate::source) fn way(&self) -> &Arc<Way> {
        &self.way
    }

    /// Its name.
    pub(in crate::source) fn name(&self) -> &str {
        &self.names.bucket
    }

    /// A page of a list.
    ///
    /// # Errors
    /// In words, whatever keeps it from being listed.
    ///
    /// # Cancel safety
    /// Safe.
    pub(in crate::source) async fn list(&self, listing: &Listing<'_>) -> Result<ListPage, Trouble> {
        let most = listing.most.map(|most| most.to_string());
        let pairs = [
            ("continuation-token", listing.token),
            ("delimiter", listing.is_folders.then_some("/")),
            ("list-type", Some("2")),
            ("max-keys", most.as_deref()),
            ("prefix", Some(listing.prefix)),
            ("start-after", listing.after),
        ];
        let pairs = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?, b""))));
        let mut url = self.root.clone();
        url.set_query(Some(&pairs.collect::<Vec<_>>().join("&")));
        let answer = self.get(&url).await?.map_err(|reply| words::refused(&reply, &self.names))?;
        let reply = self.way.whole(answer, LONGEST_LIST, &[]).await?;
        let odd = || Trouble::protocol("the answer for a list of objects is no list", "check endpoint and the proxy");
        ListPage::read(&reply.body).ok_or_else(odd)
    }

    /// An object, of which the body has not been read.
    ///
    /// # Errors
    /// In words, why there is none.
    ///
    /// # Cancel safety
    /// Safe.
    pub(in crate::source) async fn open(&self, key: &str) -> Result<Answer, Missing> {
        let wrong = |error| Trouble::protocol(format!("an object's name makes no address: {error}"), "");
        let url = Url::parse(&format!("{}{}", self.root, encode(key, b"/"))).map_err(wrong)?;
        self.get(&url).await?.map_err(|reply| words::missing(&reply, &self.names))
    }

    /// Asks; once more where our clock was too far off, which the answer has told. A refusal is read whole.
    async fn get(&self, url: &Url) -> Result<Result<Answer, Reply>, Trouble> {
        let mut is_second = false;
        loop {
            let fields = self.login.sign(&self.way, "s3", url, &[], None).await?;
            let answer = self.way.open(url, &fields).await?;
            if answer.code() == 200 {
                return Ok(Ok(answer));
            }
            let region = [HeaderName::from_static("x-amz-bucket-region")];
            let reply = self.way.whole(answer, LONGEST_REFUSAL, &region).await?;
            if !words::is_skewed(&reply) || std::mem::replace(&mut is_second, true) {
                return Ok(Err(reply));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::net::tls::ClientConfig;
    use crate::quantity::Span;
    use crate::source::pull::Route;

    fn root(region: &str, endpoint: Option<&str>, is_path_style: bool, bucket: &str) -> String {
        let tls = ClientConfig::default();
        let route = Route {
            connect_timeout: Span::secs(1),
            backoff: (Span::secs(1), Span::secs(1)),
            proxy: None,
            proxy_user: None,
            proxy_password_file: None,
            tls: &tls,
        };
        let way = Arc::new(Way::new(&route, Clock::System));
        let login = Login { key_id: "AKIA".into(), secret_file: "/nowhere".into(), region: region.into() };
        let endpoint = endpoint.map(|text| Url::parse(text).unwrap());
        let advice = Advice { new_key: "", bucket: "", region: "", rights: "", queue: "", queue_rights: "" };
        Bucket::new(way, login, &Place { endpoint, is_path_style, bucket }, advice).unwrap().root.to_string()
    }

    #[test]
    fn addresses_of_every_kind() {
        for (region, endpoint, is_path_style, bucket, expected) in [
            (
                "eu-central-1",
                None,
                false,
                "cisco-managed-eu-central-1",
                "https://cisco-managed-eu-central-1.s3.eu-central-1.amazonaws.com/",
            ),
            ("cn-north-1", None, false, "logs", "https://logs.s3.cn-north-1.amazonaws.com.cn/"),
            ("us-east-1", None, false, "my.logs", "https://s3.us-east-1.amazonaws.com/my.logs/"),
            ("us-east-1", None, true, "logs", "https://s3.us-east-1.amazonaws.com/logs/"),
            ("x", Some("https://127.0.0.1:9000/"), true, "logs", "https://127.0.0.1:9000/logs/"),
            ("x", Some("https://s3.example.net/"), false, "logs", "https://logs.s3.example.net/"),
        ] {
            assert_eq!(root(region, endpoint, is_path_style, bucket), expected);
        }
    }
}
