//! What S3 and SQS answer when they refuse, in words.
//!
//! Facts: AWS, S3 API reference, "Error responses" (codes); SQS API reference, "Common errors" and each action's own.

use super::xml::Refusal;
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

/// What the words name.
#[derive(Clone, Debug)]
pub(in crate::source) struct Names {
    pub(in crate::source) bucket: String,
    pub(in crate::source) region: String,
    /// Where an administrator makes a new access key.
    pub(in crate::source) new_key: &'static str,
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
    let Names { bucket, region: ours, new_key } = names;
    let elsewhere = |region: Option<String>| {
        let place = region.map_or_else(|| "in another region".to_owned(), |region| format!("in the region {region}"));
        Trouble::login(
            format!("the bucket {bucket} is {place}, not in {ours}"),
            "write the region that the vendor's page shows into region of this source",
        )
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
        (_, "NoSuchBucket") => Trouble::login(
            format!("there is no bucket {bucket}"),
            "check bucket, region and endpoint of this source against the vendor's page",
        ),
        (301 | 307, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            elsewhere(region.or_else(|| reply.fields.first().cloned().flatten()))
        }
        (_, "ExpiredToken" | "TokenRefreshRequired" | "AccountProblem" | "InvalidPayer" | "AllAccessDisabled") => {
            Trouble::login(format!("AWS refuses the account ({code})"), format!("ask the bucket's owner; {new_key}"))
        }
        (403, _) => {
            let what = format!("the bucket {bucket} refuses the access key for this prefix (403 {code})");
            Trouble::login(what, format!("check prefix: the key may list and read below the data path only; {new_key}"))
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

/// Any refusal of SQS: JSON with `__type` and `message`.
pub(super) fn queue_refused(reply: &Reply, names: &Names) -> Trouble {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let kind = text("__type").rsplit('#').next().unwrap_or_default().to_owned();
    let message = [text("message"), text("Message")].concat();
    match (reply.code, kind.as_str()) {
        (_, "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" | "InvalidAddress") => Trouble::login(
            "there is no such SQS queue",
            "copy URL of the queue's page in the AWS console into sqs_queue; check region",
        ),
        (_, "UnrecognizedClientException" | "InvalidClientTokenId" | "MissingAuthenticationToken") => Trouble::login(
            "SQS does not know this access key: it was replaced or deleted",
            format!("check access_key_id; {}", names.new_key),
        ),
        (_, "InvalidSignatureException" | "SignatureDoesNotMatch" | "IncompleteSignature") => Trouble::login(
            "the secret access key does not belong to the access key id",
            format!("check the file of secret_access_key_file; {}", names.new_key),
        ),
        (_, word) if word.contains("AccessDenied") || reply.code == 403 => Trouble::login(
            format!("the SQS queue refuses the access key ({word})"),
            "allow sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility on the queue, in IAM",
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
