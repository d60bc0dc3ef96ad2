//! Who asks: the signature over the exact canonical text, and the time of the request.

use aws_lc_rs::digest::{SHA512, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{HOST, INTEGRATION_KEY, Request, Response, State, now, refusal};

/// Seconds that a request's time may be off.
const TOLERANCE: i64 = 300;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The texts that may have been signed: version 2, and 5.
fn canonical(request: &Request, date: &str, host: &str) -> [String; 2] {
    let mut pairs: Vec<String> =
        request.query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort();
    let base = [date, &request.method, host, &request.path, &pairs.join("&")].join("\n");
    let body = hex(digest(&SHA512, &request.body).as_ref());
    let mut fields: Vec<(String, &str)> = request
        .fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .filter(|(name, _)| name.starts_with("x-duo-"))
        .collect();
    fields.sort();
    let fields: Vec<String> = fields.into_iter().flat_map(|(name, value)| [name, value.to_owned()]).collect();
    let fields = hex(digest(&SHA512, fields.join("\0").as_bytes()).as_ref());
    [base.clone(), format!("{base}\n{body}\n{fields}")]
}

fn is_signed(algorithm: hmac::Algorithm, key: &str, text: &str, signature: &str) -> bool {
    hex(hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), text.as_bytes()).as_ref()) == signature
}

pub fn check(state: &mut State, request: &Request) -> Result<(), Response> {
    let missing = || refusal(1, 401, "Missing request credentials", None);
    let given = request.field("authorization").and_then(|field| field.strip_prefix("Basic ")).ok_or_else(missing)?;
    let given = STANDARD.decode(given).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(missing)?;
    let (key, signature) = given.split_once(':').ok_or_else(missing)?;
    let host = request.field("host").unwrap_or_default().split(':').next().unwrap();
    if key != INTEGRATION_KEY || ![HOST, "localhost"].contains(&host) {
        return Err(refusal(2, 401, "Invalid integration key in request credentials", None));
    }
    let date = request.field("date").unwrap_or_default();
    let time = jiff::fmt::rfc2822::parse(date).map_err(|_| refusal(4, 401, "Missing request timestamp", None))?;
    if (time.timestamp().as_second() - now() - state.ahead).abs() > TOLERANCE {
        return Err(refusal(5, 401, "Bad request timestamp", None));
    }
    let [two, five] = canonical(request, date, host);
    let name = match signature.len() {
        40 if is_signed(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &state.secret_key, &two, signature) => "v2_sha1",
        128 if is_signed(hmac::HMAC_SHA512, &state.secret_key, &five, signature) => "v5",
        128 if is_signed(hmac::HMAC_SHA512, &state.secret_key, &two, signature) => "v2",
        _ => return Err(refusal(3, 401, "Invalid signature in request credentials", None)),
    };
    state.signatures.insert(name);
    Ok(())
}
