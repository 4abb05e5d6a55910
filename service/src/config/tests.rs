//! What the file says, and how its mistakes are told.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const FULL: &str = "\
# everything
storage:
  path: /var/lib/emberkeep
objstore:
  type: S3
  config:
    bucket: 0123
    # a comment
    secret_key: hunter2

web: {listen_address: ':9201'}
flush:
  interval: 1h30m
log:
  level: debug
  format: json
";

fn refused(text: &str) -> String {
    FileConfig::parse(text, "emberkeep.yml").unwrap_err().to_string()
}

#[test]
fn every_setting_is_read() {
    let config = FileConfig::parse(FULL, "emberkeep.yml").unwrap();
    assert_eq!(config.storage.path, Some("/var/lib/emberkeep".into()));
    assert_eq!(config.web.listen_address.as_deref(), Some(":9201"));
    assert_eq!(config.flush.interval, Some(Duration::from_secs(5_400)));
    assert_eq!(
        config.log,
        LogConfig {
            level: Some(LogLevel::Debug),
            format: Some(LogFormat::Json)
        }
    );
    let objstore = config.objstore.unwrap();
    assert_eq!(objstore.place, "emberkeep.yml");
    assert_eq!(
        objstore.yaml.trim(),
        "type: S3\n  config:\n    bucket: 0123\n    # a comment\n    secret_key: hunter2"
    );
    // On its old lines, and readable by itself with the text of the scalars as it was.
    assert_eq!(objstore.yaml.lines().position(|line| line.contains("bucket")), Some(6));
    let value: std::collections::BTreeMap<String, serde::de::IgnoredAny> =
        serde_saphyr::from_str(&objstore.yaml).unwrap();
    assert_eq!(value.keys().collect::<Vec<_>>(), ["config", "type"]);
}

#[test]
fn nothing_is_required() {
    for text in ["", "\n", "# only a comment\n\n", "{}\n", "log: {}\n"] {
        assert_eq!(FileConfig::parse(text, "x").unwrap(), FileConfig::default(), "{text:?}");
    }
}

#[test]
fn an_object_store_in_one_line() {
    let config = FileConfig::parse(
        "objstore: {type: FILESYSTEM, config: {directory: /a}} # here\nlog: {}\n",
        "x",
    )
    .unwrap();
    assert_eq!(
        config.objstore.unwrap().yaml.trim(),
        "{type: FILESYSTEM, config: {directory: /a}} # here"
    );
}

#[test]
fn an_unknown_field_is_refused_with_line_and_excerpt() {
    let text = refused("log:\n  level: info\nweb:\n  lisen_address: ':1'\n");
    assert!(text.starts_with("`emberkeep.yml` line 4: "), "{text}");
    assert!(
        text.contains("lisen_address") && text.contains("listen_address"),
        "{text}"
    );
    assert!(text.ends_with(" in `lisen_address: ':1'`"), "{text}");
    let text = refused("logs: {}\n");
    assert!(
        text.starts_with("`emberkeep.yml` line 1: ") && text.contains("logs"),
        "{text}"
    );
}

#[test]
fn wrong_values_say_what_would_be_right() {
    let text = refused("flush:\n  interval: 90\n");
    assert!(
        text.starts_with("`emberkeep.yml` line 2: ") && text.contains("`90` is not a duration such as `5m`"),
        "{text}"
    );
    let text = refused("log:\n  level: loud\n");
    assert!(
        text.contains("line 2: ") && text.contains("loud") && text.contains("warn"),
        "{text}"
    );
}

