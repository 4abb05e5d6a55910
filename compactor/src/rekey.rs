//! Changing keys: everything that lies under another key than the one that is written with is written again. Also from clear to encrypted, and
//! back.
//!
//! Parts are rewritten one job at a time, each with a root of its own, so that it can be interrupted anywhere and goes on where it was. Then
//! the catalog follows: what has a fixed name in its place, what roots name under new names, and last a new root. What past roots need stays
//! as it is until the undelete window is over; [`StillNeeded`] says what that is. It must never leave out a row or quarantine a part.

mod needed;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use emberkeep_archive::{
    ArchiveError, Catalog, Change, Format, KeyUse, Keys, Live, ObjectPath, ObjectPlace, Ulid, apply, fold, fresh_nonce,
    reseal,
};
use emberkeep_service::clock::Clock;
use tracing::{info, warn};

use crate::CompactorError;
use crate::job_result::commit_results;
use crate::merger::{JobError, Merger};
use crate::plan::{Job, PlanSettings, plan_rekey};

pub use needed::{StillNeeded, still_needed};

/// How often it is looked for more: receivers and compactors that still write with another key are not waited for endlessly.
const PASSES: usize = 8;

/// Why keys could not be changed. What is done is done; doing it again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// The catalog or the store; also a key that is missing.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The results of a job could not be made live.
    #[error(transparent)]
    Commit(#[from] CompactorError),
    /// A part was not rewritten, for a reason that all others would have as well.
    #[error(transparent)]
    Job(#[from] JobError),
}

/// What a change of keys did.
#[derive(Debug, Default)]
pub struct Rekeyed {
    /// Parts that were written again.
    pub parts: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Objects of the catalog that were written again, roots aside.
    pub objects: u64,
    /// The root that is under the new key, when one had to be made for that.
    pub root: Option<u64>,
    /// Objects of the catalog that the store did not let be written again.
    pub denied: u64,
    /// Parts that stay under another key, and why.
    pub left: BTreeMap<Ulid, String>,
}

/// The keys of one archive, to be changed.
#[derive(Debug)]
pub struct Rekey<'a> {
    /// The archive.
    pub catalog: &'a Catalog,
    /// What rewrites parts.
    pub merger: &'a Merger,
    /// How parts of level 0 are merged.
    pub plan: PlanSettings,
    /// The time.
    pub clock: &'a dyn Clock,
}

