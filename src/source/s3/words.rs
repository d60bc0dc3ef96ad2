//! What S3 and SQS answer when they refuse, in words.
//!
//! Facts: AWS, S3 API reference, "Error responses" (codes); SQS API reference, "Common errors" and each action's own.

use super::xml::{self, Refusal};
use crate::net::http::HttpError;
use crate::source::pull::{Reply, Trouble};
use crate::status::Cause;

/// Why there is no object.
#[derive(Debug)]
pub(in crate::source) enum Missing {
    /// It is not there any more.
    Gone,
    /// It was moved to an archive class, from where only its owner can fetch it back.
    Archived,
    /// Anything else.
    Trouble(Trouble),
}

impl From<Trouble> for Missing {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<HttpError> for Missing {
    fn from(error: HttpError) -> Self {
        Self::Trouble(error.into())
    }
}

impl Missing {
    /// Why it can never be had; what else keeps it from being had now is an error.
    ///
    /// # Errors
    /// In words.
    pub(in crate::source) fn why(self) -> Result<&'static str, Trouble> {
        match self {
            Self::Gone => Ok("was deleted before it could be read"),
            Self::Archived => Ok("was moved to an archive class before it could be read"),
            Self::Trouble(trouble) => Err(trouble),
        }
    }
}

/// What a person can do, in the words of the source: only it knows where its settings come from.
#[derive(Clone, Copy, Debug)]
pub(in crate::source) struct Advice {
    /// Where a new access key is made.
    pub(in crate::source) new_key: &'static str,
    /// Where there is no such bucket.
    pub(in crate::source) bucket: &'static str,
    /// Where the bucket is in another region.
    pub(in crate::source) region: &'static str,
    /// Where the key may not read in the bucket.
    pub(in crate::source) rights: &'static str,
    /// Where there is no such queue.
    pub(in crate::source) queue: &'static str,
    /// Where the key may not use the queue.
    pub(in crate::source) queue_rights: &'static str,
}

/// What the words name.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) advice: Advice,
}

/// Whether the box's clock was too far off for the signature.
pub(super) fn is_skewed(reply: &Reply) -> bool {
    reply.code == 403 && Refusal::read(&reply.body).code == "RequestTimeTooSkewed"
        || matches!(reply.code, 400 | 403) && {
            let text = String::from_utf8_lossy(&reply.body);
            text.contains("Signature expired") || text.contains("Signature not yet current")
        }
}

/// An answer to a GET of an object that is not the object.
pub(super) fn missing(reply: &Reply, names: &Names) -> Missing {
    match (reply.code, Refusal::read(&reply.body).code.as_str()) {
        (404, "NoSuchKey") => Missing::Gone,
        (403, "InvalidObjectState") => Missing::Archived,
        _ => Missing::Trouble(refused(reply, names)),
    }
}

/// Any refusal of S3.
pub(super) fn refused(reply: &Reply, names: &Names) -> Trouble {
    let Refusal { code, message, region } = Refusal::read(&reply.body);
    let Names { bucket, region: ours, advice } = names;
    let new_key = advice.new_key;
    let elsewhere = |region: Option<String>| {
        let place = region.map_or_else(|| "in another region".to_owned(), |region| format!("in the region {region}"));
        Trouble::login(format!("the bucket {bucket} is {place}, not in {ours}"), advice.region)
    };
    match (reply.code, code.as_str()) {
        (_, "InvalidAccessKeyId") => Trouble::login(
            "AWS does not know this access key: it was replaced or deleted",
            format!("check access_key_id; {new_key}"),
        ),
        (_, "SignatureDoesNotMatch") => Trouble::login(
            "the secret access key does not belong to the access key id",
            format!("check the file of secret_access_key_file; {new_key}"),
        ),
        (_, "RequestTimeTooSkewed") => Trouble {
            what: "the box's clock is wrong by more than 15 minutes".into(),
            todo: "check the table [time] and that the box reaches its time servers".into(),
            ..Trouble::passing("", None)
        },
        (_, "NoSuchBucket") => Trouble::login(format!("there is no bucket {bucket}"), advice.bucket),
        (301 | 307, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            elsewhere(region.or_else(|| reply.fields.first().cloned().flatten()))
        }
        (_, "ExpiredToken" | "TokenRefreshRequired" | "AccountProblem" | "InvalidPayer" | "AllAccessDisabled") => {
            Trouble::login(format!("AWS refuses the account ({code})"), format!("ask the bucket's owner; {new_key}"))
        }
        (403, _) => {
            let what = format!("the bucket {bucket} refuses the access key for this prefix (403 {code})");
            Trouble::login(what, format!("{}; {new_key}", advice.rights))
        }
        (429 | 500.., _) | (_, "SlowDown" | "RequestTimeout" | "OperationAborted") => {
            let word = if code.is_empty() { "an error" } else { code.as_str() };
            let what = match word {
                "SlowDown" => "the bucket wants fewer requests (SlowDown)".to_owned(),
                word => format!("the bucket's server is not well and answered with {} ({word})", reply.code),
            };
            Trouble::passing(what, reply.retry_after)
        }
        (404, _) => Trouble::protocol(
            format!("there is no bucket {bucket} at this address (404)"),
            "check bucket, region and endpoint of this source",
        ),
        (code, word) => Trouble::protocol(
            format!("the bucket's server refused a request with {code} {word}: {}", short(&message)),
            "check endpoint and the proxy; if it stays, send the log to support",
        ),
    }
}