#[test]
fn what_is_not_one_document_is_refused() {
    for text in [
        "a: [1\n",
        "log: {}\nlog: {}\n",
        "log: {}\n---\nlog: {}\n",
        "just words\n",
        "- 1\n",
    ] {
        let message = refused(text);
        assert!(message.starts_with("`emberkeep.yml`"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        // Advice of the parser is for programmers.
        assert!(
            !message.contains("Policy") && !message.contains("from_str"),
            "{message}"
        );
    }
}

#[test]
fn the_object_store_must_be_a_block_of_its_own() {
    for text in [
        "{log: {}, objstore: {type: S3}}\n",
        "log: &a {level: info}\nobjstore: *a\n",
        "  objstore: {type: S3}\n",
        "? objstore\n: {type: S3}\n",
    ] {
        assert!(FileConfig::parse(text, "x").is_err(), "{text}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let config = FileConfig::parse(FULL, "x").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let broken = refused("objstore:\n  config: {secret_key: hunter2\nlog: {}\n");
    assert!(!broken.contains("hunter2"), "{broken}");
    let broken = refused("objstore:\n  secret_key: hunter2\n  secret_key: hunter2\n");
    assert!(!broken.contains("hunter2"), "{broken}");
}

#[test]
fn a_missing_file_is_named_with_its_flag() {
    let error = FileConfig::read(Path::new("/nonexistent/emberkeep.yml")).unwrap_err();
    let text = crate::problem::chain(&error);
    assert!(
        text.starts_with("cannot read `/nonexistent/emberkeep.yml`, given by `--config.file`: "),
        "{text}"
    );
}

#[test]
fn upkeep_is_read() {
    let text = "\
retention:
  keep: 400d
  minimum_age: 1d
  undelete_window: 7d
  most_at_once_percent: 20
  rules:
    - tenant: team-a
      match: '{job=\"debug\"}'
      keep: 30d
    - {tenant: team-b, keep: 1y}
quota: {bytes: 2TB}
scrub: {bytes_per_day: 10GB}
";
    let config = FileConfig::parse(text, "x").unwrap();
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let rule = |tenant: &str, selector: Option<&str>, keep| RetentionRuleConfig {
        tenant: Some(tenant.to_owned()),
        selector: selector.map(str::to_owned),
        keep,
    };
    assert_eq!(
        config.retention,
        RetentionConfig {
            keep: Some(days(400)),
            minimum_age: Some(days(1)),
            undelete_window: Some(days(7)),
            most_at_once_percent: Some(20),
            rules: vec![
                rule("team-a", Some("{job=\"debug\"}"), days(30)),
                rule("team-b", None, days(365))
            ],
        }
    );
    assert_eq!(
        (config.quota.bytes, config.scrub.bytes_per_day),
        (Some(2 << 40), Some(10 << 30))
    );
    for wrong in [
        "retention: {keeps: 1d}\n",
        "retention: {keep: 30}\n",
        "retention:\n  rules:\n    - {tenant: a}\n",
        "retention:\n  rules:\n    - {keep: 1d, matcher: up}\n",
        "quota: {bytes: 10}\n",
        "quota: {byte: 1GB}\n",
        "scrub: {per_day: 1GB}\n",
    ] {
        assert!(FileConfig::parse(wrong, "x").is_err(), "{wrong}");
    }
}

#[test]
fn healing_is_read() {
    let text = "\
heal:
  interval: 5m
  settle: 0s
  samples_per_second: 1000
  sources:
    - url: http://a:9090
    - {url: https://b, tenant: team, match: '{job=\"x\"}', remote_write: keep, headers: {X-Scope-OrgID: b}}
";
    let heal = FileConfig::parse(text, "x").unwrap().heal;
    assert_eq!(
        (heal.interval, heal.settle, heal.samples_per_second),
        (Some(Duration::from_secs(300)), Some(Duration::ZERO), Some(1000))
    );
    assert_eq!(heal.sources[0].url, "http://a:9090");
    let secret = "heal:\n  sources: [{url: 'http://me:hunter2@a', headers: {X-Key: hunter2}}]\n";
    let shown = format!("{:?}", FileConfig::parse(secret, "x").unwrap());
    assert!(shown.contains("X-Key") && !shown.contains("hunter2"), "{shown}");
    assert_eq!(heal.sources[1].selector.as_deref(), Some("{job=\"x\"}"));
    assert_eq!(heal.sources[1].headers["X-Scope-OrgID"], "b");
    for wrong in [
        "heal: {interval: 0s}\n",
        "heal:\n  sources: [{tenant: a}]\n",
        "heal: {source: a}\n",
    ] {
        assert!(FileConfig::parse(wrong, "x").is_err(), "{wrong}");
    }
}
