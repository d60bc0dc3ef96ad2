//! Tokens of Entra for an event hub, asked for with a client secret (OAuth 2.0 client credentials, RFC 6749 section 4.4).
//!
//! Facts: Microsoft, "The OAuth 2.0 client credentials flow" and "Microsoft Entra authentication and authorization error
//! codes" (react to `error`; numbers only pick the words), read 2026-11. The application needs the role Azure Event Hubs Data
//! Receiver on the hub or the namespace. A token lives about an hour; there is no refresh token.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::fault::{Doing, Fault};
use super::settings::{Config, Entra};
use super::words;
use crate::net::http::{HttpClient, HttpError, Reach, Url, header};
use crate::net::tls::ClientConfig;

/// What the token is for.
const SCOPE: &str = "https://eventhubs.azure.net/.default";
/// A token's answer is a few KiB.
const MAX_ANSWER: usize = 256 << 10;

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
}

/// Asks for a token; with it, how long it is valid.
///
/// # Errors
/// When the secret's file cannot be read, Entra cannot be reached, or it refuses the application.
pub(super) async fn token(config: &Config, entra: Entra<'_>) -> Result<(Zeroizing<String>, Duration), Fault> {
    let unusable = |what: String| Fault::Secret(format!("entra: {what}"), "mend the settings of this source".into());
    let path = entra.secret_file.to_owned();
    let read = tokio::task::spawn_blocking(move || words::read_secret(&path)).await;
    let secret = read.map_err(|error| Fault::Broken(error.to_string()))?.map_err(unusable)?;
    // The name that the settings want in a certificate is that of the namespace.
    let tls = ClientConfig { server_name: None, ..config.tls.clone() };
    let (proxy, connect_timeout) = (config.proxy(), config.connect_timeout.0);
    let reach = Reach { tls: &tls, proxy: proxy.as_ref(), connect_timeout, read_timeout: connect_timeout };
    let client = HttpClient::direct(&reach).await.map_err(unreachable)?;
    let url = format!("{}/{}/oauth2/v2.0/token", entra.login.trim_end_matches('/'), entra.tenant);
    let url = Url::parse(&url).map_err(|error| unusable(error.to_string()))?;
    let body = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", entra.client),
        ("client_secret", secret.expose()),
        ("scope", SCOPE),
    ]);
    let fields = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned())];
    let answer = client.send(&url, &fields, Some(body.into_bytes())).await.map_err(unreachable)?;
    let code = answer.code();
    let bytes = Zeroizing::new(answer.body(MAX_ANSWER).await.map_err(unreachable)?);
    if code != 200 {
        return Err(refused(code, &serde_json::from_slice(&bytes).unwrap_or_default(), entra));
    }
    let Ok(granted) = serde_json::from_slice::<Granted>(&bytes) else {
        return Err(unusable(
            "what answers at login gives no tokens; check it, and that no proxy answers in its place".into(),
        ));
    };
    Ok((Zeroizing::new(granted.access_token), Duration::from_secs(granted.expires_in)))
}

/// `application/x-www-form-urlencoded`. Only the URL crate behind the HTTP client knows how; the host plays no part.
fn form(pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("https://form.invalid/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

fn unreachable(error: HttpError) -> Fault {
    match error {
        HttpError::Dial(error) => Fault::Dial(error),
        other => Fault::Broken(format!("Entra could not be asked for a token: {other}")),
    }
}

fn refused(code: u16, refusal: &Refusal, entra: Entra<'_>) -> Fault {
    let Entra { tenant, client, secret_file, .. } = entra;
    let is_passing = code == 429 || code >= 500 || refusal.error == "temporarily_unavailable";
    if is_passing || refusal.error.is_empty() {
        let description = refusal.error_description.clone();
        return Fault::Refused { doing: Doing::Login, condition: format!("Entra answered {code}"), description };
    }
    let number = refusal.error_codes.first().copied().unwrap_or(0);
    let file = secret_file.display();
    let (what, todo) = match number {
        7_000_215 => (
            "the client secret is wrong".to_owned(),
            format!(
                "paste the secret's value, not its id, into {file} (Entra: App registrations > Certificates & secrets)"
            ),
        ),
        7_000_222 => (
            "the client secret has expired".to_owned(),
            format!("make a new one in Entra and paste its value into {file}"),
        ),
        700_016 | 700_011 => {
            (format!("the tenant {tenant} has no application {client}"), "check client_id and tenant_id".to_owned())
        }
        90_002 => (
            format!("there is no tenant {tenant}"),
            "check tenant_id, and login where the tenant is in another cloud".to_owned(),
        ),
        _ => (
            format!("Entra refuses the application {client}: {}", refusal.error),
            "look the number up in Entra's sign-in log of the application".to_owned(),
        ),
    };
    Fault::Secret(format!("{what} (AADSTS{number})"), todo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_entra_says_becomes_words() {
        let entra = Entra { tenant: "t", client: "c", secret_file: "/etc/secret".as_ref(), login: "https://l" };
        for (code, answer, word) in [
            (401, r#"{"error":"invalid_client","error_codes":[7000222]}"#, "has expired (AADSTS7000222)"),
            (401, r#"{"error":"invalid_client","error_codes":[7000215]}"#, "is wrong"),
            (400, r#"{"error":"unauthorized_client","error_codes":[700016]}"#, "no application c"),
            (400, r#"{"error":"new","error_codes":[1]}"#, "refuses the application c: new"),
        ] {
            let Fault::Secret(what, todo) = refused(code, &serde_json::from_str(answer).unwrap(), entra) else {
                panic!()
            };
            assert!(what.contains(word) && !todo.is_empty(), "{what}");
        }
        assert!(matches!(refused(503, &Refusal::default(), entra), Fault::Refused { .. }));
    }
}
