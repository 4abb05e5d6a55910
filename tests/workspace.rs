//! The rules of the workspace that the compiler does not know: which crate may use which, and how files look.
//!
//! The layering is the design (see `ARCHITECTURE.md`): a new edge is a decision that changes the tables below. Every
//! check collects all it finds, so that one run shows everything that is wrong. Never a rule about behaviour here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PREFIX: &str = "emberkeep-";

/// Which crate may use which of ours, without the prefix. The package `emberkeep` itself is the empty name.
const EDGES: [(&str, &[&str]); 16] = [
    ("proto", &[]),
    ("model", &[]),
    ("disk", &[]),
    ("wal", &["model", "disk"]),
    ("archive", &["model", "disk"]),
    ("tsdb", &["model"]),
    ("service", &["model"]),
    ("source", &["model", "proto", "tsdb"]),
    ("receiver", &["proto", "model", "disk", "wal", "archive", "service"]),
    (
        "compactor",
        &["proto", "model", "disk", "archive", "tsdb", "service", "source"],
    ),
    ("reader", &["proto", "model", "archive", "tsdb", "service", "source"]),
    ("benches", EVERYTHING),
    // The load generator shares no code with the server.
    ("rwgen", &[]),
    ("guard", EVERYTHING),
    ("fuzz", &[]),
    ("", &["receiver", "compactor", "reader", "service"]),
];

/// What tests may use beyond [`EDGES`]: the system tests, fuzzing and the benches see everything, those of the load
/// generator the codecs of blocks, as oracles; all others nothing more.
const TEST_EDGES: [(&str, &[&str]); 3] = [("", EVERYTHING), ("fuzz", EVERYTHING), ("rwgen", &["model", "tsdb"])];

const EVERYTHING: &[&str] = &[
    "proto",
    "model",
    "disk",
    "wal",
    "archive",
    "tsdb",
    "service",
    "source",
    "receiver",
    "compactor",
    "reader",
];

/// Libraries by the beginning of their names, and the only crates that may name them.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("parquet", &["archive"]),
    ("arrow", &["archive"]),
    ("object_store", &["archive"]),
    ("delta_kernel", &["archive"]),
    // No async and no network in what is pure or works on given bytes.
    (
        "tokio",
        &[
            "wal",
            "archive",
            "service",
            "source",
            "receiver",
            "compactor",
            "reader",
            "benches",
            "guard",
            "",
        ],
    ),
    ("axum", &["service", "receiver", "compactor", "reader", "guard"]),
    (
        "reqwest",
        &["archive", "source", "receiver", "compactor", "reader", "benches", ""],
    ),
];

/// Lines of a Rust file. Above, a seam is overdue.
const FILE_LINES_MAX: usize = 600;

