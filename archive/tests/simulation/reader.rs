//! A reader: it looks, and what it sees is complete; it pins, and what it pinned stays.

use std::time::Duration;

use emberkeep_archive::{ArchiveError, Catalog, HeldPin};

use crate::context::Context;
use crate::planted::Planted;

/// How long a pin holds.
const LIFETIME: i64 = 15_000;

pub(crate) async fn run(context: Context) {
    let catalog = context.catalog();
    loop {
        context.pause().await;
        let promised = context.model.borrow().promised();
        let begun = context.now();
        let view = match catalog.refresh().await {
            Ok(view) => view,
            Err(error) => {
                allow(&context, "refresh", &error);
                continue;
            }
        };
        context
            .model
            .borrow_mut()
            .viewed(&view, &promised, context.now() - begun);
        if view.root_n > 0 && context.chance(300) {
            // The one that it sees, or one that it saw before.
            let root = view.root_n.saturating_sub(context.one_of(&[0, 0, 1, 5, 15])).max(1);
            read_long(&context, &catalog, root).await;
        }
        if context.chance(200) {
            read_past(&context, &catalog).await;
        }
    }
}

/// Errors of the store, and of the past, are no fault of the catalog.
fn allow(context: &Context, what: &str, error: &ArchiveError) {
    let is_ours = !error.is_transient() && !matches!(error, ArchiveError::Refused(_));
    let model = &mut *context.model.borrow_mut();
    // Roots from before an accident stay as it left them.
    model.demand((is_ours && !model.was_damaged).then(|| format!("{what}: {error}")));
}

/// Pins a root, and reads its files one by one.
async fn read_long(context: &Context, catalog: &Catalog, root: u64) {
    let lifetime = Duration::from_millis(LIFETIME.unsigned_abs());
    let mut until = context.now() + LIFETIME;
    let unseen = match context.has(Planted::PinBelowFloor) {
        true => Some(context.lying_about_roots()),
        false => None,
    };
    let seen = unseen.as_ref().unwrap_or(catalog);
    let mut pin = match HeldPin::hold(seen, root, lifetime, "reader", context.now()).await {
        Ok(pin) => pin,
        Err(error) => return allow(context, "hold", &error),
    };
    // It is nobody's fault when the time is over before the pin is held.
    if context.now() >= until {
        return pin.release(catalog).await;
    }
    let id = context.fresh();
    context.model.borrow_mut().hold(id, root, until);
    let files = match catalog.at_root(root).await {
        Ok(view) => view.parts.iter().flat_map(|part| part.files.clone()).collect(),
        Err(error) => {
            allow(context, "pinned root", &error);
            Vec::new()
        }
    };
    for file in files {
        context.pause().await;
        if context.chance(300) {
            let (before, next) = (until, context.now() + LIFETIME);
            match pin.renew(catalog, lifetime, context.now()).await {
                Ok(()) if context.now() < next => {
                    until = next;
                    context.model.borrow_mut().hold(id, root, until);
                }
                Ok(()) => break,
                Err(error) => {
                    let is_wrong = matches!(error, ArchiveError::Refused(_)) && context.now() < before;
                    let wrong = is_wrong.then(|| format!("a pin that holds is not renewed: {error}"));
                    context.model.borrow_mut().demand(wrong);
                }
            }
        }
        if context.now() >= until {
            break;
        }
        let read = context.download(&file.path).await;
        // The clock does not move between the step in which the store answered and this one.
        let is_gone = matches!(read, Err(object_store::Error::NotFound { .. })) && context.now() < until;
        let gone = is_gone.then(|| format!("a pinned reader of root {root} finds no {}", file.path));
        let model = &mut *context.model.borrow_mut();
        model.demand(gone.filter(|_| !model.was_damaged));
    }
    context.model.borrow_mut().release(id);
    pin.release(catalog).await;
}

/// Reads as of a moment of the past.
async fn read_past(context: &Context, catalog: &Catalog) {
    let back = i64::try_from(context.below(30_000)).expect("a minute");
    let time = context.now() - back;
    match catalog.as_of(time).await {
        Ok(view) => {
            let model = &mut *context.model.borrow_mut();
            let index = usize::try_from(view.root_n).expect("roots are few") - 1;
            let expected = model.chain.get(index).map(|link| link.root.created_at);
            let trouble = Some(expected) != Some(view.root_created_at) || expected.is_none_or(|at| at > time);
            model.demand(trouble.then(|| format!("as of {time}: root {} of {expected:?}", view.root_n)));
        }
        Err(error) => allow(context, "as of", &error),
    }
}
