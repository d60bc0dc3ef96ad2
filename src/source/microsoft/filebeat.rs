//! Filebeat's `o365.yml` (module `o365`, or an input of type `o365audit`) as a table of ours.
//!
//! Facts: elastic/beats, x-pack/filebeat/module/o365 and input/o365audit: the names below, with `var.` before them in the
//! module. Only the YAML that such a file has is read: nested keys, lists, plain and quoted text, comments.

use std::fmt::Write as _;
use std::path::Path;

use crate::secret::Secret;

/// What an `o365.yml` comes to.
#[derive(Debug)]
pub struct Imported {
    /// The `[[source]]` table.
    pub table: String,
    /// The client secret that the file holds.
    pub secret: Option<Secret<String>>,
    /// What a person has to see to.
    pub notes: Vec<String>,
}

/// Reads the file's text. The secret goes to `secret_file`, which the table names.
///
/// # Errors
/// What is missing.
pub fn import(text: &str, secret_file: &Path) -> Result<Imported, String> {
    let values = flatten(text);
    let all = |names: &[&str]| -> Vec<String> {
        let matches = |path: &str| names.iter().any(|name| path == *name || path.ends_with(&format!(".{name}")));
        values.iter().filter(|(path, _)| matches(path)).map(|(_, value)| value.clone()).collect()
    };
    let one = |name: &str| all(&[name]).into_iter().next();
    let client = one("application_id").ok_or("application_id is missing; this is no o365.yml")?;
    let tenants = all(&["tenants.id", "tenant_id"]);
    if tenants.is_empty() {
        return Err("no tenant is set; write var.tenants or tenant_id".into());
    }
    let mut notes = Vec::new();
    let mut table = String::from("[[source]]\nid = \"office365\"\ntype = \"office365\"\n");
    let mut put = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{key} = {value}");
    };
    put("tenants", list(&tenants));
    put("client_id", quoted(&client));
    let secret = one("client_secret").filter(|secret| !secret.is_empty());
    match (&secret, one("certificate"), one("key")) {
        (Some(_), _, _) => put("client_secret_file", quoted(&secret_file.display().to_string())),
        (None, Some(certificate), Some(key)) => {
            put("certificate", quoted(&certificate));
            put("key", quoted(&key));
        }
        _ => return Err("neither client_secret nor certificate and key are set".into()),
    }
    if one("key_passphrase").is_some() {
        notes.push(
            "the key has a passphrase: take it off with openssl pkey -in KEY -out NEW, and name the new file".into(),
        );
    }
    if let Some(login) = one("api.authentication_endpoint") {
        put("login", quoted(&with_scheme(&login)));
    }
    if let Some(api) = one("api.resource") {
        put("api", quoted(&with_scheme(&api)));
    }
    let types = all(&["content_type"]);
    if !types.is_empty() {
        put("content_types", list(&types));
    }
    for (theirs, ours) in
        [("api.max_retention", "backfill"), ("api.poll_interval", "poll_interval"), ("api.max_query_size", "window")]
    {
        one(theirs).into_iter().for_each(|value| put(ours, quoted(&value)));
    }
    one("api.max_requests_per_minute").into_iter().for_each(|value| put("requests_per_minute", value));
    for (path, _) in &values {
        if ["ssl", "proxy_url", "processors"].iter().any(|part| path.split('.').any(|piece| piece == *part)) {
            notes.push(format!("{path} is not taken over: see proxy and [source.tls]"));
        }
    }
    Ok(Imported { table, secret: secret.map(Secret::new), notes })
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", "))
}

/// Filebeat takes addresses without a scheme, and means https.
fn with_scheme(address: &str) -> String {
    let address = address.trim_end_matches('/');
    if address.contains("://") { address.to_owned() } else { format!("https://{address}") }
}

