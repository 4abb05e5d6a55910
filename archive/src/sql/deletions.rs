//! Deletions in force as a view of what they hide: tenant, labels, first and end of the time.
//!
//! They hide rows of parts that they were applied to as well, in which there is nothing to hide; so the views need not know which part a
//! row is of.

use emberkeep_model::{Re2, RegexSyntax};

use super::SqlEngine;
use crate::{ArchiveError, Mask, MatcherText};

/// The statement that creates the view `deletions`; empty without any.
pub(super) fn view(engine: SqlEngine, masks: &[&Mask]) -> Result<String, ArchiveError> {
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

/// Patterns are RE2 between anchors, with a dot that matches all. DuckDB and ClickHouse use RE2 themselves; for the others a pattern is
/// written anew in their own syntax, as it is for our reader.
fn condition(engine: SqlEngine, mask: &Mask, matcher: &MatcherText) -> Result<String, ArchiveError> {
    let (name, value) = (engine.quoted(&matcher.name), engine.quoted(&matcher.value));
    let found = match engine {
        SqlEngine::DuckDb => format!("coalesce(labels[{name}], '')"),
        SqlEngine::Spark => format!("coalesce(try_element_at(labels, {name}), '')"),
        SqlEngine::ClickHouse => format!("labels[{name}]"),
        SqlEngine::Polars => format!("label({name})"),
    };
    let refused = |reason: String| {
        let MatcherText { name, op, value } = matcher;
        ArchiveError::Invalid(format!(
            "deletion `{}` has the matcher `{name}{op}{value}`: {reason}",
            mask.id
        ))
    };
    let translated = |syntax| {
        let pattern = Re2::translated(&matcher.value, syntax).map_err(|error| refused(error.to_string()))?;
        Ok::<_, ArchiveError>(engine.quoted(&pattern))
    };
    let matches = match (matcher.op.as_str(), engine) {
        ("=" | "!=", SqlEngine::Polars) => format!("({found} == {value})"),
        ("=" | "!=", _) => format!("({found} = {value})"),
        ("=~" | "!~", SqlEngine::DuckDb) => format!("regexp_full_match({found}, {value}, 's')"),
        ("=~" | "!~", SqlEngine::ClickHouse) => {
            format!(
                "match({found}, {})",
                engine.quoted(&format!("^(?s:{})$", matcher.value))
            )
        }
        ("=~" | "!~", SqlEngine::Spark) => format!("({found} RLIKE {})", translated(RegexSyntax::Java)?),
        ("=~" | "!~", SqlEngine::Polars) => format!("{found}.str.contains({})", translated(RegexSyntax::Rust)?),
        (op, _) => return Err(refused(format!("`{op}` is no operator"))),
    };
    Ok(match (matcher.op.starts_with('!'), engine) {
        (false, _) => matches,
        (true, SqlEngine::Polars) => format!("~{matches}"),
        (true, _) => format!("NOT {matches}"),
    })
}
