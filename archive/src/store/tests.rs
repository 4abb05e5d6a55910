//! The forms that operators have, and the mistakes they make in them.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn refusal(yaml: &str) -> String {
    StoreConfig::parse(yaml).unwrap_err().to_string()
}

#[test]
fn thanos_forms_are_read_as_they_are() {
    let s3 = "
type: S3
config:
  bucket: metrics
  endpoint: s3.eu-west-1.amazonaws.com
  region: eu-west-1
  access_key: AK
  secret_key: SK
  insecure: false
  signature_version2: false
  put_user_metadata: {}
  http_config: {idle_conn_timeout: 90s}
  trace: {enable: false}
  part_size: 67108864
  sse_config: {type: ''}
prefix: /a/b/
";
    assert_eq!(StoreConfig::parse(s3).unwrap().location("x"), "s3://metrics/a/b/x");
    assert!(StoreConfig::parse(s3).unwrap().open().is_ok());
    let gcs = "type: GCS\nconfig: {bucket: m, service_account: ''}";
    assert_eq!(StoreConfig::parse(gcs).unwrap().location("x"), "gs://m/x");
    let azure = "type: AZURE\nconfig: {storage_account: a, storage_account_key: a2V5, container: c, endpoint: blob.core.windows.net}";
    assert_eq!(StoreConfig::parse(azure).unwrap().location("x"), "az://c/x");
    assert!(StoreConfig::parse(azure).unwrap().open().is_ok());
    let directory = "type: FILESYSTEM\nconfig: {directory: /some/where}";
    assert_eq!(
        StoreConfig::parse(directory).unwrap().location("x/y"),
        "/some/where/x/y"
    );
}

#[test]
fn mistakes_are_named() {
    assert!(refusal("type: FTP\nconfig: {}").contains("`FTP` is none of"));
    assert!(refusal("type: S3\nconfig: {bukket: m}").contains("bukket"));
    assert!(refusal("type: S3\nconfig: {}").contains("`bucket` is missing"));
    assert!(refusal("type: S3\nconfig: {bucket: m, access_key: a}").contains("go together"));
    assert!(refusal("type: S3\nconfig: {bucket: m, sse_config: {type: SSE-KMS}}").contains("sse_config"));
    assert!(refusal("---\ntype: GCS\nconfig: {bucket: m}\n---\ntype: S3\n").contains("several YAML documents"));
    assert!(refusal("typ: S3").contains("typ"));
    assert!(refusal("type: AZURE\nconfig: {storage_account: a}").contains("container"));
    for (fields, told) in [
        ("endpoint: 'http://127.0.0.1:9000'", "remove scheme"),
        ("put_user_metadata: {x-amz-acl: private}", "put_user_metadata"),
        ("disable_multipart: true", "disable_multipart"),
        ("bucket_lookup_type: hosted", "bucket_lookup_type"),
        ("aws_sdk_auth: true, access_key: a, secret_key: b", "contradict"),
        (
            "http_config: {tls_config: {cert_file: /c, key_file: /k}}",
            "client certificates",
        ),
        ("http_config: {tls_config: {server_name: s}}", "server_name"),
        (
            "http_config: {insecure_skip_verify: true, tls_config: {ca_file: /c}}",
            "contradict",
        ),
        ("http_config: {tls: {}}", "tls"),
    ] {
        let text = refusal(&format!("type: S3\nconfig: {{bucket: m, {fields}}}"));
        assert!(text.contains(told), "{fields}: {text}");
    }
    for (fields, told) in [
        ("client_id: c", "go together"),
        ("storage_account_key: a, user_assigned_id: u", "contradict"),
        ("storage_connection_string: x", "storage_account_key"),
    ] {
        let text = refusal(&format!(
            "type: AZURE\nconfig: {{storage_account: a, container: c, {fields}}}"
        ));
        assert!(text.contains(told), "{fields}: {text}");
    }
}

