//! People who try to get more than they paid for or what is others', operators who lie, and strangers who only
//! want to do harm. Every attack is made over HTTP against running processes, and afterwards every row of every
//! service's database is as before; where a good token is presented, its own reservation may be there.
//!
//! | whoever | tries | in |
//! |---|---|---|
//! | forges tokens, or takes one for another | to get an address | [`tokens`] |
//! | shares a subscription, or races with a token | to get two addresses | [`sharing`] |
//! | runs the blind token service | to give one customer a key of their own | [`rogue_keys`] |
//! | holds receipts that are no good | to draw, assign, refresh | [`receipts`] |
//! | holds access tokens that are no good, or sits in a tunnel of their own | to open a tunnel, or end another's | [`devices`] |
//! | runs the enclave, or its parent | to be believed | [`attestation`] |
//! | reaches the enclave's parent | to have tokens minted | [`enclave`] |
//! | sends nonsense | to break a service | [`bodies`], [`transport`] |
//! | sends nothing, slowly | to keep a service busy | [`slow`] |

#[cfg(test)]
mod attestation;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod enclave;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod liar;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod rogue_keys;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod transport;

use anyhow::Result;
use endtoend::customer::Customer;
use endtoend::rows::Rows;
use endtoend::scene::Group;

/// The provider of all tests here that leave it as it was.
static TOWN: Group = Group::new();

/// What the other tests rest on: the comparison sees each single change.
#[test]
fn every_change_of_a_row_is_seen() -> Result<()> {
    let town = TOWN.lock()?;
    let nothing = Rows::of(&town)?;
    // At least the pool, the keys and the tables themselves.
    assert!(nothing.count() > 254 + 3, "{}", nothing.count());
    nothing.unchanged(&town)?;
    let customer = Customer::new(&town)?;
    assert!(nothing.unchanged(&town).is_err());
    let account = Rows::of(&town)?;
    let bought = customer.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    assert!(account.unchanged(&town).is_err());
    assert!(account.only_reserved(&town, &hash).is_err());
    let drawn = Rows::of(&town)?;
    let (minted, _) = customer.assign(&bought)?;
    // That is a lease, not a reservation.
    assert!(drawn.unchanged(&town).is_err());
    assert!(drawn.only_reserved(&town, &hash).is_err());
    let leased = Rows::of(&town)?;
    customer.services.add_peer(&minted.dat, customer.device.public())?;
    assert!(leased.unchanged(&town).is_err());
    Ok(())
}
