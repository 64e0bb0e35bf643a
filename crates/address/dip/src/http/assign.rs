//! `POST /api/v1/assign`: an address for a token.
//!
//! Token, body, reservation, order, grant, commit: in that order, and whoever repeats a request finds what
//! the former one left. A client that loses an answer sends the same token again and gets the same address.

use std::sync::Arc;

use ::http::HeaderValue;
use ::http::header::WWW_AUTHENTICATE;
use ::http::request::Parts;
use axum::extract::{FromRequestParts, State};
use dip_api::Assigned;
use enclave_watch::Unverified;
use encoding::Base64Url;
use lease::{Grant, LeaseId, Order, Region};
use serde::Deserialize;
use service::{Json, Problem};
use wire::envelope::ASSIGN_SIZE;

use super::{App, Dip, problems, sized};
use crate::enclave::{Enclave, MintFor};
use crate::gate::{Admitted, Refused};
use crate::store::{Assignment, Committed, DipStore, Held, Reservation, Wish};

/// [`dip_api::Assign`] as it may come: a missing sealed request has a problem of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    region: Region,
    #[serde(default)]
    sealed: Option<Base64Url>,
}

/// The token is looked at before the body: without one there is a challenge, whatever the body says.
impl<S: DipStore, E: Enclave> FromRequestParts<Arc<Dip<S, E>>> for Admitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, dip: &Arc<Dip<S, E>>) -> Result<Self, Problem> {
        let now = dip.clock.now();
        let admitted = dip.gate.admit(&parts.headers, now, dip.store()).await;
        admitted.map_err(|refused| {
            let problem = match refused {
                Refused::Missing => problems::token_required(),
                Refused::Token | Refused::Key => problems::token_refused(),
            };
            let challenge = dip.gate.present().www_authenticate(now).ok();
            match challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
                Some(challenge) => problem.with_header(WWW_AUTHENTICATE, challenge),
                None => problem,
            }
        })
    }
}

pub(super) async fn assign<S: DipStore, E: Enclave>(
    State(dip): App<S, E>,
    admitted: Admitted,
    Json(body): Json<Body>,
) -> Result<Json<Assigned>, Problem> {
    let sealed = sized(body.sealed, ASSIGN_SIZE)?;
    // Without an enclave a reservation would only be in others' way.
    if dip.enclave.keys().is_none() {
        return Err(problems::enclave_unavailable());
    }
    let wish = Wish {
        token: admitted.token,
        until: admitted.until,
        region: body.region,
        lease: LeaseId::random(&mut coarse::system_rng()),
    };
    dip.steps.reached("assign_admitted");
    let reservation = dip.store().reserve(wish).await;
    let held = match reservation.map_err(|error| problems::store(&error))? {
        Reservation::Held(held) => held,
        Reservation::UnknownRegion => return Err(problems::region_unknown()),
        Reservation::Exhausted => return Err(problems::pool_exhausted()),
        Reservation::Ended => return Err(problems::lease_ended()),
        Reservation::Withdrawn => return Err(problems::address_withdrawn()),
    };
    dip.steps.reached("assign_reserved");

    let Admitted { token, until } = admitted;
    let Held { lease, address, region, frozen, notice, gateway, .. } = held;
    let order = Order { lease, ip: address, region: region.clone(), token, frozen, notice };
    let order = order.sign(&dip.order_key.key(), dip.clock.now()).map_err(problems::signing)?;
    let mint = dip.enclave.attestor().mint(MintFor::Assignment, order, sealed);
    let minted = mint.await.map_err(problems::mint)?;
    dip.steps.reached("assign_minted");

    if let Some(grant) = &minted.grant {
        let grant = dip.enclave.verify(|keys| Grant::verify(grant.as_str(), keys)).await;
        let grant = grant.map_err(problems::grant)?;
        if grant.lease != lease || grant.token != token {
            return Err(problems::grant(Unverified::Refused(jws::Error::Claims)));
        }
        let assignment = Assignment { token, until, lease, address, ends: grant.ends };
        let committed = dip.ledger.commit(assignment).await;
        match committed.map_err(|error| problems::store(&error))? {
            Committed::Begun => dip.demand.begun(region, dip.clock.now().week()),
            Committed::Again => {}
            Committed::Gone => return Err(problems::reservation_lost()),
        }
        dip.steps.reached("assign_committed");
    }
    dip.measures.assigned(minted.grant.is_some());
    Ok(Json(Assigned { lease, sealed: minted.sealed, gateway }))
}
