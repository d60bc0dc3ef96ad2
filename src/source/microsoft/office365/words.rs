//! What the Management Activity API answers when it refuses, in words.
//!
//! Facts: "Management Activity API reference", errors; AF20024 from issue 387 of the vendor's documentation. Bodies are
//! `{"error":{"code":…,"message":…}}`, sometimes with single quotes, sometimes HTML of the front door: so the code is looked
//! for in the text.

use crate::source::microsoft::session::{Api, permission};
use crate::source::pull::{Reply, Trouble};

/// The code in a refusal, such as `AF20022`.
pub(super) fn code(text: &str) -> Option<&str> {
    let at = text.match_indices("AF").map(|(at, _)| at);
    at.filter_map(|at| {
        let rest = text.get(at..)?;
        let length = 2 + rest.get(2..)?.bytes().take_while(u8::is_ascii_digit).count();
        rest.get(..length).filter(|code| code.len() == 7 || *code == "AF429")
    })
    .next()
}

/// The code that a trouble carries at the end of its words.
pub(super) fn code_of(trouble: &Trouble) -> Option<&str> {
    code(&trouble.what)
}

pub(super) fn trouble(reply: &Reply, api: &Api) -> Trouble {
    let text = String::from_utf8_lossy(reply.body.get(..reply.body.len().min(4_096)).unwrap_or_default());
    let code = code(&text).unwrap_or_default();
    let shown = if code.is_empty() { format!("{}", reply.code) } else { code.to_owned() };
    let host = api.root.host_str().unwrap_or_default();
    match code {
        "AF429" => Trouble::passing("the tenant's budget of requests is used up (AF429)", reply.retry_after),
        "AF50000" | "AF50005" | "AF50006" => {
            Trouble::passing(format!("{host} is not well and answered with {code}"), reply.retry_after)
        }
        "AF10001" => {
            let mut trouble = permission("ActivityFeed.Read");
            trouble.what.push_str(" (AF10001)");
            trouble
        }
        "AF20010" | "AF20011" | "AF20012" | "AF20013" => Trouble::login(
            format!("the API does not know the tenant {} ({code})", api.identity.tenant),
            "write the Directory (tenant) ID; if it is right, switch auditing on in the Microsoft Purview portal, Audit, and \
             wait up to 60 minutes",
        ),
        "AF20022" => Trouble::passing(format!("there is no subscription yet ({code})"), None),
        "AF20023" => Trouble::login(
            format!("an administrator has disabled the subscription ({code})"),
            "ask the tenant's administrator; it is started again by itself once that is allowed",
        ),
        "" => without_code(reply, &text, host),
        _ => Trouble::protocol(format!("{host} refused a request ({shown})"), "if it stays, send the log to support"),
    }
}

/// A refusal that names no code.
fn without_code(reply: &Reply, text: &str, host: &str) -> Trouble {
    let lower = text.to_ascii_lowercase();
    match reply.code {
        _ if lower.contains("tenant") && lower.contains("does not exist") => Trouble::login(
            "auditing is not switched on in this tenant".to_owned(),
            "switch it on in the Microsoft Purview portal, Audit (Start recording user and admin activity), and wait up to 60 \
             minutes",
        ),
        401 => Trouble::login(
            format!("{host} does not take the token"),
            "check api, cloud and tenants of this source: the token is for another API, tenant or cloud",
        ),
        403 => Trouble::login(
            format!("{host} refuses the app"),
            "add the application permission ActivityFeed.Read of Office 365 Management APIs in Entra, then press Grant admin \
             consent",
        ),
        408 | 429 | 500.. => {
            Trouble::passing(format!("{host} is not well and answered with {}", reply.code), reply.retry_after)
        }
        code => {
            Trouble::protocol(format!("{host} refused a request with {code}"), "if it stays, send the log to support")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_found_whatever_the_quotes() {
        for (text, expected) in [
            (r#"{"error":{"code":"AF20022","message":"x"}}"#, Some("AF20022")),
            ("{'error':{'code':'AF429','message':'Too many requests.'}}", Some("AF429")),
            ("<html>AFTER AF2</html>", None),
            ("AFAF50000", Some("AF50000")),
            ("", None),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }
}
