//! `http_config` of Thanos' form: whom we trust is honoured or refused, what only tunes connections is passed over.

use std::path::PathBuf;

use object_store::{Certificate, ClientOptions};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::form::{config, pass_over};
use crate::ArchiveError;

/// `http_config`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    insecure_skip_verify: bool,
    tls_config: Tls,
    idle_conn_timeout: Option<IgnoredAny>,
    response_header_timeout: Option<IgnoredAny>,
    tls_handshake_timeout: Option<IgnoredAny>,
    expect_continue_timeout: Option<IgnoredAny>,
    max_idle_conns: Option<IgnoredAny>,
    max_idle_conns_per_host: Option<IgnoredAny>,
    max_conns_per_host: Option<IgnoredAny>,
    force_attempt_http2: Option<IgnoredAny>,
    disable_compression: Option<IgnoredAny>,
}

/// `tls_config`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    ca_file: PathBuf,
    cert_file: PathBuf,
    key_file: PathBuf,
    server_name: String,
    insecure_skip_verify: bool,
}

impl Http {
    /// Refuses what would have us talk to another server, or as somebody else, than the form says.
    pub(super) fn check(&self) -> Result<(), ArchiveError> {
        let tls = &self.tls_config;
        if !tls.cert_file.as_os_str().is_empty() || !tls.key_file.as_os_str().is_empty() {
            return Err(config(
                "client certificates (`tls_config.cert_file`, `key_file`) are not supported: use keys of the store",
            ));
        }
        if !tls.server_name.is_empty() {
            return Err(config(
                "`tls_config.server_name` is not supported: use an endpoint whose name is in its certificate",
            ));
        }
        if self.skips_verification() {
            if !tls.ca_file.as_os_str().is_empty() {
                return Err(config(
                    "`ca_file` and `insecure_skip_verify` contradict each other: keep one",
                ));
            }
            tracing::warn!(
                "the object store's certificate is not verified: anybody on the way can read and change the archive"
            );
        }
        pass_over(&[
            ("http_config.idle_conn_timeout", &self.idle_conn_timeout),
            ("http_config.response_header_timeout", &self.response_header_timeout),
            ("http_config.tls_handshake_timeout", &self.tls_handshake_timeout),
            ("http_config.expect_continue_timeout", &self.expect_continue_timeout),
            ("http_config.max_idle_conns", &self.max_idle_conns),
            ("http_config.max_idle_conns_per_host", &self.max_idle_conns_per_host),
            ("http_config.max_conns_per_host", &self.max_conns_per_host),
            ("http_config.force_attempt_http2", &self.force_attempt_http2),
            ("http_config.disable_compression", &self.disable_compression),
        ]);
        Ok(())
    }

    fn skips_verification(&self) -> bool {
        self.insecure_skip_verify || self.tls_config.insecure_skip_verify
    }

    /// The settings of the client, `None` for its own. A CA given is the only one trusted, as with Thanos: then nobody else's certificate
    /// can stand in for the store's.
    pub(super) fn client_options(&self) -> Result<Option<ClientOptions>, ArchiveError> {
        if self.skips_verification() {
            return Ok(Some(ClientOptions::new().with_allow_invalid_certificates(true)));
        }
        let file = &self.tls_config.ca_file;
        if file.as_os_str().is_empty() {
            return Ok(None);
        }
        let refused = |reason: String| config(format!("`tls_config.ca_file`, `{}`: {reason}", file.display()));
        let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| refused(error.to_string()))?;
        if certificates.is_empty() {
            return Err(refused("it holds no PEM certificate".to_owned()));
        }
        let options = ClientOptions::new().with_no_system_certificates(true);
        let options = certificates
            .into_iter()
            .fold(options, ClientOptions::with_root_certificate);
        Ok(Some(options))
    }
}
