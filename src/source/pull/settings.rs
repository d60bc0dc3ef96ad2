//! Settings that all pullers share; each repeats the keys in its own table, and hands them over here.

use std::path::Path;

use crate::net::Endpoint;
use crate::net::tls::ClientConfig;
use crate::quantity::Span;

/// The way out.
#[derive(Clone, Debug)]
pub(in crate::source) struct Route<'a> {
    pub(in crate::source) connect_timeout: Span,
    pub(in crate::source) backoff: (Span, Span),
    pub(in crate::source) proxy: Option<&'a Endpoint>,
    pub(in crate::source) proxy_user: Option<&'a str>,
    pub(in crate::source) proxy_password_file: Option<&'a Path>,
    pub(in crate::source) tls: &'a ClientConfig,
}

/// What is wrong with the way out: the key, and what to write instead.
pub(in crate::source) fn check_route(route: &Route<'_>) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut need = |is_right: bool, key: &str, words: &str| {
        if !is_right {
            problems.push((key.to_owned(), words.to_owned()));
        }
    };
    need(within(route.connect_timeout, 1, 300), "connect_timeout", "write a duration from \"1s\" to \"5m\"");
    need(route.backoff.0 >= Span::millis(10), "backoff_min", "write a duration of at least \"10ms\"");
    need(route.backoff.0 <= route.backoff.1, "backoff_max", "write at least what backoff_min says");
    need(route.proxy.is_some() || route.proxy_user.is_none(), "proxy_user", "set proxy too, or take this out");
    need(
        route.proxy_user.is_some() || route.proxy_password_file.is_none(),
        "proxy_password_file",
        "set proxy_user too, or take this out",
    );
    problems.extend(route.tls.validate().into_iter().map(|(key, words)| (format!("tls.{key}"), words)));
    problems
}

/// Opens the files of the way out.
pub(in crate::source) fn route_files(route: &Route<'_>) -> Vec<(String, String)> {
    let mut problems: Vec<_> =
        route.tls.open_files().into_iter().map(|(key, words)| (format!("tls.{key}"), words)).collect();
    if let Some(Err(error)) = route.proxy_password_file.map(std::fs::File::open) {
        let words = format!("cannot be read ({error}); check path and rights");
        problems.push(("proxy_password_file".to_owned(), words));
    }
    problems
}

/// Whether a duration lies between so many seconds, both included.
pub(in crate::source) fn within(span: Span, least: u64, most: u64) -> bool {
    (Span::secs(least)..=Span::secs(most)).contains(&span)
}
