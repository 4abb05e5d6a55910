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
pub(crate) struct Status {
    state: Mutex<State>,
    /// Why nothing is committed at the moment. Writes go on meanwhile.
    trouble: Mutex<Option<String>>,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State::Ready),
            trouble: Mutex::new(None),
        }
    }

    /// Notes that nothing can be committed, or that it can again.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    /// Why nothing is committed at the moment, when that is so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Ok while writes are accepted durably, otherwise the reason why not.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match &*self.state.lock() {
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
        *self.state.lock() = State::Stopping;
    }

    pub(crate) fn fence(&self, why: String) {
        *self.state.lock() = State::Fenced(why);
    }

    pub(crate) fn die(&self, why: String) {
        *self.state.lock() = State::Dead(why);
    }

    /// Why nothing gets into the archive any more, when that is so.
    pub(crate) fn failed(&self) -> Option<String> {
        match &*self.state.lock() {
            State::Fenced(why) | State::Dead(why) => Some(why.clone()),
            _ => None,
        }
    }

    fn leave_ready(&self, next: State) {
        let mut state = self.state.lock();
        if *state == State::Ready {
            *state = next;
        }
    }
}
