//! The tenants of one table, by number: an entry keeps four bytes of whose it is.

use emberkeep_model::TenantId;
use foldhash::quality::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::SpelledAs;
use super::shard::Origin;

/// What a tenant costs beside its name, twice: by name and by number.
const OVERHEAD: usize = 96;

#[derive(Debug, Default)]
struct Inner {
    numbers: HashMap<TenantId, u32, RandomState>,
    names: Vec<TenantId>,
}

/// Tenants by number.
#[derive(Debug, Default)]
pub(super) struct Tenants(RwLock<Inner>);

impl Tenants {
    pub(super) fn find(&self, tenant: &TenantId, spelled: SpelledAs) -> Option<Origin> {
        let number = *self.0.read().numbers.get(tenant)?;
        Some(origin(number, spelled))
    }

    /// The tenant's number, a new one where it has none, for both spellings; and by how many bytes this grew.
    pub(super) fn find_or_insert(&self, tenant: &TenantId) -> (impl Fn(SpelledAs) -> Origin + use<>, usize) {
        let known = self.0.read().numbers.get(tenant).copied();
        let (number, grown) = known.map_or_else(|| self.insert(tenant), |number| (number, 0));
        (move |spelled| origin(number, spelled), grown)
    }

    fn insert(&self, tenant: &TenantId) -> (u32, usize) {
        let mut inner = self.0.write();
        if let Some(&number) = inner.numbers.get(tenant) {
            return (number, 0);
        }
        let number = u32::try_from(inner.names.len()).expect("a head is bounded far below 4 G tenants");
        inner.names.push(tenant.clone());
        inner.numbers.insert(tenant.clone(), number);
        (number, OVERHEAD + tenant.as_str().len())
    }

    /// All of them, by number.
    pub(super) fn names(&self) -> Vec<TenantId> {
        self.0.read().names.clone()
    }
}

fn origin(number: u32, spelled: SpelledAs) -> Origin {
    Origin(number << 1 | u32::from(spelled == SpelledAs::Symbols))
}

/// The number of the tenant that an entry belongs to.
pub(super) fn number_of(origin: Origin) -> u32 {
    origin.0 >> 1
}
