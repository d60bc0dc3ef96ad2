//! Who we are to the namespace: a policy's key, a token that somebody signed, or an application in Entra. Files are read at every login, so that a
//! key that was replaced is taken into use by itself.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::fault::Fault;
use super::sas::{self, Access, ConnectionString};
use super::settings::Config;
use super::words;
use crate::clock::Clock;
use crate::net::tls::ClientConfig;
use crate::source::microsoft::{Credential, Identity, TokenVersion, base};
use crate::source::pull::{Route, Trouble, Way};
use crate::status::Cause;

/// What a token of Entra is for. The application needs the role Azure Event Hubs Data Receiver on the hub or the namespace.
const RESOURCE: &str = "https://eventhubs.azure.net";

/// How long our tokens are valid. Microsoft's .NET library takes 30 minutes, the Rust one an hour.
const VALID: Duration = Duration::from_secs(3_600);
/// A token is renewed this long before its end, as those libraries do; sooner where it is valid for less than twice that.
const EARLY: Duration = Duration::from_secs(420);

/// What logs in.
#[derive(Debug)]
pub(super) struct Login {
    means: Means,
    clock: Clock,
}

#[derive(Debug)]
enum Means {
    Policy(Access),
    Application(Box<Identity>),
}

/// A token and when it is to be renewed.
pub(super) struct Token {
    pub(super) text: Zeroizing<String>,
    /// The service's word for its kind.
    pub(super) kind: &'static str,
    /// After this long another one is due.
    pub(super) renew_after: Duration,
}

impl Login {
    /// Reads the secrets that the settings name, and with them the namespace and its hubs.
    ///
    /// # Errors
    /// When a file cannot be read or is not what it should be; a person has to mend it.
    pub(super) async fn read(config: &Config, clock: &Clock) -> Result<(Self, String, Vec<String>), Fault> {
        let (settings, clock, told) = (config.clone(), clock.clone(), clock.clone());
        let read = move || {
            let wrong = |key: &str, what: String| {
                Fault::Secret(format!("{key}: {what}"), "mend the file; it is read again by itself".into())
            };
            if let Some(path) = &settings.connection_string_file {
                let failed = |what| wrong("connection_string_file", what);
                let text = words::read_secret(path).map_err(failed)?;
                let string = ConnectionString::parse(text.expose()).map_err(failed)?;
                let (namespace, hubs) = settings.account(Some(&string)).map_err(failed)?;
                return Ok((Means::Policy(string.access), namespace, hubs));
            }
            if let Some(identity) = identity(&settings, &clock) {
                let (namespace, hubs) = settings.account(None).map_err(|what| wrong("namespace", what))?;
                return Ok((Means::Application(Box::new(identity)), namespace, hubs));
            }
            let failed = |what| wrong("primary_key_file", what);
            let path = settings.primary_key_file.as_ref().ok_or_else(|| failed("is not set".into()))?;
            let key = words::read_secret(path).map_err(failed)?;
            words::check_key(key.expose()).map_err(failed)?;
            let (namespace, hubs) = settings.account(None).map_err(failed)?;
            let policy = settings.policy.clone().unwrap_or_default();
            Ok((Means::Policy(Access::Key { policy, key }), namespace, hubs))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (means, namespace, hubs) = read.map_err(|error| Fault::Broken(error.to_string()))??;
        Ok((Self { means, clock: told }, namespace, hubs))
    }

    /// A token for a resource.
    ///
    /// # Errors
    /// When the token that we were given has expired, or Entra gives none.
    pub(super) async fn token(&self, resource: &str) -> Result<Token, Fault> {
        let now = self.clock.now().micros() / 1_000_000;
        let access = match &self.means {
            Means::Policy(access) => access,
            Means::Application(identity) => {
                let (token, seconds) = identity.grant(RESOURCE).await.map_err(no_token)?;
                let text = Zeroizing::new(token.text().to_owned());
                return Ok(Token { text, kind: "jwt", renew_after: before(Duration::from_secs(seconds)) });
            }
        };
        let (text, expiry) = match access {
            Access::Key { policy, key } => {
                let expiry = now + VALID.as_secs();
                (sas::sign(resource, policy, key.expose(), expiry), expiry)
            }
            Access::Signature(token) => {
                let expiry = sas::expiry(token.expose()).unwrap_or(now + VALID.as_secs());
                if expiry <= now {
                    return Err(Fault::Secret(
                        "the shared access signature has expired".into(),
                        "make a new one, or set policy and primary_key_file, which need no renewal".into(),
                    ));
                }
                (Zeroizing::new(token.expose().clone()), expiry)
            }
        };
        let renew_after = before(Duration::from_secs(expiry.saturating_sub(now)));
        Ok(Token { text, kind: "servicebus.windows.net:sastoken", renew_after })
    }
}

/// The application in Entra, if it is one that logs in.
fn identity(config: &Config, clock: &Clock) -> Option<Identity> {
    let entra = config.entra()?;
    // The name that the settings want in a certificate is that of the namespace.
    let tls = ClientConfig { server_name: None, ..config.tls.clone() };
    let way = Way::new(&Route { tls: &tls, ..config.route() }, clock.clone());
    let credential = Credential::Secret(entra.secret_file.to_owned());
    Some(Identity::new(base(entra.login)?, entra.tenant, entra.client, credential, TokenVersion::V2, Arc::new(way)))
}

fn no_token(trouble: Trouble) -> Fault {
    match trouble.cause {
        Cause::Login | Cause::Tls => Fault::Secret(trouble.what, trouble.todo),
        _ => Fault::Broken(format!("Entra gives no token: {}", trouble.what)),
    }
}

/// When a token that is valid for so long is renewed.
fn before(valid: Duration) -> Duration {
    valid.saturating_sub(EARLY.min(valid / 2))
}
