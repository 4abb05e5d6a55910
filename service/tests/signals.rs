//! Signals, sent to a real process: this test program starts itself again as the one that is signalled.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::print_stdout,
    reason = "the process under test speaks to its parent over standard output"
)]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use emberkeep_service::shutdown::{Shutdown, Signals};

/// Set in the process under test.
const ROLE: &str = "EMBERKEEP_SIGNALS_TEST_CHILD";

/// Not a test of its own: the body of the process under test, which does nothing unless asked for by `ROLE`.
#[tokio::test]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let shutdown = Shutdown::new();
    let signals = Signals::install().unwrap();
    tokio::spawn(signals.serve(shutdown.clone(), || println!("\nsays: drain")));
    println!("\nsays: ready");
    shutdown.triggered().await;
    println!("\nsays: ending");
    if role == "stuck" {
        std::future::pending::<()>().await;
    }
    std::process::exit(0);
}

struct Signalled {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Signalled {
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut signalled = Self { child, lines };
        signalled.expect("ready");
        signalled
    }

    fn expect(&mut self, word: &str) {
        let said = self
            .lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix("says: ").map(str::to_owned));
        assert_eq!(said.as_deref(), Some(word));
    }

    fn send(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn exit(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

#[test]
fn the_first_signal_ends_in_order() {
    for signal in ["-TERM", "-INT"] {
        let mut process = Signalled::start("prompt");
        process.send(signal);
        process.expect("ending");
        assert_eq!(process.exit().code(), Some(0), "{signal}");
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    let mut process = Signalled::start("stuck");
    process.send("-TERM");
    process.expect("ending");
    process.send("-INT");
    assert_eq!(process.exit().code(), Some(1));
}

#[test]
fn drain_is_told_and_does_not_end() {
    let mut process = Signalled::start("prompt");
    process.send("-USR1");
    process.expect("drain");
    process.send("-TERM");
    process.expect("ending");
    assert_eq!(process.exit().code(), Some(0));
}
