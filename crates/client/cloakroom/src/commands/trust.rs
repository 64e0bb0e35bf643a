//! `cloakroom trust`.

use attested::EnclavePin;
use session::TrustView;

use crate::arguments::{Global, Trust};
use crate::commands::session;
use crate::output::{Failure, json, line, note};

pub(crate) async fn run(global: &Global, command: Trust) -> Result<(), Failure> {
    let mut session = session(global)?;
    match command {
        Trust::Add { file, accept_untrusted_development } => {
            let bytes = std::fs::read(&file)
                .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
            let view = session.add_trust(&bytes, accept_untrusted_development)?;
            show(global, &view)
        }
        Trust::Update => {
            let changed = session.update_trust().await?;
            note(if changed {
                "The provider has a newer file."
            } else {
                "There is no newer file."
            });
            show(global, &session.trust_view()?)
        }
        Trust::Show => show(global, &session.trust_view()?),
        Trust::Remove => {
            session.remove_trust()?;
            note("This wallet trusts nobody now.");
            Ok(())
        }
    }
}

fn show(global: &Global, view: &TrustView) -> Result<(), Failure> {
    if global.json {
        return json(view);
    }
    line(format_args!("provider     {}", view.name));
    line(format_args!("signed by    {}", view.signer));
    line(format_args!("serial       {}", view.provider.update.serial));
    if let Some(successor) = &view.provider.update.successor {
        line(format_args!("successor    {successor}"));
    }
    for (index, pcr) in view.provider.enclaves().flat_map(EnclavePin::pcrs) {
        line(format_args!("enclave PCR{index} {}", hex::encode(pcr)));
    }
    for tree in &view.provider.trees {
        line(format_args!("key tree     {} {}", tree.purpose, tree.root));
    }
    if view.untrusted_development {
        note("! The attestation root is UNTRUSTED DEVELOPMENT: this enclave protects nobody.");
    }
    Ok(())
}
