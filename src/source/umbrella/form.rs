//! What is asked for Cisco Umbrella: what Log Management shows.
//!
//! Facts: as README.md, "Cisco Umbrella".

use crate::form::{Field, Form, Kind, PROXY, VENDOR_CA, backfill};

pub(in crate::source) const FORM: Form = Form {
    kind: "umbrella",
    title: "Cisco Umbrella and Secure Access",
    about: "DNS, web, firewall and other logs, which Cisco writes into an S3 bucket every ten minutes.",
    asks: &[
        Field::text("bucket", "Bucket", "Of the data path s3://BUCKET/PREFIX/, such as cisco-managed-eu-central-1.")
            .needed(),
        Field::text("region", "Region", "Such as eu-central-1.").needed(),
        Field::text("prefix", "Prefix", "Of the data path: what follows the bucket's name."),
        Field::text("access_key_id", "Access Key", "").needed(),
        Field::secret("secret_access_key_file", "Secret Key", "It is shown once.").needed(),
        Field::text(
            "key_created",
            "Day on which the key was made",
            "Such as 2026-01-31: Cisco refuses keys of its buckets after 90 days, and the box says so in time.",
        ),
        Field::new(Kind::Amount, "retention", "Retention", "How long the bucket keeps logs: 7d, 14d or 30d.")
            .default("30d"),
        backfill("7d"),
    ],
    more: &[
        &[
            Field::list("folders", "Only these logs", "One a line, such as dnslogs. Empty: all, new ones too."),
            Field::text(
                "sqs_queue",
                "SQS queue",
                "Of a bucket of your own that tells a queue what is written: the queue's URL.",
            ),
        ],
        &PROXY,
        &VENDOR_CA,
    ],
    steps: &[
        "Umbrella > Admin > Log Management > Amazon S3: Use a Cisco-managed Amazon S3 bucket (or your own), region and retention. The page shows \
         the data path s3://BUCKET/PREFIX/.",
        "It shows Access Key and Secret Key once.",
        "For a bucket of your own, an IAM user that may s3:ListBucket and s3:GetObject below the prefix.",
    ],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};
