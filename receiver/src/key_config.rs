//! The keys that the configuration file names, read from where they lie.

use emberkeep_archive::{KeyError, KeySource, Keys};
use emberkeep_service::config::EncryptionConfig;

/// Reads all keys; none when none are configured. Blocks while a command is asked.
pub(crate) fn read(config: &EncryptionConfig) -> Result<Keys, KeyError> {
    let sources = config.keys.iter().map(|key| {
        let (file, environment, command) = (key.file.clone(), key.env.clone(), key.command.clone());
        KeySource::new(&key.id, file, environment, command)
    });
    Keys::read(config.write_key.as_deref(), &sources.collect::<Result<Vec<_>, _>>()?)
}