/// All scalars of the file with the path of their keys, without `var`.
fn flatten(text: &str) -> Vec<(String, String)> {
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut values = Vec::new();
    for line in text.lines() {
        let mut indent = line.len() - line.trim_start().len();
        let mut rest = line.trim();
        let mut is_item = false;
        while let Some(item) = rest.strip_prefix("- ") {
            is_item = true;
            indent += 2;
            rest = item.trim_start();
        }
        if rest.is_empty() || rest.starts_with('#') {
            continue;
        }
        let (key, value) = match rest.split_once(':') {
            Some((key, value)) if value.is_empty() || value.starts_with(' ') => (Some(key.trim()), value),
            _ => (None, rest),
        };
        // The items of a list may stand at the same depth as its key.
        let depth = if is_item && key.is_none() { indent.saturating_sub(1) } else { indent };
        open.retain(|(at, _)| *at < depth);
        let names = open.iter().map(|(_, key)| key.as_str()).chain(key);
        let path: Vec<&str> = names.flat_map(|key| key.split('.')).filter(|piece| *piece != "var").collect();
        let path = path.join(".");
        if let Some(key) = key {
            open.push((indent, key.to_owned()));
        }
        let value = plain(value);
        let inner = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
        let several: Vec<String> = match inner {
            Some(inner) => inner.split(',').map(plain).collect(),
            None => vec![value],
        };
        values.extend(several.into_iter().filter(|value| !value.is_empty()).map(|value| (path.clone(), value)));
    }
    values
}

/// A scalar without quotes and comment.
fn plain(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside.to_owned();
        }
    }
    let value = if value.starts_with('#') { "" } else { value.split(" #").next().unwrap_or_default() };
    value.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_file_becomes_a_table() {
        let text = "# Module: o365\n- module: o365\n  audit:\n    enabled: true\n\n    var.application_id: \"66666666-7777-8888-9999-000000000000\" # the app\n\
                    \x20   var.tenants:\n      - id: \"11111111-2222-3333-4444-555555555555\"\n        name: \"contoso.example\"\n\
                    \x20   var.client_secret: 'very secret'\n    var.content_type:\n    - Audit.Exchange\n    - Audit.General\n\
                    \x20   var.api:\n      authentication_endpoint: login.microsoftonline.us/\n      max_retention: 168h\n      max_requests_per_minute: 1000\n\
                    \x20   #var.certificate: x\n";
        let imported = import(text, Path::new("/etc/secret")).unwrap();
        assert_eq!(imported.secret.as_ref().unwrap().expose(), "very secret");
        assert!(!imported.table.contains("very secret"));
        let config: crate::source::Config = toml::from_str(imported.table.strip_prefix("[[source]]").unwrap()).unwrap();
        assert_eq!(config.validate(), []);
        let crate::source::Config::Office365(config) = config else { panic!() };
        assert_eq!(config.tenants, ["11111111-2222-3333-4444-555555555555"]);
        assert_eq!(config.login.as_deref(), Some("https://login.microsoftonline.us"));
        assert_eq!((config.content_types.len(), config.requests_per_minute), (2, 1_000));
    }

    #[test]
    fn an_input_with_a_certificate_too_and_what_is_missing_is_said() {
        let text = "filebeat.inputs:\n- type: o365audit\n  application_id: 66666666-7777-8888-9999-000000000000\n\
                    \x20 tenant_id: [11111111-2222-3333-4444-555555555555, 21111111-2222-3333-4444-555555555555]\n\
                    \x20 certificate: /a.pem\n  key: \"/a.key\"\n  key_passphrase: x\n";
        let imported = import(text, Path::new("/etc/secret")).unwrap();
        assert!(imported.secret.is_none() && imported.notes.len() == 1, "{imported:?}");
        assert!(imported.table.contains("key = \"/a.key\"") && imported.table.matches("111111").count() >= 2);
        assert!(import("a: b", Path::new("x")).unwrap_err().contains("application_id"));
    }
}
