//! What `send` does to a server, and what it notes.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server::{Call, Reply, serve};
use super::{encoded, plain};
use crate::encode::Profile;
use crate::file::RequestFile;
use crate::http::Url;
use crate::journal::{Fate, read_journal};
use crate::pace::Pace;
use crate::request::Protocol;
use crate::send::{Orders, send};

fn orders(url: Url) -> Orders {
    Orders {
        url,
        connections: None,
        requests: 0..usize::MAX,
        pace: Pace {
            rate: None,
            limit: None,
            retry: false,
        },
        journal: None,
        resume: false,
    }
}

fn requests(folder: &Path) -> RequestFile {
    encoded(&plain(Profile::Node, Protocol::V2), folder, "requests").1
}

fn body(file: &RequestFile, request: usize) -> Vec<u8> {
    let mut body = Vec::new();
    file.read_body(request, &mut body).unwrap();
    body
}

/// A server that notes connection and body of each request; `reply` decides by their number.
fn noting(reply: impl Fn(usize) -> Reply + Send + 'static) -> (Url, Arc<Mutex<Vec<Call>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let url = serve(move |call| {
        let mut seen = seen.lock().unwrap();
        seen.push(call);
        reply(seen.len() - 1)
    });
    (url, calls)
}

#[test]
fn every_request_arrives_once_on_its_connection_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = requests(folder.path());
    for (connections, rate) in [(None, None), (Some(2), None), (Some(1), Some(1e9))] {
        let (url, calls) = noting(|_| Reply::Answer(204, Vec::new()));
        let mut orders = orders(url);
        (orders.connections, orders.pace.rate) = (connections, rate);
        let report = send(&file, &orders).unwrap();
        let totals = file.summary.totals;
        assert_eq!(
            (report.samples, report.requests, report.bytes),
            (totals.samples, totals.requests, totals.bytes)
        );
        assert_eq!(report.acknowledged.len() as u64, totals.requests);
        let calls = calls.lock().unwrap();
        let used: std::collections::HashSet<_> = calls.iter().map(|call| call.connection).collect();
        assert_eq!(used.len(), connections.unwrap_or(3) as usize);
        for connection in used {
            let got: Vec<_> = calls
                .iter()
                .filter(|call| call.connection == connection)
                .map(|call| &call.body)
                .collect();
            let first = (0..file.slots.len())
                .find(|&request| body(&file, request) == *got[0])
                .unwrap();
            let queue = file.slots[first].connection % connections.unwrap_or(3);
            let mine = (0..file.slots.len())
                .filter(|&request| file.slots[request].connection % connections.unwrap_or(3) == queue);
            let wanted: Vec<_> = mine.map(|request| body(&file, request)).collect();
            assert!(got.into_iter().eq(wanted.iter()), "connection {connection}");
        }
        let headers = &calls[0].headers;
        for wanted in [
            "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n",
            "Content-Encoding: snappy\r\n",
            "X-Prometheus-Remote-Write-Version: 2.0.0\r\n",
            "User-Agent: emberkeep-rwgen\r\n",
        ] {
            assert!(headers.contains(wanted), "{headers}");
        }
        assert_eq!(calls[0].path, "/api");
    }
}

#[test]
fn the_first_refusal_ends_a_run_and_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = requests(folder.path());
    let (url, calls) = noting(|number| match number {
        5 => Reply::Answer(400, b"label names are odd\n".to_vec()),
        _ => Reply::Answer(204, Vec::new()),
    });
    let error = send(&file, &orders(url)).expect_err("refused");
    let text = format!("{error:#}");
    assert!(text.contains("400") && text.ends_with("label names are odd"), "{text}");
    // Each of the others ends what it has begun.
    assert!(calls.lock().unwrap().len() < file.slots.len());
}

