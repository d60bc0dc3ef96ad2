//! S3 and SQS by moto, which checks signatures and rights by itself, behind a link that breaks on command.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::certificates::Authority;
use super::program::{Running, python};

/// The region that moto is in.
pub const REGION: &str = "eu-central-1";

/// The running program.
pub struct Aws {
    pub authority: Authority,
    /// `port`, `id` and `secret` of the reader's key, the address of the `queue`.
    pub about: Value,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _program: Running,
}

impl Aws {
    /// With these buckets, of which the reader may list and read what begins so, and a queue that it may empty; `None` if that is
    /// to be skipped.
    pub fn start(buckets: &[&str], prefix: &str, queue: &str) -> Option<Self> {
        let mut command = python("aws.py")?;
        let mut program = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (input, output) = (program.0.stdin.take().unwrap(), BufReader::new(program.0.stdout.take().unwrap()));
        let authority = Authority::new();
        let (identity, ca) = (authority.identity("127.0.0.1"), authority.ca());
        let mut aws = Self { authority, about: Value::Null, pipes: Mutex::new((input, output)), _program: program };
        aws.about = aws.tell(&json!({
            "cert": identity.cert, "key": identity.key, "ca": ca, "buckets": buckets, "prefix": prefix, "queue": queue,
        }));
        aws.write_secret(aws.about["secret"].as_str().unwrap());
        Some(aws)
    }

    /// Does what a line says, see `aws.py`.
    pub fn tell(&self, command: &Value) -> Value {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.0, "{command}").unwrap();
        let mut line = String::new();
        pipes.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        self.tell(&json!({ "do": "put", "bucket": bucket, "objects": { key: STANDARD.encode(body) } }));
    }

    pub fn send(&self, body: &str) {
        self.tell(&json!({ "do": "send", "body": body }));
    }

    /// Messages that were not deleted.
    pub fn waiting(&self) -> u64 {
        self.tell(&json!({ "do": "waiting" })).as_u64().unwrap()
    }

    /// Refuses so many requests for objects whose path holds this.
    pub fn refuse(&self, part: &str, times: u32, code: u16, word: &str) {
        self.tell(&json!({ "do": "fault", "part": part, "times": times, "code": code, "word": word }));
    }

    /// Half of the body of so many objects comes, then the connection ends.
    pub fn cut(&self, part: &str, times: u32) {
        self.tell(&json!({ "do": "fault", "part": part, "times": times }));
    }

    /// Half of the body of one object comes, and the rest not before what is broken is mended.
    pub fn hold(&self, part: &str) {
        self.tell(&json!({ "do": "fault", "part": part, "times": 1, "hold": true }));
    }

    /// Everything works again.
    pub fn mend(&self) {
        self.tell(&json!({ "do": "mend" }));
    }

    /// The paths of the objects that were asked for and not refused by a fault.
    pub fn read(&self) -> Vec<String> {
        serde_json::from_value(self.tell(&json!({ "do": "read" }))).unwrap()
    }

    pub fn write_secret(&self, secret: &str) {
        std::fs::write(self.authority.folder().join("secret"), secret).unwrap();
    }

    /// The keys of any source that this serves: endpoint, key, short waits.
    pub fn settings(&self) -> String {
        let secret = self.authority.folder().join("secret");
        format!(
            "region = \"{REGION}\"\nendpoint = \"https://127.0.0.1:{}\"\naccess_key_id = {}\n\
             secret_access_key_file = {secret:?}\nbackoff_min = \"20ms\"\nbackoff_max = \"200ms\"\n",
            self.about["port"], self.about["id"]
        )
    }

    /// The last keys of such a source.
    pub fn tls(&self) -> String {
        format!("[source.tls]\nca = {:?}\n", self.authority.ca())
    }
}
