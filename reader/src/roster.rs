//! Which heads there are: named one by one, in a file, or by a DNS name.
//!
//! The file is read for every query, so that a receiver that is added is not missed by the next one. A list that cannot be read
//! fails the query: without it nobody knows which heads are missing. It must never take a head off the list because it does not
//! answer.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use emberkeep_service::time_expr;

use crate::{HeadSource, ReaderError, RemoteHead};

/// Largest list.
const FILE_BYTES_MAX: usize = 1 << 20;
/// What a name that stands for all its addresses begins with.
const DNS: &str = "dns+";
/// The attribute of a line that bounds what the head holds.
const HOLDS_FROM: &str = "holds-from=";

/// The heads that every query has to ask.
#[derive(Debug, Default)]
pub struct HeadRoster {
    fixed: Vec<ListedHead>,
    /// URLs, of which some stand for several heads.
    urls: Vec<String>,
    file: Option<PathBuf>,
    holds_from: Option<String>,
    /// Clients by URL, so that connections are used again.
    clients: Mutex<HashMap<String, RemoteHead>>,
}

/// One head of the list.
#[derive(Debug, Clone)]
pub struct ListedHead {
    /// What it is called in messages and metrics.
    pub name: String,
    /// Where it is.
    pub source: HeadSource,
    /// What it holds is not older, by the word of whoever made the list: a moment, as in `--from`.
    pub holds_from: Option<String>,
}

impl From<Vec<HeadSource>> for HeadRoster {
    fn from(sources: Vec<HeadSource>) -> Self {
        let listed = sources.into_iter().enumerate().map(|(index, source)| ListedHead {
            name: format!("head {}", index + 1),
            source,
            holds_from: None,
        });
        Self {
            fixed: listed.collect(),
            ..Self::default()
        }
    }
}

impl HeadRoster {
    /// The heads at these URLs (`http://`, `https://`, or `dns+http://` for all addresses of a name), and those in a file. What
    /// any of them holds is not older than `holds_from`, where its line does not say otherwise.
    ///
    /// # Errors
    /// When a URL or time is none. The file is read later.
    pub fn new(urls: &[String], file: Option<PathBuf>, holds_from: Option<String>) -> Result<Self, ReaderError> {
        for url in urls {
            RemoteHead::new(url.strip_prefix(DNS).unwrap_or(url))?;
            check_dns(url)?;
        }
        holds_from.as_deref().map_or(Ok(()), check_time)?;
        Ok(Self {
            urls: urls.to_vec(),
            file,
            holds_from,
            ..Self::default()
        })
    }

    /// All heads, as listed now.
    ///
    /// # Errors
    /// [`ReaderError::Unavailable`] when the file cannot be read or a name has no address.
    pub async fn listed(&self) -> Result<Vec<ListedHead>, ReaderError> {
        let mut heads = self.fixed.clone();
        for url in &self.urls {
            self.add(url, self.holds_from.clone(), &mut heads).await?;
        }
        if let Some(path) = &self.file {
            for line in read(path).await?.lines() {
                if let Some((url, holds_from)) = parse(line).map_err(|why| bad_file(path, &why))? {
                    let holds_from = holds_from.map(str::to_owned).or_else(|| self.holds_from.clone());
                    self.add(url, holds_from, &mut heads).await?;
                }
            }
        }
        // The same head listed twice is one.
        let mut names = std::collections::HashSet::new();
        heads.retain(|head| names.insert(head.name.clone()));
        Ok(heads)
    }

    async fn add(&self, url: &str, holds_from: Option<String>, heads: &mut Vec<ListedHead>) -> Result<(), ReaderError> {
        let addresses = match url.strip_prefix(DNS) {
            Some(name) => resolve(name).await?,
            None => vec![url.trim_end_matches('/').to_owned()],
        };
        for address in addresses {
            heads.push(ListedHead {
                source: HeadSource::Remote(self.client(&address)?),
                name: address,
                holds_from: holds_from.clone(),
            });
        }
        Ok(())
    }

    fn client(&self, url: &str) -> Result<RemoteHead, ReaderError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(url) {
            return Ok(client.clone());
        }
        let client = RemoteHead::new(url)?;
        clients.insert(url.to_owned(), client.clone());
        Ok(client)
    }
}

