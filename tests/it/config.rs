//! Settings through the real program: `check` and `schema`.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::peers::appliance::program;

fn check(file: &Path) -> Output {
    program().arg("check").arg("--config").arg(file).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_bad_file_is_refused_with_its_place_and_its_advice() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/settings");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let output = check(&file);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{}: {errors}", file.display());
        assert_eq!(text(&output.stdout), "");
        let content = fs::read_to_string(&file).unwrap();
        for line in content.lines().filter_map(|line| line.strip_prefix("# expect ")) {
            let (place, rest) = line.split_once(' ').unwrap();
            let [key, what, advice] = rest.split(" | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
            let headline = errors.lines().find(|error| {
                let key = if key == "-" { String::new() } else { format!("{key}: ") };
                error.starts_with(&format!("{}:{place}: {key}", file.display())) && error.contains(what)
            });
            assert!(headline.is_some(), "{line}\n{errors}");
            assert!(errors.contains(advice), "{line}\n{errors}");
        }
        files += 1;
    }
    assert!(files >= 40, "{files} files");
}

#[test]
fn what_is_no_settings_file_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    for (content, words) in [
        (None, "check the path"),
        (Some(b"name = \"\xff\"\n".to_vec()), "1:9: the file is not UTF-8 here"),
        (Some(vec![b'#'; (1 << 20) + 1]), "larger than 1 MiB"),
    ] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let output = check(&file);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(errors.contains(words) && errors.starts_with(&file.display().to_string()), "{errors}");
    }
    assert!(text(&check(folder.path()).stderr).contains("name the file inside the folder"));
}

#[test]
fn check_opens_the_certificates_that_the_file_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let settings = format!(
        "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tls://127.0.0.1:0\"]\n[source.tls]\ncert = \
         \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n",
        folder.path().display()
    );
    fs::write(&file, settings).unwrap();
    let errors = text(&check(&file).stderr);
    assert!(errors.starts_with(&format!("{}:6:8: source[firewalls].tls.cert: ", file.display())), "{errors}");
    let made = rcgen::generate_simple_self_signed(vec!["box.example.net".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), "no key").unwrap();
    let errors = text(&check(&file).stderr);
    assert!(errors.starts_with(&format!("{}:7:7: source[firewalls].tls.key: ", file.display())), "{errors}");
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let output = check(&file);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with("good, with 1 source and 0 outputs\n"));
}

#[test]
fn the_schema_names_every_type_and_the_example_is_good() {
    let output = program().arg("schema").output().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let schema = schema.to_string();
    for kind in ["syslog", "lumberjack", "file"] {
        assert!(schema.contains(&format!("\"const\":\"{kind}\"")), "{kind}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let headers = sapphire_edge::config::EXAMPLE.lines().filter(|line| line.starts_with('['));
    assert!(headers.count() > 5);
    fs::write(&file, sapphire_edge::config::EXAMPLE).unwrap();
    // It names certificates, secrets and a folder that this machine does not have; nothing else may be wrong.
    let errors = text(&check(&file).stderr);
    let complaints = errors.lines().filter(|line| line.starts_with(&file.display().to_string()));
    for line in complaints {
        assert!(
            line.contains(".tls.") || line.contains("_file: ") || line.contains("output[archive].path"),
            "{errors}"
        );
    }
}

#[test]
fn a_wrong_command_line_is_told_from_a_wrong_file() {
    for (arguments, code) in
        [(&["check", "--file", "x"][..], 2), (&["chek"], 2), (&["--help"], 0), (&["run", "--help"], 0)]
    {
        assert_eq!(program().args(arguments).output().unwrap().status.code(), Some(code), "{arguments:?}");
    }
}
