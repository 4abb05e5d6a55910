//! Whatever is wrong with an input is said of that input and its file; trouble of store and disk is something else.

use emberkeep_archive::{FileKind, PartEntry};
use emberkeep_model::{Labels, SeenMetadata, TenantId};

use super::content::Content;
use super::{Bucket, HOUR_MS, job, run_async, windows};
use crate::merge::MergeError;

/// Rows of every kind, at this hour.
fn all_kinds(hour: i64) -> Content {
    let mut content = Content::default();
    let tenant = TenantId::default();
    for number in 0..30 {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", format!("{number:03}").as_str())]).unwrap();
        let mut runs = emberkeep_model::SeriesRuns::default();
        for minute in 0..20 {
            runs.samples.push(emberkeep_model::Sample {
                timestamp: hour * HOUR_MS + minute * 60_000,
                value: minute as f64,
                start_timestamp: 0,
            });
            runs.histograms.push(
                hour * HOUR_MS + minute * 60_000 + 1,
                0,
                &emberkeep_model::Histogram::default(),
            );
        }
        runs.exemplars.push(emberkeep_model::Exemplar {
            timestamp: hour * HOUR_MS,
            value: 1.0,
            labels: Labels::from_pairs([("trace_id", "x")]).unwrap(),
        });
        content.add_runs(&tenant, &labels, &runs);
        let seen = SeenMetadata {
            metadata: emberkeep_model::Metadata::default(),
            first_seen: hour * HOUR_MS,
            last_seen: hour * HOUR_MS,
        };
        content.add_metadata(&tenant, "up", Some(&labels), &seen);
    }
    content
}

fn two_parts(bucket: &Bucket) -> Vec<PartEntry> {
    vec![bucket.flush(1, &all_kinds(0)), bucket.flush(2, &all_kinds(1))]
}

#[test]
fn damage_of_any_file_names_part_and_file() {
    for kind in FileKind::ALL {
        let bucket = Bucket::new();
        let entries = two_parts(&bucket);
        let file = entries[1].file(kind).unwrap();
        let path = bucket.path(&file.path);
        let whole = std::fs::read(&path).unwrap();
        let flipped: Vec<u8> = whole.iter().enumerate().map(|(i, b)| b ^ u8::from(i == 40)).collect();
        for bytes in [
            &flipped[..],
            &whole[..whole.len() - 1],
            &[&whole[..], &[0]].concat(),
            &[],
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = run_async(bucket.merge(&job(entries.clone(), windows(&["anonymous"], 2, 1)))).unwrap_err();
            let MergeError::BadInput { part, file: named, .. } = &error else {
                panic!("{kind:?}: {error}");
            };
            assert_eq!((*part, named), (entries[1].ulid, &file.path), "{error}");
        }
    }
}

/// The checksum is right, and the content is not what the catalog says.
#[test]
fn a_file_that_does_not_fit_its_entry_is_bad() {
    let bucket = Bucket::new();
    let mut entries = two_parts(&bucket);
    let (first, rest) = entries.split_at_mut(1);
    // The samples of another part.
    let (own, other) = (
        first[0].file(FileKind::Samples).unwrap().clone(),
        rest[0].files.iter_mut(),
    );
    let swapped = other.into_iter().find(|file| file.kind == FileKind::Samples).unwrap();
    std::fs::copy(bucket.path(&own.path), bucket.path(&swapped.path)).unwrap();
    let path = swapped.path.clone();
    (swapped.crc32c, swapped.bytes, swapped.rows) = (own.crc32c, own.bytes, own.rows);
    let error = run_async(bucket.merge(&job(entries.clone(), windows(&["anonymous"], 2, 1)))).unwrap_err();
    assert!(
        matches!(&error, MergeError::BadInput { part, file, .. } if *part == entries[1].ulid && *file == path),
        "{error}"
    );
}

#[test]
fn an_input_that_is_gone_is_trouble_of_the_store() {
    let bucket = Bucket::new();
    let entries = two_parts(&bucket);
    std::fs::remove_file(bucket.path(&entries[0].file(FileKind::Series).unwrap().path)).unwrap();
    let error = run_async(bucket.merge(&job(entries, windows(&["anonymous"], 2, 1)))).unwrap_err();
    assert!(
        matches!(&error, MergeError::Store(error) if error.is_not_found()),
        "{error}"
    );
}

#[test]
fn a_scratch_directory_that_cannot_be_made_is_trouble_of_the_disk() {
    let bucket = Bucket::new();
    let entries = two_parts(&bucket);
    std::fs::write(bucket.scratch(), b"a file").unwrap();
    let job = job(entries, windows(&["anonymous"], 2, 1));
    let error = run_async(crate::merge::run(&bucket.store, &bucket.fs, &bucket.scratch(), &job, 0)).unwrap_err();
    assert!(matches!(error, MergeError::Disk { .. }), "{error}");
}

#[test]
fn rows_outside_of_all_windows_are_never_lost_in_silence() {
    let bucket = Bucket::new();
    let entries = two_parts(&bucket);
    let mut job = job(entries, windows(&["anonymous"], 1, 1));
    let error = run_async(bucket.merge(&job)).unwrap_err();
    assert!(
        matches!(&error, MergeError::Job(text) if text.contains("lie in no window")),
        "{error}"
    );
    job.windows = windows(&["other"], 2, 1);
    let error = run_async(bucket.merge(&job)).unwrap_err();
    assert!(matches!(&error, MergeError::Job(_)), "{error}");
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let bucket = Bucket::new();
    let entries = two_parts(&bucket);
    for (hours, starts) in [(2, vec![0, 1]), (2, vec![23]), (0, vec![0])] {
        let all = starts.iter().map(|start| {
            let mut window = windows(&["anonymous"], hours, 1).remove(0);
            window.range.start += start * HOUR_MS;
            window.range.end += start * HOUR_MS;
            window
        });
        let error = run_async(bucket.merge(&job(entries.clone(), all.collect()))).unwrap_err();
        assert!(matches!(&error, MergeError::Job(_)), "{error}");
    }
}
