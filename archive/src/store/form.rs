//! Thanos' `objstore.config` as serde sees it: which fields there are, which we honour, which we pass over, which we refuse.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

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
    aws_sdk_auth: Option<IgnoredAny>,
    signature_version2: bool,
    sse_config: Option<Sse>,
    put_user_metadata: Option<IgnoredAny>,
    http_config: Option<IgnoredAny>,
    trace: Option<IgnoredAny>,
    list_objects_version: Option<IgnoredAny>,
    part_size: Option<IgnoredAny>,
    sts_endpoint: Option<IgnoredAny>,
    max_retries: Option<IgnoredAny>,
    send_content_md5: Option<IgnoredAny>,
    disable_multipart: Option<IgnoredAny>,
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
    http_config: Option<IgnoredAny>,
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
    http_config: Option<IgnoredAny>,
    pipeline_config: Option<IgnoredAny>,
    reader_config: Option<IgnoredAny>,
    max_retries: Option<IgnoredAny>,
    storage_create_container: Option<IgnoredAny>,
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
        "GCS" => {
            let gcs = read::<Body<Gcs>>(yaml)?.config;
            require("bucket", &gcs.bucket)?;
            let Gcs {
                http_config,
                use_grpc,
                grpc_conn_pool_size,
                chunk_size_bytes,
                max_retries,
                ..
            } = &gcs;
            pass_over(&[
                ("http_config", http_config),
                ("use_grpc", use_grpc),
                ("grpc_conn_pool_size", grpc_conn_pool_size),
                ("chunk_size_bytes", chunk_size_bytes),
                ("max_retries", max_retries),
            ]);
            Kind::Gcs(gcs)
        }
        "AZURE" => {
            let azure = read::<Body<Azure>>(yaml)?.config;
            require("storage_account", &azure.storage_account)?;
            require("container", &azure.container)?;
            let Azure {
                http_config,
                pipeline_config,
                reader_config,
                max_retries,
                storage_create_container,
                ..
            } = &azure;
            pass_over(&[
                ("http_config", http_config),
                ("pipeline_config", pipeline_config),
                ("reader_config", reader_config),
                ("max_retries", max_retries),
                ("storage_create_container", storage_create_container),
            ]);
            Kind::Azure(Box::new(azure))
        }
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
    pass_over(&[
        ("aws_sdk_auth", &s3.aws_sdk_auth),
        ("put_user_metadata", &s3.put_user_metadata),
        ("http_config", &s3.http_config),
        ("trace", &s3.trace),
        ("list_objects_version", &s3.list_objects_version),
        ("part_size", &s3.part_size),
        ("sts_endpoint", &s3.sts_endpoint),
        ("max_retries", &s3.max_retries),
        ("send_content_md5", &s3.send_content_md5),
        ("disable_multipart", &s3.disable_multipart),
        ("disable_dualstack", &s3.disable_dualstack),
    ]);
    Ok(s3)
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
fn pass_over(fields: &[(&str, &Option<IgnoredAny>)]) {
    for (field, value) in fields {
        if value.is_some() {
            tracing::warn!(field, "this setting of the object store has no effect here");
        }
    }
}

fn config(reason: impl ToString) -> ArchiveError {
    ArchiveError::Config(reason.to_string())
}
