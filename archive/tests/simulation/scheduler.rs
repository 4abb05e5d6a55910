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
use crate::operator::Accident;
use crate::planted::Planted;
use crate::receiver::{Disk, Life};
use crate::sample::Files;
use crate::store::{After, Request, exists, lost};
use crate::{operator, reader, receiver, setting, upkeep};

/// How much of the last steps a failure shows, if `EMBERKEEP_SIM_TRACE` says nothing.
const TRACE: u64 = 150;

/// How many steps the world gets to come to rest.
const STEPS_OF_REST: usize = 20_000;

type Task = Pin<Box<dyn Future<Output = ()>>>;
type Start = Box<dyn Fn(&Context) -> Task>;
type Begin = fn(Context) -> Task;

/// What becomes of an actor when the catalog is lost.
enum Role {
    Reader,
    Receiver(Rc<RefCell<Disk>>),
    Upkeep,
    Operator,
}

struct Actor {
    name: String,
    role: Role,
    start: Start,
    task: Option<Task>,
    /// It was ended and is not begun again by a crash.
    is_stopped: bool,
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
    /// How many lines of it are kept.
    kept: u64,
    disks: Vec<Rc<RefCell<Disk>>>,
}

/// Runs one seed; the text says what must not be, and how it came to it.
pub(crate) fn run(seed: u64, steps: usize, planted: Option<Planted>) -> Result<Seen, String> {
    let mut run = Run::new(seed, planted);
    let outcome = run.go(steps).and_then(|()| run.rest());
    outcome.map_err(|what| {
        let trace: Vec<String> = run.trace.iter().cloned().collect();
        format!("seed {seed}, step {}: {what}\n{}", run.step, trace.join("\n"))
    })?;
    Ok(run.context.model.borrow().seen)
}

impl Run {
    fn new(seed: u64, planted: Option<Planted>) -> Self {
        let context = Context::new(seed, planted);
        let faults = context.one_of(&[0, 20, 100, 250]);
        let mut run = Self {
            context,
            actors: Vec::new(),
            late: Vec::new(),
            step: 0,
            faults,
            trace: VecDeque::new(),
            kept: setting("EMBERKEEP_SIM_TRACE", TRACE),
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
            let is_needed = name == "committer" || planted.is_some_and(|planted| planted.needs(name));
            for i in 0..run.context.below(most + 1).max(u64::from(is_needed)) {
                let role = if name == "reader" { Role::Reader } else { Role::Upkeep };
                run.add(
                    format!("{name}{i}"),
                    role,
                    Box::new(move |context| start(context.clone())),
                );
            }
        }
        if run.context.files == Files::Described {
            let start: Start = Box::new(|context| Box::pin(operator::rebuild(context.clone())));
            run.place("operator".to_owned(), Role::Operator, start);
        }
        run
    }

    fn add_receiver(&mut self, disk: Rc<RefCell<Disk>>) {
        self.disks.push(Rc::clone(&disk));
        let name = format!("{}.{}", disk.borrow().receiver, self.disks.len());
        let role = Role::Receiver(Rc::clone(&disk));
        let start: Start =
            Box::new(move |context| Box::pin(receiver::run(context.clone(), Rc::clone(&disk), Life::Endless)));
        self.add(name, role, start);
    }

    fn add(&mut self, name: String, role: Role, start: Start) {
        self.place(name, role, start);
        self.begin(self.actors.len() - 1);
    }

    /// Adds an actor that does not begin yet.
    fn place(&mut self, name: String, role: Role, start: Start) {
        self.actors.push(Actor {
            name,
            role,
            task: None,
            start,
            is_stopped: true,
            stalled_until: 0,
        });
    }

