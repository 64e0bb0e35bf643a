//! Requests in any order, against a model that keeps everything in memory.

use std::collections::BTreeMap;

use coarse::Epoch;
use epoch_keys::Purpose;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::conformance::{draw, outcome, signature};
use super::places::{Place, Postgres, Sqlite};
use super::room::{DAY, NOW, TODAY, WEEK};
use crate::{ACCESS_SLOTS, BlindSignature, IssuerStore as _, Limit};

/// A draw, of few customers, versions, messages and keys, so that they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    customer: u8,
    version: u32,
    message: u8,
    purpose: Purpose,
    later: bool,
}

impl Wish {
    fn epoch(self) -> Epoch {
        let first = if self.purpose == Purpose::DedicatedIp { WEEK } else { TODAY };
        if self.later { first.next() } else { first }
    }

    fn draw(self) -> crate::Draw {
        draw(self.customer, self.version, self.message, (self.purpose, self.epoch()))
    }
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Look(Wish),
    Record(Wish, u8),
    ForgetEnded { days: u64 },
}

fn request() -> impl Strategy<Value = Request> {
    const PURPOSES: &[Purpose] =
        &[Purpose::Access, Purpose::Access, Purpose::DedicatedIp, Purpose::Renewal];
    let wish = (0..2_u8, 0..3_u32, 0..14_u8, prop::sample::select(PURPOSES), any::<bool>());
    let wish = wish.prop_map(|(customer, version, message, purpose, later)| Wish {
        customer,
        version,
        message,
        purpose,
        later,
    });
    prop_oneof![
        4 => wish.clone().prop_map(Request::Look),
        16 => (wish, any::<u8>()).prop_map(|(wish, answer)| Request::Record(wish, answer)),
        1 => (0..100_u64).prop_map(|days| Request::ForgetEnded { days }),
    ]
}

#[derive(Default)]
struct Model {
    /// The highest version of each customer, and whether its address was drawn.
    known: BTreeMap<u8, (u32, bool)>,
    answers: BTreeMap<Wish, BlindSignature>,
}

impl Model {
    fn look(&mut self, wish: Wish) -> Result<Option<BlindSignature>, Limit> {
        let decision = self.decide(wish);
        let known = self.known.get(&wish.customer).map_or(0, |known| known.0);
        if wish.version > known {
            self.known.insert(wish.customer, (wish.version, false));
        }
        decision
    }

    fn record(&mut self, wish: Wish, answer: BlindSignature) -> Result<BlindSignature, Limit> {
        if let Some(answered) = self.decide(wish)? {
            return Ok(answered);
        }
        let dedicated = wish.purpose == Purpose::DedicatedIp;
        let known = self.known.get(&wish.customer).map_or(0, |known| known.0);
        if dedicated || wish.version > known {
            self.known.insert(wish.customer, (wish.version, dedicated));
        }
        self.answers.insert(wish, answer);
        Ok(answer)
    }

    fn decide(&self, wish: Wish) -> Result<Option<BlindSignature>, Limit> {
        let (version, drawn) = self.known.get(&wish.customer).copied().unwrap_or_default();
        if wish.version < version {
            return Err(Limit::OldVersion);
        }
        if let Some(answer) = self.answers.get(&wish) {
            return Ok(Some(*answer));
        }
        let same_day = |other: &&Wish| {
            (other.customer, other.purpose, other.later)
                == (wish.customer, wish.purpose, wish.later)
        };
        let reached = match wish.purpose {
            Purpose::DedicatedIp => drawn && wish.version == version,
            Purpose::Access => {
                self.answers.keys().filter(same_day).count() >= ACCESS_SLOTS as usize
            }
            Purpose::Renewal | Purpose::RelayTicket => true,
        };
        if reached { Err(Limit::Reached) } else { Ok(None) }
    }
}

fn any_requests<P: Place>() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
    let requests = prop::collection::vec((request(), any::<bool>()), 1..80);
    let compared = TestRunner::new(config).run(&requests, |requests| {
        runtime.block_on(async {
            let place = P::new();
            let (instances, mut model) = (place.instances().await, Model::default());
            for (request, first) in requests {
                let store = &instances[usize::from(first)];
                match request {
                    Request::Look(wish) => {
                        let looked = outcome(store.look(wish.draw()).await);
                        prop_assert_eq!(looked, model.look(wish), "{:?}", request);
                    }
                    Request::Record(wish, answer) => {
                        let answer = signature(answer);
                        let recorded = outcome(store.record(wish.draw(), answer).await);
                        prop_assert_eq!(recorded, model.record(wish, answer), "{:?}", request);
                    }
                    Request::ForgetEnded { days } => {
                        let now = NOW.plus(std::time::Duration::from_secs(days * DAY));
                        store.forget_ended(now).await.unwrap();
                        let lives = |wish: &Wish| {
                            let deadline = wish.purpose.spend_deadline(wish.epoch());
                            now < deadline.plus(epoch_keys::CLOCK_SKEW)
                        };
                        model.answers.retain(|wish, _| lives(wish));
                    }
                }
                let subscriptions = model.known.len() as u32;
                let kept = (subscriptions, model.answers.len() as u32);
                prop_assert_eq!(P::rows(store).await, kept, "{:?}", request);
            }
            Ok(())
        })
    });
    compared.unwrap();
}

#[test]
fn sqlite_gives_what_the_model_gives() {
    any_requests::<Sqlite>();
}

#[test]
fn postgres_gives_what_the_model_gives() {
    any_requests::<Postgres>();
}
