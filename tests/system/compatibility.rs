//! `docs/compatibility.md` names the test for each of its lines; a name that no longer exists would be a promise that nobody checks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// Beginnings of words on the page that look like tests and are labels, metrics and options.
const OTHERS: [&str; 5] = [
    "__",
    "prometheus_remote",
    "vmagent_remote",
    "retry_on_failure",
    "send_native_histograms",
];

/// All Rust files of the repository; build output and hidden folders are none of it.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            sources(&path, found)?;
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn every_test_that_this_page_names_exists() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/compatibility.md"))?;
    let is_test = |word: &&str| {
        let is_name = word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let is_other = OTHERS.iter().any(|other| word.starts_with(other));
        // Names of tests are sentences.
        is_name && !is_other && word.matches('_').count() >= 2
    };
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_test).collect();
    ensure!(named.len() > 50, "the page names only {} tests", named.len());
    let mut files = Vec::new();
    sources(root, &mut files)?;
    let mut missing = named;
    for file in files {
        let source = std::fs::read_to_string(file)?;
        missing.retain(|name| !source.contains(&format!("fn {name}(")));
    }
    ensure!(missing.is_empty(), "these tests do not exist: {missing:?}");
    Ok(())
}
