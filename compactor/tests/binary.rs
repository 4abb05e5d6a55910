//! The binary as an operator runs it: once, as a server until SIGTERM, and with mistakes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn compactor(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compactor"));
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn once_folds_and_ends() {
    let scratch = tempfile::tempdir().unwrap();
    let output = compactor(scratch.path(), &["run", "--once"]).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(
        log.contains("nothing is left to fold") && log.contains("roots=0"),
        "{log}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn mistakes_end_with_one_line_and_code_1() {
    let scratch = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["run", "--once", "--objstore.config=type: FLOPPY"][..], "FLOPPY"),
        (&["--fold.interval=0s"], "--fold.interval"),
        (&["--once"], "--once"),
    ] {
        let output = compactor(scratch.path(), arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    }
}

#[test]
fn serves_until_it_is_told_to_end() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = compactor(
        scratch.path(),
        &["--web.listen-address=127.0.0.1:0", "--fold.interval=1s"],
    )
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = log.find(|line| line.contains("msg=listening")).unwrap();
    let address = line.split("address=").nth(1).unwrap().trim_matches('"').to_owned();
    assert!(get(&address, "/-/healthy").starts_with("HTTP/1.1 200"));
    // The first look comes at once, but may come after the first question.
    while get(&address, "/-/ready").starts_with("HTTP/1.1 503") {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let metrics = get(&address, "/metrics");
    assert!(
        metrics.contains("emberkeep_compactor_fold_failures_total 0\n"),
        "{metrics}"
    );
    assert!(metrics.contains("component=\"compactor\""), "{metrics}");
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(log.any(|line| line.contains("msg=ended")));
}

fn get(address: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn terminate(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}
