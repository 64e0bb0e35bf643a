//! `POST /api/v1/refresh`: new tokens for a lease, which is extended with them.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use dip_api::Refreshed;
use enclave_watch::Unverified;
use encoding::Base64Url;
use lease::{Extension, ExtensionOrder, LeaseId, RequestHash};
use serde::Deserialize;
use service::{Json, Problem};
use wire::envelope::REFRESH_SIZE;

use super::{App, problems, sized};
use crate::enclave::{Enclave, MintFor};
use crate::store::{DipStore, Standing};

/// [`dip_api::Refresh`] as it may come: a missing sealed request has a problem of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    lease: LeaseId,
    #[serde(default)]
    sealed: Option<Base64Url>,
}

pub(super) async fn refresh<S: DipStore, E: Enclave>(
    State(dip): App<S, E>,
    Json(body): Json<Body>,
) -> Result<Json<Refreshed>, Problem> {
    let sealed = sized(body.sealed, REFRESH_SIZE)?;
    let lease = body.lease;
    let standing = dip.store.standing(lease, dip.clock.now().week()).await;
    let held = match standing.map_err(|error| problems::store(&error))? {
        Standing::Leased(held) => held,
        Standing::Ended => return Err(problems::lease_ended()),
        Standing::Unknown => return Err(problems::lease_unknown()),
    };

    let mut request = RequestHash([0; 32]);
    request.0.copy_from_slice(digest(&SHA256, &sealed.0).as_ref());
    let order = ExtensionOrder {
        lease,
        ip: held.address,
        region: held.region,
        request,
        frozen: held.frozen,
        notice: None,
    };
    let order = order.sign(&dip.order_key.key(), dip.clock.now()).map_err(problems::signing)?;
    let mint = dip.enclave.attestor().mint(MintFor::Refresh, order, sealed);
    let minted = mint.await.map_err(problems::mint)?;

    if let Some(grant) = &minted.grant {
        let extension = dip.enclave.verify(|keys| Extension::verify(grant.as_str(), keys)).await;
        let extension = extension.map_err(problems::grant)?;
        if extension.lease != lease || extension.request != request {
            return Err(problems::grant(Unverified::Refused(jws::Error::Claims)));
        }
        let extended = dip.store.extend(lease, extension.ends).await;
        if !extended.map_err(|error| problems::store(&error))? {
            return Err(problems::lease_ended());
        }
    }
    dip.measures.refreshed(minted.grant.is_some());
    Ok(Json(Refreshed { sealed: minted.sealed, gateway: held.gateway }))
}
