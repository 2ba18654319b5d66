//! The steps of a run: what each took, how it ended, and the sum at the end.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::interrupt;

/// Tests that a step has counted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

enum Outcome {
    Passed,
    Failed(String),
    NotRun(String),
}

struct Step {
    name: String,
    took: Duration,
    count: Count,
    outcome: Outcome,
}

/// The steps that have been run.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

impl Report {
    /// Runs a step that counts tests. Returns whether it passed.
    pub(crate) fn tests(&mut self, name: &str, step: impl FnOnce(&mut Count) -> anyhow::Result<()>) -> bool {
        if interrupt::happened() {
            self.not_run(name, "interrupted");
            return false;
        }
        println!("\n== {name}");
        let start = Instant::now();
        let mut count = Count::default();
        let outcome = match step(&mut count) {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                // So that no run with a failed step closes on a line without failures.
                count.failed = count.failed.max(1);
                Outcome::Failed(first_line(&format!("{error:#}")))
            }
        };
        let passed = matches!(outcome, Outcome::Passed);
        self.steps.push(Step {
            name: name.to_owned(),
            took: start.elapsed(),
            count,
            outcome,
        });
        passed
    }

    /// Runs a step that counts no tests. Returns what it made, if it passed.
    pub(crate) fn step<T>(&mut self, name: &str, step: impl FnOnce() -> anyhow::Result<T>) -> Option<T> {
        let mut made = None;
        self.tests(name, |_| {
            made = Some(step()?);
            Ok(())
        });
        made
    }

    /// Notes a step that could not be run, which is a failure.
    pub(crate) fn not_run(&mut self, name: &str, reason: &str) {
        println!("\n== {name}\nnot run: {reason}");
        self.steps.push(Step {
            name: name.to_owned(),
            took: Duration::ZERO,
            count: Count { passed: 0, failed: 1 },
            outcome: Outcome::NotRun(reason.to_owned()),
        });
    }

    /// Whether every step passed.
    pub(crate) fn passed(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step.outcome, Outcome::Passed))
    }

    /// The tests of all steps.
    pub(crate) fn total(&self) -> Count {
        self.steps.iter().fold(Count::default(), |sum, step| Count {
            passed: sum.passed + step.count.passed,
            failed: sum.failed + step.count.failed,
        })
    }

    /// One line a step, with its time.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        self.write_table(&mut text)
            .expect("a string takes whatever is written");
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        let width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        for step in &self.steps {
            let seconds = step.took.as_secs_f64();
            let tests = match step.count {
                Count { passed: 0, failed: 0 } => String::new(),
                Count { passed, .. } => format!(", {passed} tests passed"),
            };
            let outcome = match &step.outcome {
                Outcome::Passed => format!("ok{tests}"),
                Outcome::Failed(reason) => format!("FAILED: {reason}"),
                Outcome::NotRun(reason) => format!("NOT RUN: {reason}"),
            };
            writeln!(text, "{:width$}  {seconds:8.1} s  {outcome}", step.name)?;
        }
        let sum: Duration = self.steps.iter().map(|step| step.took).sum();
        writeln!(text, "{:width$}  {:8.1} s", "in all", sum.as_secs_f64())
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::Report;

    #[test]
    fn a_failed_step_counts_as_a_failure_even_without_tests() {
        let mut report = Report::default();
        assert!(report.tests("good", |count| {
            count.passed = 3;
            Ok(())
        }));
        assert!(
            report
                .step("bad", || -> anyhow::Result<()> { bail!("broken\nmore") })
                .is_none()
        );
        report.not_run("later", "bad failed");
        assert!(!report.passed());
        assert_eq!((report.total().passed, report.total().failed), (3, 2));
        let table = report.table();
        assert!(table.contains("FAILED: broken\n"), "{table}");
        assert!(table.contains("NOT RUN: bad failed"), "{table}");
        assert!(table.contains("ok, 3 tests passed"), "{table}");
    }
}
