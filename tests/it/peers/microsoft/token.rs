//! Entra's token endpoints.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{CLIENT, DEFENDER, GRAPH, Request, Response, SECRET, State, TENANT, now};

/// A token that was given out.
#[derive(Clone, Debug)]
pub struct Issued {
    audience: String,
    until: i64,
}

pub fn refusal(code: u64, error: &str) -> Response {
    let description = format!("AADSTS{code}: refused.\r\nTrace ID: 1 Correlation ID: 2 Timestamp: now");
    Response::json(401, &json!({ "error": error, "error_description": description, "error_codes": [code] }))
}

pub fn discovery(state: &State, request: &Request) -> Response {
    let tenant = request.path.split('/').nth(1).unwrap();
    let base = format!("{}/{tenant}", state.root);
    Response::json(
        200,
        &json!({
            "issuer": format!("{base}/v2.0"), "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"), "tenant_region_scope": "EU",
        }),
    )
    .with("Content-Type", "application/json")
}

pub fn answer(state: &mut State, request: &Request) -> Response {
    let is_v2 = request.path.ends_with("/oauth2/v2.0/token");
    let tenant = request.path.split('/').nth(1).unwrap().to_owned();
    let form = sapphire_edge::net::http::Url::parse(&format!("https://x/?{}", String::from_utf8_lossy(&request.body)))
        .unwrap();
    let get = |wanted: &str| form.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    if !request.field("content-type").unwrap_or_default().starts_with("application/x-www-form-urlencoded") {
        return refusal(900_144, "invalid_request");
    }
    let is_code = get("grant_type").as_deref() == Some("authorization_code");
    if tenant != TENANT && !(is_code && tenant == "common") {
        return refusal(if tenant == "common" { 9_001_023 } else { 90_002 }, "invalid_request");
    }
    if get("client_id").as_deref() != Some(CLIENT) {
        return refusal(700_016, "unauthorized_client");
    }
    if is_code {
        let code = get("code").unwrap_or_default();
        let Some(at) = state.codes.iter().position(|known| *known == code) else {
            return refusal(70_008, "invalid_grant");
        };
        state.codes.remove(at);
    }
    if is_v2 && get("resource").is_some() {
        return refusal(901_002, "invalid_request");
    }
    let audience = match (is_v2, get("resource"), get("scope")) {
        (false, Some(resource), _) => resource,
        (true, _, Some(scope)) => match scope.split(' ').next().unwrap().strip_suffix("/.default") {
            Some(resource) => resource.to_owned(),
            None => return refusal(70_011, "invalid_scope"),
        },
        _ => return refusal(70_011, "invalid_scope"),
    };
    if ![GRAPH, DEFENDER, &state.root].contains(&audience.trim_end_matches('/')) {
        return refusal(500_011, "invalid_resource");
    }
    match (get("client_secret"), get("client_assertion")) {
        (Some(secret), None) if secret == SECRET => {}
        (Some(_), None) => return refusal(7_000_215, "invalid_client"),
        (None, Some(assertion)) => {
            if let Err(code) = check_assertion(state, &assertion, &format!("{}{}", state.root, request.path), is_v2) {
                return refusal(code, "invalid_client");
            }
            state.assertions.push(assertion);
        }
        _ => return refusal(7_000_218, "invalid_client"),
    }
    give(state, audience.trim_end_matches('/'), is_v2)
}

fn give(state: &mut State, audience: &str, is_v2: bool) -> Response {
    let until = now() + state.lifetime;
    let claims = json!({ "aud": audience, "tid": TENANT, "appid": CLIENT, "roles": state.roles, "exp": until, "jti": rand::random::<u64>() });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.c2lnbmF0dXJl", encode(&json!({ "typ": "JWT", "alg": "none" })), encode(&claims));
    state.tokens.insert(token.clone(), Issued { audience: audience.to_owned(), until });
    let answer = if is_v2 {
        json!({ "token_type": "Bearer", "expires_in": state.lifetime, "ext_expires_in": state.lifetime, "access_token": token })
    } else {
        json!({
            "token_type": "Bearer", "expires_in": state.lifetime.to_string(), "ext_expires_in": "0",
            "expires_on": until.to_string(), "resource": audience, "access_token": token,
        })
    };
    Response::json(200, &answer).with("Content-Type", "application/json")
}

/// Whether a request brings a token for this resource that has not expired.
pub fn is_good(state: &State, request: &Request, resource: &str) -> bool {
    let token = request.field("authorization").and_then(|field| field.strip_prefix("Bearer "));
    let issued = token.and_then(|token| state.tokens.get(token));
    issued.is_some_and(|issued| issued.audience == resource && issued.until > now())
}

/// Checks what the vendor checks; the number of the refusal.
fn check_assertion(state: &State, assertion: &str, audience: &str, is_v2: bool) -> Result<(), u64> {
    let parts: Vec<&str> = assertion.split('.').collect();
    let [head, claims, signature] = parts[..] else { return Err(50_027) };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| 50_027_u64);
    let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| 50_027_u64);
    let (head, body) = (json(head)?, json(claims)?);
    let key = state.public_key.as_ref().ok_or(700_027_u64)?;
    let signed = format!("{}.{}", parts[0], parts[1]);
    let algorithm = match head["alg"].as_str() {
        Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
        Some("PS256") if is_v2 => &RSA_PSS_2048_8192_SHA256,
        _ => return Err(5_002_723),
    };
    let known = head["x5t"].as_str().map(|print| print.trim_end_matches('=')) == Some(&state.thumbprints.0)
        || head["x5t#S256"].as_str() == Some(&state.thumbprints.1)
        || head["x5c"].is_array();
    if !known {
        return Err(50_012);
    }
    UnparsedPublicKey::new(algorithm, key).verify(signed.as_bytes(), &decode(signature)?).map_err(|_| 700_027_u64)?;
    if body["aud"] != audience || body["iss"] != CLIENT || body["sub"] != CLIENT || !body["jti"].is_string() {
        return Err(700_021);
    }
    #[expect(clippy::cast_possible_truncation, reason = "MSAL writes seconds with a fraction")]
    let seconds = |name: &str| body[name].as_f64().map(|value| value as i64);
    let (from, until) = (seconds("nbf").or(seconds("iat")).unwrap_or(0), seconds("exp").ok_or(500_133_u64)?);
    if now() < from - 5 || until <= now() || until - from > 3_600 {
        return Err(if until <= now() { 500_133 } else { 700_024 });
    }
    if state.assertions.iter().any(|used| used == assertion) {
        return Err(500_133);
    }
    Ok(())
}
