//! What Entra answers, in words. The error's word decides when to ask again; its number only picks the words, because the
//! vendor says that numbers may change (entra-docs, "error codes").

use serde::Deserialize;

use super::identity::Credential;
use crate::source::pull::{Reply, Trouble};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
}

/// The answer of a token endpoint that gave no token.
pub(super) fn trouble(reply: &Reply, credential: &Credential, skew: Option<i64>) -> Trouble {
    let refusal: Refusal = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = refusal.error_codes.first().copied().or_else(|| number(&refusal.error_description));
    if let Some((what, todo)) = code.and_then(|code| words(code, credential, skew)) {
        let what = format!("{what} (AADSTS{})", code.unwrap_or_default());
        return Trouble::login(what, todo);
    }
    let is_passing = reply.code == 429
        || reply.code >= 500
        || refusal.error == "temporarily_unavailable"
        || code.is_some_and(|code| matches!(code, 50_000 | 90_006 | 90_012 | 90_024 | 90_033 | 90_055));
    if is_passing {
        return Trouble::passing(format!("Entra is busy and answered with {}", reply.code), reply.retry_after);
    }
    match refusal.error.as_str() {
        "" => Trouble::protocol(
            format!("the token endpoint answered with {}", reply.code),
            "check login of this source, and that no proxy answers in its place",
        ),
        error => Trouble::login(
            format!(
                "Entra refused the app: {error}{}",
                code.map(|code| format!(" (AADSTS{code})")).unwrap_or_default()
            ),
            "look this number up in Entra's sign-in log of the app, and mend the app or the settings",
        ),
    }
}

/// The number in `AADSTS7000222: …`.
fn number(description: &str) -> Option<u64> {
    let digits = description.strip_prefix("AADSTS")?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What is wrong and what to do, for the numbers that a person can do something about.
fn words(code: u64, credential: &Credential, skew: Option<i64>) -> Option<(String, String)> {
    let file = match credential {
        Credential::Secret(file) | Credential::Certificate(file, _) => file.display(),
    };
    let portal = "in Entra, App registrations, your app, Certificates & secrets";
    let (what, todo) = match code {
        7_000_215 => (
            "the client secret is wrong".to_owned(),
            format!("copy the secret's Value (not its Secret ID) into {file}; it is shown only once, so make a new one {portal}"),
        ),
        7_000_222 => (
            "the client secret has expired".to_owned(),
            format!("make a new one {portal}, and write its Value into {file}"),
        ),
        7_000_218 => ("Entra wants a secret or a certificate".to_owned(), "set client_secret_file or certificate".to_owned()),
        700_027 | 50_012 => (
            "Entra does not know this certificate".to_owned(),
            format!("upload the certificate in {file} {portal}, Certificates"),
        ),
        700_024 | 500_133 => (
            match skew {
                Some(ahead) => format!("the box's clock is wrong by {} s, so Entra refuses its signature", ahead.unsigned_abs()),
                None => "Entra finds the signature's time wrong".to_owned(),
            },
            "check the table [time] and that the box reaches its time servers".to_owned(),
        ),
        700_016 | 700_011 => (
            "the tenant does not know this app".to_owned(),
            "check client_id and tenants; an app of another tenant needs its administrator's consent first (source consent)".to_owned(),
        ),
        65_001 | 650_056 | 650_057 => (
            "the administrator has not consented".to_owned(),
            "in Entra, App registrations, your app, API permissions, press Grant admin consent".to_owned(),
        ),
        90_002 => ("there is no such tenant in this cloud".to_owned(), "check tenants, and cloud or login".to_owned()),
        90_038 | 900_382 | 900_432 => {
            ("the tenant is in another cloud".to_owned(), "set cloud to the tenant's one".to_owned())
        }
        500_011 | 50_001 => (
            "the tenant does not have this API".to_owned(),
            "check api and cloud, and that the tenant has a licence for it".to_owned(),
        ),
        70_011 | 28_002 | 700_023 | 901_002 | 700_022 => {
            ("Entra refuses what the token is for".to_owned(), "check token_version, api and cloud".to_owned())
        }
        7_000_112 | 70_001 => ("the app is disabled".to_owned(), "enable it in Entra, Enterprise applications".to_owned()),
        53_003 | 530_032 => (
            "a policy of the tenant blocks the app".to_owned(),
            "allow this box's address in Entra, Conditional Access, for workload identities".to_owned(),
        ),
        50_011 => ("the redirect address is not one of the app's".to_owned(), "add it in Entra, Authentication".to_owned()),
        70_004 | 700_005 | 70_008 => ("the consent's code is used up or too old".to_owned(), "begin the consent again".to_owned()),
        _ => return None,
    };
    Some((what, todo))
}