/// Names that say nothing about what is inside. `mod` is the old place of a module's root.
const EMPTY_NAMES: [&str; 9] = [
    "util", "utils", "common", "manager", "helper", "helpers", "misc", "core", "mod",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Fails with everything that was found.
fn assert_none(found: &BTreeSet<String>, rule: &str) {
    let list: String = found.iter().map(|line| format!("\n  {line}")).collect();
    assert!(found.is_empty(), "{rule}:{list}");
}

#[test]
fn crates_use_only_what_the_design_allows() {
    let (edges, test_edges) = (BTreeMap::from(EDGES), BTreeMap::from(TEST_EDGES));
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for package in packages() {
        let name = short_name(text(&package, "name")).to_owned();
        let Some(allowed) = edges.get(name.as_str()) else {
            found.insert(format!("`{}` is not in the table of edges", text(&package, "name")));
            continue;
        };
        for dependency in array(&package, "dependencies") {
            // Ours are those with a path; anything may be called emberkeep-something on a registry.
            if dependency["path"].is_null() {
                continue;
            }
            let target = short_name(text(dependency, "name"));
            let in_tests = dependency["kind"] == "dev";
            let more: &[&str] = if in_tests {
                test_edges.get(name.as_str()).copied().unwrap_or_default()
            } else {
                &[]
            };
            if !allowed.contains(&target) && !more.contains(&target) {
                let kind = if in_tests { " in its tests" } else { "" };
                found.insert(format!(
                    "{} must not use {}{kind}",
                    text(&package, "name"),
                    text(dependency, "name")
                ));
            }
        }
        seen.insert(name);
    }
    for name in edges.keys().filter(|name| !seen.contains(**name)) {
        found.insert(format!(
            "`{PREFIX}{name}` is in the table of edges but not in the workspace"
        ));
    }
    assert_none(&found, "edges between crates (tests/workspace.rs, ARCHITECTURE.md)");
}

#[test]
fn libraries_are_named_only_where_they_belong() {
    let mut found = BTreeSet::new();
    for package in packages() {
        let name = short_name(text(&package, "name"));
        for dependency in array(&package, "dependencies") {
            let library = text(dependency, "name");
            let rule = LIBRARIES.iter().find(|(beginning, _)| library.starts_with(beginning));
            if let Some((_, allowed)) = rule
                && dependency["kind"] != "dev"
                && !allowed.contains(&name)
            {
                found.insert(format!("{} must not use `{library}`", text(&package, "name")));
            }
        }
    }
    assert_none(&found, "libraries that only some crates may name (tests/workspace.rs)");
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    let mut found = BTreeSet::new();
    for package in packages() {
        let manifest = text(&package, "manifest_path");
        if !read(Path::new(manifest)).contains("[lints]\nworkspace = true") {
            found.insert(manifest.to_owned());
        }
    }
    assert_none(&found, "without `[lints]` / `workspace = true`");
}

#[test]
fn rust_files_say_what_they_are_and_stay_small() {
    let files = files_with_ending("rs");
    assert!(
        files.len() > 20,
        "the walk found only {} files: it is broken",
        files.len()
    );
    let mut found = BTreeSet::new();
    for file in files {
        let source = read(&file);
        let (shown, lines) = (shown(&file), source.lines().count());
        if !source.starts_with("//!") {
            found.insert(format!(
                "{shown}: does not start with a `//!` comment that says what it is"
            ));
        }
        if lines > FILE_LINES_MAX {
            found.insert(format!("{shown}: {lines} lines, more than {FILE_LINES_MAX}"));
        }
        for part in file.strip_prefix(root()).unwrap_or(&file).components() {
            let part = part.as_os_str().to_string_lossy();
            let stem = part.strip_suffix(".rs").unwrap_or(&part);
            if stem.split('_').any(|word| EMPTY_NAMES.contains(&word)) {
                found.insert(format!("{shown}: `{part}` says nothing about what is inside"));
            }
        }
    }
    assert_none(&found, "files");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut found = BTreeSet::new();
    for file in files_with_ending("md") {
        let page = read(&file);
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        for target in link_targets(&page) {
            let path = target.split('#').next().unwrap_or_default();
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !is_elsewhere && !path.is_empty() && !folder.join(path).exists() {
                found.insert(format!("{}: `{target}`", shown(&file)));
            }
        }
    }
    // Code points at the pages of the formats as `docs/formats/<name>.md`, from the root.
    for file in files_with_ending("rs") {
        // The examples of this file are no pages.
        if shown(&file) == "tests/workspace.rs" {
            continue;
        }
        for page in pages_named(&read(&file)) {
            if !root().join(&page).exists() {
                found.insert(format!("{}: `{page}`", shown(&file)));
            }
        }
    }
    assert_none(&found, "links to files that are not there");
}

/// The targets of `[text](target)`, outside code blocks.
fn link_targets(page: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in page.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code {
            let after_brackets = line.split("](").skip(1);
            targets.extend(after_brackets.filter_map(|rest| rest.split([')', ' ']).next()));
        }
    }
    targets
}

/// Every `docs/...md` that a source file names, unless it is part of a longer path or address.
fn pages_named(source: &str) -> Vec<String> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.');
    let mut pages = Vec::new();
    for (at, _) in source.match_indices("docs/") {
        let rest = &source[at..];
        let path = rest.split(|c: char| !is_of_path(c)).next().unwrap_or_default();
        let is_whole = !source[..at].ends_with(is_of_path);
        if let Some(end) = path.rfind(".md").filter(|_| is_whole) {
            pages.push(path[..end + 3].to_owned());
        }
    }
    pages
}

/// All files of the repository with that ending; build output, hidden folders and local data are none of it.
fn files_with_ending(ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
        for entry in entries {
            let path = entry
                .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()))
                .path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_symlink() || name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                if name != "target" && path != root().join("data") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == ending) {
                files.push(path);
            }
        }
    }
    files
}

/// The packages of the workspace, as cargo sees them.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON");
    array(&metadata, "packages").clone()
}

fn short_name(package: &str) -> &str {
    if package == "emberkeep" {
        ""
    } else {
        package.strip_prefix(PREFIX).unwrap_or(package)
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("`{key}` is a text in cargo metadata"))
}

fn array<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("`{key}` is a list in cargo metadata"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn the_checks_themselves_see_what_they_should() {
    assert_eq!(
        link_targets("[a](b.md) [c](d#e \"t\")\n```\n[x](y)\n```\n[z](https://w)"),
        ["b.md", "d#e", "https://w"]
    );
    let source = "// see docs/formats/wal.md. and `docs/a-b.md`, not https://x/docs/c.md or tsdb/docs/format/d.md\n";
    assert_eq!(pages_named(source), ["docs/formats/wal.md", "docs/a-b.md"]);
}
