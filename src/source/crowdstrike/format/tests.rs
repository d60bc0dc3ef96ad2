//! Golden lines; all samples are invented.

use super::*;

const DETECTION: &str = r#"{"metadata":{"customerIDString":"00000000000000000000000000000001","offset":4711,"eventType":"DetectionSummaryEvent","eventCreationTime":1709633730123,"version":"1.0"},"event":{"SensorId":"0123456789abcdef0123456789abcdef","ProcessId":18446744073709551615,"ParentProcessId":9000000000000,"ComputerName":"PC-042","UserName":"jane","DetectDescription":"Script ran\nan encoded command","FileName":"pw.exe","FilePath":"\\Device\\Disk1\\tools","CommandLine":"pw.exe -e QQ== | more","MD5String":"ffffffffffffffffffffffffffffffff","MachineDomain":"LAB","FalconHostLink":"https://falcon.example/x?_cid=0","LocalIP":"192.0.2.15","MACAddress":"00-00-5e-00-53-01","Tactic":"Exec|ution","Technique":"PowerShell","Objective":"Follow Through","Severity":4,"PatternDispositionValue":2048,"PatternDispositionDescription":"Prevention, process was blocked."}}"#;
const AUDIT: &str = r#"{"metadata":{"customerIDString":"01","offset":4712,"eventType":"AuthActivityAuditEvent","eventCreationTime":1709633730123},"event":{"UserId":"jane@example.com","UserIp":"192.0.2.7","OperationName":"userAuthenticate","ServiceName":"CrowdStrike Authentication","Success":true,"UTCTimestamp":1709633730,"AuditKeyValues":null}}"#;
const NEW: &str = r#"{"metadata":{"offset":4713,"eventType":"SomethingNewEvent","eventCreationTime":1709633730123},"event":{"Big":9223372036854775809,"a=b":"c\td"}}"#;

fn form(format: FalconFormat, rules: Option<&str>, line: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = rules.map(|text| {
        let file = folder.path().join("rules.cfg");
        std::fs::write(&file, text).unwrap();
        file
    });
    let mapper = Mapper::open(format, file.as_deref(), "falcon_1").unwrap();
    let line = Bytes::copy_from_slice(line.as_bytes());
    let formed = mapper.form(&line, Metadata::of(&line).as_ref(), Timestamp(1_700_000_000_000_000));
    String::from_utf8(formed.to_vec()).unwrap()
}

#[test]
fn json_stays_as_it_came() {
    assert_eq!(form(FalconFormat::Json, None, DETECTION), DETECTION);
}

#[test]
fn cef_as_the_connector_writes_it() {
    let cef = |line: &str| form(FalconFormat::Cef, None, line);
    assert_eq!(
        cef(DETECTION),
        r"<134>Mar  5 10:15:30 falcon_1 CEF:0|CrowdStrike|FalconHost|1.0|DetectionSummaryEvent|Exec\|ution|4|externalId=0123456789abcdef0123456789abcdef cn2Label=ProcessId cn2=18446744073709551615 cn1Label=ParentProcessId cn1=9000000000000 dhost=PC-042 duser=jane msg=Script ran\nan encoded command fname=pw.exe filePath=\\Device\\Disk1\\tools cs5Label=CommandLine cs5=pw.exe -e QQ\=\= | more fileHash=ffffffffffffffffffffffffffffffff dntdom=LAB cs6Label=FalconHostLink cs6=https://falcon.example/x?_cid\=0 cn3Label=Offset cn3=4711 rt=1709633730123 src=192.0.2.15 smac=00-00-5e-00-53-01 cat=Exec|ution act=PowerShell reason=Follow Through outcome=2048 CSMTRPatternDisposition=Prevention, process was blocked."
    );
    assert_eq!(
        cef(AUDIT),
        "<134>Mar  5 10:15:30 falcon_1 CEF:0|CrowdStrike|FalconHost|1.0|userAuthenticate|userAuthenticate|1|cat=AuthActivityAuditEvent destinationTranslatedAddress=192.0.2.7 duser=jane@example.com deviceProcessName=CrowdStrike Authentication cn3Label=Offset cn3=4712 outcome=true deviceCustomDate1Label=Timestamp deviceCustomDate1=Mar 05 2024 10:15:30 rt=1709633730123"
    );
    assert_eq!(
        cef(NEW),
        r#"<134>Mar  5 10:15:30 falcon_1 CEF:0|CrowdStrike|FalconHost|1.0|SomethingNewEvent|SomethingNewEvent|1|cat=SomethingNewEvent cn3Label=Offset cn3=4713 rt=1709633730123 cs1Label=Event cs1={"Big":9223372036854775809,"a\=b":"c\\td"}"#
    );
}

#[test]
fn leef_with_tabs_and_no_label_without_value() {
    let leef = |line: &str| form(FalconFormat::Leef, None, line);
    assert_eq!(
        leef(AUDIT),
        "<134>Mar  5 10:15:30 falcon_1 LEEF:1.0|CrowdStrike|FalconHost|1.0|AuthActivityAuditEvent|cat=userAuthenticate\tusrName=jane@example.com\tsrc=192.0.2.7\tdevTime=2024-03-05 10:15:30\tdevTimeFormat=yyyy-MM-dd HH:mm:ss\tserviceName=CrowdStrike Authentication\tsuccess=true\toffset=4712"
    );
    assert!(leef(DETECTION).contains("\tdetectDescription=Script ran an encoded command\t"));
    assert!(leef(NEW).ends_with("\tevent={\"Big\":9223372036854775809,\"a=b\":\"c\\td\"}"));
    let without = AUDIT.replace(r#""UTCTimestamp":1709633730"#, r#""UTCTimestamp":null"#);
    assert!(!form(FalconFormat::Cef, None, &without).contains("deviceCustomDate1"), "neither value nor label");
}

#[test]
fn a_file_overrides_rules_and_a_line_that_is_no_event_goes_on_whole() {
    let rules = "[AuthActivityAuditEvent]\n__header.0 = 'login'\n__header.1 = event.Nothing\n__header.2 = metadata.eventType\nwho = event.UserId\nall = event\nnone = event.Nothing\n";
    let cef = form(FalconFormat::Cef, Some(rules), AUDIT);
    assert!(cef.contains("|1.0|login||AuthActivityAuditEvent|who=jane@example.com all={"), "{cef}");
    assert!(!cef.contains("none="), "{cef}");
    let empty = form(FalconFormat::Cef, Some(&format!("map_null = true\n{rules}")), AUDIT);
    assert!(empty.ends_with(" none="), "{empty}");
    assert_eq!(form(FalconFormat::Cef, None, "[1,2]"), "<134>Nov 14 22:13:20 falcon_1 falcon: [1,2]");
    let cut = DETECTION.split_at(300).0;
    assert_eq!(form(FalconFormat::Leef, None, cut), format!("<134>Mar  5 10:15:30 falcon_1 falcon: {cut}"));
    let missing = Mapper::open(FalconFormat::Cef, Some(Path::new("/nowhere/rules.cfg")), "x").unwrap_err();
    assert!(missing.contains("/nowhere/rules.cfg"), "{missing}");
}
