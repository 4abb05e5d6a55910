//! Throwaway.
#![allow(clippy::all, missing_docs, clippy::allow_attributes, clippy::print_stdout, clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::sync::Arc;
use emberkeep_archive::*;
use emberkeep_disk::RealFs;
use emberkeep_model::*;
use object_store::{ObjectStoreExt, PutPayload};

fn lcg(s: &mut u64) -> u64 { *s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); *s >> 16 }

async fn put_part(store: &Arc<dyn ObjectStore>, seq: u64, ulid: Ulid, content: &BTreeMap<(TenantId, Labels), Run>) -> PartEntry {
    let info = PartInfo { dataset: "d".into(), receiver: "r".into(), wal_id: "w".into(), wal_from: 0, wal_to: 1, ulid };
    let mut w = PartWriter::create(PartFiles { samples: Vec::new(), series: Vec::new() }, info, PartSettings::default()).unwrap();
    for ((t, l), r) in content { w.push(t, l, r).unwrap(); }
    let (summary, files) = w.finish().unwrap();
    let entry = PartEntry::level0(ulid, "r", &summary, |kind| names::level0("r", seq, ulid, kind));
    for (kind, bytes) in [(FileKind::Samples, files.samples), (FileKind::Series, files.series)] {
        store.put(&entry.file(kind).unwrap().location().unwrap(), PutPayload::from_bytes(bytes.into())).await.unwrap();
    }
    entry
}

