//! Reads the commented samples, so that an error can quote how a key is written.

/// A commented file that holds every key, defaults commented out.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Sample {
    /// `sample.toml` of one component: its tables are named below the component.
    Component(&'static str),
    /// `example.toml`, the whole file.
    Whole(&'static str),
}

/// One `key = value` of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Entry {
    /// The table it stands in; empty for the component itself, or the top of the file.
    pub(in crate::config) table: String,
    /// The key.
    pub(in crate::config) key: String,
    /// Its value, on one line.
    pub(in crate::config) value: String,
    /// The comment behind it.
    comment: String,
    /// Its first line in the sample, from 0.
    pub(in crate::config) line: usize,
}

impl Sample {
    /// All its keys, commented out or not.
    pub(in crate::config) fn entries(self) -> Vec<Entry> {
        let (text, below) = match self {
            Self::Component(text) => (text, true),
            Self::Whole(text) => (text, false),
        };
        let mut table = String::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut open = false;
        for (line, text) in text.lines().enumerate() {
            let text = text.trim_start_matches('#').trim();
            if let Some(last) = entries.last_mut().filter(|_| open) {
                let (more, _) = split_comment(text);
                last.value.push_str(more);
                open = !is_closed(&last.value);
            } else if let Some(name) = header_of(text) {
                let inner = name.split_once('.').map(|(_, inner)| inner).unwrap_or_default();
                table = (if below { inner } else { name }).to_owned();
            } else if let Some((key, rest)) = text.split_once('=').filter(|(key, _)| is_key(key.trim())) {
                let (value, comment) = split_comment(rest);
                open = !is_closed(value);
                let (key, value, comment) = (key.trim().to_owned(), value.to_owned(), comment.to_owned());
                entries.push(Entry { table: table.clone(), key, value, comment, line });
            }
        }
        entries
    }

    /// The tables it has, named as in [`Entry::table`], commented out or not.
    #[cfg(test)]
    pub(in crate::config) fn headers(self) -> Vec<String> {
        let (text, below) = match self {
            Self::Component(text) => (text, true),
            Self::Whole(text) => (text, false),
        };
        let names = text.lines().filter_map(|line| header_of(line.trim_start_matches('#').trim()));
        let inner = |name: &str| name.split_once('.').map(|(_, inner)| inner).unwrap_or_default().to_owned();
        names.map(|name| if below { inner(name) } else { name.to_owned() }).collect()
    }

    /// How a key is written; `table` is the path of the table below the component.
    pub(in crate::config) fn example(self, table: &str, key: &str) -> Option<String> {
        let entry = self.entries().into_iter().find(|entry| entry.table == table && entry.key == key)?;
        let told = entry.comment.split_once("for example ").map(|(_, value)| value);
        if told.is_none() && entry.value.is_empty() {
            return None;
        }
        let value = told.unwrap_or(&entry.value).replace(",]", "]").replace("\",\"", "\", \"");
        Some(format!("{key} = {value}"))
    }
}

/// The table a header names: `[queue]`, `[[source]]`.
fn header_of(line: &str) -> Option<&str> {
    let name = line.split('#').next()?.trim();
    let name = name.strip_prefix('[')?.strip_suffix(']')?;
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.split('.').all(is_key).then_some(name)
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The value and the comment behind it.
fn split_comment(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '#' && !quoted
    });
    let (value, comment) = text.split_at(end.map_or(text.len(), |(at, _)| at));
    (value.trim(), comment.trim_start_matches('#').trim())
}

/// Whether a list that was opened is closed again.
fn is_closed(value: &str) -> bool {
    value.matches('[').count() <= value.matches(']').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_the_value_of_the_sample_or_the_one_its_comment_gives() {
        let sample = Sample::Component(
            "[[source]]\nlisten = [\n    \"udp://0.0.0.0:514\", # all\n    \"tcp://[::]:514\",\n]\n# allow = []   # for \
             example [\"10.0.0.0/8\"]\n# Prose with = in it.\n[source.tls]\n# cert = \"/a#b.pem\"\n",
        );
        let listen = "listen = [\"udp://0.0.0.0:514\", \"tcp://[::]:514\"]";
        assert_eq!(sample.example("", "listen").as_deref(), Some(listen));
        assert_eq!(sample.example("", "allow").as_deref(), Some("allow = [\"10.0.0.0/8\"]"));
        assert_eq!(sample.example("tls", "cert").as_deref(), Some("cert = \"/a#b.pem\""));
        assert_eq!(sample.example("", "cert"), None);
        assert_eq!(sample.entries().len(), 3);
    }
}
