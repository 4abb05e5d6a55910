//! The Go program in `testdata/generate`, built once for all tests that ask it.
//!
//! Built from its sources each time, so that it can never be an old one; Go's own cache makes that cheap.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus-oracle");
        let built = Command::new("go")
            .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
            .args([program.as_os_str(), OsStr::new(".")])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/generate"))
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .output()
            .expect("`go` (1.26 or later) must be on the path to compare with Prometheus: see https://go.dev/dl/");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "`go build` in testdata/generate failed: {said}");
        program
    })
}

/// What the program prints for these arguments and this input.
pub(crate) fn ask(arguments: &[&OsStr], input: String) -> String {
    let mut child = Command::new(program())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Prometheus' code, asked {arguments:?}: {said}");
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
