//! A receiver: it acknowledges samples that its log holds, flushes them, and trims what is committed. Its disk survives its death.

use std::cell::RefCell;
use std::rc::Rc;

use emberkeep_archive::{CommitRecord, Committed, PartEntry, WalRange, claim_epoch, commit, next_sequence};

use crate::context::Context;
use crate::sample::{DAY, Sample, flushed};

/// What a receiver has on its disk.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) receiver: String,
    wal: String,
    /// Samples that are acknowledged and not known to be committed, and the position of the first.
    log: Vec<Sample>,
    from: u64,
    /// All that was ever acknowledged here.
    pub(crate) acknowledged: Vec<u64>,
}

impl Disk {
    /// A new disk of a receiver, which may have others (a machine that was replaced and runs all the same).
    pub(crate) fn new(receiver: &str, wal: String) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            receiver: receiver.to_owned(),
            wal,
            log: Vec::new(),
            from: 0,
            acknowledged: Vec::new(),
        }))
    }

    fn trim(&mut self, context: &Context, record: &CommitRecord) {
        if record.wal.id != self.wal {
            return;
        }
        let count = usize::try_from(record.wal.to.saturating_sub(self.from)).expect("it is small");
        for sample in self.log.drain(..count.min(self.log.len())) {
            context.model.borrow_mut().trimmed(sample.id);
        }
        self.from = self.from.max(record.wal.to);
    }
}

/// What to do at the end of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Goes on until it is killed or fenced.
    Endless,
    /// Commits what is in the log and ends.
    Last,
}

/// One life of a receiver.
pub(crate) async fn run(context: Context, disk: Rc<RefCell<Disk>>, life: Life) {
    let store = context.store.clone();
    let receiver = disk.borrow().receiver.clone();
    let nonce = context.nonce();
    let epoch = loop {
        match claim_epoch(&*store, &receiver, &nonce).await {
            Ok(epoch) => break epoch,
            Err(_) => context.pause().await,
        }
    };
    let mut seq = None;
    loop {
        context.pause().await;
        let next = match seq {
            Some(seq) => seq,
            None => {
                let Ok(found) = next_sequence(&*store, &receiver).await else {
                    continue;
                };
                if let Some(record) = &found.newest_record {
                    disk.borrow_mut().trim(&context, record);
                }
                *seq.insert(found.seq)
            }
        };
        if life == Life::Endless && context.chance(600) {
            accept(&context, &disk);
            continue;
        }
        if disk.borrow().log.is_empty() {
            match life {
                Life::Endless => continue,
                Life::Last => return,
            }
        }
        let (record, files) = flush(&context, &disk.borrow(), epoch, next);
        let mut is_uploaded = true;
        for (entry, samples) in files {
            while is_uploaded && context.upload(&entry.files[0].path, &samples).await.is_err() {
                is_uploaded = context.chance(800);
            }
        }
        if !is_uploaded {
            continue;
        }
        loop {
            match commit(&*store, &record).await {
                Ok(Committed::Done) => {
                    context.model.borrow_mut().acknowledge(&record);
                    disk.borrow_mut().trim(&context, &record);
                    seq = Some(next + 1);
                }
                Ok(Committed::AdoptedEarlier(past)) => {
                    disk.borrow_mut().trim(&context, &past);
                    seq = Some(next + 1);
                }
                Ok(Committed::Fenced { epoch: theirs }) => {
                    let fenced = (theirs <= epoch).then(|| format!("epoch {epoch} is fenced by {theirs}"));
                    context.model.borrow_mut().demand(fenced);
                    return;
                }
                Ok(Committed::Outrun { .. }) => seq = None,
                Err(error) => {
                    let is_ours = !error.is_transient();
                    context
                        .model
                        .borrow_mut()
                        .demand(is_ours.then(|| format!("commit: {error}")));
                    context.pause().await;
                    continue;
                }
            }
            break;
        }
    }
}

fn accept(context: &Context, disk: &Rc<RefCell<Disk>>) {
    for _ in 0..=context.below(3) {
        let sample = Sample {
            id: context.fresh(),
            tenant: context.one_of(&["a", "b"]),
            job: context.one_of(&["x", "y"]),
            at: i64::try_from(context.below(3 * DAY.unsigned_abs())).expect("three days"),
        };
        context.model.borrow_mut().samples.insert(sample.id, sample);
        let mut disk = disk.borrow_mut();
        disk.acknowledged.push(sample.id);
        disk.log.push(sample);
    }
}

/// A record of all that is in the log, or of its beginning, in one part or two.
fn flush(context: &Context, disk: &Disk, epoch: u64, seq: u64) -> (CommitRecord, Vec<(PartEntry, Vec<Sample>)>) {
    let count = 1 + context.random.borrow_mut().index(disk.log.len());
    let (first, second) = disk.log[..count].split_at(count.div_ceil(2));
    let halves = [first, second].into_iter().filter(|half| !half.is_empty());
    let files = halves.map(|half| (flushed(context.ulid(), &disk.receiver, seq, half), half.to_vec()));
    let files: Vec<_> = files.collect();
    let record = CommitRecord {
        nonce: context.nonce(),
        receiver: disk.receiver.clone(),
        epoch,
        seq,
        wal: WalRange {
            id: disk.wal.clone(),
            from: disk.from,
            to: disk.from + count as u64,
        },
        committed_at: context.now(),
        newest_arrival: context.now(),
        parts: files.iter().map(|(entry, _)| entry.clone()).collect(),
    };
    (record, files)
}
