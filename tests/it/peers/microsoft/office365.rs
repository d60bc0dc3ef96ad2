//! The Management Activity API.

use serde_json::json;

use super::{Request, Response, State, TENANT, now, rfc3339};

const TYPES: [&str; 5] =
    ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"];

pub fn refusal(status: u16, code: &str) -> Response {
    Response::json(status, &json!({ "error": { "code": code, "message": "refused" } }))
}

pub fn answer(state: &mut State, request: &Request) -> Response {
    let (tenant, operation) = request.path.split_once("/activity/feed/").unwrap();
    if !tenant.ends_with(&format!("/{TENANT}")) {
        return refusal(400, "AF20010");
    }
    if request.query("PublisherIdentifier") != Some(TENANT) {
        state.sins.push(format!("no PublisherIdentifier: {}", request.path));
    }
    if !state.roles.iter().any(|role| role == "ActivityFeed.Read") {
        return refusal(401, "AF10001");
    }
    if let Some(id) = operation.strip_prefix("audit/") {
        return blob(state, id);
    }
    match (request.method.as_str(), operation) {
        ("GET", "subscriptions/list") => {
            let all = state.subscriptions.iter();
            let all: Vec<_> =
                all.map(|(name, status)| json!({ "contentType": name, "status": status, "webhook": null })).collect();
            Response::json(200, &json!(all))
        }
        ("POST", "subscriptions/start") => start(state, request),
        ("GET", "subscriptions/content") => content(state, request),
        ("POST", "subscriptions/stop") => {
            state.sins.push("stopped a subscription".to_owned());
            Response::text(200, "")
        }
        _ => refusal(404, "AF20002"),
    }
}

fn start(state: &mut State, request: &Request) -> Response {
    let Some(wanted) = request.query("contentType").filter(|name| TYPES.contains(name)) else {
        return refusal(400, "AF20020");
    };
    if !request.body.is_empty() && !request.body.starts_with(b"{") {
        return refusal(400, "AF20002");
    }
    if state.starts.iter().any(|(name, at)| name == wanted && now() - at < 15 * 60) {
        state.sins.push(format!("started {wanted} twice in 15 minutes"));
    }
    state.starts.push((wanted.to_owned(), now()));
    if state.subscriptions.get(wanted).is_some_and(|status| status == "enabled") {
        return refusal(400, "AF20024");
    }
    state.subscriptions.insert(wanted.to_owned(), "enabled".to_owned());
    Response::json(200, &json!({ "contentType": wanted, "status": "enabled", "webhook": null }))
}

/// `YYYY-MM-DDTHH:MM:SS` with or without zone.
fn seconds(text: &str) -> Option<i64> {
    let text = format!("{}Z", text.trim_end_matches('Z'));
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

fn content(state: &mut State, request: &Request) -> Response {
    let Some(wanted) = request.query("contentType").filter(|name| TYPES.contains(name)) else {
        return refusal(400, "AF20020");
    };
    if state.subscriptions.get(wanted).is_none_or(|status| status != "enabled") {
        return refusal(400, if state.subscriptions.contains_key(wanted) { "AF20023" } else { "AF20022" });
    }
    let times = request.query("startTime").and_then(seconds).zip(request.query("endTime").and_then(seconds));
    let Some((from, to)) = times else { return refusal(400, "AF20030") };
    if to <= from || to - from > 86_400 || from < now() - 7 * 86_400 {
        state.sins.push(format!("window {from}..{to}"));
        return refusal(400, "AF20030");
    }
    let skip: usize = match request.query("nextPage").map(|token| token.strip_prefix("page-")) {
        None => 0,
        Some(Some(token)) => token.parse().unwrap(),
        Some(None) => return refusal(400, "AF20031"),
    };
    // By the time of listing, not of creation: no order that anybody may count on.
    let mut all: Vec<_> = state
        .contents
        .iter()
        .filter(|content| {
            content.content_type == wanted && (from..to).contains(&content.created) && content.listed <= now()
        })
        .collect();
    all.sort_by_key(|content| content.id.bytes().rev().collect::<Vec<_>>());
    let items: Vec<_> = all
        .iter()
        .skip(skip)
        .take(state.page)
        .map(|content| {
            json!({
                "contentType": wanted, "contentId": content.id,
                "contentUri": format!("{}/api/v1.0/{TENANT}/activity/feed/audit/{}", state.root, content.id),
                "contentCreated": rfc3339(content.created), "contentExpiration": rfc3339(content.created + 7 * 86_400),
            })
        })
        .collect();
    let response = Response::json(200, &json!(items));
    if skip + state.page >= all.len() {
        return response;
    }
    let next = format!(
        "{}/api/v1/{TENANT}/activity/feed/subscriptions/content?contentType={wanted}&startTime={}&endTime={}&nextPage=page-{}",
        state.root,
        request.query("startTime").unwrap(),
        request.query("endTime").unwrap(),
        skip + state.page
    );
    response.with("nextpageURI", &next)
}

fn blob(state: &State, id: &str) -> Response {
    match state.contents.iter().find(|content| content.id == id) {
        None => refusal(404, "AF20050"),
        Some(content) if content.created < now() - 7 * 86_400 => refusal(400, "AF20051"),
        Some(content) if content.body.is_empty() => Response::text(200, &bulk(content)),
        Some(content) => Response::text(200, &content.body),
    }
}

/// Records of a content.
pub const BULK: usize = 1_000;

/// Many records, made when they are asked for.
fn bulk(content: &super::Content) -> String {
    let time = &rfc3339(content.created)[..19];
    let mut body = String::with_capacity(BULK * 700);
    for number in 0..BULK {
        body.push(if number == 0 { '[' } else { ',' });
        body.push_str(&format!(
            r#"{{"CreationTime":"{time}","Id":"{}-{number}","Operation":"FileAccessed","OrganizationId":"{TENANT}","RecordType":6,"ResultStatus":"Success","UserKey":"10030000AAAABBBB@fabrikam.example","UserType":0,"Version":1,"Workload":"SharePoint","ClientIP":"203.0.113.{}","ObjectId":"https://fabrikam.sharepoint.example/sites/team/Shared Documents/report-{number}.docx","UserId":"user{}@fabrikam.example","UserAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36","ExtendedProperties":[{{"Name":"RequestType","Value":"OAuth2:Token"}}]}}"#,
            content.id, number % 250, number % 37
        ));
    }
    body.push(']');
    body
}
