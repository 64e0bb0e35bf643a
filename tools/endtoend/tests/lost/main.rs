//! Nothing is lost and nothing is given twice: whatever request or reply gets lost, whichever service dies meanwhile, the
//! same step once more comes to the same end: one token, one lease, one address.
//!
//! Every conversation goes through somebody who can drop the second half of a request, a whole reply, or the second
//! half of a reply: client to accounts, blind token service, the enclave's parent, DIP service, gateway and backup service; DIP service
//! to parent; parent to enclave.

#[cfg(test)]
mod command;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod street;
