//! Thanos' `objstore.config` as serde sees it: which fields there are, which we honour, which we pass over, which we refuse.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::http::Http;
use crate::ArchiveError;

/// The whole form.
pub(super) struct Form {
    pub(super) kind: Kind,
    /// Without slashes at its ends.
    pub(super) prefix: String,
}

/// The part that depends on the type.
pub(super) enum Kind {
    Filesystem(Filesystem),
    S3(Box<S3>),
    Gcs(Gcs),
    Azure(Box<Azure>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    r#type: String,
    #[serde(default, rename = "config")]
    _config: Option<IgnoredAny>,
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
struct Body<T> {
    config: T,
}

/// `type: FILESYSTEM`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filesystem {
    pub(super) directory: PathBuf,
}

/// `type: S3`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct S3 {
    pub(super) bucket: String,
    pub(super) endpoint: String,
    pub(super) region: String,
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: String,
    pub(super) insecure: bool,
    pub(super) bucket_lookup_type: String,
    pub(super) sts_endpoint: String,
    #[serde(rename = "http_config")]
    pub(super) http: Http,
    aws_sdk_auth: bool,
    signature_version2: bool,
    sse_config: Option<Sse>,
    put_user_metadata: BTreeMap<String, IgnoredAny>,
    disable_multipart: bool,
    trace: Option<IgnoredAny>,
    list_objects_version: Option<IgnoredAny>,
    part_size: Option<IgnoredAny>,
    max_retries: Option<IgnoredAny>,
    send_content_md5: Option<IgnoredAny>,
    disable_dualstack: Option<IgnoredAny>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Sse {
    r#type: String,
}

/// `type: GCS`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gcs {
    pub(super) bucket: String,
    pub(super) service_account: String,
    #[serde(rename = "http_config")]
    pub(super) http: Http,
    use_grpc: Option<IgnoredAny>,
    grpc_conn_pool_size: Option<IgnoredAny>,
    chunk_size_bytes: Option<IgnoredAny>,
    max_retries: Option<IgnoredAny>,
}

/// `type: AZURE`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Azure {
    pub(super) storage_account: String,
    pub(super) storage_account_key: String,
    pub(super) container: String,
    pub(super) endpoint: String,
    pub(super) az_tenant_id: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) user_assigned_id: String,
    #[serde(rename = "http_config")]
    pub(super) http: Http,
    storage_connection_string: String,
    pipeline_config: Option<IgnoredAny>,
    reader_config: Option<IgnoredAny>,
    max_retries: Option<IgnoredAny>,
    storage_create_container: Option<IgnoredAny>,
    msi_resource: Option<IgnoredAny>,
    azure_storage_account_type: Option<IgnoredAny>,
}

/// Reads the form.
pub(super) fn parse(yaml: &str) -> Result<Form, ArchiveError> {
    if yaml.lines().filter(|line| line.trim_end() == "---").count() > 1 {
        return Err(config(
            "it holds several YAML documents, of which all but the first would be ignored: keep one",
        ));
    }
    let header: Header = read(yaml)?;
    let kind = match header.r#type.as_str() {
        "FILESYSTEM" => Kind::Filesystem(read::<Body<Filesystem>>(yaml)?.config),
        "S3" => Kind::S3(Box::new(check_s3(read::<Body<S3>>(yaml)?.config)?)),
        "GCS" => Kind::Gcs(check_gcs(read::<Body<Gcs>>(yaml)?.config)?),
        "AZURE" => Kind::Azure(Box::new(check_azure(read::<Body<Azure>>(yaml)?.config)?)),
        other => return Err(config(format!("type `{other}` is none of FILESYSTEM, S3, GCS, AZURE"))),
    };
    Ok(Form {
        kind,
        prefix: header.prefix.trim_matches('/').to_owned(),
    })
}

