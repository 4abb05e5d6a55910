//! The lines that are printed: one table, a line for each figure.

use std::io::Write;

use anyhow::Result;

use super::programs::Cost;

/// Prints one line.
pub(crate) fn line(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// The head of the table.
pub(crate) fn head() -> Result<()> {
    line("| what | by the clock | processor | samples/s of a core | memory, MB |")?;
    line("|---|---|---|---|---|")
}

/// What passing over `samples` samples cost.
pub(crate) fn rate(what: &str, samples: u64, cost: Cost) -> Result<()> {
    let Cost { wall, cpu, peak } = cost;
    let rate = samples as f64 / cpu.max(0.01) / 1e6;
    line(&format!(
        "| {what} | {wall:.2} s | {cpu:.2} s | {rate:.1} M | {peak:.0} |"
    ))
}

/// What one question cost.
pub(crate) fn question(what: &str, cost: Cost) -> Result<()> {
    let Cost { wall, cpu, peak } = cost;
    line(&format!(
        "| {what} | {:.1} ms | {:.1} ms | - | {peak:.0} |",
        wall * 1e3,
        cpu * 1e3
    ))
}

/// The middle one, by size.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
