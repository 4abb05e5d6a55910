//! The committed figures, and the judgement over new ones.
//!
//! The file is text: `# ` lines say how it was taken, the others are a stage and its instructions per sample. It must never be
//! written by a run that was asked to judge.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};

/// More than this times the baseline fails.
const WORSE: f64 = 1.10;

/// Less than this times the baseline is worth a new one.
const BETTER: f64 = 0.90;

/// Figures by stage, and how they were taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// Program versions and the features of the processor: instructions can only be compared where these are alike.
    pub(crate) taken_with: Vec<String>,
    /// Instructions per sample.
    pub(crate) stages: BTreeMap<String, f64>,
}

/// What a comparison says.
#[derive(Debug, PartialEq)]
pub(crate) struct Judgement {
    /// A table with both figures of every stage.
    pub(crate) report: String,
    /// Stages that got worse, or are only on one side.
    pub(crate) failures: Vec<String>,
    /// Stages that got better by so much that a new baseline should hold it.
    pub(crate) improved: Vec<String>,
}

impl Figures {
    /// Reads the file.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut figures = Self::default();
        for line in text.lines() {
            if let Some(note) = line.strip_prefix("# ") {
                figures.taken_with.push(note.to_owned());
                continue;
            }
            let (stage, figure) = line.split_once(' ').with_context(|| format!("`{line}`: no figure"))?;
            let figure: f64 = figure.trim().parse().with_context(|| format!("`{line}`: no figure"))?;
            ensure!(figure.is_finite() && figure > 0.0, "`{line}`: no count of instructions");
            let before = figures.stages.insert(stage.to_owned(), figure);
            ensure!(before.is_none(), "`{stage}` is there twice");
        }
        Ok(figures)
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for note in &self.taken_with {
            let _ = writeln!(text, "# {note}");
        }
        for (stage, figure) in &self.stages {
            let _ = writeln!(text, "{stage:<16} {figure:.1}");
        }
        text
    }

    /// Compares these, which were just counted, with a baseline.
    pub(crate) fn against(&self, baseline: &Self) -> Judgement {
        let mut report = format!("{:<16} {:>10} {:>10} {:>7}\n", "stage", "baseline", "now", "ratio");
        let (mut failures, mut improved) = (Vec::new(), Vec::new());
        for (stage, &now) in &self.stages {
            let Some(&before) = baseline.stages.get(stage) else {
                let _ = writeln!(report, "{stage:<16} {:>10} {now:>10.1}", "-");
                failures.push(format!("{stage} is not in the baseline"));
                continue;
            };
            let ratio = now / before;
            let _ = writeln!(report, "{stage:<16} {before:>10.1} {now:>10.1} {ratio:>7.3}");
            if ratio > WORSE {
                failures.push(format!(
                    "{stage}: {now:.1} instructions, {before:.1} in the baseline: {:.1} % more",
                    (ratio - 1.0) * 100.0
                ));
            } else if ratio < BETTER {
                improved.push(format!("{stage}: {now:.1} instructions, {before:.1} in the baseline"));
            }
        }
        for stage in baseline.stages.keys().filter(|stage| !self.stages.contains_key(*stage)) {
            failures.push(format!("{stage} is in the baseline and was not counted"));
        }
        Judgement {
            report,
            failures,
            improved,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn figures(stages: &[(&str, f64)]) -> Figures {
        Figures {
            taken_with: vec!["with: a test".to_owned()],
            stages: stages
                .iter()
                .map(|(stage, figure)| ((*stage).to_owned(), *figure))
                .collect(),
        }
    }

    #[test]
    fn more_than_a_tenth_fails_with_both_figures() {
        let baseline = figures(&[("decode", 200.0), ("flush", 100.0), ("head", 50.0)]);
        let now = figures(&[("decode", 220.0), ("flush", 110.3), ("head", 44.9)]);
        let judged = now.against(&baseline);
        assert_eq!(
            judged.failures,
            ["flush: 110.3 instructions, 100.0 in the baseline: 10.3 % more"]
        );
        assert_eq!(judged.improved, ["head: 44.9 instructions, 50.0 in the baseline"]);
        assert!(
            judged
                .report
                .contains("decode                200.0      220.0   1.100\n"),
            "{}",
            judged.report
        );
    }

    #[test]
    fn a_stage_on_one_side_only_fails() {
        let judged = figures(&[("new", 1.0)]).against(&figures(&[("old", 1.0)]));
        assert_eq!(
            judged.failures,
            [
                "new is not in the baseline",
                "old is in the baseline and was not counted"
            ]
        );
    }

    #[test]
    fn the_file_is_read_as_it_is_written() {
        let written = figures(&[("decode-1.0", 212.5), ("flush", 99.1)]);
        assert_eq!(Figures::parse(&written.text()).unwrap(), written);
        for wrong in ["decode", "decode x", "decode -1", "decode NaN", "a 1\na 2"] {
            Figures::parse(wrong).unwrap_err();
        }
    }
}