    fn begin(&mut self, actor: usize) {
        self.actors[actor].is_stopped = false;
        let task = (self.actors[actor].start)(&self.context);
        self.actors[actor].task = Some(task);
        self.poll(actor);
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.trace.len() as u64 >= self.kept {
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
                163..166 => self.lose_the_catalog(),
                166..170 => self.adopt(),
                _ => self.release(),
            }
            self.check()?;
            self.go_on_after_rebuild();
        }
        Ok(())
    }

    /// An accident, when there is somebody who mends it. Whoever changes the catalog is stopped, and what they sent has arrived or is lost.
    fn lose_the_catalog(&mut self) {
        let operator = self
            .actors
            .iter()
            .position(|actor| matches!(actor.role, Role::Operator));
        let Some(operator) = operator.filter(|_| !self.context.is_damaged()) else {
            return;
        };
        for actor in 0..self.actors.len() {
            if matches!(self.actors[actor].role, Role::Upkeep) {
                self.stop(actor);
            }
        }
        self.settle_late(|path| {
            let theirs = ["_archive/log", "_archive/level0", "_archive/receivers", "_archive/pins"];
            !theirs.iter().any(|prefix| path.starts_with(prefix))
        });
        let newest = {
            let mut model = self.context.model.borrow_mut();
            model.observe();
            (model.is_damaged, model.was_damaged, model.may_repeat) = (true, true, true);
            model.chain.len() as u64
        };
        let accident = {
            let random = &mut *self.context.random.borrow_mut();
            let accident = Accident::any(random);
            accident.happen(&mut self.context.world.lock(), newest, random);
            accident
        };
        self.note(|| format!("accident: {accident:?}"));
        self.begin(operator);
    }

    fn go_on_after_rebuild(&mut self) {
        let is_mended = |actor: &Actor| matches!(actor.role, Role::Operator) && actor.task.is_none();
        if !self.context.is_damaged() || !self.actors.iter().any(is_mended) {
            return;
        }
        self.context.model.borrow_mut().is_damaged = false;
        for actor in 0..self.actors.len() {
            match self.actors[actor].role {
                Role::Upkeep => self.begin(actor),
                Role::Operator => self.actors[actor].is_stopped = true,
                Role::Reader | Role::Receiver(_) => {}
            }
        }
    }

    /// A receiver's machine is gone, or is only thought to be, and its disk is brought in by another.
    fn adopt(&mut self) {
        let actor = self.context.random.borrow_mut().index(self.actors.len());
        let Role::Receiver(disk) = &self.actors[actor].role else {
            return;
        };
        let (mut disk, name) = (Rc::clone(disk), self.actors[actor].name.clone());
        if self.disks.len() > 4 || self.actors[actor].is_stopped {
            return;
        }
        if self.context.chance(300) {
            let copy = disk.borrow().copied();
            disk = copy;
            self.disks.push(Rc::clone(&disk));
            self.context.model.borrow_mut().may_repeat = true;
        } else {
            self.stop(actor);
            let prefix = format!("_archive/log/{}.", disk.borrow().receiver);
            self.settle_late(|path| path.starts_with(&prefix));
        }
        self.note(|| format!("{name} is adopted"));
        let start: Start = Box::new(move |context| Box::pin(receiver::adopt(context.clone(), Rc::clone(&disk))));
        self.add(format!("adoption of {name}"), Role::Reader, start);
    }

    /// Ends an actor for good. What it had sent has arrived or is lost.
    fn stop(&mut self, actor: usize) {
        self.actors[actor].task = None;
        self.actors[actor].is_stopped = true;
        for request in self.sent_by(actor) {
            if self.context.chance(500) && is_change(&request) {
                let _ = self.context.world.lock().execute(&request);
            }
        }
    }

    /// Takes the requests of an actor that are not answered yet.
    fn sent_by(&mut self, actor: usize) -> Vec<Request> {
        let pending = std::mem::take(&mut self.context.world.lock().pending);
        let (sent, others): (Vec<_>, Vec<_>) = pending.into_iter().partition(|pending| pending.actor == actor);
        self.context.world.lock().pending = others;
        sent.into_iter().map(|pending| pending.request).collect()
    }

    /// Late requests for some objects arrive now or never.
    fn settle_late(&mut self, is_meant: impl Fn(&str) -> bool) {
        let is_meant = |request: &Request| match request {
            Request::Put { path, .. } | Request::Delete(path) => is_meant(path.as_ref()),
            _ => false,
        };
        let (meant, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late).into_iter().partition(is_meant);
        self.late = others;
        for request in meant {
            if self.context.chance(500) {
                self.note(|| format!("late: {}", told(&request)));
                let _ = self.context.world.lock().execute(&request);
            }
        }
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
        if self.actors[actor].is_stopped {
            return;
        }
        let name = self.actors[actor].name.clone();
        self.note(|| format!("{name} crashes"));
        self.actors[actor].task = None;
        for request in self.sent_by(actor) {
            if self.context.chance(500) && is_change(&request) {
                self.late.push(request);
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
        self.add("rest".to_owned(), Role::Upkeep, start);
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
    if context.is_damaged() {
        operator::rebuild(context.clone()).await;
        context.model.borrow_mut().is_damaged = false;
    }
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
        Request::List(prefix, After::Nothing) => format!("list {prefix}"),
        Request::List(prefix, After::Name(name, _)) => format!("list {prefix} after {name}"),
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
