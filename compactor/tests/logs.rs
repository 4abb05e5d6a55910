//! What an operator reads of an outage. A process of its own, because what is logged where is a matter of the whole process.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::sync::{Arc, Mutex};

use emberkeep_archive::StoreConfig;
use emberkeep_compactor::{Compactor, Settings};
use emberkeep_service::clock::ManualClock;
use emberkeep_service::logs::{LogFormat, LogLevel, subscriber};

#[tokio::test]
async fn an_outage_is_logged_when_it_begins_and_when_it_ends() {
    let lines = Lines::default();
    let clock = Arc::new(ManualClock::new(1_795_168_800_000));
    let writer = lines.clone();
    let logging = subscriber(LogLevel::Info, LogFormat::Logfmt, clock.clone(), move || writer.clone());
    tracing::subscriber::set_global_default(logging).unwrap();

    let scratch = tempfile::tempdir().unwrap();
    let (archive, elsewhere) = (scratch.path().join("archive"), scratch.path().join("elsewhere"));
    let store = StoreConfig::directory(&archive).open().unwrap();
    let compactor = Compactor::new(store, Settings::default(), clock);
    compactor.fold_once().await.unwrap();
    for _ in 0..2 {
        // A link to itself: no call below it can succeed.
        std::fs::rename(&archive, &elsewhere).unwrap();
        std::os::unix::fs::symlink("archive", &archive).unwrap();
        for _ in 0..3 {
            assert!(compactor.fold_once().await.unwrap_err().is_transient());
        }
        std::fs::remove_file(&archive).unwrap();
        std::fs::rename(&elsewhere, &archive).unwrap();
        compactor.fold_once().await.unwrap();
        compactor.fold_once().await.unwrap();
    }

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let said: Vec<&str> = text.lines().filter(|line| line.contains("fold")).collect();
    assert_eq!(said.len(), 4, "{text}");
    for outage in said.chunks(2) {
        assert!(
            outage[0].contains("level=WARN") && outage[0].contains("cannot fold now"),
            "{text}"
        );
        assert!(
            outage[1].contains("level=INFO") && outage[1].contains("folding works again"),
            "{text}"
        );
        assert!(outage[1].contains("failures=3"), "{text}");
    }
}

/// A log that can be read.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
