//! The bodies of the fuzz targets (`tests/fuzz`) as property tests, which run everywhere.
//!
//! Half of the bytes are arbitrary; the other half are a sample with a few bytes changed, so that they get past the first
//! check. What only the queue's own rooms can reach (records, segments, the index) has property tests there.

use proptest::prelude::*;

#[path = "../fuzz/bodies.rs"]
mod bodies;

/// A body and samples that it takes.
type Target = (fn(&[u8]), &'static [&'static [u8]]);

const TARGETS: [Target; 8] = [
    (bodies::syslog_framing, &[b"<13>one\n<13>two\r\n<13>three\0", b"7 <13>one9 <13>three"]),
    (bodies::lumberjack_frames, &[b"2W\0\0\0\x022J\0\0\0\x01\0\0\0\x02{}2J\0\0\0\x02\0\0\0\x07{\"a\":1}"]),
    (bodies::lumberjack_acks, &[b"2A\0\0\0\0" as &[u8], b"2A\0\0\x08\x002A\0\0\0\x01"]),
    (
        bodies::event,
        &[
            b"<134>1 2026-11-24T08:00:00.5+01:00 fw1 app 7 ID [a@1 b=\"c\\\"\"] \xef\xbb\xbfhello",
            b"<30>device=\"SFW\" date=2026-11-24 time=10:15:30 timezone=\"CET\" log_id=010101600001 message=\"a b\"",
            b"<166>Nov 24 2026 10:15:30 asa : %ASA-6-302013: Built outbound TCP connection 1 for a:192.0.2.1/1",
            b"{\"message\":\"x\",\"@metadata\":{\"_id\":\"1\"},\"a\":[1,{\"b\":null}]}",
        ],
    ),
    (bodies::key_values, &[b"a=1 b=\"two words\" c='x' d= e=x y z f=\"open", b"a=1|b=2|c=three"]),
    (bodies::packed_batch, &[b"\x01\x02\x03\x04\x05\x06\x07\x08" as &[u8]]),
    (bodies::control, &[b"\"status\"", b"{\"tap\":{\"source\":\"fw\"}}"]),
    (
        bodies::settings,
        &[b"name = \"a\"\n[[source]]\nid = \"b\"\ntype = \"syslog\"\nlisten = [\"udp://127.0.0.1:0\"]\n"],
    ),
];

fn changed(target: usize, sample: usize, edits: &[(usize, u8)]) -> Vec<u8> {
    let samples = TARGETS[target].1;
    let mut bytes = samples[sample % samples.len()].to_vec();
    for (at, byte) in edits {
        let at = at % bytes.len();
        bytes[at] = *byte;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_decoder_panics_on_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        TARGETS.iter().for_each(|(body, _)| body(&bytes));
    }

    #[test]
    fn no_decoder_panics_on_a_damaged_sample(
        target in 0..TARGETS.len(), sample in any::<usize>(),
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
    ) {
        TARGETS[target].0(&changed(target, sample, &edits));
    }
}
