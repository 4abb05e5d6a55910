//! What must be true of a catalog that was made from files: nothing of which there is a whole part is missing.

use std::collections::BTreeSet;

use object_store::path::Path;

use crate::model::{Link, Model};

impl Model {
    /// What is wrong with the first root of a rebuilt catalog, given the last one of the lost catalog.
    pub(crate) fn compare_rebuilt(&mut self, before: Option<&Link>, after: &Link) -> Option<String> {
        self.seen.rebuilt += 1;
        let (n, before) = (after.root.n, before?);
        let whole = self.whole();
        let mut lost = before.ids.difference(&after.ids);
        if let Some(id) = lost.find(|id| whole.contains(id)) {
            return Some(format!(
                "root {n} is rebuilt without sample {id}, of which there is a file"
            ));
        }
        for (receiver, mark) in &before.root.watermarks {
            let now = after.root.watermarks.get(receiver);
            if now.is_none_or(|now| now.seq < mark.seq) {
                return Some(format!(
                    "root {n}: the watermark of {receiver} goes back to {now:?} from {mark:?}"
                ));
            }
        }
        let mut locks = before.root.locks.iter();
        if let Some(lock) = locks.find(|lock| !after.root.locks.iter().any(|now| now.id == lock.id)) {
            return Some(format!("root {n} is rebuilt without lock {}", lock.id));
        }
        let mut masks = before.root.masks.iter();
        let mask = masks.find(|mask| !after.root.masks.iter().any(|now| now.id == mask.id));
        mask.map(|mask| format!("root {n} is rebuilt without mask {}", mask.id))
    }

    /// Samples of which there is a file with its series table.
    fn whole(&self) -> BTreeSet<u64> {
        let world = self.world.lock();
        let is_there = |file: &str| world.contains(&Path::from(file));
        let files = self
            .files
            .iter()
            .filter(|(file, ids)| !ids.is_empty() && is_there(file) && is_there(&file.replace("samples", "series")));
        files.flat_map(|(_, ids)| ids.iter().copied()).collect()
    }
}
