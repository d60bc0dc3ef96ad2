//! The command line of an `exec` request, and the paths that devices give.
//!
//! No path of a device ever names a file of ours: it is kept as text, beside the data.

/// The longest name of a file or folder, as Linux has it.
const LONGEST_NAME: usize = 255;
/// The longest path that is kept.
const LONGEST_PATH: usize = 1_024;

/// `scp -t` as a device asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sink {
    /// Folders may come.
    pub(super) recursive: bool,
    /// Where to.
    pub(super) target: String,
}

/// Reads a command line; in words why it is refused. The far end of scp gets its path as text for a shell: quotes and
/// backslashes are undone, nothing is expanded (cisco scp and OpenSSH scp.c).
pub(super) fn parse(command: &[u8]) -> Result<Sink, String> {
    let text = std::str::from_utf8(command).map_err(|_| "the command is no text")?;
    let words = words(text).ok_or("the command has a quote without its end")?;
    let mut words = words.into_iter();
    let only_scp = || "only scp -t and sftp are allowed here".to_owned();
    let program = words.next().ok_or_else(only_scp)?;
    if program.rsplit('/').next() != Some("scp") {
        return Err(only_scp());
    }
    let (mut sink, mut is_sink, mut paths, mut options_end) = (Sink::default(), false, Vec::new(), false);
    for word in words {
        match word.strip_prefix('-') {
            Some("-") if !options_end => options_end = true,
            Some(flags) if !options_end && !flags.is_empty() => {
                for flag in flags.chars() {
                    match flag {
                        't' => is_sink = true,
                        'r' => sink.recursive = true,
                        'd' | 'p' | 'v' | 'q' => {}
                        'f' => return Err("files can only be sent to this box, not fetched from it".into()),
                        other => return Err(format!("scp -{other} is not known here")),
                    }
                }
            }
            _ => paths.push(word),
        }
    }
    match paths.as_slice() {
        [target] if is_sink => Ok(Sink { target: target.clone(), ..sink }),
        _ => Err(only_scp()),
    }
}

/// The words of a shell's command line; `None` where a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote, mut escaped) = (Vec::new(), None::<String>, None, false);
    for c in text.chars() {
        match (c, quote) {
            _ if escaped => {
                word.get_or_insert_default().push(c);
                escaped = false;
            }
            ('\\', None | Some('"')) => escaped = true,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_ascii_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (quote.is_none() && !escaped).then_some(words)
}

/// A name that a device gives to a file or folder.
pub(super) fn name(bytes: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the name is not UTF-8")?;
    if text.is_empty() || text == "." || text == ".." || text.contains('/') {
        return Err("the name is no name of a file");
    }
    if text.contains(char::is_control) {
        return Err("the name holds control characters");
    }
    if text.len() > LONGEST_NAME { Err("the name is too long") } else { Ok(text.to_owned()) }
}

/// A path as it is kept: from `/` on, without `.` and empty parts; `..` goes no higher than the device's own folder.
pub(super) fn path(base: &str, path: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(path).map_err(|_| "the path is not UTF-8")?;
    let from_top = text.starts_with('/') || text.starts_with('~');
    let text = text.strip_prefix('~').unwrap_or(text);
    let mut parts: Vec<&str> = if from_top { Vec::new() } else { base.split('/').filter(|p| !p.is_empty()).collect() };
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => {
                if part.contains(char::is_control) || part.len() > LONGEST_NAME {
                    return Err("the path holds control characters or is too long");
                }
                parts.push(part);
            }
        }
    }
    let path = format!("/{}", parts.join("/"));
    if path.len() > LONGEST_PATH { Err("the path is too long") } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scp_sinks_are_understood_and_all_else_is_refused() {
        for (command, target, recursive) in [
            ("scp -t .", ".", false),
            ("scp -v -p -t /logs/in", "/logs/in", false),
            ("/usr/bin/scp -vprt -- '/with blank'", "/with blank", true),
            ("scp -d -t \"a\\\"b\"", "a\"b", false),
            ("scp -t a\\ b'c d'", "a bc d", false),
            ("scp -t -- -x", "-x", false),
            ("scp -t ''", "", false),
        ] {
            assert_eq!(parse(command.as_bytes()), Ok(Sink { recursive, target: target.into() }), "{command}");
        }
        for command in [
            "scp -f x",
            "scp x",
            "scp -t",
            "scp -t a b",
            "sh",
            "",
            "scp -t 'x",
            "scp -S x -t y",
            "scp -t x; id",
            "rsync",
        ] {
            assert!(parse(command.as_bytes()).is_err(), "{command}");
        }
        assert!(parse(b"scp -t \xff").is_err());
    }

    #[test]
    fn no_path_goes_above_the_device() {
        for (base, text, kept) in [
            ("/", "a/b", "/a/b"),
            ("/in", "../../x", "/x"),
            ("/in", "./y//z/", "/in/y/z"),
            ("/in", "/abs", "/abs"),
            ("/in", "~/home", "/home"),
            ("/in", "", "/in"),
        ] {
            assert_eq!(path(base, text.as_bytes()).as_deref(), Ok(kept), "{text}");
        }
        assert!(path("/", b"a\0b").is_err() && path("/", &b"a/".repeat(600)).is_err());
        for bad in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0", b"a\nb", &[b'x'; 256], b"\xff"] {
            assert!(name(bad).is_err());
        }
        assert_eq!(name("mail.@20240305T101530.s".as_bytes()).as_deref(), Ok("mail.@20240305T101530.s"));
    }
}
