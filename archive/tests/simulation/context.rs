//! What every actor has in hand.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use emberkeep_archive::{Catalog, Ulid};
use object_store::path::Path;
use parking_lot::Mutex;

use crate::model::Model;
use crate::planted::{Lie, Planted};
use crate::random::Random;
use crate::sample::{DAY, Files, Made, Sample, ids_in};
use crate::store::{Reply, Request, SimStore, World, lost};

/// The catalog waits for a day before it takes a file for an orphan; simulated parts have names that are older by a day less this.
const ORPHAN_AFTER: i64 = 15_000;

/// The simulated world, shared by all.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) store: Arc<SimStore>,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) model: Rc<RefCell<Model>>,
    pub(crate) random: Rc<RefCell<Random>>,
    pub(crate) files: Files,
    planted: Option<Planted>,
    names: Rc<RefCell<u64>>,
}

impl Context {
    /// A world with a seed, and perhaps with a bug of which the model must hear.
    pub(crate) fn new(seed: u64, planted: Option<Planted>) -> Self {
        let world = Arc::new(Mutex::new(World::at(1_700_000_000_000)));
        let mut random = Random::new(seed);
        let drawn = random.chance(333);
        // After an accident the model is lenient: a bug that has nothing to do with it is looked for without.
        let is_described = planted.map_or(drawn, Planted::needs_a_rebuild);
        let lie = planted.filter(|planted| planted.is_of_all()).and_then(Planted::lie);
        if random.chance(300) && planted.is_none() {
            world.lock().page = 2;
        }
        Self {
            store: Arc::new(SimStore::for_actors(&world, lie)),
            model: Rc::new(RefCell::new(Model::new(&world))),
            world,
            random: Rc::new(RefCell::new(random)),
            files: if is_described { Files::Described } else { Files::Plain },
            planted,
            names: Rc::new(RefCell::new(1)),
        }
    }

    /// A catalog of which nothing is known, as a process that starts has it.
    pub(crate) fn catalog(&self) -> Catalog {
        Catalog::new(self.store.clone())
    }

    /// Whether this bug is planted.
    pub(crate) fn has(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }

    /// A catalog as an actor sees it whose bug this is, if it is planted; as the others see it otherwise.
    pub(crate) fn catalog_of(&self, bugs: &[Planted]) -> Catalog {
        let bug = self.planted.filter(|planted| bugs.contains(planted));
        match bug.and_then(Planted::lie) {
            Some(lie) => self.lying(lie),
            None => self.catalog(),
        }
    }

    /// A catalog that finds no root, and so no floor.
    pub(crate) fn lying_about_roots(&self) -> Catalog {
        self.lying(Lie::NoRoots)
    }

    fn lying(&self, lie: Lie) -> Catalog {
        Catalog::new(Arc::new(SimStore::for_actors(&self.world, Some(lie))))
    }

    /// Whether an accident has happened that nobody has mended yet: then errors are nobody's fault.
    pub(crate) fn is_damaged(&self) -> bool {
        self.model.borrow().is_damaged
    }

    /// Whether an accident has ever happened: who asked before it was mended hears of it after.
    pub(crate) fn was_damaged(&self) -> bool {
        self.model.borrow().was_damaged
    }

    pub(crate) fn now(&self) -> i64 {
        self.world.lock().now
    }

    /// A number that was never given before.
    pub(crate) fn fresh(&self) -> u64 {
        *self.names.borrow_mut() += 1;
        *self.names.borrow()
    }

    /// The name of a part; by it, a part that no root names is an orphan after [`ORPHAN_AFTER`].
    pub(crate) fn ulid(&self) -> Ulid {
        let made = self.now() - DAY + ORPHAN_AFTER;
        Ulid::from_parts(made.unsigned_abs(), u128::from(self.fresh()))
    }

    pub(crate) fn nonce(&self) -> String {
        format!("n{}", self.fresh())
    }

    pub(crate) fn chance(&self, permille: u64) -> bool {
        self.random.borrow_mut().chance(permille)
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.random.borrow_mut().below(end)
    }

    pub(crate) fn one_of<T: Copy>(&self, things: &[T]) -> T {
        things[self.random.borrow_mut().index(things.len())]
    }

    /// Goes on later.
    pub(crate) async fn pause(&self) {
        let _ = self.store.ask(Request::Pause).await;
    }

    /// Uploads the files of a part; a data file is not created conditionally.
    pub(crate) async fn upload(&self, part: &Made) -> object_store::Result<()> {
        for (path, bytes) in &part.files {
            let request = Request::Put {
                path: Path::from(path.as_str()),
                bytes: bytes.clone(),
                create: false,
            };
            self.store.ask(request).await?;
        }
        Ok(())
    }

    /// Reads the samples of a file.
    pub(crate) async fn download(&self, path: &str) -> object_store::Result<Vec<Sample>> {
        let Reply::Object(_, bytes) = self.store.ask(Request::Get(Path::from(path))).await? else {
            return Err(lost());
        };
        let model = self.model.borrow();
        Ok(ids_in(&bytes).into_iter().map(|id| model.samples[&id]).collect())
    }
}
