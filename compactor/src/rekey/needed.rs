//! Which keys are still needed after a change of keys, by what, and until when.

use std::collections::BTreeMap;
use std::time::Duration;

use emberkeep_archive::{KeyUse, ObjectPlace, names};
use serde::Serialize;

/// Things of one kind that lie under another key than the one that is written with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StillNeeded {
    /// The id of the key; none = they are clear.
    pub key: Option<String>,
    /// What they are, in words.
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// Bytes of their files; 0 for objects of the catalog.
    pub bytes: u64,
    /// From when on the collection removes them, milliseconds since 1970; none = not by time alone.
    pub until: Option<i64>,
}

/// All that is not under the key that is written with, by key.
#[must_use]
pub fn still_needed(found: &KeyUse, write: Option<&str>, undelete_window: Duration) -> Vec<StillNeeded> {
    let window = i64::try_from(undelete_window.as_millis()).unwrap_or(i64::MAX);
    let after = |at: i64| Some(at.saturating_add(window));
    let mut sums = Sums::default();
    for (part, key) in &found.live {
        sums.add(key, Kind::Live, 1, part.bytes(), None);
    }
    for part in &found.removed {
        sums.add(&part.key, Kind::Removed, part.files, part.bytes, after(part.at));
    }
    let newest = names::root(found.root_n);
    for object in &found.objects {
        let (kind, until) = match object.place {
            ObjectPlace::Root if object.path == newest => (Kind::Newest, None),
            ObjectPlace::Root => (Kind::Roots, after(object.stored_at)),
            ObjectPlace::List => (Kind::Lists, after(object.stored_at)),
            ObjectPlace::Pin => (Kind::Pins, after(object.stored_at)),
            ObjectPlace::Fixed => (Kind::Fixed, None),
        };
        sums.add(&object.key, kind, 1, 0, until);
    }
    sums.stretch_lists();
    let is_other = |needed: &StillNeeded| needed.key.as_deref() != write;
    sums.0.into_values().filter(is_other).collect()
}

/// Kinds of things, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Live,
    Newest,
    Fixed,
    Removed,
    Roots,
    Lists,
    Pins,
}

impl Kind {
    fn what(self) -> &'static str {
        match self {
            Self::Live => "live parts",
            Self::Newest => "newest root",
            Self::Fixed => "other objects of the catalog",
            Self::Removed => "files that were live, for past roots and for `rollback`",
            Self::Roots => "past roots",
            Self::Lists => "lists of past roots",
            Self::Pins => "pins of readers",
        }
    }
}

/// What there is, by key and kind.
#[derive(Debug, Default)]
struct Sums(BTreeMap<(Option<String>, Kind), StillNeeded>);

impl Sums {
    fn add(&mut self, key: &Option<String>, kind: Kind, count: u64, bytes: u64, until: Option<i64>) {
        let sum = self.0.entry((key.clone(), kind)).or_insert_with(|| StillNeeded {
            key: key.clone(),
            what: kind.what(),
            count: 0,
            bytes: 0,
            until,
        });
        sum.count += count;
        sum.bytes = sum.bytes.saturating_add(bytes);
        sum.until = sum.until.max(until);
    }

    /// A list goes after the last root that names it, which is under the same key or a later one.
    fn stretch_lists(&mut self) {
        let roots = self.0.iter().filter(|((_, kind), _)| *kind == Kind::Roots);
        let last = roots.filter_map(|(_, sum)| sum.until).max();
        for ((_, kind), sum) in &mut self.0 {
            if *kind == Kind::Lists {
                sum.until = sum.until.max(last);
            }
        }
    }
}