fn check_s3(s3: S3) -> Result<S3, ArchiveError> {
    require("bucket", &s3.bucket)?;
    if s3.access_key.is_empty() != s3.secret_key.is_empty() {
        return Err(config(
            "`access_key` and `secret_key` go together: give both or neither",
        ));
    }
    if s3.signature_version2 {
        return Err(config(
            "`signature_version2: true` is not supported: remove it, version 4 is used",
        ));
    }
    if s3.sse_config.as_ref().is_some_and(|sse| !sse.r#type.is_empty()) {
        return Err(config(
            "`sse_config` is not supported: set the encryption as the bucket's default and remove it",
        ));
    }
    if !s3.put_user_metadata.is_empty() {
        return Err(config(
            "`put_user_metadata` is not supported: set storage class and ownership at the bucket and remove it",
        ));
    }
    if s3.disable_multipart {
        return Err(config(
            "`disable_multipart: true` is not supported: files above 16 MiB are uploaded in parts",
        ));
    }
    if s3.aws_sdk_auth && !s3.access_key.is_empty() {
        return Err(config(
            "`aws_sdk_auth` and `access_key` contradict each other: keep one",
        ));
    }
    if s3.endpoint.contains('/') {
        return Err(config(
            "`endpoint` is a host and perhaps a port, such as `s3.eu-west-1.amazonaws.com`: remove scheme and path (`insecure: true` says http)",
        ));
    }
    if !["", "auto", "virtual-hosted", "path"].contains(&s3.bucket_lookup_type.as_str()) {
        return Err(config("`bucket_lookup_type` is none of auto, virtual-hosted, path"));
    }
    s3.http.check()?;
    pass_over(&[
        ("trace", &s3.trace),
        ("list_objects_version", &s3.list_objects_version),
        ("part_size", &s3.part_size),
        ("max_retries", &s3.max_retries),
        ("send_content_md5", &s3.send_content_md5),
        ("disable_dualstack", &s3.disable_dualstack),
    ]);
    Ok(s3)
}

fn check_gcs(gcs: Gcs) -> Result<Gcs, ArchiveError> {
    require("bucket", &gcs.bucket)?;
    gcs.http.check()?;
    pass_over(&[
        ("use_grpc", &gcs.use_grpc),
        ("grpc_conn_pool_size", &gcs.grpc_conn_pool_size),
        ("chunk_size_bytes", &gcs.chunk_size_bytes),
        ("max_retries", &gcs.max_retries),
    ]);
    Ok(gcs)
}

fn check_azure(azure: Azure) -> Result<Azure, ArchiveError> {
    require("storage_account", &azure.storage_account)?;
    require("container", &azure.container)?;
    if !azure.storage_connection_string.is_empty() {
        return Err(config(
            "`storage_connection_string` is not supported: give `storage_account_key`, which stands in it",
        ));
    }
    let of_a_client = [&azure.az_tenant_id, &azure.client_id, &azure.client_secret];
    if of_a_client.iter().any(|field| field.is_empty()) && of_a_client.iter().any(|field| !field.is_empty()) {
        return Err(config(
            "`az_tenant_id`, `client_id` and `client_secret` go together: give all or none",
        ));
    }
    let ways = [
        &azure.storage_account_key,
        &azure.client_secret,
        &azure.user_assigned_id,
    ];
    if ways.iter().filter(|way| !way.is_empty()).count() > 1 {
        return Err(config(
            "`storage_account_key`, `client_secret` and `user_assigned_id` contradict each other: keep one",
        ));
    }
    azure.http.check()?;
    pass_over(&[
        ("pipeline_config", &azure.pipeline_config),
        ("reader_config", &azure.reader_config),
        ("max_retries", &azure.max_retries),
        ("storage_create_container", &azure.storage_create_container),
        ("msi_resource", &azure.msi_resource),
        ("azure_storage_account_type", &azure.azure_storage_account_type),
    ]);
    Ok(azure)
}

fn read<'de, T: Deserialize<'de>>(yaml: &'de str) -> Result<T, ArchiveError> {
    // The parser would show the lines around the place, and they may hold a key.
    serde_saphyr::from_str(yaml).map_err(|error| config(error.without_snippet()))
}

fn require(field: &str, value: &str) -> Result<(), ArchiveError> {
    if value.is_empty() {
        Err(config(format!("`{field}` is missing in `config`")))
    } else {
        Ok(())
    }
}

/// They tune Thanos' own client and change nothing that is stored.
pub(super) fn pass_over(fields: &[(&str, &Option<IgnoredAny>)]) {
    for (field, value) in fields {
        if value.is_some() {
            tracing::warn!(field, "this setting of the object store has no effect here");
        }
    }
}

pub(super) fn config(reason: impl ToString) -> ArchiveError {
    ArchiveError::Config(reason.to_string())
}
