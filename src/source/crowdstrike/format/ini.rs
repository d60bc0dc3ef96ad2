//! Settings files of the vendor's SIEM connector: sections of `key = value`.
//!
//! Facts: the connector's own files (`cs.falconhoseclient.cfg` and its CEF variant, as published in guides): comments begin with `#`
//! or `;`, values may stand in quotes of either kind.

/// A section: its name, and its keys in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::source::crowdstrike) struct Section {
    /// The name; empty before the first header.
    pub(in crate::source::crowdstrike) name: String,
    /// Keys and values, without blanks around them; quotes are kept.
    pub(in crate::source::crowdstrike) keys: Vec<(String, String)>,
}

/// All sections of a file, in its order; one that comes twice is there twice.
///
/// # Errors
/// The number of a line, from 1, that is none of comment, header and pair.
pub(in crate::source::crowdstrike) fn sections(text: &str) -> Result<Vec<Section>, usize> {
    let mut all = vec![Section::default()];
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            all.push(Section { name: name.trim().to_owned(), keys: Vec::new() });
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(at + 1)?;
        if let Some(section) = all.last_mut() {
            section.keys.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(all)
}

/// A value without the quotes around it.
pub(in crate::source::crowdstrike) fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

/// Text with `\t`, `\n`, `\r`, `\"` and `\\` read; another backslash stays.
pub(in crate::source::crowdstrike) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, rest.clone().next()) {
            ('\\', Some(next @ ('t' | 'n' | 'r' | '"' | '\\'))) => {
                plain.push(match next {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                });
                rest.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}

/// Pairs such as `"|":"\|","\\":"\\\\"`; `None` if it is no such list.
pub(in crate::source::crowdstrike) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}').trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (from, after) = string(rest)?;
        let (to, after) = string(after.trim_start().strip_prefix(':')?.trim_start())?;
        all.push((from, to));
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(all)
}

/// A text in double quotes, and what stands behind it.
fn string(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.char_indices().find(|(_, c)| {
        let is_end = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_end
    })?;
    let (text, after) = inside.split_at(end.0);
    Some((unescaped(text), after.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connectors_way_of_writing() {
        let text = "\u{feff}a = 1\r\n# comment\n; another\n[ Settings ]\nkey=\"x = y\"\n\n[S]\nempty =\n";
        let all = sections(text).unwrap();
        let names: Vec<_> = all.iter().map(|section| (section.name.as_str(), section.keys.len())).collect();
        assert_eq!(names, [("", 1), ("Settings", 1), ("S", 1)]);
        assert_eq!((unquoted(&all[1].keys[0].1), unquoted("'1'"), unquoted("\"")), ("x = y", "1", "\""));
        assert_eq!(sections("[a]\nno pair"), Err(2));
        let escapes = pairs(r#""|":"\|","\\":"\\\\", "=":"\=","\n":"\\n""#).unwrap();
        let expected = [("|", "\\|"), ("\\", "\\\\"), ("=", "\\="), ("\n", "\\n")];
        assert_eq!(escapes, expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
        assert_eq!(pairs(r#""a" "b""#), None);
    }
}
