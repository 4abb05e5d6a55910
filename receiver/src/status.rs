//! Whether writes may come in, and if not, what the sender and the operator are told.

use parking_lot::Mutex;

/// What a receiver is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Ready,
    Draining,
    Stopping,
    Fenced(String),
    Dead(String),
}

/// The state of one receiver; once it refuses writes it never takes them again.
#[derive(Debug)]
pub(crate) struct Status(Mutex<State>);

impl Status {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::Ready))
    }

    /// Ok while writes are accepted durably, otherwise the reason why not.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match &*self.0.lock() {
            State::Ready => Ok(()),
            State::Draining => Err("draining: no more writes are taken".to_owned()),
            State::Stopping => Err("stopping".to_owned()),
            State::Fenced(why) => Err(why.clone()),
            State::Dead(why) => Err(why.clone()),
        }
    }

    pub(crate) fn drain(&self) {
        self.leave_ready(State::Draining);
    }

    pub(crate) fn stop(&self) {
        *self.0.lock() = State::Stopping;
    }

    pub(crate) fn fence(&self, why: String) {
        *self.0.lock() = State::Fenced(why);
    }

    pub(crate) fn die(&self, why: String) {
        *self.0.lock() = State::Dead(why);
    }

    /// Why nothing gets into the archive any more, when that is so.
    pub(crate) fn failed(&self) -> Option<String> {
        match &*self.0.lock() {
            State::Fenced(why) | State::Dead(why) => Some(why.clone()),
            _ => None,
        }
    }

    fn leave_ready(&self, next: State) {
        let mut state = self.0.lock();
        if *state == State::Ready {
            *state = next;
        }
    }
}
