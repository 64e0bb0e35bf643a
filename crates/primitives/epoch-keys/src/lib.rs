//! Purposes, epochs and the tree that commits to one key for each.
//!
//! A token is good for one [`Purpose`] in one epoch, because the issuer has a key of its own for each.
//! Which key that is, is fixed before the first token is drawn: per purpose a Merkle tree commits to
//! all keys, and clients pin its root ([`TreePin`]). So no issuer can show one customer a key that it
//! shows nobody else, and recognise the customer's token by it later.
//!
//! [`CommitmentTree`] is the generator's side; [`TreePin::verify`] everybody else's.

mod challenge;
mod collision;
mod pin;
mod proof;
mod published;
mod purpose;
mod tree;

pub use challenge::challenge;
pub use collision::{ScheduledKey, truncated_id_collides};
pub use pin::{CommittedKey, PinError, TreePin};
pub use proof::{Proof, ProofError, Root, RootError};
pub use published::{ImportError, Imported, PublishedKey};
pub use purpose::{CLOCK_SKEW, Purpose, PurposeError};
pub use tree::{CommitmentTree, SuccessorKey, TreeError};
