//! What operators ask (see [`dip_api::operator`]).

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use dip_api::operator::{
    self, Alter, Altered, Cases, Change, Complained, Complaint, Filter, Gateways, Imported,
    KnownTokenKeys, LeaseAt, LeaseView, MOST_ADDRESSES, Mark, MarkLease, NamedGateway, NewAddress,
    Page, Place, Places, PoolImport, PoolStatus, Survey, Tidied, TokenKeys,
};
use epoch_keys::ImportError as KeyError;
use lease::ExitAddress;
use operating::OperatorName;
use service::{BaseUrl, Json, Problem};

use super::{App, Dip, problems};
use crate::acts;
use crate::enclave::Enclave;
use crate::store::{AlterError, DipStore, Error, ImportError, PoolStore};

/// Addresses on one page of a list.
const PAGE: usize = 1000;
/// Parts that are tidied in one request.
const TIDY_PARTS: usize = 64;

/// The operator's routes, still open to everybody.
pub(super) fn routes<S: DipStore + PoolStore, E: Enclave>() -> Router<Arc<Dip<S, E>>> {
    Router::new()
        .route(operator::POOL, get(status::<S, E>))
        .route(operator::POOL_SURVEY, get(survey::<S, E>))
        .route(operator::POOL_ADDRESSES, get(addresses::<S, E>))
        .route(operator::POOL_IMPORT, post(import::<S, E>))
        .route(operator::POOL_ALTER, post(alter::<S, E>))
        .route(operator::POOL_TIDY, post(tidy::<S, E>))
        .route(operator::PLACES, get(places::<S, E>).post(set_place::<S, E>))
        .route(operator::GATEWAYS, get(gateways::<S, E>).post(set_gateway::<S, E>))
        .route(operator::TOKEN_KEYS, get(token_keys::<S, E>).post(keep_token_keys::<S, E>))
        .route(operator::LEASE_AT, get(lease_at::<S, E>))
        .route(operator::LEASE_MARK, post(mark::<S, E>))
        .route(operator::CASES, get(cases::<S, E>).post(complain::<S, E>))
}

async fn status<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> Result<Json<PoolStatus>, Problem> {
    let survey = dip.store().survey(dip.clock.now().week()).await.map_err(store)?;
    let regions = survey.into_iter().map(|region| region.status).collect();
    Ok(Json(PoolStatus { regions, token_key_epochs: known_keys(&dip, 0).await?.epochs }))
}

async fn survey<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> Result<Json<Survey>, Problem> {
    let week = dip.clock.now().week();
    let regions = dip.store().survey(week).await.map_err(store)?;
    Ok(Json(Survey { week, regions }))
}

async fn addresses<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let Query(filter) = filter.map_err(problems::query)?;
    let now = dip.clock.now().week();
    Ok(Json(dip.store().addresses(filter, now, PAGE).await.map_err(store)?))
}

async fn import<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    operator: OperatorName,
    Json(PoolImport { addresses, dry_run }): Json<PoolImport>,
) -> Result<Json<Imported>, Problem> {
    at_most(addresses.len())?;
    let subject = subject(addresses.iter().map(|NewAddress { address, .. }| *address));
    let imported = dip.store().import(addresses, dry_run).await;
    let imported = imported.map_err(|error| match error {
        ImportError::Store(error) => store(error),
        ImportError::UnknownGateway(_) => problems::gateway_unknown(error),
        ImportError::Elsewhere(_) | ImportError::Overlaps { .. } => problems::conflict(error),
    });
    if !dry_run {
        return dip.acts.noted(operator, acts::POOL_IMPORT, subject, imported).await.map(Json);
    }
    imported.map(Json)
}

async fn alter<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    operator: OperatorName,
    Json(alter): Json<Alter>,
) -> Result<Json<Altered>, Problem> {
    at_most(alter.addresses.len())?;
    let (act, to) = match &alter.change {
        Change::Service(service) => (acts::POOL_SERVICE, service.as_str()),
        Change::Gateway(gateway) => (acts::POOL_MOVE, gateway.as_str()),
    };
    let subject = format!("{to} {}", subject(alter.addresses.iter().copied()));
    let dry_run = alter.dry_run;
    let altered = dip.store().alter(alter).await.map_err(|error| match error {
        AlterError::Store(error) => store(error),
        AlterError::UnknownGateway(_) => problems::gateway_unknown(error),
    });
    if !dry_run {
        return dip.acts.noted(operator, act, subject, altered).await.map(Json);
    }
    altered.map(Json)
}

async fn tidy<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> Result<Json<Tidied>, Problem> {
    for _ in 0..TIDY_PARTS {
        if !dip.tidy().await.map_err(store)? {
            return Ok(Json(Tidied { more: false }));
        }
    }
    Ok(Json(Tidied { more: true }))
}

async fn places<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> Result<Json<Places>, Problem> {
    Ok(Json(Places { places: dip.store().places().await.map_err(store)? }))
}

async fn set_place<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    operator: OperatorName,
    Json(place): Json<Place>,
) -> Result<Json<Place>, Problem> {
    let subject = place.region.to_string();
    let set = match check_place(&place) {
        Ok(()) => dip.store().set_place(place.clone()).await.map_err(store),
        Err(problem) => Err(problem),
    };
    dip.acts.noted(operator, acts::REGION_PLACE, subject, set.map(|()| Json(place))).await
}