#[test]
fn a_ca_that_cannot_be_read_is_refused_when_the_store_is_opened() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("ca.pem");
    let open = || {
        let tls = format!("http_config: {{tls_config: {{ca_file: '{}'}}}}", file.display());
        let yaml = format!("type: S3\nconfig: {{bucket: m, access_key: a, secret_key: b, {tls}}}");
        StoreConfig::parse(&yaml).unwrap().open().unwrap_err().to_string()
    };
    assert!(open().contains("ca.pem"), "{}", open());
    std::fs::write(&file, "no certificate").unwrap();
    assert!(open().contains("no PEM certificate"), "{}", open());
}

#[test]
fn the_region_is_that_of_the_endpoint() {
    for (endpoint, region) in [
        ("s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
        ("s3.dualstack.eu-west-1.amazonaws.com:443", Some("eu-west-1")),
        ("s3-eu-west-1.amazonaws.com", Some("eu-west-1")),
        ("s3.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        ("s3.amazonaws.com", None),
        ("minio.example.org:9000", None),
    ] {
        assert_eq!(clients::region_of(endpoint), region, "{endpoint}");
    }
}

#[test]
fn keys_of_the_form_are_used_alone_and_its_endpoint_wins() {
    use object_store::aws::AmazonS3ConfigKey::{Endpoint, S3Endpoint, Token, VirtualHostedStyleRequest};
    let yaml = |fields: &str| format!("type: S3\nconfig: {{bucket: mmm, access_key: a, secret_key: b, {fields}}}");
    let builder = |fields: &str| {
        let form::Kind::S3(config) = form::parse(&yaml(fields)).unwrap().kind else {
            panic!("not S3")
        };
        clients::s3(&config).unwrap()
    };
    let minio = builder("endpoint: '127.0.0.1:9000', insecure: true");
    assert_eq!(minio.get_config_value(&Token), None);
    assert_eq!(minio.get_config_value(&S3Endpoint).unwrap(), "http://127.0.0.1:9000");
    assert_eq!(minio.get_config_value(&Endpoint), None);
    assert_eq!(minio.get_config_value(&VirtualHostedStyleRequest).unwrap(), "false");
    let amazon = builder("endpoint: s3.eu-west-1.amazonaws.com, session_token: t");
    assert_eq!(amazon.get_config_value(&Token).unwrap(), "t");
    assert_eq!(
        amazon.get_config_value(&S3Endpoint).unwrap(),
        "https://mmm.s3.eu-west-1.amazonaws.com"
    );
}

#[test]
fn no_message_shows_a_secret() {
    let text = refusal("type: S3\nconfig: {bucket: m, access_key: a, secret_key: hunter2, oops: 1}");
    assert!(!text.contains("hunter2"), "{text}");
    let good = StoreConfig::parse("type: S3\nconfig: {bucket: m, access_key: a, secret_key: hunter2}").unwrap();
    assert!(!format!("{good:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_prefix_keeps_archives_apart() {
    use object_store::ObjectStoreExt;
    let scratch = tempfile::tempdir().unwrap();
    let yaml = |prefix: &str| {
        format!(
            "type: FILESYSTEM\nconfig: {{directory: \"{}\"}}\nprefix: {prefix}",
            scratch.path().display()
        )
    };
    let (a, b) = (
        StoreConfig::parse(&yaml("a")).unwrap().open().unwrap(),
        StoreConfig::parse(&yaml("b")).unwrap().open().unwrap(),
    );
    a.put(&"x".into(), "1".into()).await.unwrap();
    assert!(b.head(&"x".into()).await.is_err());
    assert!(scratch.path().join("a/x").exists());
}

#[tokio::test]
async fn a_directory_that_went_away_is_not_an_empty_store() {
    use futures::TryStreamExt;
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("mount");
    let store = StoreConfig::directory(&root).open().unwrap();
    let listed = |store: Arc<dyn ObjectStore>| async move {
        store.list(Some(&"_archive/roots".into())).try_collect::<Vec<_>>().await
    };
    assert!(listed(store.clone()).await.unwrap().is_empty());
    std::fs::remove_dir_all(&root).unwrap();
    assert!(listed(store).await.is_err());
}
