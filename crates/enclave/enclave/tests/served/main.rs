//! The enclave over a module that the tests hold: its boot, its attestation, its clock, its streams.

#[cfg(test)]
mod boot;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod streams;
