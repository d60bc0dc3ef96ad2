//! Text that the Linux console can show, in lines that fit.

/// Besides ASCII, the letters and signs of code page 437, which every font of the Linux console has (`cp437.uni` of the kernel).
const SHOWN: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜáíóúñÑßµ°±·²¼½«»█▀▄─│┌┐└┘";

/// The text as the console can show it: what it cannot becomes something like it, and what would move its cursor a blank.
pub(super) fn shown(text: &str) -> String {
    let like = |c: char| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        '\u{2010}'..='\u{2015}' => '-',
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2026}' => '.',
        '\u{a0}' => ' ',
        c if SHOWN.contains(c) => c,
        _ => '?',
    };
    text.chars().map(like).collect()
}

/// The text in lines of so many characters at most, broken between words where that is possible.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for (at, piece) in letters.chunks(width).enumerate() {
            let gap = usize::from(at == 0 && used > 0);
            if used + gap + piece.len() > width {
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                if at == 0 && used > 0 {
                    line.push(' ');
                    used += 1;
                }
                line.extend(piece);
                used += piece.len();
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_console_cannot_show_becomes_something_like_it() {
        assert_eq!(shown("Zürich – “gw”…\x1b[2J\n日"), "Zürich - \"gw\". [2J ?");
    }

    #[test]
    fn lines_are_broken_between_words_and_within_those_that_are_too_long() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a sha256:0123456789", 8), ["a", "sha256:0", "12345678", "9"]);
        assert_eq!(wrapped("", 8), [""]);
        assert_eq!(wrapped("äöü äöü", 3), ["äöü", "äöü"]);
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_too_long_and_no_word_is_lost(text in ".{0,200}", width in 1_usize..60) {
            let lines = wrapped(&text, width);
            proptest::prop_assert!(lines.iter().all(|line| line.chars().count() <= width));
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            proptest::prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