/// Any refusal of SQS: JSON with `__type` and `message`; of servers that take the older protocol for every refusal, XML.
pub(super) fn queue_refused(action: &str, reply: &Reply, names: &Names) -> Trouble {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let kind = text("__type").rsplit('#').next().filter(|kind| !kind.is_empty()).map(str::to_owned);
    let kind = kind.or_else(|| xml::code(&reply.body)).unwrap_or_default();
    let message = [text("message"), text("Message")].concat();
    match (reply.code, kind.as_str()) {
        (_, "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" | "InvalidAddress") => {
            Trouble::login("there is no such SQS queue", names.advice.queue)
        }
        (_, "UnrecognizedClientException" | "InvalidClientTokenId" | "MissingAuthenticationToken") => Trouble::login(
            "SQS does not know this access key: it was replaced or deleted",
            format!("check access_key_id; {}", names.advice.new_key),
        ),
        (_, "InvalidSignatureException" | "SignatureDoesNotMatch" | "IncompleteSignature") => Trouble::login(
            "the secret access key does not belong to the access key id",
            format!("check the file of secret_access_key_file; {}", names.advice.new_key),
        ),
        (_, word) if word.contains("AccessDenied") || reply.code == 403 => Trouble::login(
            format!("the SQS queue refuses the access key for {action} ({word})"),
            names.advice.queue_rights,
        ),
        (429 | 500.., _) | (_, "ThrottlingException" | "RequestThrottled" | "OverLimit") => {
            Trouble::passing(format!("SQS is busy and answered with {} ({kind})", reply.code), reply.retry_after)
        }
        (code, word) => Trouble::protocol(
            format!("SQS refused a request with {code} {word}: {}", short(&message)),
            "check sqs_queue and the proxy; if it stays, send the log to support",
        ),
    }
}

/// The beginning of a vendor's message. A signature's refusal repeats what was signed, never the secret.
fn short(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(160).collect()
}

/// The secret's file cannot be read.
pub(super) fn no_secret(file: &std::path::Path, why: &str) -> Trouble {
    Trouble {
        cause: Cause::Login,
        ..Trouble::login(
            format!("{} {why}", file.display()),
            "write the secret access key into the file of secret_access_key_file",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_refuses_in_both_protocols() {
        let advice = Advice { new_key: "new", bucket: "", region: "", rights: "", queue: "", queue_rights: "rights" };
        let names = Names { bucket: String::new(), region: "x".into(), advice };
        let said = |code: u16, body: &'static str| {
            let reply = Reply { code, body: body.as_bytes().into(), retry_after: None, fields: Vec::new() };
            let trouble = queue_refused("DeleteMessage", &reply, &names);
            (trouble.what, trouble.todo, trouble.cause)
        };
        let json = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}"#;
        let (what, todo, _) = said(400, json);
        assert_eq!(what, "the SQS queue refuses the access key for DeleteMessage (AccessDeniedException)");
        assert_eq!(todo, "rights");
        let xml = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>m</Message></Error></ErrorResponse>";
        assert!(said(403, xml).0.starts_with("SQS does not know this access key"));
        let xml = "<ErrorResponse><Errors><Error><Code>SignatureDoesNotMatch</Code></Error></Errors></ErrorResponse>";
        assert!(said(403, xml).0.starts_with("the secret access key does not belong"));
        let receipt = said(400, r#"{"__type":"com.amazonaws.sqs#ReceiptHandleIsInvalid","message":"m"}"#);
        assert_eq!(receipt.2, Cause::Protocol);
        assert!(said(502, "<html>front door</html>").0.contains("busy"));
    }
}
