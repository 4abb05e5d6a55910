//! Who goes on next, and what becomes of its request: all from one seed.
//!
//! One step lets one request happen, or crashes an actor, or moves the clock. After each step the model looks at the store.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task;

use crate::context::Context;
use crate::model::Seen;
use crate::receiver::{Disk, Life};
use crate::store::{Request, exists, lost};
use crate::{reader, receiver, upkeep};

/// How much of the last steps a failure shows.
const TRACE: usize = 150;

/// How many steps the world gets to come to rest.
const STEPS_OF_REST: usize = 20_000;

type Task = Pin<Box<dyn Future<Output = ()>>>;
type Start = Box<dyn Fn(&Context) -> Task>;
type Begin = fn(Context) -> Task;

struct Actor {
    name: String,
    start: Start,
    task: Option<Task>,
    /// It does nothing before this step.
    stalled_until: usize,
}

/// One run.
pub(crate) struct Run {
    context: Context,
    actors: Vec<Actor>,
    /// Requests whose makers gave up, and that may still take effect.
    late: Vec<Request>,
    step: usize,
    /// Requests out of 1000 that go wrong.
    faults: u64,
    trace: VecDeque<String>,
    disks: Vec<Rc<RefCell<Disk>>>,
}

/// Runs one seed; the text says what must not be, and how it came to it.
pub(crate) fn run(seed: u64, steps: usize) -> Result<Seen, String> {
    let mut run = Run::new(seed);
    let outcome = run.go(steps).and_then(|()| run.rest());
    outcome.map_err(|what| {
        let trace: Vec<String> = run.trace.iter().cloned().collect();
        format!("seed {seed}, step {}: {what}\n{}", run.step, trace.join("\n"))
    })?;
    Ok(run.context.model.borrow().seen)
}

impl Run {
    fn new(seed: u64) -> Self {
        let context = Context::new(seed);
        let faults = context.one_of(&[0, 20, 100, 250]);
        let mut run = Self {
            context,
            actors: Vec::new(),
            late: Vec::new(),
            step: 0,
            faults,
            trace: VecDeque::new(),
            disks: Vec::new(),
        };
        for i in 0..=run.context.below(2) {
            let disk = Disk::new(&format!("r{i}"), format!("w{i}"));
            run.add_receiver(disk);
        }
        let actors: [(&str, u64, Begin); 7] = [
            ("committer", 2, |context| Box::pin(upkeep::committer(context))),
            ("compactor", 2, |context| Box::pin(upkeep::compactor(context))),
            ("collector", 2, |context| Box::pin(upkeep::collector(context))),
            ("reader", 2, |context| Box::pin(reader::run(context))),
            ("retention", 1, |context| Box::pin(upkeep::retention(context))),
            ("lawyer", 1, |context| Box::pin(upkeep::lawyer(context))),
            ("undoer", 1, |context| Box::pin(upkeep::undoer(context))),
        ];
        for (name, most, start) in actors {
            for i in 0..run.context.below(most + 1).max(u64::from(name == "committer")) {
                run.add(format!("{name}{i}"), Box::new(move |context| start(context.clone())));
            }
        }
        run
    }

    fn add_receiver(&mut self, disk: Rc<RefCell<Disk>>) {
        self.disks.push(Rc::clone(&disk));
        let name = format!("{}.{}", disk.borrow().receiver, self.disks.len());
        let start: Start =
            Box::new(move |context| Box::pin(receiver::run(context.clone(), Rc::clone(&disk), Life::Endless)));
        self.add(name, start);
    }

    fn add(&mut self, name: String, start: Start) {
        self.actors.push(Actor {
            name,
            task: None,
            start,
            stalled_until: 0,
        });
        self.begin(self.actors.len() - 1);
    }

    fn begin(&mut self, actor: usize) {
        let task = (self.actors[actor].start)(&self.context);
        self.actors[actor].task = Some(task);
        self.poll(actor);
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        let line = format!("{:6} {} {}", self.step, self.context.now(), what());
        self.trace.push_back(line);
    }

    fn poll(&mut self, actor: usize) {
        self.context.world.lock().actor = actor;
        let Some(task) = &mut self.actors[actor].task else {
            return;
        };
        let mut context = task::Context::from_waker(task::Waker::noop());
        if task.as_mut().poll(&mut context).is_ready() {
            self.actors[actor].task = None;
            let name = self.actors[actor].name.clone();
            self.note(|| format!("{name} ends"));
        }
    }

    fn check(&mut self) -> Result<(), String> {
        let mut model = self.context.model.borrow_mut();
        model.observe();
        model.violation.take().map_or(Ok(()), Err)
    }

    fn go(&mut self, steps: usize) -> Result<(), String> {
        while self.step < steps {
            self.step += 1;
            match self.context.below(1000) {
                0..10 => self.crash(),
                10..13 if self.faults > 0 => {
                    let disk = self.disks[0].borrow().receiver.clone();
                    let wal = format!("w{}", self.context.nonce());
                    if self.disks.len() < 4 {
                        self.note(|| format!("a twin of {disk} begins"));
                        self.context.model.borrow_mut().may_repeat = true;
                        self.add_receiver(Disk::new(&disk, wal));
                    }
                }
                13..33 => self.stall(),
                33..133 => self.tick(),
                133..163 => self.land_late(),
                _ => self.release(),
            }
            self.check()?;
        }
        Ok(())
    }

    /// The clock moves, mostly by little.
    fn tick(&mut self) {
        let most = self.context.one_of(&[100, 1000, 5000, 30_000]);
        let by = self.context.below(most);
        self.context.world.lock().now += i64::try_from(by).expect("it is small");
    }

