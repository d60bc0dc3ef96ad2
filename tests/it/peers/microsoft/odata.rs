//! Graph and Defender: collections with a filter, newest first, in pages; and queries.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Request, Response, State};

pub const SIGN_INS: &str = "/v1.0/auditLogs/signIns";
pub const MACHINES: &str = "/api/machines";
pub const QUERY: &str = "/api/advancedqueries/run";

pub fn collections() -> BTreeMap<String, (String, Vec<Value>)> {
    [
        (SIGN_INS, "createdDateTime"),
        ("/v1.0/auditLogs/directoryAudits", "activityDateTime"),
        ("/v1.0/security/alerts_v2", "lastUpdateDateTime"),
        ("/v1.0/security/incidents", "lastUpdateDateTime"),
        ("/v1.0/admin/serviceAnnouncement/issues", "lastModifiedDateTime"),
        ("/v1.0/admin/serviceAnnouncement/messages", "lastModifiedDateTime"),
        ("/api/alerts", "lastUpdateTime"),
        (MACHINES, "lastSeen"),
        (QUERY, "Timestamp"),
    ]
    .into_iter()
    .map(|(path, time)| (path.to_owned(), (time.to_owned(), Vec::new())))
    .collect()
}

/// The permission that a path needs.
fn need(path: &str) -> &'static str {
    match path {
        SIGN_INS | "/v1.0/auditLogs/directoryAudits" => "AuditLog.Read.All",
        "/v1.0/security/alerts_v2" => "SecurityAlert.Read.All",
        "/v1.0/security/incidents" => "SecurityIncident.Read.All",
        "/v1.0/admin/serviceAnnouncement/issues" => "ServiceHealth.Read.All",
        "/v1.0/admin/serviceAnnouncement/messages" => "ServiceMessage.Read.All",
        "/api/alerts" => "Alert.Read.All",
        MACHINES => "Machine.Read.All",
        _ => "AdvancedQuery.Read.All",
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, &json!({ "error": { "code": code, "message": message } }))
}

/// The two times of a condition, whatever stands between them.
fn times(text: &str) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
    let mut found = text.split([' ', '(', ')']).filter_map(|word| word.parse::<jiff::Timestamp>().ok());
    Some((found.next()?, found.next()?))
}

pub fn answer(state: &mut State, request: &Request) -> Response {
    let Some((field, objects)) = state.collections.get(&request.path) else {
        return refusal(404, "NotFound", "no such path");
    };
    let need = need(&request.path);
    if !state.roles.iter().any(|role| role == need) {
        return refusal(
            403,
            "Forbidden",
            &format!("Missing application roles. API required roles: {need}, application roles: ."),
        );
    }
    let is_query = request.path == QUERY;
    let condition = if is_query {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        body["Query"].as_str().unwrap().to_owned()
    } else {
        request.query("$filter").unwrap_or_default().to_owned()
    };
    if !condition.contains(field.as_str()) {
        return refusal(400, "BadRequest", "the filter names another field");
    }
    let Some((from, to)) = times(&condition) else { return refusal(400, "BadRequest", "Invalid filter clause") };
    let time = |object: &Value| object[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let mut all: Vec<&Value> = objects.iter().filter(|object| (from..to).contains(&time(object))).collect();
    all.sort_by_key(|object| std::cmp::Reverse(time(object)));
    if is_query {
        return Response::json(
            200,
            &json!({ "Stats": {}, "Schema": [{ "Name": "Timestamp", "Type": "DateTime" }], "Results": all }),
        );
    }
    if request.path == MACHINES && all.is_empty() {
        return refusal(404, "ResourceNotFound", "no machine");
    }
    let skip: usize = request.query("$skiptoken").map_or(0, |token| token.parse().unwrap());
    let page: Vec<&Value> = all.iter().skip(skip).take(state.page).copied().collect();
    let mut body = json!({ "@odata.context": "context", "value": page });
    if skip + state.page < all.len() {
        let filter: String = sapphire_edge::net::http::Url::parse_with_params("https://x/", [("$filter", &condition)])
            .unwrap()
            .query()
            .unwrap()
            .into();
        body["@odata.nextLink"] =
            json!(format!("{}{}?{filter}&$skiptoken={}", state.root, request.path, skip + state.page));
    }
    Response::json(200, &body)
}
