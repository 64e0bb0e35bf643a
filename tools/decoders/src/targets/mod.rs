//! The targets, a file each: `check` and `seeds`.

pub(crate) mod address_plan;
pub(crate) mod attestation;
pub(crate) mod backup;
pub(crate) mod cbor;
pub(crate) mod config;
pub(crate) mod cose;
pub(crate) mod dns;
pub(crate) mod envelope;
pub(crate) mod frames;
pub(crate) mod http_bodies;
pub(crate) mod imports;
pub(crate) mod jwt;
pub(crate) mod packets;
pub(crate) mod privacy_pass;
pub(crate) mod proxy;
pub(crate) mod tunnel;
pub(crate) mod urls;
pub(crate) mod wallet;
pub(crate) mod wireguard_control;
pub(crate) mod x509;