    fn stall(&mut self) {
        let actor = self.context.random.borrow_mut().index(self.actors.len());
        self.actors[actor].stalled_until = self.step + 20 + self.context.random.borrow_mut().index(300);
    }

    /// A process ends in the middle, and another takes its place. What it had sent may still arrive.
    fn crash(&mut self) {
        let actor = self.context.random.borrow_mut().index(self.actors.len());
        let name = self.actors[actor].name.clone();
        self.note(|| format!("{name} crashes"));
        self.actors[actor].task = None;
        let pending = std::mem::take(&mut self.context.world.lock().pending);
        let (sent, others): (Vec<_>, Vec<_>) = pending.into_iter().partition(|pending| pending.actor == actor);
        self.context.world.lock().pending = others;
        for pending in sent {
            if self.context.chance(500) && is_change(&pending.request) {
                self.late.push(pending.request);
            }
        }
        self.begin(actor);
    }

    fn land_late(&mut self) {
        if !self.late.is_empty() {
            let index = self.context.random.borrow_mut().index(self.late.len());
            let request = self.late.swap_remove(index);
            self.note(|| format!("late: {}", told(&request)));
            let _ = self.context.world.lock().execute(&request);
        }
    }

    /// Lets one request of somebody who is not stalled happen.
    fn release(&mut self) {
        let ready: Vec<usize> = {
            let world = self.context.world.lock();
            let is_ready = |index: &usize| self.actors[world.pending[*index].actor].stalled_until <= self.step;
            (0..world.pending.len()).filter(is_ready).collect()
        };
        if ready.is_empty() {
            return;
        }
        let index = ready[self.context.random.borrow_mut().index(ready.len())];
        let pending = self.context.world.lock().pending.remove(index);
        let request = pending.request;
        let is_fault = self.context.chance(self.faults) && !matches!(request, Request::Pause);
        let fate = if is_fault { self.context.below(5) } else { 9 };
        let name = self.actors[pending.actor].name.clone();
        self.note(|| format!("{name}: {} {}", told(&request), fate_told(fate)));
        let world = &self.context.world;
        let answer = match (fate, &request) {
            (0, Request::Put { .. } | Request::Delete(_)) => {
                let _ = world.lock().execute(&request);
                Err(lost())
            }
            // The client tries again by itself after a 5xx that came too late.
            (1, Request::Put { .. } | Request::Delete(_)) => {
                let _ = world.lock().execute(&request);
                world.lock().execute(&request)
            }
            (2, Request::Put { path, create: true, .. }) => Err(exists(path)),
            (3, request) if is_change(request) => {
                self.late.push(request.clone());
                Err(lost())
            }
            (0..5, _) => Err(lost()),
            _ => world.lock().execute(&request),
        };
        // The model sees what happened before whoever asked goes on.
        self.context.model.borrow_mut().observe();
        let _ = pending.answer.send(answer);
        self.poll(pending.actor);
    }

    /// Everything stops; what is on disks is committed, what is garbage is collected; and nothing is missing.
    fn rest(&mut self) -> Result<(), String> {
        self.actors.clear();
        self.context.world.lock().pending.clear();
        self.faults = 0;
        while let Some(request) = self.late.pop() {
            if self.context.chance(500) {
                self.note(|| format!("late: {}", told(&request)));
                let _ = self.context.world.lock().execute(&request);
                self.check()?;
            }
        }
        let disks = self.disks.clone();
        let start: Start = Box::new(move |context| Box::pin(at_rest(context.clone(), disks.clone())));
        self.add("rest".to_owned(), start);
        for _ in 0..STEPS_OF_REST {
            self.step += 1;
            self.check()?;
            if self.actors[0].task.is_none() {
                let disks = self.disks.iter().flat_map(|disk| disk.borrow().acknowledged.clone());
                let acknowledged: Vec<u64> = disks.collect();
                self.context.model.borrow_mut().finish(acknowledged.into_iter());
                return self.check();
            }
            self.release();
        }
        Err("it does not come to rest".to_owned())
    }
}

async fn at_rest(context: Context, disks: Vec<Rc<RefCell<Disk>>>) {
    for disk in disks {
        receiver::run(context.clone(), disk, Life::Last).await;
    }
    let catalog = context.catalog();
    let nonce = context.nonce();
    let folded = emberkeep_archive::fold(&*context.store, &catalog, &nonce, context.now()).await;
    let failed = folded.err().map(|error| format!("fold at rest: {error}"));
    context.model.borrow_mut().demand(failed);
    // Removals become due, orphans are condemned, and these become due.
    for _ in 0..4 {
        context.world.lock().now += 200_000;
        let _ = upkeep::once(&context, &catalog).await;
    }
    let promised = context.model.borrow().promised();
    match catalog.refresh().await {
        Ok(view) => context.model.borrow_mut().viewed(&view, &promised, 0),
        Err(error) => context.model.borrow_mut().demand(format!("refresh at rest: {error}")),
    }
}

fn is_change(request: &Request) -> bool {
    matches!(request, Request::Put { .. } | Request::Delete(_))
}

fn told(request: &Request) -> String {
    match request {
        Request::Put { path, create, .. } => format!("{} {path}", if *create { "create" } else { "put" }),
        Request::Get(path) => format!("get {path}"),
        Request::Delete(path) => format!("delete {path}"),
        Request::List(prefix) => format!("list {prefix}"),
        Request::Pause => "goes on".to_owned(),
    }
}

fn fate_told(fate: u64) -> &'static str {
    match fate {
        0 => "(answer lost)",
        1 => "(done twice)",
        2 => "(409 or lost)",
        3 => "(late)",
        4 => "(lost)",
        _ => "",
    }
}
