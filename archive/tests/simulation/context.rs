//! What every actor has in hand.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use emberkeep_archive::{Catalog, Ulid};
use object_store::path::Path;
use parking_lot::Mutex;

use crate::model::Model;
use crate::random::Random;
use crate::sample::{DAY, Sample, ids_in, payload};
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
    names: Rc<RefCell<u64>>,
}

impl Context {
    pub(crate) fn new(seed: u64) -> Self {
        let world = Arc::new(Mutex::new(World::at(1_700_000_000_000)));
        Self {
            store: Arc::new(SimStore::for_actors(&world)),
            model: Rc::new(RefCell::new(Model::new(&world))),
            world,
            random: Rc::new(RefCell::new(Random::new(seed))),
            names: Rc::new(RefCell::new(1)),
        }
    }

    /// A catalog of which nothing is known, as a process that starts has it.
    pub(crate) fn catalog(&self) -> Catalog {
        Catalog::new(self.store.clone())
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

    /// Uploads a file; a data file is not created conditionally.
    pub(crate) async fn upload(&self, path: &str, samples: &[Sample]) -> object_store::Result<()> {
        let request = Request::Put {
            path: Path::from(path),
            bytes: payload(samples),
            create: false,
        };
        self.store.ask(request).await.map(|_| ())
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
