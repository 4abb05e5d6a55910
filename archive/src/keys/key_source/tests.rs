//! Sources of keys: good forms, bad forms, and that a bad one is told without the key.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::Keys;

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn of_command(words: &[&str]) -> KeySource {
    KeySource::new(
        "k",
        None,
        None,
        Some(words.iter().map(|&word| word.to_owned()).collect()),
    )
    .unwrap()
}

fn of_file(text: &str, mode: u32) -> (tempfile::TempDir, KeySource) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    (directory, KeySource::new("k", Some(path), None, None).unwrap())
}

fn refusal(source: &KeySource) -> String {
    Keys::read(None, std::slice::from_ref(source)).unwrap_err().to_string()
}

#[test]
fn both_forms_are_the_same_key() {
    let expected: Vec<u8> = (0..32).collect();
    for text in [HEX, BASE64, &format!("  {HEX}\n"), &format!("{BASE64}\r\n")] {
        let (_directory, source) = of_file(text, 0o640);
        assert_eq!(source.read().unwrap()[..], expected);
        assert_eq!(of_command(&["printf", "%s", text]).read().unwrap()[..], expected);
    }
}

#[test]
fn what_is_no_key_is_refused_without_showing_it() {
    for text in [
        "",
        "hunter2",
        &HEX[1..],
        &HEX.replace('1', "g"),
        "AAECAwQFBgcICQoLDA0ODw==",
    ] {
        let (_directory, source) = of_file(text, 0o600);
        let refused = refusal(&source);
        assert!(refused.starts_with("key `k`: file `"), "{refused}");
        assert!(
            refused.ends_with("does not hold 32 bytes as 64 hexadecimal digits or as base64"),
            "{refused}"
        );
        assert!(text.is_empty() || !refused.contains(text), "{refused}");
    }
    let (_directory, source) = of_file(&"a".repeat(5000), 0o600);
    assert!(refusal(&source).ends_with("it gives more than 1024 bytes"));
}

#[test]
fn a_file_that_everybody_can_read_is_refused() {
    for mode in [0o644, 0o604, 0o602] {
        let (_directory, source) = of_file(HEX, mode);
        let refused = refusal(&source);
        assert!(
            refused.contains(&format!("everybody can get at it (mode {mode:03o})")),
            "{refused}"
        );
    }
}

#[test]
fn a_command_that_fails_tells_why_and_not_what_it_printed() {
    let failing = of_command(&["sh", "-c", &format!("echo {HEX}; echo vault is sealed >&2; exit 3")]);
    let refused = refusal(&failing);
    assert!(
        refused.contains("command `sh`: exit status: 3, and says: vault is sealed"),
        "{refused}"
    );
    assert!(!refused.contains(HEX), "{refused}");
    let refused = refusal(&of_command(&["/no/such/program"]));
    assert!(refused.contains("cannot be started"), "{refused}");
    let refused = refusal(&of_command(&["sh", "-c", "yes"]));
    assert!(refused.contains("it gives more than 1024 bytes"), "{refused}");
    assert!(refusal(&of_command(&[])).contains("it names no program"));
}

#[test]
fn a_command_that_hangs_is_ended() {
    let words = ["sleep", "600"].map(str::to_owned);
    let refused = run_for(&words, Duration::from_millis(50)).unwrap_err();
    assert!(refused.starts_with("took longer than 0.05 s"), "{refused}");
}

#[test]
fn an_environment_variable_that_is_not_set_is_named() {
    let source = KeySource::new("k", None, Some("EMBERKEEP_NO_SUCH_KEY".to_owned()), None).unwrap();
    assert!(refusal(&source).contains("environment variable `EMBERKEEP_NO_SUCH_KEY` is not set"));
}

#[test]
fn ids_and_places_are_checked() {
    assert!(KeySource::new("k", None, None, None).is_err());
    assert!(KeySource::new("k", Some("a".into()), Some("B".to_owned()), None).is_err());
    for id in ["", "a b", "a/b", &"a".repeat(65)] {
        assert!(KeySource::new(id, None, Some("B".to_owned()), None).is_err(), "{id}");
    }
    let (_directory, source) = of_file(HEX, 0o600);
    let twice = Keys::read(None, &[source.clone(), source.clone()]).unwrap_err();
    assert!(twice.to_string().contains("configured twice"));
    let unknown = Keys::read(Some("other"), &[source]).unwrap_err();
    assert_eq!(
        unknown,
        KeyError::Unknown {
            key: "other".to_owned()
        }
    );
}
