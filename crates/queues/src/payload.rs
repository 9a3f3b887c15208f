//! A job as text and back.

use shared_core::broken_rules;

use crate::{Error, Job};

/// The largest payload, as JSON, in bytes: 64 KiB. A worker holds some hundred jobs in memory; what is larger belongs into a
/// table or an object store, and its id into the job.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// The job as it is stored.
pub(crate) fn write<J: Job>(job: &J) -> Result<String, Error> {
    job.validate().map_err(|errors| Error::Invalid { job: J::NAME, rules: broken_rules(&errors) })?;
    let text = serde_json::to_string(job).map_err(|source| Error::Unwritable { job: J::NAME, source })?;
    if text.len() > MAX_PAYLOAD {
        return Err(Error::PayloadTooLarge { job: J::NAME, size: text.len(), limit: MAX_PAYLOAD });
    }
    Ok(text)
}

/// The job that was stored, or why it can't be read. The text may quote the payload: it is for the dead letter alone.
pub(crate) fn read<J: Job>(version: u32, text: &str) -> Result<J, String> {
    let unreadable = |error| format!("the payload can't be read: {error}");
    let job: J = if version < J::OPTIONS.version {
        let older = serde_json::from_str(text).map_err(unreadable)?;
        let upcast = J::upcast(version, older).map_err(|failure| {
            format!(
                "the payload of version {version} can't be made one of version {}: {failure}",
                J::OPTIONS.version
            )
        })?;
        serde_json::from_value(upcast).map_err(unreadable)?
    } else {
        serde_json::from_str(text).map_err(unreadable)?
    };
    job.validate().map_err(|errors| broken_rules(&errors))?;
    Ok(job)
}
