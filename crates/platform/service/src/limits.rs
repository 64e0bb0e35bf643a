//! What a service takes at a time, whoever asks: no limit here knows a person or an address.

use std::ffi::OsStr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Problem;

/// How much a kind of request may be asked for, by all together.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// Its name; classes of one name share their allowance.
    pub name: &'static str,
    /// Requests a second in the long run; more get 429.
    pub per_second: NonZero<u32>,
    /// Requests at once after a pause.
    pub burst: NonZero<u32>,
    /// Handlers at work at a time; more requests get 503.
    pub at_once: usize,
}

const fn count(number: u32) -> NonZero<u32> {
    match NonZero::new(number) {
        Some(number) => number,
        None => NonZero::<u32>::MIN,
    }
}

impl Class {
    /// A class; a rate of 0 counts as 1.
    #[must_use]
    pub const fn new(name: &'static str, per_second: u32, burst: u32, at_once: usize) -> Self {
        Self { name, per_second: count(per_second), burst: count(burst), at_once }
    }

    /// The same class with so many times the rate.
    pub(crate) const fn times(self, factor: NonZero<u32>) -> Self {
        let per_second = self.per_second.saturating_mul(factor);
        Self { per_second, burst: self.burst.saturating_mul(factor), ..self }
    }
}

/// The variable by which an operator raises all rates: how many times as many requests a second, 1 to 1,000.
pub(crate) const RATE_FACTOR: &str = "CLOAKROOM_RATE_FACTOR";

/// The factor that the variable's value is; `None` when it is something else than a number in that range.
pub(crate) fn rate_factor(value: &OsStr) -> Option<NonZero<u32>> {
    value.to_str()?.parse().ok().filter(|factor: &NonZero<u32>| factor.get() <= 1000)
}

/// For whoever watches the service: of its own, so that a flood of other requests hides nothing.
pub const PROBE: Class = Class::new("probe", 2_000, 2_000, 64);
/// For what costs a lookup.
pub const LIGHT: Class = Class::new("light", 5_000, 5_000, 512);
/// For what costs a signature, a verification or a commit.
pub const HEAVY: Class = Class::new("heavy", 2_000, 2_000, 256);

/// A class's allowance.
pub(crate) struct Gate {
    rate: DefaultDirectRateLimiter,
    at_once: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new(class: Class) -> Self {
        let quota = Quota::per_second(class.per_second).allow_burst(class.burst);
        Self { rate: RateLimiter::direct(quota), at_once: Arc::new(Semaphore::new(class.at_once)) }
    }

    /// Takes one request off the allowance.
    pub(crate) fn pay(&self) -> Result<(), Problem> {
        self.rate.check().map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            Problem::of_status(StatusCode::TOO_MANY_REQUESTS).with_retry_after(full_seconds(wait))
        })
    }

    /// A place for a handler, if there is one: nobody waits for a place, since who waits holds memory.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.at_once).try_acquire_owned().map_err(|_| busy())
    }
}

pub(crate) fn busy() -> Problem {
    Problem::of_status(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(1)
}

fn full_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_ends_and_says_when_there_is_more() {
        let gate = Gate::new(Class::new("test", 1, 2, 1));
        assert!(gate.pay().is_ok() && gate.pay().is_ok());
        let refused = gate.pay().unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.slug()), (429, "rate-limited"));
    }

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let gate = Gate::new(Class::new("test", 1, 1, 1));
        let place = gate.enter().unwrap();
        assert_eq!(gate.enter().unwrap_err().status().as_u16(), 503);
        drop(place);
        assert!(gate.enter().is_ok());
    }

    #[test]
    fn waits_are_whole_seconds_and_never_none() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(full_seconds(Duration::from_millis(millis)), seconds);
        }
    }

    #[test]
    fn rates_can_be_raised_within_reason() {
        let factor = |text: &str| rate_factor(OsStr::new(text)).map(NonZero::get);
        assert_eq!((factor("1"), factor("1000")), (Some(1), Some(1000)));
        for wrong in ["", "0", "1001", "-1", "2.5", "many"] {
            assert_eq!(factor(wrong), None, "{wrong}");
        }
        let raised = Gate::new(Class::new("test", 1, 2, 1).times(count(2)));
        assert!((0..4).all(|_| raised.pay().is_ok()));
        assert!(raised.pay().is_err());
    }
}
