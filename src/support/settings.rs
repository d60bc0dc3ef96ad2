//! The settings as somebody may see them who helps from afar: no comments, and no value that is a secret or looks like one.
//!
//! Secrets belong into files that the settings name, and the loader takes no others; but people write comments, and a file that
//! the loader refuses may hold anything. So what stays is only what is harmless by its form.

use serde_json::Value;

/// What stands in the place of a value.
pub(super) const REMOVED: &str = "[removed]";

/// Keys whose values are paths.
const PATHS: [&str; 11] =
    ["cert", "key", "ca", "client_ca", "keys", "path", "socket", "state_dir", "runtime_dir", "folder", "profile"];
/// Words in a key whose value is not to be seen.
const SECRET_WORDS: [&str; 8] = ["secret", "passw", "passphrase", "token", "credential", "private", "signature", "pin"];
/// Longer words of all kinds of characters are no words.
const LONG: usize = 16;
/// Longer words of letters and digits are no words either.
const LONGER: usize = 20;

/// The settings of a text, without comments and secrets; where it is no TOML, why not and where.
pub(super) fn without_secrets(text: &str) -> String {
    match toml::from_str::<Value>(text) {
        Ok(mut values) => {
            clean("", &mut values);
            toml::to_string(&values).unwrap_or_else(|error| format!("the settings cannot be written: {error}\n"))
        }
        Err(error) => {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(0, |before| before.matches('\n').count() + 1);
            format!("the settings are no TOML: line {line} of {}\n", text.lines().count())
        }
    }
}

/// The values of a text that were taken out of it.
pub(super) fn taken_out(text: &str) -> Vec<String> {
    fn collect(key: &str, value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(table) => table.iter().for_each(|(key, value)| collect(key, value, into)),
            Value::Array(list) => list.iter().for_each(|value| collect(key, value, into)),
            Value::String(text) if !is_harmless(key, text) => into.push(text.clone()),
            _ => {}
        }
    }
    let mut all = Vec::new();
    if let Ok(values) = toml::from_str::<Value>(text) {
        collect("", &values, &mut all);
    }
    all
}

fn clean(key: &str, value: &mut Value) {
    match value {
        Value::Object(table) => table.iter_mut().for_each(|(key, value)| clean(key, value)),
        Value::Array(list) => list.iter_mut().for_each(|value| clean(key, value)),
        Value::String(text) if !is_harmless(key, text) => *text = REMOVED.to_owned(),
        _ => {}
    }
}

/// Whether a value may be seen.
fn is_harmless(key: &str, text: &str) -> bool {
    if key.ends_with("_file") || PATHS.contains(&key) {
        return text.starts_with('/') && !text.contains(char::is_whitespace) && !looks_secret(text);
    }
    let key = key.to_ascii_lowercase();
    let is_secret = SECRET_WORDS.iter().any(|word| key.contains(word)) || key.ends_with("_key");
    // A name and a password before the host of an address (RFC 3986, 3.2.1).
    let has_user = text.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().unwrap_or(rest).contains('@'));
    !is_secret && !has_user && !looks_secret(text)
}

/// Whether something in a text looks like a key, a token or a password that a program made.
fn looks_secret(text: &str) -> bool {
    if text.contains("-----BEGIN") {
        return true;
    }
    let is_uuid = |word: &str| {
        let groups: Vec<&str> = word.split('-').collect();
        groups.len() == 5 && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let has = |word: &str, is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
    // Names of hosts and units have dots and dashes; base64 has none of them, and its other form both - and _.
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '+' | '='));
    words.filter(|word| !is_uuid(word)).any(|word| {
        let has_all =
            has(word, u8::is_ascii_uppercase) && has(word, u8::is_ascii_lowercase) && has(word, u8::is_ascii_digit);
        let is_mixed = word.len() >= LONG && has_all;
        let mut parts = word.split(['-', '_', '+', '=']);
        is_mixed
            || parts
                .any(|part| part.len() >= LONGER && has(part, u8::is_ascii_alphabetic) && has(part, u8::is_ascii_digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_stays_and_what_may_be_a_secret_goes() {
        for (key, text) in [
            ("name", "edge-berlin-01.customer.example.net"),
            ("listen", "udp://0.0.0.0:514"),
            ("listen", "tls://[2001:db8::1234:5678]:6514"),
            ("client_id", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
            ("secret_access_key_file", "/var/lib/sapphire-edge/files/umbrella-secret"),
            ("key", "/var/lib/sapphire-edge/files/page-0123456789abcdef.key"),
            ("endpoint", "gw1.example.net:5044"),
            ("manifest", "https://updates.example.net/edge/{compatible}.manifest"),
            ("time_zone", "Europe/Berlin"),
            ("max_size", "10GiB"),
            ("id", "firewalls_berlin_2026_main"),
            ("type", "falcon_replicator"),
        ] {
            assert!(is_harmless(key, text), "{key} = {text}");
        }
        for (key, text) in [
            ("secret_key", "hunter2"),
            ("password", "x"),
            ("integration_key", "DIXXXXXXXXXXXXXXXXXX"),
            ("client_id", "AbCdEf0123456789"),
            ("account", "4c0ffee04c0ffee04c0ffee0"),
            ("key", "/x9fAbCdEf0123456789+/abc"),
            ("password_file", "correct horse battery staple"),
            ("key", "hunter2"),
            ("proxy", "http://ada:hunter2@proxy.example.net:3128"),
            ("ca", "-----BEGIN CERTIFICATE-----"),
            ("url", "https://example.net/?sig=AbCdEf0123456789xyz"),
        ] {
            assert!(!is_harmless(key, text), "{key} = {text}");
        }
    }

    #[test]
    fn comments_go_and_everything_else_keeps_its_place() {
        let text = "# the password is hunter2\nname = \"edge\" # hunter2\n[[source]]\nid = \"x\"\nport = 7\nsecret = \"hunter2\"\n";
        let cleaned = without_secrets(text);
        assert!(
            !cleaned.contains("hunter2") && cleaned.contains("[[source]]") && cleaned.contains("port = 7"),
            "{cleaned}"
        );
        assert!(cleaned.contains("secret = \"[removed]\""), "{cleaned}");
        assert_eq!(taken_out(text), ["hunter2"]);
        let wrong = without_secrets("name = \"a\"\nsecret = hunter2\n");
        assert_eq!(wrong, "the settings are no TOML: line 2 of 2\n");
    }
}
