//! Settings that all sources with a bucket or a queue share; each repeats the keys in its own table, and has them checked here.

use std::path::Path;

use crate::net::http::Url;

/// Whether it can be the name of a bucket.
///
/// Facts: AWS, S3 user guide, "General purpose bucket naming rules".
pub(in crate::source) fn is_bucket(text: &str) -> bool {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    (3..=63).contains(&text.len()) && text.chars().all(is_good)
}

/// Whether it can be a region's code.
pub(in crate::source) fn is_region(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether it can be an access key's id.
pub(in crate::source) fn is_key_id(text: &str) -> bool {
    text.len() >= 3 && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The address of a queue, if it is one.
pub(in crate::source) fn queue(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (url.scheme() == "https" && url.has_host() && url.path().len() > 1).then_some(url)
}

/// What is wrong with the file of the secret that belongs to a key.
pub(in crate::source) fn secret_file(file: &Path, key_id: &str) -> Option<(String, String)> {
    let wrong = match std::fs::read_to_string(file) {
        Err(error) => error.to_string(),
        Ok(text) if text.trim().is_empty() => "is empty".to_owned(),
        Ok(text) if text.trim() == key_id => {
            "holds the access key's id; write the secret, which is shown once".to_owned()
        }
        Ok(_) => return None,
    };
    Some(("secret_access_key_file".to_owned(), format!("{}: {wrong}", file.display())))
}
