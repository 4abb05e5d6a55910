//! A receiver: it acknowledges samples that its log holds, flushes them, and trims what is committed. Its disk survives its death.

use std::cell::RefCell;
use std::rc::Rc;

use emberkeep_archive::{
    ArchiveError, CommitRecord, Committed, Created, WalRange, claim_epoch, commit, names, next_sequence, put_create,
};

use crate::context::Context;
use crate::planted::Planted;
use crate::sample::{DAY, Made, Sample, flushed};

/// What a receiver has on its disk.
#[derive(Debug, Clone)]
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

    /// The disk of a machine that is gone, as it was found.
    pub(crate) fn copied(&self) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(self.clone()))
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
        let (record, parts) = flush(&context, &disk.borrow(), epoch, next);
        let mut is_uploaded = true;
        let needed = match context.has(Planted::RecordBeforeFiles) {
            true => &parts[1..],
            false => &parts[..],
        };
        for part in needed {
            while is_uploaded && context.upload(part).await.is_err() {
                is_uploaded = context.chance(800);
            }
        }
        if !is_uploaded {
            continue;
        }
        if context.has(Planted::TrimBeforeCommit) {
            disk.borrow_mut().trim(&context, &record);
        }
        loop {
            match create(&context, &record).await {
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
                    let is_ours = !error.is_transient() && !context.was_damaged();
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

async fn create(context: &Context, record: &CommitRecord) -> Result<Committed, ArchiveError> {
    if context.has(Planted::EveryRecordCounts) {
        let path = names::log_record(&record.receiver, record.seq);
        if put_create(&*context.store, &path, record, &record.nonce).await? == Created::Ours {
            return Ok(Committed::Done);
        }
    }
    commit(&*context.store, record).await
}

/// Brings what a dead receiver has left on its disk into the archive, under an id of its own.
pub(crate) async fn adopt(context: Context, disk: Rc<RefCell<Disk>>) {
    let receiver = disk.borrow().receiver.clone();
    if !context.has(Planted::AdoptedTwice) {
        let found = loop {
            context.pause().await;
            if let Ok(found) = next_sequence(&*context.store, &receiver).await {
                break found;
            }
        };
        if let Some(record) = &found.newest_record {
            disk.borrow_mut().trim(&context, record);
        }
    }
    if disk.borrow().log.is_empty() {
        return;
    }
    // Whoever ends before this begins anew; after it, the directory is that of any receiver.
    context.pause().await;
    disk.borrow_mut().receiver = format!("a{}", context.fresh());
    run(context.clone(), disk, Life::Last).await;
    context.model.borrow_mut().seen.adopted += 1;
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
fn flush(context: &Context, disk: &Disk, epoch: u64, seq: u64) -> (CommitRecord, Vec<Made>) {
    let count = 1 + context.random.borrow_mut().index(disk.log.len());
    let (first, second) = disk.log[..count].split_at(count.div_ceil(2));
    let halves = [first, second].into_iter().filter(|half| !half.is_empty());
    let wal = WalRange {
        id: disk.wal.clone(),
        from: disk.from,
        to: disk.from + count as u64,
    };
    let parts = halves.map(|half| flushed(context.files, context.ulid(), &disk.receiver, (seq, &wal), half));
    let parts: Vec<_> = parts.collect();
    let record = CommitRecord {
        nonce: context.nonce(),
        receiver: disk.receiver.clone(),
        epoch,
        seq,
        wal,
        committed_at: context.now(),
        newest_arrival: context.now(),
        parts: parts.iter().map(|part| part.entry.clone()).collect(),
    };
    (record, parts)
}
