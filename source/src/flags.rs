//! `--source.*`: how every command of ours is told how to talk to a Prometheus.
//!
//! Secrets come from files, never from the command line, where everybody on the machine reads them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::{Auth, SourceConfig, SourceError};

/// Who asks, and how the server is trusted.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceFlags {
    /// File with a token for `Authorization: Bearer`.
    #[arg(long = "source.bearer-token-file", value_name = "FILE")]
    pub bearer_token_file: Option<PathBuf>,
    /// User for basic authentication.
    #[arg(
        long = "source.basic-auth.username",
        value_name = "NAME",
        conflicts_with = "bearer_token_file",
        requires = "password_file"
    )]
    pub username: Option<String>,
    /// File with the password for basic authentication.
    #[arg(long = "source.basic-auth.password-file", value_name = "FILE", requires = "username")]
    pub password_file: Option<PathBuf>,
    /// Header sent with every request, as `X-Scope-OrgID: team`; repeatable.
    #[arg(long = "source.header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// PEM file of the authorities that are trusted instead of those of the system.
    #[arg(long = "source.tls-ca", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
}

impl SourceFlags {
    /// The same flags again, for a child process.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let path = |flag: &str, value: &Option<PathBuf>| value.as_ref().map(|value| pair(flag, value.as_os_str()));
        let mut arguments: Vec<[OsString; 2]> = Vec::new();
        arguments.extend(path("--source.bearer-token-file", &self.bearer_token_file));
        arguments.extend(path("--source.basic-auth.password-file", &self.password_file));
        arguments.extend(path("--source.tls-ca", &self.tls_ca));
        let username = self.username.iter();
        arguments.extend(username.map(|name| pair("--source.basic-auth.username", name.as_ref())));
        let headers = self.headers.iter();
        arguments.extend(headers.map(|header| pair("--source.header", header.as_ref())));
        arguments.into_iter().flatten().collect()
    }

    /// The configuration for the server at a URL.
    ///
    /// # Errors
    /// [`SourceError::Config`] for a file that cannot be read, and a header without a colon.
    pub fn config(&self, url: &str) -> Result<SourceConfig, SourceError> {
        let auth = match (&self.bearer_token_file, &self.username, &self.password_file) {
            (Some(file), _, _) => Auth::Bearer(secret(file)?),
            (None, Some(username), Some(file)) => Auth::Basic {
                username: username.clone(),
                password: secret(file)?,
            },
            _ => Auth::None,
        };
        let header = |text: &String| {
            let pair = text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            let (name, value) = pair.ok_or_else(|| SourceError::Config {
                place: "--source.header".to_owned(),
                reason: "a header is `NAME: VALUE`".to_owned(),
            })?;
            Ok((name.to_owned(), value.to_owned()))
        };
        Ok(SourceConfig {
            auth,
            headers: self.headers.iter().map(header).collect::<Result<_, SourceError>>()?,
            ca_file: self.tls_ca.clone(),
            ..SourceConfig::new(url)
        })
    }
}

fn pair(flag: &str, value: &OsStr) -> [OsString; 2] {
    [flag.into(), value.to_owned()]
}

/// A file with one secret; the line break that editors add is not part of it.
fn secret(path: &Path) -> Result<String, SourceError> {
    let text = fs::read_to_string(path).map_err(|error| SourceError::Config {
        place: path.display().to_string(),
        reason: error.to_string(),
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        source: SourceFlags,
    }

    #[test]
    fn a_child_is_told_what_we_were_told() {
        for given in [
            &["--source.bearer-token-file", "/token", "--source.tls-ca", "/ca"][..],
            &[
                "--source.basic-auth.password-file",
                "/password",
                "--source.basic-auth.username",
                "me",
                "--source.header",
                "A: b",
                "--source.header",
                "C: d",
            ],
            &[],
        ] {
            let given: Vec<OsString> = given.iter().map(OsString::from).collect();
            let cli = Cli::try_parse_from([OsString::from("x")].into_iter().chain(given.clone())).unwrap();
            assert_eq!(cli.source.arguments(), given);
        }
    }
}
