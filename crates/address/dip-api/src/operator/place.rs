//! What addresses are given out with: regions, gateways, and the issuer's keys.

use std::fmt;
use std::str::FromStr;

use coarse::Epoch;
use epoch_keys::PublishedKey;
use lease::Region;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::GatewayInfo;

/// Where a region is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The region.
    #[schema(value_type = String)]
    pub region: Region,
    /// The country (ISO 3166-1 alpha-2).
    pub country: Option<String>,
    /// The country's part (ISO 3166-2).
    pub subdivision: Option<String>,
    /// The city.
    pub city: Option<String>,
}

/// Where regions are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Places {
    /// All regions that ever had an address, by name.
    pub places: Vec<Place>,
}

/// A gateway and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedGateway {
    /// The name.
    #[schema(value_type = String)]
    pub name: GatewayName,
    /// The gateway.
    pub gateway: GatewayInfo,
}

/// All gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateways {
    /// By name.
    pub gateways: Vec<NamedGateway>,
}

/// The issuer's public keys, as it publishes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenKeys {
    /// Of any purpose; others than for dedicated addresses are passed over.
    #[schema(value_type = Vec<WrittenPublishedKey>)]
    pub keys: Vec<PublishedKey>,
}

/// [`PublishedKey`] as it is written.
#[derive(ToSchema)]
#[schema(as = PublishedKey)]
#[expect(dead_code, reason = "a shape")]
struct WrittenPublishedKey {
    /// What tokens under this key are good for.
    purpose: String,
    /// In which epoch they are drawn.
    epoch: u32,
    /// The key as SPKI, base64url.
    public_key: String,
    /// The Merkle proof, base64url.
    proof: String,
}

/// Which of the issuer's public keys are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownTokenKeys {
    /// Epochs whose tokens can be verified.
    #[schema(value_type = Vec<u32>)]
    pub epochs: Vec<Epoch>,
    /// Keys of the request that were for other purposes.
    pub passed_over: usize,
}

/// A gateway's name, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GatewayName(String);

/// A text that is no [`GatewayName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a gateway's name is 1 to 32 lower-case letters, digits and hyphens")]
pub struct GatewayNameError;

impl GatewayName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GatewayName {
    type Error = GatewayNameError;

    fn try_from(name: String) -> Result<Self, GatewayNameError> {
        let letters = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=32).contains(&name.len()) && name.bytes().all(letters) {
            Ok(Self(name))
        } else {
            Err(GatewayNameError)
        }
    }
}

impl FromStr for GatewayName {
    type Err = GatewayNameError;

    fn from_str(name: &str) -> Result<Self, GatewayNameError> {
        Self::try_from(name.to_owned())
    }
}

impl From<GatewayName> for String {
    fn from(name: GatewayName) -> Self {
        name.0
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
