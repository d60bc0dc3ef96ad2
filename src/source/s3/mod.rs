//! Amazon S3 and SQS, as far as sources need them: a bucket is listed, its objects are read as a stream, a queue of
//! notifications is emptied.
//!
//! In: an access key, a bucket, a queue. Out: lists, decoded pieces of objects, messages; and every refusal in words. A room
//! beside `pull/` for the sources whose vendor writes into a bucket; what the objects mean is theirs.
//!
//! Invariants: a request is signed by the vendor's clock; the secret is read for each request and kept nowhere; an object is
//! never in memory whole, however well it was compressed.

mod bucket;
mod filling;
mod inbox;
mod notices;
mod settings;
mod sign;
mod stream;
mod words;
mod xml;

pub(in crate::source) use bucket::{Bucket, Listing, Login, Place};
pub(in crate::source) use filling::{Filling, parts};
pub(in crate::source) use inbox::Inbox;
pub(in crate::source) use notices::{Message, Notices, Written, region};
pub(in crate::source) use settings::{is_bucket, is_key_id, is_region, queue, secret_file};
pub(in crate::source) use stream::{Body, Broken};
pub(in crate::source) use words::{Advice, Missing};
pub(in crate::source) use xml::Listed;
