//! The story that is crashed everywhere: two lives of one receiver, the first killed, the second stopped.
//!
//! Small, but with all that happens to data: both protocols, two tenants, segments that fill up, flushes, commits, a request that comes
//! twice, records that only the log has, replay, and a life that begins with what a killed one owed to the disk.

use emberkeep_disk::ForgetfulFs;

use crate::ledger::Ledger;
use crate::life::{Ground, Life};
use crate::request::Request;

/// Plays the story on a file system; ends with an error at the step where the machine crashes.
pub(crate) fn play(fs: &ForgetfulFs, ledger: &Ledger) -> Result<(), String> {
    let ground = Ground::new(fs, ledger);
    let life = Life::start(ground.clone())?;
    for number in 0..3 {
        life.write(&Request::numbered(number))?;
    }
    life.flush()?;
    life.settle()?;
    // A sender that did not hear the answer comes again.
    for number in [1, 3, 4, 5] {
        life.write(&Request::numbered(number))?;
    }
    life.flush()?;
    life.write(&Request::numbered(6))?;
    // Killed with a staged part that may be anywhere on its way, and a record in the log.
    drop(life);

    let life = Life::start(ground)?;
    life.write(&Request::numbered(7))?;
    life.drain()?;
    life.stop();
    Ok(())
}
