//! CrowdStrike's clouds, and which hosts belong to them.
//!
//! Facts: the base addresses of CrowdStrike/falconpy (`BaseURL`). The hosts of streams differ from the API's and are taken from
//! the discovery; they are names below the same registrable domain (elastic/beats, input "streaming", `crowdstrike`, refuses others
//! too).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::http::Url;

/// A cloud of CrowdStrike, as the console's address names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FalconCloud {
    /// falcon.crowdstrike.com
    #[default]
    #[serde(rename = "us-1")]
    Us1,
    /// falcon.us-2.crowdstrike.com
    #[serde(rename = "us-2")]
    Us2,
    /// falcon.eu-1.crowdstrike.com
    #[serde(rename = "eu-1")]
    Eu1,
    /// falcon.laggar.gcw.crowdstrike.com
    #[serde(rename = "us-gov-1")]
    UsGov1,
    /// falcon.us-gov-2.crowdstrike.mil
    #[serde(rename = "us-gov-2")]
    UsGov2,
}

impl FalconCloud {
    const ALL: [Self; 5] = [Self::Us1, Self::Us2, Self::Eu1, Self::UsGov1, Self::UsGov2];

    /// The word in settings, and in the header field `X-Cs-Region`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Us1 => "us-1",
            Self::Us2 => "us-2",
            Self::Eu1 => "eu-1",
            Self::UsGov1 => "us-gov-1",
            Self::UsGov2 => "us-gov-2",
        }
    }

    /// The address of its API.
    pub(super) fn api(self) -> &'static str {
        match self {
            Self::Us1 => "https://api.crowdstrike.com",
            Self::Us2 => "https://api.us-2.crowdstrike.com",
            Self::Eu1 => "https://api.eu-1.crowdstrike.com",
            Self::UsGov1 => "https://api.laggar.gcw.crowdstrike.com",
            Self::UsGov2 => "https://api.us-gov-2.crowdstrike.mil",
        }
    }

    /// The cloud of that word.
    pub(super) fn of_region(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.as_str() == word.trim())
    }

    /// The cloud whose API has this host; a host that guides misspell too.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase().replace("lagger", "laggar");
        Self::ALL.into_iter().find(|cloud| cloud.api().strip_prefix("https://") == Some(host.as_str()))
    }
}

/// Whether an address that the API gave may get a token: `https`, below the registrable domain of the API's own host, or below one
/// of `allowed`.
pub(super) fn is_ours(url: &Url, api: &Url, allowed: &[String]) -> bool {
    let (Some(host), Some(own)) = (url.host_str(), api.host_str()) else { return false };
    let below = |domain: &str| {
        host.eq_ignore_ascii_case(domain)
            || host
                .to_ascii_lowercase()
                .strip_suffix(&domain.to_ascii_lowercase())
                .is_some_and(|rest| rest.ends_with('.'))
    };
    let is_name = own.rsplit('.').next().is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
    // The last two labels: true of every domain that CrowdStrike uses. An address of numbers is its own domain.
    let domain =
        if is_name { own.rmatch_indices('.').nth(1).map_or(own, |(at, _)| own.split_at(at + 1).1) } else { own };
    url.scheme() == "https" && (below(domain) || allowed.iter().any(|domain| below(domain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_the_vendors_hosts_only() {
        let url = |text: &str| Url::parse(text).unwrap();
        let api = url(FalconCloud::Eu1.api());
        let ours = |text: &str| is_ours(&url(text), &api, &["streams.example.net".to_owned()]);
        for text in [
            "https://firehose.eu-1.crowdstrike.com/x",
            "https://crowdstrike.com/",
            "https://streams.example.net/",
            "https://a.Streams.example.net:8443/",
        ] {
            assert!(ours(text), "{text}");
        }
        for text in [
            "http://firehose.eu-1.crowdstrike.com/x",
            "https://firehose.evil-crowdstrike.com/",
            "https://crowdstrike.com.example.net/",
            "https://example.net/",
            "https://127.0.0.1/",
        ] {
            assert!(!ours(text), "{text}");
        }
        let api = url("https://127.0.0.1:1");
        assert!(is_ours(&url("https://127.0.0.1:2/x"), &api, &[]) && !is_ours(&url("https://1.0.0.1/x"), &api, &[]));
        assert_eq!(FalconCloud::of_host("api.lagger.gcw.crowdstrike.com"), Some(FalconCloud::UsGov1));
        assert_eq!(FalconCloud::of_region(" us-2"), Some(FalconCloud::Us2));
    }
}
