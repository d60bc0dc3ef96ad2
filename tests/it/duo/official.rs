//! The vendor's own client against the double: what it is refused, we must not rely on.

use crate::peers::duo::{Duo, INTEGRATION_KEY, LOGS, SECRET_KEY, ago, now};
use crate::peers::program::{python, run};

#[test]
fn duo_client_reads_every_log_of_the_double() {
    let double = Duo::start();
    double.state().page = 2;
    for log in LOGS {
        for number in 0..5 {
            double.add(log, &format!("{number}"), ago(200 + number / 2));
        }
    }
    let Some(mut client) = python("duo_logs.py") else { return };
    let url = double.server.url();
    let (_, port) = url.rsplit_once(':').unwrap();
    let (from, to) = ((now() - 3_600).to_string(), (now() - 125).to_string());
    let output = run(client
        .args([port, "localhost", INTEGRATION_KEY, SECRET_KEY])
        .arg(double.authority.ca())
        .args([&from, &to]));
    let counts = "authentication=5 telephony=5 activity=5 administrator=5 offline_enrollment=5 trust_monitor=5";
    for line in [
        format!("v5 sha512: {counts}"),
        format!("v2 sha512: {counts}"),
        format!("v2 sha1: {counts}"),
        "wrong key: Received 401 Invalid signature in request credentials".to_owned(),
    ] {
        assert!(output.contains(&line), "{line:?} is missing in\n{output}");
    }
    assert_eq!(double.state().signatures.len(), 3);
}