async fn read(path: &Path) -> Result<String, ReaderError> {
    let content = tokio::fs::read(path)
        .await
        .map_err(|error| bad_file(path, &error.to_string()))?;
    if content.len() > FILE_BYTES_MAX {
        return Err(bad_file(path, &format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(content).map_err(|_| bad_file(path, "it is not UTF-8"))
}

/// A line of the file: URL and what its head holds; nothing for an empty line and a comment.
fn parse(line: &str) -> Result<Option<(&str, Option<&str>)>, String> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let Some(url) = words.next() else {
        return Ok(None);
    };
    check_dns(url).map_err(|error| error.to_string())?;
    let mut holds_from = None;
    for word in words {
        let Some(time) = word.strip_prefix(HOLDS_FROM) else {
            return Err(format!("`{word}` stands behind a URL: only `{HOLDS_FROM}TIME` may"));
        };
        check_time(time).map_err(|error| error.to_string())?;
        holds_from = Some(time);
    }
    Ok(Some((url, holds_from)))
}

fn check_dns(url: &str) -> Result<(), ReaderError> {
    if url.starts_with("dns+https:") {
        return Err(ReaderError::Bad(format!(
            "head URL `{url}`: addresses have no certificate of the name; list the receivers by their names"
        )));
    }
    Ok(())
}

fn check_time(text: &str) -> Result<(), ReaderError> {
    time_expr::parse(text, 0)
        .map(|_| ())
        .map_err(|error| ReaderError::Bad(format!("{HOLDS_FROM}`{text}`: {error}")))
}

fn bad_file(path: &Path, why: &str) -> ReaderError {
    ReaderError::Unavailable(format!("the list of heads `{}` (--head-file): {why}", path.display()))
}

/// The addresses of an HTTP URL with a name, each as a URL.
async fn resolve(url: &str) -> Result<Vec<String>, ReaderError> {
    let failed = |why: &dyn std::fmt::Display| {
        ReaderError::Unavailable(format!("the heads at `{DNS}{url}` cannot be listed: {why}"))
    };
    let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    if authority.contains('/') || !authority.contains(':') {
        return Err(failed(
            &"a name and a port must stand there, as `dns+http://receivers:9201`",
        ));
    }
    let found = tokio::net::lookup_host(authority)
        .await
        .map_err(|error| failed(&error))?;
    let mut addresses: Vec<String> = found.map(|address| format!("http://{address}")).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(failed(&"the name has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn names(heads: &[ListedHead]) -> Vec<(&str, Option<&str>)> {
        heads
            .iter()
            .map(|head| (head.name.as_str(), head.holds_from.as_deref()))
            .collect()
    }

    #[tokio::test]
    async fn the_file_counts_as_it_is_now() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heads");
        let urls = ["http://a:1".to_owned()];
        let roster = HeadRoster::new(&urls, Some(path.clone()), Some("-6h".to_owned())).unwrap();
        let error = roster.listed().await.unwrap_err();
        assert!(
            matches!(&error, ReaderError::Unavailable(why) if why.contains("--head-file")),
            "{error}"
        );
        std::fs::write(
            &path,
            "# receivers\n\nhttp://b:2/ holds-from=2026-11-20T00:00:00Z # old\nhttp://a:1\n",
        )
        .unwrap();
        let heads = roster.listed().await.unwrap();
        assert_eq!(
            names(&heads),
            [
                ("http://a:1", Some("-6h")),
                ("http://b:2", Some("2026-11-20T00:00:00Z"))
            ]
        );
        std::fs::write(&path, "http://c:3").unwrap();
        assert_eq!(names(&roster.listed().await.unwrap())[1], ("http://c:3", Some("-6h")));
        for wrong in ["b:2 c", "http://a:1 holds-from=now-ish", "dns+https://a:1", "ftp://a"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(roster.listed().await.is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_name_stands_for_its_addresses() {
        let roster = HeadRoster::new(&["dns+http://127.0.0.1:9".to_owned()], None, None).unwrap();
        assert_eq!(names(&roster.listed().await.unwrap()), [("http://127.0.0.1:9", None)]);
        let without = HeadRoster::new(&["dns+http://127.0.0.1".to_owned()], None, None).unwrap();
        assert!(matches!(without.listed().await, Err(ReaderError::Unavailable(_))));
        assert!(HeadRoster::new(&["dns+https://a:1".to_owned()], None, None).is_err());
    }
}
