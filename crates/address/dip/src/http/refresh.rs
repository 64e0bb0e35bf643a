//! `POST /api/v1/refresh`: new tokens for a lease, which is extended with them, or the end of it.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use dip_api::Refreshed;
use enclave_watch::Unverified;
use encoding::Base64Url;
use jws::KeySet;
use lease::{Extension, ExtensionOrder, LeaseId, Release, RequestHash};
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
    let standing = dip.store().standing(lease, dip.clock.now().week()).await;
    let held = match standing.map_err(|error| problems::store(&error))? {
        Standing::Leased(held) => held,
        Standing::Ended => return Err(problems::lease_ended()),
        Standing::Withdrawn => return Err(problems::address_withdrawn()),
        Standing::Unknown => return Err(problems::lease_unknown()),
    };

    let mut request = RequestHash([0; 32]);
    request.0.copy_from_slice(digest(&SHA256, &sealed.0).as_ref());
    let order = ExtensionOrder {
        lease,
        ip: held.address,
        region: held.region.clone(),
        request,
        frozen: held.frozen,
        notice: held.notice.clone(),
    };
    let order = order.sign(&dip.order_key.key(), dip.clock.now()).map_err(problems::signing)?;
    dip.steps.reached("refresh_ordered");
    let mint = dip.enclave.attestor().mint(MintFor::Refresh, order, sealed);
    let minted = mint.await.map_err(problems::mint)?;
    dip.steps.reached("refresh_minted");

    if let Some(grant) = &minted.grant {
        let granted = dip.enclave.verify(|keys| Granted::verify(grant.as_str(), keys)).await;
        let granted = granted.map_err(problems::grant)?;
        if granted.of() != (lease, request) {
            return Err(problems::grant(Unverified::Refused(jws::Error::Claims)));
        }
        let done = match granted {
            Granted::Extension(extension) => dip.ledger.extend(&held, extension.ends).await,
            Granted::Release(release) => dip.ledger.release(lease, release.ends).await,
        };
        if !done.map_err(|error| problems::store(&error))? {
            return Err(problems::lease_ended());
        }
        dip.steps.reached("refresh_committed");
    }
    dip.measures.refreshed(minted.grant.is_some());
    Ok(Json(Refreshed { sealed: minted.sealed, gateway: held.gateway }))
}

/// What the enclave signed: the lease goes on, or its holder gives it back.
enum Granted {
    Extension(Extension),
    Release(Release),
}

impl Granted {
    fn verify(token: &str, keys: &KeySet) -> Result<Self, jws::Error> {
        match Release::verify(token, keys) {
            Ok(release) => Ok(Self::Release(release)),
            Err(_) => Extension::verify(token, keys).map(Self::Extension),
        }
    }

    const fn of(&self) -> (LeaseId, RequestHash) {
        match self {
            Self::Extension(extension) => (extension.lease, extension.request),
            Self::Release(release) => (release.lease, release.request),
        }
    }
}