/// A place that a geofeed can tell, or none.
fn check_place(place: &Place) -> Result<(), Problem> {
    let Place { country, subdivision, city, .. } = place;
    match country {
        Some(country) => pool::Place::new(country, subdivision.as_deref(), city.as_deref())
            .map(drop)
            .map_err(problems::place),
        None if subdivision.is_none() && city.is_none() => Ok(()),
        None => Err(problems::place(pool::PlaceError::Country)),
    }
}

async fn gateways<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> Result<Json<Gateways>, Problem> {
    Ok(Json(Gateways { gateways: dip.store().gateways().await.map_err(store)? }))
}

async fn set_gateway<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    operator: OperatorName,
    Json(gateway): Json<NamedGateway>,
) -> Result<Json<NamedGateway>, Problem> {
    let subject = format!("{} {}", gateway.name, gateway.gateway.tunnel.public_key);
    let set = match gateway.gateway.url.parse::<BaseUrl>() {
        Ok(_) => dip.store().set_gateway(gateway.clone()).await.map_err(store),
        Err(error) => Err(problems::gateway_url(error)),
    };
    dip.acts.noted(operator, acts::GATEWAY_SET, subject, set.map(|()| Json(gateway))).await
}

async fn token_keys<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> Result<Json<KnownTokenKeys>, Problem> {
    known_keys(&dip, 0).await.map(Json)
}

async fn keep_token_keys<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    operator: OperatorName,
    Json(TokenKeys { keys }): Json<TokenKeys>,
) -> Result<Json<KnownTokenKeys>, Problem> {
    let kept = take_in(&dip, keys).await;
    dip.acts.noted(operator, acts::KEYS_IMPORT, String::new(), kept.map(Json)).await
}

async fn take_in<S: PoolStore + DipStore, E: Enclave>(
    dip: &Dip<S, E>,
    keys: Vec<epoch_keys::PublishedKey>,
) -> Result<KnownTokenKeys, Problem> {
    let sifted = dip.gate.sift(keys).ok_or_else(problems::no_tree)?;
    let sifted = sifted.map_err(|error| match error {
        KeyError::Key(epoch, _) => problems::token_key_refused(epoch),
        KeyError::Form(_) => Problem::internal(),
    })?;
    dip.store().keep_token_keys(sifted.keys).await.map_err(store)?;
    dip.gate.reload(dip.store()).await.map_err(|error| {
        tracing::error!(%error, "token keys can't be loaded");
        Problem::internal()
    })?;
    known_keys(dip, sifted.others).await
}

async fn known_keys<S: PoolStore + DipStore, E: Enclave>(
    dip: &Dip<S, E>,
    passed_over: usize,
) -> Result<KnownTokenKeys, Problem> {
    let keys = dip.store().token_keys().await.map_err(store)?;
    Ok(KnownTokenKeys { epochs: keys.iter().map(|key| key.epoch).collect(), passed_over })
}

async fn lease_at<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    query: Result<Query<LeaseAt>, QueryRejection>,
) -> Result<Json<LeaseView>, Problem> {
    let Query(LeaseAt { address }) = query.map_err(problems::query)?;
    let found = dip.store().lease_at(address, dip.clock.now().week()).await;
    found.map_err(store)?.map(Json).ok_or_else(problems::not_leased)
}

async fn mark<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    operator: OperatorName,
    Json(mark): Json<MarkLease>,
) -> Result<Json<LeaseView>, Problem> {
    let act = match mark.mark {
        Mark::Freeze(_) => acts::LEASE_FREEZE,
        Mark::Thaw => acts::LEASE_THAW,
        Mark::Notice(_) => acts::LEASE_NOTICE,
    };
    let subject = mark.address.to_string();
    let marked = dip.store().mark(mark, dip.clock.now().week()).await.map_err(store);
    let marked = marked.and_then(|view| view.map(Json).ok_or_else(problems::not_leased));
    dip.acts.noted(operator, act, subject, marked).await
}

async fn cases<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> Result<Json<Cases>, Problem> {
    Ok(Json(Cases { cases: dip.store().cases().await.map_err(store)? }))
}

async fn complain<S: PoolStore + DipStore, E: Enclave>(
    State(dip): App<S, E>,
    operator: OperatorName,
    Json(complaint): Json<Complaint>,
) -> Result<Json<Complained>, Problem> {
    let subject = format!("{} {}", complaint.address, complaint.category);
    let lease = dip.store().complain(complaint, dip.clock.now().week()).await;
    let lease = lease.map_err(store).map(|lease| Json(Complained { lease }));
    dip.acts.noted(operator, acts::COMPLAINT, subject, lease).await
}

fn at_most(count: usize) -> Result<(), Problem> {
    if count <= MOST_ADDRESSES { Ok(()) } else { Err(problems::too_many_addresses()) }
}

/// What the trail says of a list of addresses: in as few blocks as can be.
fn subject(addresses: impl Iterator<Item = ExitAddress>) -> String {
    const MOST: usize = 64;
    let blocks = pool::aggregate(addresses);
    let mut told: Vec<_> = blocks.iter().take(MOST).map(ToString::to_string).collect();
    if blocks.len() > MOST {
        told.push(format!("and {} more blocks", blocks.len() - MOST));
    }
    told.join(" ")
}

fn store(error: Error) -> Problem {
    problems::store(&error)
}
