//! The manifest beside a file of requests: for each series its labels, how many distinct samples it has, and their digest.
//!
//! Lines of JSON, so that anything can read it: `{"labels":{"__name__":"up"},"samples":40,"digest":"0123456789abcdef"}`. A
//! series that ended is written when it ended, so writing takes no memory for it. The last line has the totals, and proves that
//! the manifest is whole. A digest is the sum modulo 2^64 of the XXH3-64 hashes of the rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::row::Digest;

/// Where the manifest of a file of requests lies.
pub(crate) fn path_of(requests: &Path) -> PathBuf {
    let mut path = requests.as_os_str().to_owned();
    path.push(".manifest");
    path.into()
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    samples: u64,
    digest: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct Last {
    series: u64,
    samples: u64,
}

/// Writes a manifest.
#[derive(Debug)]
pub(crate) struct ManifestWriter {
    out: BufWriter<File>,
    series: u64,
    samples: u64,
}

impl ManifestWriter {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot create `{}`", path.display()))?;
        Ok(Self {
            out: BufWriter::with_capacity(1 << 20, file),
            series: 0,
            samples: 0,
        })
    }

    /// A series that gets no more samples.
    pub(crate) fn append(&mut self, labels: &[(String, String)], digest: Digest) -> Result<()> {
        let borrowed = labels
            .iter()
            .map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value)));
        let line = Line {
            labels: borrowed.collect(),
            samples: digest.rows,
            digest: format!("{:016x}", digest.sum).into(),
        };
        serde_json::to_writer(&mut self.out, &line)?;
        self.out.write_all(b"\n")?;
        self.series += 1;
        self.samples += digest.rows;
        Ok(())
    }

    /// Number of series.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let last = Last {
            series: self.series,
            samples: self.samples,
        };
        serde_json::to_writer(&mut self.out, &last)?;
        self.out.write_all(b"\n")?;
        self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(self.series)
    }
}

/// Calls `on_series` with labels, sorted by name, and digest of each series.
pub(crate) fn read_manifest(
    path: &Path,
    mut on_series: impl FnMut(&BTreeMap<Cow<'_, str>, Cow<'_, str>>, Digest) -> Result<()>,
) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut text, mut series, mut samples) = (String::new(), 0, 0);
    loop {
        text.clear();
        ensure!(
            reader.read_line(&mut text)? > 0,
            "`{}` ends without its totals",
            path.display()
        );
        if !text.starts_with("{\"labels\"") {
            break;
        }
        let place = || format!("line {} of `{}`", series + 1, path.display());
        let line: Line<'_> = serde_json::from_str(&text).with_context(place)?;
        let digest = Digest {
            rows: line.samples,
            sum: u64::from_str_radix(&line.digest, 16).with_context(place)?,
        };
        on_series(&line.labels, digest)?;
        series += 1;
        samples += line.samples;
    }
    let last: Last = serde_json::from_str(&text).with_context(|| format!("the last line of `{}`", path.display()))?;
    ensure!(
        (last.series, last.samples) == (series, samples),
        "`{}` is not whole",
        path.display()
    );
    Ok(())
}
