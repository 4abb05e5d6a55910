//! `metadata.json`: type, unit and help of the exported metrics, in the shape of Prometheus' `/api/v1/metadata`
//! (`docs/formats/export-beside.md`).
//!
//! One family in each line, with all variants that were ever sent. Which families belong to the selected series is decided by
//! name, leaving in what may: a metric of a histogram has a suffix that its family has not.

use emberkeep_model::Matcher;
use emberkeep_model::head::HeadKinds;

use super::Output;
use super::json::{json_seconds, json_text};
use crate::scan::read_families;
use crate::{Families, Query, ReaderError, Selection, Sources};

/// Name of the file.
pub(super) const METADATA_FILE: &str = "metadata.json";

/// What names of metrics may have more than the name of their family.
const SUFFIXES: [&str; 9] = [
    "", "_total", "_bucket", "_count", "_sum", "_created", "_info", "_gcount", "_gsum",
];

/// Writes the metadata of a query; returns the number of families. Without any there is no file.
pub(super) async fn write(sources: &Sources, query: &Query, output: &mut Output) -> Result<usize, ReaderError> {
    let look = sources.look(query, HeadKinds::Metadata).await?;
    let accept = |family: &str| may_belong(family, &query.selection);
    let families = read_families(sources.store(), &look, query, &accept, usize::MAX).await?;
    if families.is_empty() {
        return Ok(0);
    }
    let mut file = output.start_beside(METADATA_FILE)?;
    write_families(&families, |line| file.write(line))?;
    file.finish()?;
    Ok(families.len())
}

fn write_families(
    families: &Families,
    mut write: impl FnMut(&[u8]) -> Result<(), ReaderError>,
) -> Result<(), ReaderError> {
    let mut line = Vec::new();
    for (i, (family, variants)) in families.iter().enumerate() {
        line.clear();
        line.extend_from_slice(if i == 0 { b"{\n" } else { b",\n" });
        json_text(family, &mut line);
        line.extend_from_slice(b":[");
        for (i, (metadata, seen)) in variants.iter().enumerate() {
            if i > 0 {
                line.push(b',');
            }
            line.extend_from_slice(b"{\"type\":");
            json_text(metadata.metric_type.as_str(), &mut line);
            line.extend_from_slice(b",\"help\":");
            json_text(&metadata.help, &mut line);
            line.extend_from_slice(b",\"unit\":");
            json_text(&metadata.unit, &mut line);
            line.extend_from_slice(b",\"firstSeen\":");
            json_seconds(seen.first, &mut line);
            line.extend_from_slice(b",\"lastSeen\":");
            json_seconds(seen.last, &mut line);
            line.push(b'}');
        }
        line.push(b']');
        write(&line)?;
    }
    write(b"\n}\n")
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