#[test]
fn retries_bring_everything_through_and_the_journal_knows() {
    let folder = tempfile::tempdir().unwrap();
    let file = requests(folder.path());
    let journal = folder.path().join("acked");
    let (url, calls) = noting(|number| match number {
        1 | 7 => Reply::HangUp,
        2 | 3 => Reply::Answer(503, b"no room".to_vec()),
        _ => Reply::Answer(200, Vec::new()),
    });
    let mut orders = orders(url);
    orders.pace.retry = true;
    orders.journal = Some(journal.clone());
    let report = send(&file, &orders).unwrap();
    assert_eq!((report.answers_5xx, report.broken), (2, 2));
    assert_eq!(report.requests, file.summary.totals.requests);
    assert_eq!(calls.lock().unwrap().len(), file.slots.len() + 4);
    assert!(
        read_journal(&journal, &file)
            .unwrap()
            .iter()
            .all(|fate| *fate == Fate::Acknowledged)
    );
}

#[test]
fn a_run_goes_on_where_its_journal_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = requests(folder.path());
    let journal = folder.path().join("acked");
    let (url, _) = noting(|number| {
        if number < 20 {
            Reply::Answer(204, Vec::new())
        } else {
            Reply::HangUp
        }
    });
    let mut first = orders(url);
    first.journal = Some(journal.clone());
    send(&file, &first).expect_err("the server went away");
    let fates = read_journal(&journal, &file).unwrap();
    let count = |fate: Fate| fates.iter().filter(|seen| **seen == fate).count();
    assert_eq!(count(Fate::Acknowledged), 20);
    assert!((1..=3).contains(&count(Fate::Doubtful)), "{fates:?}");
    // A kill may cut off the line that is being written.
    let mut text = std::fs::read_to_string(&journal).unwrap();
    text.push_str("acked 1");
    std::fs::write(&journal, text).unwrap();
    assert_eq!(read_journal(&journal, &file).unwrap(), fates);

    let (url, calls) = noting(|_| Reply::Answer(204, Vec::new()));
    let again = Orders {
        resume: true,
        url,
        ..first
    };
    let report = send(&file, &again).unwrap();
    assert_eq!(report.requests as usize, file.slots.len() - 20);
    let calls = calls.lock().unwrap();
    for (request, fate) in fates.iter().enumerate() {
        let body = body(&file, request);
        let came = calls.iter().filter(|call| call.body == body).count();
        assert_eq!(came, usize::from(*fate != Fate::Acknowledged), "request {request}");
    }
    assert!(
        read_journal(&journal, &file)
            .unwrap()
            .iter()
            .all(|fate| *fate == Fate::Acknowledged)
    );
}

#[test]
fn a_range_of_requests_is_sent_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = requests(folder.path());
    let all = file.slots.len();
    for range in [0..7, 7..usize::MAX] {
        let (url, calls) = noting(|_| Reply::Answer(204, Vec::new()));
        let mut orders = orders(url);
        // Those that are left out take no time of a schedule.
        (orders.requests, orders.pace.rate) = (range.clone(), Some(1e9));
        let report = send(&file, &orders).unwrap();
        let expected: Vec<usize> = (0..all).filter(|request| range.contains(request)).collect();
        let mut sent: Vec<usize> = report.acknowledged.iter().map(|one| one.request).collect();
        sent.sort_unstable();
        assert_eq!(sent, expected);
        assert_eq!(calls.lock().unwrap().len(), expected.len());
    }
}

#[test]
fn a_limit_of_time_ends_a_run_that_is_never_answered_with_a_success() {
    let folder = tempfile::tempdir().unwrap();
    let file = requests(folder.path());
    let (url, _) = noting(|_| Reply::Answer(503, Vec::new()));
    let mut orders = orders(url);
    orders.pace = Pace {
        rate: Some(1e6),
        limit: Some(Duration::from_millis(100)),
        retry: true,
    };
    let report = send(&file, &orders).unwrap();
    assert_eq!((report.samples, report.acknowledged.len()), (0, 0));
    assert!(report.answers_5xx > 0);
}

#[test]
fn a_journal_of_another_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = requests(folder.path());
    let journal = folder.path().join("acked");
    std::fs::write(&journal, "rwgen 0000000000000000\nacked 1\n").unwrap();
    assert!(read_journal(&journal, &file).is_err());
    for wrong in ["acked 100000000\n", "acked x\n", "lost 1\n"] {
        std::fs::write(&journal, format!("rwgen {:016x}\n{wrong}", file.checksum)).unwrap();
        assert!(read_journal(&journal, &file).is_err(), "{wrong}");
    }
}
