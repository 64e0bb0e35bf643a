//! `cloakroom` for rehearsals: the same library, by a clock that is ahead by what the file says that `CLOAKROOM_AHEAD` names.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use coarse::{Clock, SystemClock, UnixTime};

struct MovedClock(PathBuf);

impl Clock for MovedClock {
    fn now(&self) -> UnixTime {
        SystemClock.now().plus(Duration::from_secs(record::ahead(&self.0)))
    }
}

fn main() -> ExitCode {
    match std::env::var_os("CLOAKROOM_AHEAD") {
        Some(file) => cloakroom::main(Arc::new(MovedClock(file.into()))),
        None => ExitCode::from(2),
    }
}
