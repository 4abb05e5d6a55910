//! `--into`: blocks arrive whole in somebody else's data directory, and nothing else there is touched.

use std::fs;
use std::path::Path;

use emberkeep_model::TenantId;
use emberkeep_reader::export::{CheckName, Order, Receiving, Target, WORK_FOLDER};
use emberkeep_reader::{ReaderError, Sources};
use emberkeep_tsdb::BlockReader;

use super::{Done, WINDOW, arguments, names, plain, rows, run};
use crate::bits::all_observed;
use crate::model::naive;
use crate::support::{Series, TestArchive};

fn range() -> emberkeep_model::TimeRange {
    emberkeep_model::TimeRange {
        start: 0,
        end: 1_000 * WINDOW,
    }
}

async fn restore(archive: &TestArchive, into: &Path, ignored: &[CheckName]) -> Result<Done, ReaderError> {
    let target = Target {
        into: Some(into.to_owned()),
        url: None,
        ignored: ignored.to_vec(),
    };
    let mut export = plain(arguments("x", &[]), range(), into);
    export.options.order = Order::Newest;
    export.facts = target.facts().await?;
    export.target = target;
    run(&Sources::new(archive.store.clone(), Vec::new()), export).await
}

fn content(directory: &Path) -> Series {
    let mut names: Vec<String> = names(directory).into_iter().filter(|name| name.len() == 26).collect();
    names.sort_by_key(|name| BlockReader::open(&directory.join(name)).unwrap().meta().min_time);
    let mut found = Series::new();
    for name in names {
        let mut block = BlockReader::open(&directory.join(name)).unwrap();
        block
            .verify(|labels, runs| found.entry(labels.clone()).or_default().append(runs))
            .unwrap();
    }
    found
}

#[tokio::test]
async fn blocks_arrive_beside_those_of_the_server() {
    let mut archive = TestArchive::new();
    let all = rows(10..13);
    archive.flush(&all).await;
    let data = tempfile::tempdir().unwrap();
    for sign in ["wal", "chunks_head"] {
        fs::create_dir(data.path().join(sign)).unwrap();
    }
    fs::write(data.path().join("wal/00000000"), "a log").unwrap();
    let done = restore(&archive, data.path(), &[]).await.unwrap();
    assert_eq!(
        all_observed(&content(data.path())),
        all_observed(&naive(&all, &TenantId::default(), range(), &[]))
    );
    assert!(
        done.report.contains("retention of the target is not known"),
        "{}",
        done.report
    );
    assert!(!data.path().join(WORK_FOLDER).exists());
    assert_eq!(fs::read(data.path().join("wal/00000000")).unwrap(), b"a log");
    // The newest comes first.
    let starts: Vec<&str> = done.table.lines().skip(1).take(3).map(|line| &line[28..48]).collect();
    assert!(starts.is_sorted_by(|a, b| a > b), "{starts:?}");

    // What is there already is not doubled.
    let again = restore(&archive, data.path(), &[]).await.err().unwrap().to_string();
    assert!(
        again.contains("of the same time") && again.contains("--ignore overlap"),
        "{again}"
    );
    restore(&archive, data.path(), &[CheckName::Overlap]).await.unwrap();
}

#[tokio::test]
async fn wrong_directories_are_refused_by_name() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(10..11)).await;
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let block = data.join("01HF000000000000000000000A");
    let snapshot = data.join("snapshots/20261121T000000Z-1234");
    fs::create_dir_all(data.join("wal")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&block).unwrap();
    for file in ["meta.json", "index"] {
        fs::write(block.join(file), "{}").unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("passwd"), "x").unwrap();
    for (path, said) in [
        (
            home.path().to_owned(),
            "`data` is the data directory".replace("`data`", &format!("`{}`: that", data.display())),
        ),
        (
            block.clone(),
            format!("one block: the data directory is `{}`", data.display()),
        ),
        (data.join("wal"), "is a part of".to_owned()),
        (
            snapshot.clone(),
            format!(
                "snapshot, which a server never reads: the data directory is `{}`",
                data.display()
            ),
        ),
        (
            archive.directory.path().to_owned(),
            "an archive of Emberkeep".to_owned(),
        ),
        (
            other.path().to_owned(),
            "`passwd` in it and nothing of a Prometheus".to_owned(),
        ),
        (home.path().join("nothing"), "it is not there".to_owned()),
    ] {
        let before = bytes(home.path());
        let error = restore(&archive, &path, &[]).await.err().unwrap().to_string();
        assert!(error.contains(&said), "{error}\n{said}");
        assert!(error.contains("--ignore directory"), "{error}");
        assert_eq!(bytes(home.path()), before, "nothing is left behind");
    }
}

fn bytes(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[tokio::test]
async fn a_run_that_died_before_the_move_moves_its_blocks() {
    let mut archive = TestArchive::new();
    let all = rows(10..13);
    archive.flush(&all).await;
    let data = tempfile::tempdir().unwrap();
    restore(&archive, data.path(), &[]).await.unwrap();
    let blocks: Vec<String> = names(data.path()).into_iter().filter(|name| name.len() == 26).collect();
    // The state of a run that had finished two blocks, and moved only one of them.
    let work = data.path().join(WORK_FOLDER);
    fs::create_dir(&work).unwrap();
    let mut state = serde_json::json!({
        "version": 3, "tenant": "anonymous", "from": "x", "match": [], "head_url": [], "block_duration": "2h",
        "longest_ms": WINDOW, "start_ms": 0, "end_ms": range().end, "root": 0, "blocks": {}
    });
    for name in &blocks {
        let start = BlockReader::open(&data.path().join(name))
            .unwrap()
            .meta()
            .min_time
            .div_euclid(WINDOW)
            * WINDOW;
        let finished = *name != blocks[2];
        state["blocks"][start.to_string()] =
            serde_json::json!({"ulid": name, "end_ms": start + WINDOW, "finished": finished});
    }
    fs::write(work.join("emberkeep-export.json"), state.to_string()).unwrap();
    fs::rename(data.path().join(&blocks[1]), work.join(&blocks[1])).unwrap();
    fs::rename(data.path().join(&blocks[2]), work.join(&blocks[2])).unwrap();

    let done = restore(&archive, data.path(), &[]).await.unwrap();
    assert_eq!(done.summary.kept, 2);
    let now = names(data.path());
    assert!(
        now.contains(&blocks[0]) && now.contains(&blocks[1]) && !now.contains(&blocks[2]),
        "{now:?}"
    );
    assert_eq!(
        all_observed(&content(data.path())),
        all_observed(&naive(&all, &TenantId::default(), range(), &[]))
    );
    assert!(!work.exists());
    // The hand-over is by name of the directory alone.
    assert!(format!("{:?}", Receiving::new(data.path())).contains("directory"));
}
