//! Bugs that are planted, one at a time, so that it is seen that the model finds them.
//!
//! None is in the code that is tested. Some are in an actor, which then leaves out what the real one does. The others are told to that code by
//! a store that lies to one actor ([`Lie`]): who sees a listing of before, or is told that what it created is there, acts as if it had not
//! looked.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    /// `AlreadyExists` is taken for somebody else's object that is as good as one's own.
    ExistsIsDone,
    /// A collector does not list the pins again after it has raised the floor.
    PinsLookedAtOnce,
    /// A collector deletes what is due without a floor.
    NoFloor,
    /// A collector deletes all folded records, also the newest of a receiver.
    NewestRecordCollected,
    /// A collector does not wait before it deletes lists that no root names yet.
    YoungListsCollected,
    /// A collector takes files for orphans whose job or flush goes on.
    YoungOrphans,
    /// A reader does not look whether the floor passed its pin.
    PinBelowFloor,
    /// Who created a root takes it for lost when others have built on it.
    OvertakenRootIsLost,
    /// A receiver believes that every record counts that it created.
    EveryRecordCounts,
    /// A receiver trims its log before it knows that the record is there.
    TrimBeforeCommit,
    /// A receiver creates the record before all files are there.
    RecordBeforeFiles,
    /// A merge lands though an input is live no more.
    GoneInput,
    /// A merge loses a row.
    LostRow,
    /// A merge applies a mask that was lifted meanwhile.
    LiftedMask,
    /// A merge says that masks are applied which are not.
    MaskNotApplied,
    /// Retention does not look at locks.
    LockNotSeen,
    /// An undo brings back what may be deleted.
    UndoBelowFloor,
    /// An adoption does not look what was committed before.
    AdoptedTwice,
    /// A rebuild does not see locks.
    RebuiltWithoutLocks,
    /// A rebuild does not look at the log again when its root is there.
    RebuiltWithoutLate,
    /// A rebuild believes that a merge is whole because its inputs were removed.
    RebuiltWithoutInputs,
}

/// How a store lies to one actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Whatever exists already was created.
    Created,
    /// Pins are as at the first look.
    FirstPins,
    /// The log is as at the first look.
    FirstLog,
    /// There are no roots.
    NoRoots,
    /// There are no locks.
    NoLocks,
    /// Lists were made long ago.
    OldLists,
    /// After a root was created, the next one cannot be read.
    NoNextRoot,
    /// Lists of what merges removed name what came in its place as if it were all that is left.
    NothingInPlace,
}

impl Planted {
    pub(crate) const ALL: [Self; 21] = [
        Self::ExistsIsDone,
        Self::PinsLookedAtOnce,
        Self::NoFloor,
        Self::NewestRecordCollected,
        Self::YoungListsCollected,
        Self::YoungOrphans,
        Self::PinBelowFloor,
        Self::OvertakenRootIsLost,
        Self::EveryRecordCounts,
        Self::TrimBeforeCommit,
        Self::RecordBeforeFiles,
        Self::GoneInput,
        Self::LostRow,
        Self::LiftedMask,
        Self::MaskNotApplied,
        Self::LockNotSeen,
        Self::UndoBelowFloor,
        Self::AdoptedTwice,
        Self::RebuiltWithoutLocks,
        Self::RebuiltWithoutLate,
        Self::RebuiltWithoutInputs,
    ];

    /// What is told to whoever has the bug.
    pub(crate) fn lie(self) -> Option<Lie> {
        match self {
            Self::ExistsIsDone => Some(Lie::Created),
            Self::PinsLookedAtOnce => Some(Lie::FirstPins),
            Self::YoungListsCollected => Some(Lie::OldLists),
            Self::OvertakenRootIsLost => Some(Lie::NoNextRoot),
            Self::RebuiltWithoutLocks => Some(Lie::NoLocks),
            Self::RebuiltWithoutLate => Some(Lie::FirstLog),
            Self::RebuiltWithoutInputs => Some(Lie::NothingInPlace),
            _ => None,
        }
    }

    /// Whether everybody has it.
    pub(crate) fn is_of_all(self) -> bool {
        self == Self::ExistsIsDone
    }

    pub(crate) fn needs_a_rebuild(self) -> bool {
        matches!(
            self,
            Self::RebuiltWithoutLocks | Self::RebuiltWithoutLate | Self::RebuiltWithoutInputs
        )
    }

    /// Whether nothing is found without this kind of actor.
    pub(crate) fn needs(self, actor: &str) -> bool {
        let needed: &[&str] = match self {
            Self::PinsLookedAtOnce | Self::PinBelowFloor => &["reader", "retention", "compactor", "collector"],
            Self::NoFloor => &["reader", "retention", "compactor", "collector"],
            Self::NewestRecordCollected | Self::YoungListsCollected => &["collector", "compactor"],
            Self::YoungOrphans => &["collector", "compactor"],
            Self::GoneInput => &["retention", "compactor"],
            Self::LostRow => &["compactor"],
            Self::LiftedMask | Self::MaskNotApplied => &["compactor", "lawyer"],
            Self::LockNotSeen => &["retention", "lawyer"],
            Self::UndoBelowFloor => &["undoer", "retention", "collector", "lawyer"],
            Self::RebuiltWithoutLocks => &["lawyer"],
            Self::RebuiltWithoutInputs => &["compactor"],
            _ => &[],
        };
        needed.contains(&actor)
    }
}