impl Rekey<'_> {
    /// Brings everything live under the key that is written with, or makes it clear when there is none. Other compactors and receivers may
    /// work meanwhile.
    ///
    /// # Errors
    /// See [`RekeyError`].
    pub async fn run(&self) -> Result<Rekeyed, RekeyError> {
        let store = self.catalog.store();
        let write = Keys::of(&**store).await.write_id().map(str::to_owned);
        let (mut done, mut known) = (Rekeyed::default(), HashMap::new());
        for _ in 0..PASSES {
            while fold(&**store, self.catalog, &fresh_nonce(), self.clock.now_ms())
                .await?
                .is_some()
            {}
            let live = self.catalog.live().await?;
            let jobs = self.jobs(&live, &write, &mut known, &mut done).await?;
            if jobs.is_empty() {
                break;
            }
            for job in &jobs {
                self.rewrite(job, &mut done).await?;
            }
        }
        self.renew_catalog(&write, &mut known, &mut done).await?;
        Ok(done)
    }

    /// What is to be rewritten now.
    async fn jobs(
        &self,
        live: &Live,
        write: &Option<String>,
        known: &mut HashMap<Ulid, Option<String>>,
        done: &mut Rekeyed,
    ) -> Result<Vec<Job>, RekeyError> {
        let keyed = KeyUse::of_live(self.catalog, live, known).await?;
        let mut stale: BTreeSet<Ulid> = keyed
            .iter()
            .filter(|(_, key)| key != write)
            .map(|(part, _)| part.ulid)
            .collect();
        for ulid in live
            .quarantined()
            .iter()
            .filter_map(|part| Ulid::from_string(part).ok())
        {
            if stale.remove(&ulid) {
                done.left.insert(ulid, "it is quarantined".to_owned());
            }
        }
        stale.retain(|ulid| !done.left.contains_key(ulid));
        let jobs = plan_rekey(self.catalog.store(), live, &self.plan, &stale, self.clock.now_ms()).await?;
        let bytes: u64 = jobs.iter().map(Job::bytes).fold(0, u64::saturating_add);
        info!(
            parts = stale.len(),
            jobs = jobs.len(),
            bytes,
            key = write,
            "parts are under another key"
        );
        Ok(jobs)
    }

    async fn rewrite(&self, job: &Job, done: &mut Rekeyed) -> Result<(), RekeyError> {
        let result = match self.merger.run(job).await {
            Ok(result) => result,
            Err(JobError::Input { part, reason }) => {
                warn!(%part, %reason, "a part cannot be read and stays as it is");
                done.left.insert(part, reason);
                return Ok(());
            }
            Err(JobError::Broken(reason)) => {
                warn!(%reason, kind = job.kind.as_str(), "parts were not written again, and stay as they are");
                done.left
                    .extend(job.inputs.iter().map(|part| (part.ulid, reason.clone())));
                return Ok(());
            }
            // Another compactor has removed an input: the next pass plans anew.
            Err(JobError::Store(error)) if error.is_not_found() => return Ok(()),
            Err(failure) => return Err(failure.into()),
        };
        let landed = commit_results(self.catalog, std::slice::from_ref(&result), self.clock.now_ms()).await?;
        if landed.landed > 0 {
            done.parts += job.inputs.len() as u64;
            done.bytes = done.bytes.saturating_add(job.bytes());
            info!(
                kind = job.kind.as_str(),
                inputs = job.inputs.len(),
                bytes = job.bytes(),
                "rewritten under another key"
            );
        }
        Ok(())
    }

    /// Brings the catalog under the key that is written with.
    async fn renew_catalog(
        &self,
        write: &Option<String>,
        known: &mut HashMap<Ulid, Option<String>>,
        done: &mut Rekeyed,
    ) -> Result<(), RekeyError> {
        let store = &**self.catalog.store();
        let found = KeyUse::survey(self.catalog, known).await?;
        let newest = emberkeep_archive::names::root(found.root_n);
        let mut renewed = BTreeSet::new();
        for object in found.objects.iter().filter(|object| object.key != *write) {
            match object.place {
                ObjectPlace::Fixed => self.reseal(&object.path, done).await?,
                ObjectPlace::List => {
                    renewed.insert(object.path.to_string());
                }
                ObjectPlace::Root if object.path == newest => {
                    renewed.insert(object.path.to_string());
                }
                ObjectPlace::Root | ObjectPlace::Pin => {}
            }
        }
        let (nonce, mut lists) = (fresh_nonce(), 0);
        let root = apply(self.catalog, &nonce, self.clock.now_ms(), |live| {
            let is_named = |name: &&String| **name == newest.as_ref() || live.names_list(name);
            let renewed: BTreeSet<String> = renewed.iter().filter(is_named).cloned().collect();
            lists = renewed.iter().filter(|name| **name != newest.as_ref()).count() as u64;
            Ok::<_, ArchiveError>(Some(Change {
                renewed,
                ..Change::default()
            }))
        });
        done.root = root.await?.map(|root| root.n);
        done.objects += lists;
        if done.left.is_empty() {
            match Format::renew(store).await {
                Err(error) if error.is_denied() => done.denied += 1,
                renewed => renewed?,
            }
        }
        if done.denied > 0 {
            warn!(
                objects = done.denied,
                "the store does not let some objects of the catalog be written again; deploy/iam/rekey.json is the policy that does"
            );
        }
        Ok(())
    }

    /// Puts an object in its own place again. A compactor may lack the right to write what is the receivers'.
    async fn reseal(&self, path: &ObjectPath, done: &mut Rekeyed) -> Result<(), RekeyError> {
        match reseal(&**self.catalog.store(), path).await {
            Ok(()) => done.objects += 1,
            Err(error) if error.is_not_found() => {}
            Err(error) if error.is_denied() => done.denied += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
