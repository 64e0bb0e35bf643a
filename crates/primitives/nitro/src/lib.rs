//! AWS Nitro attestation documents: checked and made.
//!
//! A document is what an enclave shows to prove which code it runs: COSE_Sign1 (RFC 9052) around a CBOR map of
//! measurements (PCRs), signed under a certificate chain that ends in a root which the reader pins.
//!
//! - [`verify()`] gives services a verdict, [`examine`] gives people every check (and [`JsonReport`] its JSON).
//!   The time is a parameter: a genuine document is good for about three hours only.
//! - `DevelopmentAuthority` (feature `development`) makes the same documents without the hardware, under a root that
//!   says so; ask [`is_untrusted_development`].
//!
//! The layers of a document can be read one by one, too: [`cbor`], [`cose`], [`certificate`], [`chain`].
//!
//! Source: "Nitro Enclaves Attestation Process" of aws/aws-nitro-enclaves-nsm-api. There is one reading of a
//! document: what isn't in the shortest CBOR form, appears twice, is unknown or left over is refused.

pub mod cbor;
pub mod certificate;
pub mod chain;
pub mod cose;
mod der;
#[cfg(feature = "development")]
mod development;
mod json;
mod payload;
mod pcr;
mod verify;

#[cfg(test)]
mod tests;

pub use certificate::{
    CertificateError, RootError, is_untrusted_development, root_from_pem_or_der,
};
#[cfg(feature = "development")]
pub use development::{DevelopmentAuthority, DevelopmentError, DocumentSigner, LEAF_LIFE};
pub use json::JsonReport;
pub use payload::{DocumentFields, PayloadError};
pub use pcr::{Pcr, Pcrs, extended};
pub use verify::{
    Attestation, Check, CheckName, Expectations, Rejection, Report, examine, timestamp_ms, verify,
};
