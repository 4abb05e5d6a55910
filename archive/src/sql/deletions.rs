//! Deletions in force as a view of what they hide: tenant, labels, first and end of the time.
//!
//! They hide rows of parts that they were applied to as well, in which there is nothing to hide; so the views need not know which part a
//! row is of.

use super::SqlEngine;
use crate::{ArchiveError, Mask, MatcherText};

/// The statement that creates the view `deletions`; empty without any.
pub(super) fn view(engine: SqlEngine, masks: &[Mask]) -> Result<String, ArchiveError> {
    if masks.is_empty() {
        return Ok(String::new());
    }
    let selects: Vec<String> = masks
        .iter()
        .map(|mask| select(engine, mask))
        .collect::<Result<_, _>>()?;
    Ok(match engine {
        SqlEngine::Polars => format!("\ndeletions = pl.concat([\n{}\n])\n", selects.join(",\n")),
        SqlEngine::Spark => format!(
            "\nCREATE OR REPLACE TEMPORARY VIEW deletions AS\n{};\n",
            selects.join("\nUNION ALL\n")
        ),
        SqlEngine::DuckDb | SqlEngine::ClickHouse => format!(
            "\nCREATE OR REPLACE VIEW deletions AS\n{};\n",
            selects.join("\nUNION ALL\n")
        ),
    })
}

fn select(engine: SqlEngine, mask: &Mask) -> Result<String, ArchiveError> {
    let conditions: Vec<String> = mask
        .matchers
        .iter()
        .map(|matcher| condition(engine, mask, matcher))
        .collect::<Result<_, _>>()?;
    let (tenant, from, to) = (engine.quoted(&mask.tenant), mask.from, mask.to);
    Ok(match engine {
        SqlEngine::Polars => {
            let conditions: String = conditions.iter().map(|c| format!(" & {c}")).collect();
            format!("hidden((pl.col(\"tenant\") == {tenant}){conditions}, {from}, {to})")
        }
        SqlEngine::DuckDb | SqlEngine::Spark | SqlEngine::ClickHouse => {
            let conditions: String = conditions.iter().map(|c| format!(" AND {c}")).collect();
            let (from, to) = (number(engine, from), number(engine, to));
            // Spark has no sets of maps, and the view is only asked what is in it.
            let distinct = if engine == SqlEngine::Spark { "" } else { "DISTINCT " };
            format!(
                "SELECT {distinct}tenant, labels, {from} AS first_ms, {to} AS end_ms FROM series_of_parts WHERE tenant = {tenant}{conditions}"
            )
        }
    })
}

/// As 64 bits: a literal is as wide as it has to be.
fn number(engine: SqlEngine, n: i64) -> String {
    match engine {
        SqlEngine::ClickHouse => format!("toInt64({n})"),
        _ => format!("CAST({n} AS BIGINT)"),
    }
}

/// Patterns are RE2 between anchors, with a dot that matches all. DuckDB and ClickHouse use RE2 themselves.
fn condition(engine: SqlEngine, mask: &Mask, matcher: &MatcherText) -> Result<String, ArchiveError> {
    let (name, value) = (engine.quoted(&matcher.name), engine.quoted(&matcher.value));
    let found = match engine {
        SqlEngine::DuckDb => format!("coalesce(labels[{name}], '')"),
        SqlEngine::Spark => format!("coalesce(try_element_at(labels, {name}), '')"),
        SqlEngine::ClickHouse => format!("labels[{name}]"),
        SqlEngine::Polars => format!("label({name})"),
    };
    let anchored = engine.quoted(&format!("^(?s:{})$", matcher.value));
    let (matches, is_negated) = match (matcher.op.as_str(), engine) {
        ("=" | "!=", SqlEngine::Polars) => (format!("({found} == {value})"), matcher.op == "!="),
        ("=" | "!=", _) => (format!("({found} = {value})"), matcher.op == "!="),
        ("=~" | "!~", SqlEngine::DuckDb) => (format!("regexp_full_match({found}, {value}, 's')"), matcher.op == "!~"),
        ("=~" | "!~", SqlEngine::ClickHouse) => (format!("match({found}, {anchored})"), matcher.op == "!~"),
        _ => {
            return Err(ArchiveError::Invalid(format!(
                "deletion `{}` has the matcher `{}{}{}`, which this engine would read otherwise: wait until it is rewritten, or use duckdb or clickhouse",
                mask.id, matcher.name, matcher.op, matcher.value
            )));
        }
    };
    Ok(match (is_negated, engine) {
        (false, _) => matches,
        (true, SqlEngine::Polars) => format!("~{matches}"),
        (true, _) => format!("NOT {matches}"),
    })
}
