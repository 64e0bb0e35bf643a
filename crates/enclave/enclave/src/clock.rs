//! The enclave's time: the security module's, since the parent's can't be trusted.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use coarse::UnixTime;

use crate::{ModuleError, SecurityModule};

/// After this long the module is asked again.
const STALE: Duration = Duration::from_secs(60);

/// The module's time, carried on by the machine's own monotonic clock between two askings.
#[derive(Default)]
pub(crate) struct ModuleClock(Mutex<Option<(Instant, UnixTime)>>);

impl ModuleClock {
    /// The present moment; asked for if it must be `fresh`.
    pub(crate) fn now(
        &self,
        module: &impl SecurityModule,
        fresh: bool,
    ) -> Result<UnixTime, ModuleError> {
        let mut last = self.0.lock().map_err(|_| ModuleError::Silent)?;
        if let Some((asked, told)) = *last
            && asked.elapsed() < STALE
            && !fresh
        {
            return Ok(told.plus(asked.elapsed()));
        }
        let asked = Instant::now();
        let document = module.attest(&[], &[], &[])?;
        let told = nitro::timestamp_ms(&document).ok_or(ModuleError::Unknown)? / 1000;
        let told = UnixTime::from_seconds(told);
        *last = Some((asked, told));
        Ok(told)
    }
}
