//! The clouds and their hosts. Every one can be replaced by a setting of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cloud; tokens and registrations of one are of no use in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// The worldwide one.
    #[default]
    Commercial,
    /// US Government Community Cloud.
    Gcc,
    /// US Government Community Cloud High.
    GccHigh,
    /// US Department of Defense.
    Dod,
    /// China, operated by 21Vianet.
    China,
}

impl Cloud {
    /// Where Entra gives tokens (entra-docs, "national clouds"; GCC uses the commercial one).
    #[must_use]
    pub fn login(self) -> &'static str {
        match self {
            Self::Commercial | Self::Gcc => "https://login.microsoftonline.com",
            Self::GccHigh | Self::Dod => "https://login.microsoftonline.us",
            Self::China => "https://login.partner.microsoftonline.cn",
        }
    }

    /// The Management Activity API ("Management Activity API reference"; the one of China is not in it).
    #[must_use]
    pub fn management(self) -> &'static str {
        match self {
            Self::Commercial => "https://manage.office.com",
            Self::Gcc => "https://manage-gcc.office.com",
            Self::GccHigh => "https://manage.office365.us",
            Self::Dod => "https://manage.protection.apps.mil",
            Self::China => "https://manage.office365.cn",
        }
    }

    /// Microsoft Graph (graph-docs, "national cloud deployments").
    #[must_use]
    pub fn graph(self) -> &'static str {
        match self {
            Self::Commercial | Self::Gcc => "https://graph.microsoft.com",
            Self::GccHigh => "https://graph.microsoft.us",
            Self::Dod => "https://dod-graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    /// Defender for Endpoint (defender-docs, gov.md); China has none.
    #[must_use]
    pub fn defender(self) -> &'static str {
        match self {
            Self::Gcc => "https://api-gcc.securitycenter.microsoft.us",
            Self::GccHigh | Self::Dod => "https://api-gov.securitycenter.microsoft.us",
            Self::Commercial | Self::China => "https://api.security.microsoft.com",
        }
    }

    /// What a token for Defender is for; regional hosts take the same one.
    #[must_use]
    pub fn defender_resource(self) -> &'static str {
        match self {
            Self::Gcc | Self::GccHigh | Self::Dod => self.defender(),
            Self::Commercial | Self::China => "https://api.securitycenter.microsoft.com",
        }
    }
}
