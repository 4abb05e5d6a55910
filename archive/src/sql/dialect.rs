//! How the engines differ in what is filled in: their texts, their literals, and how they open files.

/// An engine that reads Parquet files by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlEngine {
    /// DuckDB: SQL.
    DuckDb,
    /// Apache Spark: SQL of temporary views.
    Spark,
    /// ClickHouse: SQL.
    ClickHouse,
    /// Polars: Python that makes lazy frames.
    Polars,
}

impl SqlEngine {
    /// The views when there are no files, and what is built on them.
    pub(super) fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::DuckDb => (
                include_str!("../../../deploy/sql/duckdb-empty.sql"),
                include_str!("../../../deploy/sql/duckdb.sql"),
            ),
            Self::Spark => (
                include_str!("../../../deploy/sql/spark-empty.sql"),
                include_str!("../../../deploy/sql/spark.sql"),
            ),
            Self::ClickHouse => (
                include_str!("../../../deploy/sql/clickhouse-empty.sql"),
                include_str!("../../../deploy/sql/clickhouse.sql"),
            ),
            Self::Polars => (
                include_str!("../../../deploy/sql/polars_empty.py"),
                include_str!("../../../deploy/sql/polars_views.py"),
            ),
        }
    }

    /// What begins a comment.
    pub(super) fn comment(self) -> &'static str {
        match self {
            Self::Polars => "#",
            Self::DuckDb | Self::Spark | Self::ClickHouse => "--",
        }
    }

    /// A text as a literal.
    pub(super) fn quoted(self, text: &str) -> String {
        match self {
            Self::DuckDb => format!("'{}'", text.replace('\'', "''")),
            Self::Spark | Self::ClickHouse => {
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            // What JSON allows in a text, Python reads the same.
            Self::Polars => serde_json::Value::from(text).to_string(),
        }
    }

    /// The rows of some files, which are one level of a query or an argument.
    pub(super) fn rows_of(self, paths: &[String]) -> String {
        let quoted = || {
            paths
                .iter()
                .map(|path| format!("  {}", self.quoted(path)))
                .collect::<Vec<_>>()
        };
        match self {
            Self::DuckDb => format!(
                "read_parquet([\n{}\n], hive_partitioning = false)",
                quoted().join(",\n")
            ),
            // A pattern of alternatives is the one way in which Spark's SQL names several files, and ClickHouse's as well.
            Self::Spark => format!("parquet.`{}`", alternatives(paths, hadoop_escaped).replace('`', "``")),
            Self::ClickHouse => format!("{}, 'Parquet')", self.opened(&alternatives(paths, str::to_owned))),
            Self::Polars => format!("[\n{}\n]", quoted().join(",\n")),
        }
    }

    fn opened(self, pattern: &str) -> String {
        let function = match pattern.split_once("://") {
            Some(("s3", _)) => "s3",
            Some(("gs", _)) => "gcs",
            _ => "file",
        };
        format!("{function}({}", self.quoted(pattern))
    }
}

/// `folder/{a,b}`, or `a` alone. A pattern that begins with a brace would not be taken for an absolute path.
fn alternatives(paths: &[String], escape: fn(&str) -> String) -> String {
    let [first, others @ ..] = paths else {
        return String::new();
    };
    if others.is_empty() {
        return escape(first);
    }
    let same = others
        .iter()
        .map(|path| first.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count());
    let same = same.min().unwrap_or(0);
    // After a slash, where a character surely ends.
    let folder = first.as_bytes()[..same]
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let escaped: Vec<String> = paths.iter().map(|path| escape(&path[folder..])).collect();
    format!("{}{{{}}}", escape(&first[..folder]), escaped.join(","))
}

/// Characters that would be a pattern in Hadoop's eyes.
fn hadoop_escaped(path: &str) -> String {
    path.chars()
        .flat_map(|c| {
            let escape = "\\{}[],*?".contains(c).then_some('\\');
            escape.into_iter().chain([c])
        })
        .collect()
}
