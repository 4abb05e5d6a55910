//! Views over the files of one kind. Parts of level 1 and above have no column for their tenant: it is filled in.

use std::collections::BTreeMap;

use super::SqlEngine;
use crate::{CatalogView, FileKind, PartEntry};

/// A view over files: of which kind and of which parts, and what is taken of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    pub(super) name: &'static str,
    pub(super) kind: FileKind,
    /// Of parts with files of this kind, too.
    pub(super) besides: Option<FileKind>,
    /// Whether the tenant is its first column.
    pub(super) has_tenant: bool,
    pub(super) columns: &'static str,
    pub(super) condition: &'static str,
}

impl Scan {
    /// The statement that creates the view; empty without files.
    pub(super) fn view(&self, engine: SqlEngine, view: &CatalogView, location: &dyn Fn(&str) -> String) -> String {
        // The tenant of all rows of these files; none where each row says it.
        let mut groups: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
        let is_meant = |part: &PartEntry| self.besides.is_none_or(|besides| part.find(besides).is_some());
        for part in view.parts.iter().filter(|part| is_meant(part)) {
            if let Some(file) = part.find(self.kind) {
                let tenant = part.tenants.keys().next().filter(|_| part.level > 0);
                groups
                    .entry(tenant.map(String::as_str))
                    .or_default()
                    .push(location(&file.path));
            }
        }
        if groups.is_empty() {
            return String::new();
        }
        let name = self.name;
        if engine == SqlEngine::Polars {
            let group = |(tenant, paths): (Option<&str>, Vec<String>)| {
                let tenant = tenant.map_or("None".to_owned(), |tenant| engine.quoted(tenant));
                format!("({tenant}, {})", engine.rows_of(&paths))
            };
            let groups: Vec<String> = groups.into_iter().map(group).collect();
            return format!("\n{name} = rows_of(\n\"{}\", [{}])\n", self.columns, groups.join(",\n"));
        }
        let selects: Vec<String> = groups
            .into_iter()
            .map(|(tenant, paths)| self.select(engine, tenant, &engine.rows_of(&paths)))
            .collect();
        let create = match engine {
            SqlEngine::Spark => "CREATE OR REPLACE TEMPORARY VIEW",
            _ => "CREATE OR REPLACE VIEW",
        };
        format!("\n{create} {name} AS\n{};\n", selects.join("\nUNION ALL\n"))
    }

    fn select(&self, engine: SqlEngine, tenant: Option<&str>, rows: &str) -> String {
        let constant = tenant.map(|tenant| format!("{} AS tenant, ", engine.quoted(tenant)));
        let first = match (self.has_tenant, constant) {
            (false, _) => String::new(),
            (true, Some(constant)) => constant,
            (true, None) => "tenant, ".to_owned(),
        };
        let columns = match tenant {
            // There is none to leave out.
            Some(_) => self.columns.replace(" EXCLUDE (tenant)", ""),
            None => self.columns.to_owned(),
        };
        format!("SELECT {first}{columns} FROM {rows}{}", self.condition)
    }
}
