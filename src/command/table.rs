//! Aligned columns.

use std::fmt::Write as _;

/// Between two columns.
const GAP: &str = "  ";

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under a header. Columns that are empty in every row are left out.
pub(super) fn table(header: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let cell = |row: &Vec<String>, at: usize| row.get(at).cloned().unwrap_or_default();
    let mut lines = vec![String::new(); rows.len() + 1];
    for (at, (title, align)) in header.iter().enumerate() {
        let cells: Vec<String> = rows.iter().map(|row| cell(row, at)).collect();
        if cells.iter().all(String::is_empty) {
            continue;
        }
        let width =
            cells.iter().map(String::as_str).chain([*title]).map(|text| text.chars().count()).max().unwrap_or(0);
        for (line, text) in lines.iter_mut().zip(std::iter::once((*title).to_owned()).chain(cells)) {
            if !line.is_empty() {
                line.push_str(GAP);
            }
            // Writing to a String cannot fail.
            let _ = match align {
                Align::Left => write!(line, "{text:<width$}"),
                Align::Right => write!(line, "{text:>width$}"),
            };
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let rows = [vec!["a".into(), String::new(), "1".into()], vec!["bcd".into(), String::new(), "1,000".into()]];
        let text = table(&[("id", Align::Left), ("nothing", Align::Left), ("n", Align::Right)], &rows);
        assert_eq!(text, "id       n\na        1\nbcd  1,000\n");
    }
}
