//! Paired runs, and what comes of them: medians, spreads, ratios, as Markdown.

use std::fmt::Write as _;

use anyhow::Result;

use super::peers::Subject;

/// A figure that every run gives.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    pub digits: usize,
    /// Whether ours is also shown as a ratio to the others.
    pub is_compared: bool,
}

/// A column whose ratio is shown.
pub const fn compared(title: &'static str, digits: usize) -> Column {
    Column { title, digits, is_compared: true }
}

/// A column of its own.
pub const fn shown(title: &'static str, digits: usize) -> Column {
    Column { title, digits, is_compared: false }
}

/// What one run gave, a figure for each column; none where it does not apply.
pub type Figures = Vec<Option<f64>>;

/// All runs of one path, and the table they make.
#[derive(Debug)]
pub struct Series<'a> {
    columns: &'a [Column],
    subjects: &'a [Subject],
    /// By round, then by subject; none where the run failed.
    rounds: Vec<Vec<Option<Figures>>>,
}

impl<'a> Series<'a> {
    /// Runs every subject once in each round, every other round in the opposite order, so that what changes slowly on the
    /// machine meets all alike. A run that fails is told and left out.
    pub fn run(
        title: &str,
        rounds: usize,
        columns: &'a [Column],
        subjects: &'a [Subject],
        mut run: impl FnMut(Subject) -> Result<Figures>,
    ) -> Self {
        let mut series = Self { columns, subjects, rounds: Vec::new() };
        for round in 0..rounds {
            let mut results = vec![None; subjects.len()];
            let forth = 0..subjects.len();
            let order: Vec<_> = if round % 2 == 0 { forth.collect() } else { forth.rev().collect() };
            for at in order {
                let name = subjects[at].name();
                match run(subjects[at]) {
                    Ok(figures) => {
                        let figures_text = figures.iter().zip(columns).map(|(figure, column)| cell(*figure, column));
                        eprintln!(
                            "{title}, round {}, {name}: {}",
                            round + 1,
                            figures_text.collect::<Vec<_>>().join(" | ")
                        );
                        results[at] = Some(figures);
                    }
                    Err(error) => eprintln!("{title}, round {}, {name}: FAILED: {error:#}", round + 1),
                }
            }
            series.rounds.push(results);
        }
        series
    }

    /// The table; ratios are those of the first subject to each other one, run by run.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| |");
        let compared: Vec<_> = (0..self.columns.len()).filter(|at| self.columns[*at].is_compared).collect();
        let has_others = self.subjects.len() > 1;
        for column in self.columns {
            let _ = write!(text, " {} |", column.title);
        }
        for at in compared.iter().filter(|_| has_others) {
            let _ = write!(text, " ours ÷ this: {} |", self.columns[*at].title);
        }
        let count = self.columns.len() + if has_others { compared.len() } else { 0 };
        let _ = write!(text, "\n| --- |{}", " ---: |".repeat(count));
        for (subject, named) in self.subjects.iter().enumerate() {
            let _ = write!(text, "\n| {} |", named.name());
            for (at, column) in self.columns.iter().enumerate() {
                let values = self.rounds.iter().filter_map(|round| figure(round, subject, at)).collect();
                let _ = write!(text, " {} |", spread(values, column.digits));
            }
            for at in compared.iter().filter(|_| has_others) {
                let ratio = |round: &Vec<_>| Some(figure(round, 0, *at)? / figure(round, subject, *at)?);
                let values = self.rounds.iter().filter_map(ratio).collect();
                let _ = write!(text, " {} |", if subject == 0 { "1".to_owned() } else { spread(values, 2) });
            }
        }
        text.push('\n');
        text
    }
}

fn figure(round: &[Option<Figures>], subject: usize, column: usize) -> Option<f64> {
    *round.get(subject)?.as_ref()?.get(column)?
}

/// `median (least–most)`.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return "–".to_owned() };
    let half = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
    if values.len() == 1 {
        return number(median, digits);
    }
    format!("{} ({}–{})", number(median, digits), number(*least, digits), number(*most, digits))
}

fn cell(figure: Option<f64>, column: &Column) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| number(figure, column.digits))
}

/// With commas between thousands.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}

/// What was measured on.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo").split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
    format!(
        "{}, {cores} cores, {} GiB, Linux {}, {}",
        model.trim_start_matches([':', ' ', '\t']),
        memory >> 20,
        kernel.trim(),
        jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%d")
    )
}
