//! `metadata.json`: type, unit and help of the exported metrics, in the shape of Prometheus' `/api/v1/metadata`
//! (`docs/formats/export-beside.md`).
//!
//! One family in each line, with all variants that were ever sent, for the family and for single series. What was said of a
//! series is there when the series is selected. Which families belong to the selected series is decided by name, leaving in what
//! may: a metric of a histogram has a suffix that its family has not.

use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Matcher, MetadataEntry};

use super::Output;
use super::beside::BesideFile;
use super::json::{json_labels, json_seconds, json_text};
use crate::scan::{MetadataPasses, Said, Seen};
use crate::{Query, ReaderError, Selection, Sources};

/// Name of the file.
pub(super) const METADATA_FILE: &str = "metadata.json";

/// What names of metrics may have more than the name of their family.
const SUFFIXES: [&str; 9] = [
    "", "_total", "_bucket", "_count", "_sum", "_created", "_info", "_gcount", "_gsum",
];

/// Writes the metadata of a query; returns the number of families. Without any there is no file.
pub(super) async fn write(sources: &Sources, query: &Query, output: &mut Output) -> Result<usize, ReaderError> {
    let look = sources.look(query, HeadKinds::Metadata).await?;
    let accept = |entry: &MetadataEntry| match &entry.series {
        Some(series) => query.selection.selects(series),
        None => may_belong(&entry.family, &query.selection),
    };
    let mut passes = MetadataPasses::new(sources.store(), &look, query, &accept)?;
    let mut families = Families::new(output.start_beside(METADATA_FILE)?);
    while let Some(entries) = passes.next().await? {
        for (said, seen) in &entries {
            families.entry(said, *seen)?;
        }
    }
    families.finish()
}

/// The object under construction. Of a family with many series not even its line is in memory.
struct Families {
    file: BesideFile,
    bytes: Vec<u8>,
    /// The family at work.
    family: Option<String>,
    families: usize,
}

impl Families {
    fn new(file: BesideFile) -> Self {
        Self {
            file,
            bytes: Vec::new(),
            family: None,
            families: 0,
        }
    }

    /// Writes what was said; entries of one family come together.
    fn entry(&mut self, said: &Said, seen: Seen) -> Result<(), ReaderError> {
        let out = &mut self.bytes;
        out.clear();
        if self.family.as_ref() == Some(&said.family) {
            out.push(b',');
        } else {
            out.extend_from_slice(if self.families == 0 { b"{\n" } else { b"],\n" });
            json_text(&said.family, out);
            out.extend_from_slice(b":[");
            self.families += 1;
            self.family = Some(said.family.clone());
        }
        out.push(b'{');
        if let Some(series) = &said.series {
            out.extend_from_slice(b"\"series\":");
            json_labels(series, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"type\":");
        json_text(said.metadata.metric_type.as_str(), out);
        out.extend_from_slice(b",\"help\":");
        json_text(&said.metadata.help, out);
        out.extend_from_slice(b",\"unit\":");
        json_text(&said.metadata.unit, out);
        out.extend_from_slice(b",\"firstSeen\":");
        json_seconds(seen.first, out);
        out.extend_from_slice(b",\"lastSeen\":");
        json_seconds(seen.last, out);
        out.push(b'}');
        self.file.write(&self.bytes)
    }

    fn finish(mut self) -> Result<usize, ReaderError> {
        if self.families == 0 {
            self.file.discard()?;
        } else {
            self.file.write(b"]\n}\n")?;
            self.file.finish()?;
        }
        Ok(self.families)
    }
}

/// Whether a family may have a series that is selected.
fn may_belong(family: &str, selection: &Selection) -> bool {
    let about_name = |selector: &[Matcher], name: &str| {
        selector
            .iter()
            .filter(|matcher| matcher.name() == "__name__")
            .all(|matcher| matcher.matches(name))
    };
    selection.selectors().iter().any(|selector| {
        SUFFIXES
            .iter()
            .any(|suffix| about_name(selector, &format!("{family}{suffix}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_belongs_to_the_metrics_made_of_its_name() {
        let select = |selectors: &[&str]| Selection::parse(selectors).expect("valid selectors");
        for (family, selectors, belongs) in [
            ("up", &["up"][..], true),
            ("up", &["down"], false),
            ("up", &["down", "{job=\"x\"}"], true),
            ("up", &[], true),
            ("requests", &["requests_total"], true),
            ("latency_seconds", &["latency_seconds_bucket{le=\"1\"}"], true),
            ("latency_seconds", &["{__name__=~\"lat.*\",__name__!~\".*_sum\"}"], true),
            ("latency", &["latency_seconds_bucket"], false),
        ] {
            assert_eq!(
                may_belong(family, &select(selectors)),
                belongs,
                "{family} {selectors:?}"
            );
        }
    }
}
