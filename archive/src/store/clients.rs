//! The clients of the clouds' stores, made from the form.
//!
//! Keys in the form are the only ones used; without them the environment is asked, then the machine, by the default chain of each cloud.
//! The form's endpoint wins over the environment's: a variable that is set for another program must not move an archive.

use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, RetryConfig};

use super::form::{Azure, Gcs, S3};
use crate::ArchiveError;

/// A client repeats a failed request for a few seconds only: whoever waits for a query wants to hear of a dead store, and commits and folds
/// have a backoff of their own.
fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 4,
        retry_timeout: Duration::from_secs(10),
        backoff: BackoffConfig::default(),
    }
}

pub(super) fn s3(config: &S3) -> Result<AmazonS3Builder, ArchiveError> {
    let mut builder = if config.access_key.is_empty() {
        AmazonS3Builder::from_env()
    } else {
        // Not even a session token may come from elsewhere: it would belong to another key.
        let builder = AmazonS3Builder::new()
            .with_access_key_id(&config.access_key)
            .with_secret_access_key(&config.secret_key);
        match region_of_environment() {
            Some(region) => builder.with_region(region),
            None => builder,
        }
    };
    if !config.session_token.is_empty() {
        builder = builder.with_token(&config.session_token);
    }
    if let Some(options) = config.http.client_options()? {
        builder = builder.with_client_options(options);
    }
    builder = builder
        .with_retry(retry())
        .with_bucket_name(&config.bucket)
        .with_allow_http(config.insecure);
    if !config.region.is_empty() {
        builder = builder.with_region(&config.region);
    } else if let Some(region) = region_of(&config.endpoint) {
        builder = builder.with_region(region);
    }
    if !config.sts_endpoint.is_empty() {
        builder = builder.with_config(AmazonS3ConfigKey::StsEndpoint, &config.sts_endpoint);
    }
    if config.endpoint.is_empty() {
        return Ok(builder);
    }
    let scheme = if config.insecure { "http" } else { "https" };
    // Thanos names the host alone; endpoints that are not Amazon's want the bucket in the path.
    let virtual_hosted = match config.bucket_lookup_type.as_str() {
        "virtual-hosted" => true,
        "path" => false,
        _ => is_amazon(&config.endpoint),
    };
    let url = if virtual_hosted {
        format!("{scheme}://{}.{}", config.bucket, config.endpoint)
    } else {
        format!("{scheme}://{}", config.endpoint)
    };
    Ok(builder
        .with_virtual_hosted_style_request(virtual_hosted)
        .with_config(AmazonS3ConfigKey::S3Endpoint, url))
}

/// The variables that Amazon's own programs read.
fn region_of_environment() -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
    set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"))
}

fn is_amazon(endpoint: &str) -> bool {
    endpoint.ends_with(".amazonaws.com") || endpoint.ends_with(".amazonaws.com.cn")
}

/// The region in one of Amazon's host names, such as `s3.eu-west-1.amazonaws.com` or `s3.dualstack.eu-west-1.amazonaws.com`. Requests are signed
/// for a region, and `us-east-1` is wrong for most.
pub(super) fn region_of(endpoint: &str) -> Option<&str> {
    let host = endpoint.split(':').next()?;
    let front = host
        .strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let region = front.rsplit('.').next()?;
    let region = region.strip_prefix("s3-").unwrap_or(region);
    // `s3` alone is the global name.
    region.contains('-').then_some(region)
}

pub(super) fn gcs(config: &Gcs) -> Result<GoogleCloudStorageBuilder, ArchiveError> {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    if let Some(options) = config.http.client_options()? {
        builder = builder.with_client_options(options);
    }
    builder = builder.with_retry(retry()).with_bucket_name(&config.bucket);
    let account = config.service_account.trim();
    Ok(match account {
        "" => builder,
        json if json.starts_with('{') => builder.with_service_account_key(json),
        path => builder.with_service_account_path(path),
    })
}

pub(super) fn azure(config: &Azure) -> Result<MicrosoftAzureBuilder, ArchiveError> {
    let has_own_key = !config.storage_account_key.is_empty() || !config.client_secret.is_empty();
    let mut builder = if has_own_key {
        MicrosoftAzureBuilder::new()
    } else {
        MicrosoftAzureBuilder::from_env()
    };
    if let Some(options) = config.http.client_options()? {
        builder = builder.with_client_options(options);
    }
    builder = builder
        .with_retry(retry())
        .with_account(&config.storage_account)
        .with_container_name(&config.container);
    if !config.storage_account_key.is_empty() {
        builder = builder.with_access_key(&config.storage_account_key);
    }
    if !config.client_secret.is_empty() {
        builder =
            builder.with_client_secret_authorization(&config.client_id, &config.client_secret, &config.az_tenant_id);
    }
    if !config.user_assigned_id.is_empty() {
        // Which of the identities of the machine is meant.
        builder = builder.with_config(AzureConfigKey::ClientId, &config.user_assigned_id);
    }
    if !config.endpoint.is_empty() {
        // Thanos gives the suffix that stands behind the account's name.
        builder = builder.with_endpoint(format!("https://{}.{}", config.storage_account, config.endpoint));
    }
    Ok(builder)
}
