//! `reader view`: SQL over exactly the files that are live, for engines that read Parquet themselves.
//!
//! The SQL is the archive's; here is only where its files are. A path in it must mean the same in any directory.

use std::io::Write;

use emberkeep_archive::StoreConfig;
use emberkeep_archive::sql::{self, SqlEngine};

use crate::{ReaderError, Sources};

/// Writes the view for an engine over one look at the catalog.
pub(crate) async fn write(
    engine: SqlEngine,
    config: &StoreConfig,
    sources: &Sources,
    out: &mut (dyn Write + Send),
) -> Result<(), ReaderError> {
    let view = sources.view().await?;
    let text = sql::view(engine, &view, &|path: &str| config.location(path))?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(ReaderError::file("standard output"))
}
