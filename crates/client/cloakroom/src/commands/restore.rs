//! `cloakroom dip restore`.

use access_code::AccessCode;
use serde_json::json;
use session::Session;
use wallet::Restored;

use crate::arguments::Global;
use crate::commands::input;
use crate::output::{Failure, json, line};

/// Reads the code, unless a lease was taken from its backup already; what is wrong with the wallet is said before.
pub(crate) async fn run(session: &mut Session) -> Result<(), Failure> {
    if session.restoring_needs_code()? {
        let text = input::secret("Access Code:")?;
        let code = AccessCode::enter(&text).map_err(|error| Failure::usage(error.to_string()))?;
        session.restore(code).await?;
    } else {
        session.refresh().await?;
    }
    Ok(())
}

/// A lease that was taken from its backup and isn't refreshed yet.
pub(crate) fn status(global: &Global, restored: &Restored) -> Result<(), Failure> {
    let contents = restored.contents();
    if global.json {
        return json(&json!({
            "state": "restored",
            "dedicated_ip": contents.ip,
            "region": contents.region,
            "lease": contents.lease,
            "drt_ends": contents.drt_ends.to_string(),
        }));
    }
    line(format_args!("dedicated IP   {}", contents.ip));
    line(format_args!("region         {}", contents.region));
    line("This device has no access token yet. Get one: cloakroom dip refresh");
    Ok(())
}