fn rss() -> u64 { let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find(|l| l.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap() }

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let dir = std::path::PathBuf::from(&args[2]);
    let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(Arc::new(RealFs), &dir).unwrap());
    if args[1] == "hostile" {
        let bits: Vec<u64> = vec![STALE_MARKER_BITS, 0x7ff8000000000001, 0x7ff8000000000002, 0xfff80000deadbeef, 0x7ff0000000000001, 0xfff0000000000002,
            0x7ff0000000000000, 0xfff0000000000000, 0x8000000000000000, 0, 1, 0x8000000000000001, 0x000fffffffffffff, 0x7fefffffffffffff,
            1.5f64.to_bits(), (-1.5f64).to_bits(), 0.1f64.to_bits(), (0.1f64+0.2).to_bits(), 9007199254740992f64.to_bits(), (-9007199254740992f64).to_bits(), 1e-15f64.to_bits(), 123456789.123456f64.to_bits(), 1e22f64.to_bits()];
        let times = [MIN_TIMESTAMP, MIN_TIMESTAMP + 1, -1, 0, 1, 1_700_000_000_000, 253_402_300_799_999];
        let mut seed = 7u64;
        let mut union: BTreeMap<(TenantId, Labels), Run> = BTreeMap::new();
        for seq in 1..=3u64 {
            let mut content: BTreeMap<(TenantId, Labels), Run> = BTreeMap::new();
            for tenant in ["anonymous", "b"] {
                for i in 0..60 {
                    if lcg(&mut seed) % 5 == 0 { continue; }
                    let v = format!("it's \"{i}\" ä\n");
                    let labels = Labels::from_pairs([("__name__", if i % 7 == 0 { "" } else { "m" }), ("Zone", "z"), ("i", v.as_str())]).unwrap();
                    let mut run = Run::default();
                    for _ in 0..30 {
                        let t = if lcg(&mut seed) % 2 == 0 { times[(lcg(&mut seed) % 7) as usize] } else { (lcg(&mut seed) % 40) as i64 * 1000 };
                        let value = match lcg(&mut seed) % 3 { 0 => f64::from_bits(bits[(lcg(&mut seed) % bits.len() as u64) as usize]), 1 => (lcg(&mut seed) % 1000000) as f64 / 1000.0, _ => f64::from_bits(lcg(&mut seed).wrapping_mul(0x9E3779B97F4A7C15)) };
                        let st = if lcg(&mut seed) % 4 == 0 { [MIN_TIMESTAMP, -5, 1, 1_600_000_000_000][(lcg(&mut seed) % 4) as usize] } else { 0 };
                        run.push(Sample { timestamp: t, value, start_timestamp: st });
                    }
                    run.settle();
                    union.entry((TenantId::parse(tenant).unwrap(), labels.clone())).or_default().append(&run);
                    content.insert((TenantId::parse(tenant).unwrap(), labels), run);
                }
            }
            let entry = put_part(&store, seq, Ulid(seq as u128 * 1000), &content).await;
            let record = CommitRecord { nonce: fresh_nonce(), receiver: "r".into(), epoch: 1, seq, wal: WalRange { id: "w".into(), from: 0, to: 1 }, committed_at: 0, newest_arrival: 0, parts: vec![entry] };
            assert_eq!(commit(&*store, &record).await.unwrap(), Committed::Done);
        }
        let catalog = Catalog::new(store.clone());
        fold(&*store, &catalog, &fresh_nonce(), 0).await.unwrap();
        let view = catalog.refresh().await.unwrap();
        let root = dir.clone();
        std::fs::write(dir.join("view.sql"), sql::duckdb_view(&view, &|p| root.join(p).display().to_string())).unwrap();
        let mut out = String::new();
        let mut conflicts = 0;
        for ((t, l), mut r) in union {
            conflicts += r.settle();
            for s in r.iter() {
                let labels: Vec<String> = l.iter().map(|(a, b)| format!("{a}={b}")).collect();
                out += &format!("{}\t{}\t{}\t{:016x}\t{}\n", t, labels.join(";").replace('\n', "\\n"), s.timestamp, s.value.to_bits(), s.start_timestamp);
            }
        }
        std::fs::write(dir.join("expected.tsv"), out).unwrap();
        println!("conflicts {conflicts}");
    } else {
        // speed: args[3] series, args[4] rows
        let (n, rows): (usize, usize) = (args[3].parse().unwrap(), args[4].parse().unwrap());
        let mut content: BTreeMap<(TenantId, Labels), Run> = BTreeMap::new();
        let mut seed = 3u64;
        for i in 0..n {
            let pairs: Vec<(String, String)> = (0..9).map(|k| (format!("label_{k}"), format!("value-{}-{k}-padding-padding", if k < 7 { i % 10 } else { i }))).collect();
            let mut p: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let name = format!("metric_{}", i % 100);
            p.push(("__name__", &name));
            let mut run = Run::default();
            let mut v = (lcg(&mut seed) % 100000) as f64;
            for r in 0..rows {
                let jitter = if lcg(&mut seed) % 10 == 0 { (lcg(&mut seed) % 17) as i64 } else { 0 };
                v += (lcg(&mut seed) % 100) as f64 / if i % 3 == 0 { 1000.0 } else { 1.0 };
                let value = if i % 3 == 0 { (v * 1000.0).round() / 1000.0 } else { v };
                run.push(Sample { timestamp: 1_700_000_000_000 + r as i64 * 15_000 + jitter, value, start_timestamp: 0 });
            }
            content.insert((TenantId::default(), Labels::from_pairs(p).unwrap()), run);
        }
        let before = std::time::Instant::now();
        let entry = put_part(&store, 1, Ulid::generate(), &content).await;
        let total = (n * rows) as f64;
        let w = before.elapsed();
        let bytes: u64 = entry.files.iter().map(|f| f.bytes).sum();
        println!("write {:.1} ns/sample, {:.3} B/sample samples={} series={}", w.as_nanos() as f64 / total, bytes as f64 / total, entry.files[0].bytes, entry.files[1].bytes);
        let reader = PartReader::open(store.clone(), &entry).await.unwrap();
        println!("metadata {} B", reader.memory_bytes());
        let all = ScanQuery { tenant: TenantId::default(), range: TimeRange::ALL, matchers: Arc::from([]) };
        for window in [8 << 10, 16 << 10, 64 << 10, 256 << 10] {
            let t = std::time::Instant::now();
            let mut scan = reader.scan(all.clone(), window);
            let (mut count, mut run) = (0usize, Run::default());
            while let Some(s) = scan.next().await.unwrap() {
                run.clear();
                scan.samples(s.rows, TimeRange::ALL, &mut run).await.unwrap();
                count += run.len();
            }
            let e = t.elapsed();
            println!("window {window}: {:.1} M samples/s ({count})", count as f64 / e.as_secs_f64() / 1e6);
        }
        drop(content);
        // memory of many open scans, each in its middle
        let base = rss();
        let mut scans = Vec::new();
        for _ in 0..128 {
            let r = PartReader::open(store.clone(), &entry).await.unwrap();
            let mut scan = r.scan(all.clone(), 8 << 10);
            let mut run = Run::default();
            for _ in 0..n / 2 { let s = scan.next().await.unwrap().unwrap(); run.clear(); scan.samples(s.rows, TimeRange::ALL, &mut run).await.unwrap(); }
            scans.push((r, scan));
        }
        println!("{} KB for each open part", (rss() - base) / 128);
        let t = std::time::Instant::now();
        let q = ScanQuery { matchers: Arc::from([Matcher::new("__name__", MatchOp::Equal, "metric_42").unwrap()]), ..all };
        let mut scan = reader.scan(q, 64 << 10);
        let (mut c, mut run) = (0, Run::default());
        while let Some(s) = scan.next().await.unwrap() { c += 1; scan.samples(s.rows, TimeRange::ALL, &mut run).await.unwrap(); }
        println!("metric_42: {c} series {} samples in {:?}", run.len(), t.elapsed());
    }
}
