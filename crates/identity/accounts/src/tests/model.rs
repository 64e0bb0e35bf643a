//! Requests in any order, against a model that keeps everything in memory.

use std::collections::BTreeMap;

use accounts_api::{AccountSalt, SubscriptionState};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use receipt::{SubscriptionId, SubscriptionVersion};

use super::conformance::{number, salt};
use super::places::{Place, Postgres, Sqlite};
use crate::{AccountStore, Covered, CreateError, ResetError, Subscription};

/// Few numbers and ids, so that they meet.
#[derive(Clone, Debug)]
enum Request {
    Create { number: u8, salt: u8, covered: Covered },
    OfAccount { number: u8 },
    ChangeNumber { from: u8, to: u8 },
    Subscription { id: u8 },
    Refund { id: u8 },
    Reset { id: u8, from: u32 },
}

fn request() -> impl Strategy<Value = Request> {
    let covered = prop_oneof![Just(&["vpn.dip"][..]), Just(&["vpn.access", "vpn.dip"][..])];
    let covered = covered.prop_map(|names| Covered::parse(names).unwrap());
    prop_oneof![
        (0..5_u8, any::<u8>(), covered).prop_map(|(number, salt, covered)| Request::Create {
            number,
            salt,
            covered
        }),
        (0..5_u8).prop_map(|number| Request::OfAccount { number }),
        (0..5_u8, 0..5_u8).prop_map(|(from, to)| Request::ChangeNumber { from, to }),
        (0..12_u8).prop_map(|id| Request::Subscription { id }),
        (0..12_u8).prop_map(|id| Request::Refund { id }),
        (0..12_u8, 0..3_u32).prop_map(|(id, from)| Request::Reset { id, from }),
    ]
}

/// What came of a request.
#[derive(Debug, PartialEq)]
enum Answer {
    Subscription(Option<Subscription>),
    Account(Option<(Subscription, [u8; 16])>),
    Changed(bool),
    Refused,
}

/// The n-th subscription that was made.
fn id(n: u8) -> SubscriptionId {
    SubscriptionId::from_bytes([n; 16])
}

#[derive(Default)]
struct Model {
    accounts: BTreeMap<u8, (SubscriptionId, AccountSalt)>,
    subscriptions: Vec<Subscription>,
}

impl Model {
    fn by_id(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|one| one.id == id)
    }

    /// What the request gives; `made` is what is made, if something is.
    fn answer(&mut self, request: &Request, made: Subscription) -> Answer {
        match *request {
            Request::Create { number, salt: its_salt, covered } => {
                let Some((found, _)) = self.accounts.get(&number).copied() else {
                    self.accounts.insert(number, (made.id, salt(its_salt)));
                    self.subscriptions.push(made.clone());
                    return Answer::Subscription(Some(made));
                };
                let found = self.by_id(found).cloned();
                if found.as_ref().is_some_and(|found| found.covered == covered) {
                    Answer::Subscription(found)
                } else {
                    Answer::Refused
                }
            }
            Request::OfAccount { number } => {
                let found = self.accounts.get(&number).copied();
                let found = found.map(|(id, salt)| (self.by_id(id).cloned(), salt));
                Answer::Account(found.and_then(|(found, salt)| Some((found?, *salt.bytes()))))
            }
            Request::ChangeNumber { from, to } => {
                match (self.accounts.contains_key(&from), self.accounts.contains_key(&to)) {
                    (false, done) => Answer::Changed(done),
                    (true, true) if from != to => Answer::Refused,
                    (true, _) => {
                        let account = self.accounts.remove(&from);
                        self.accounts.extend(account.map(|account| (to, account)));
                        Answer::Changed(true)
                    }
                }
            }
            Request::Subscription { id: n } => Answer::Subscription(self.by_id(id(n)).cloned()),
            Request::Refund { id: n } => {
                let found = self.by_id(id(n));
                Answer::Subscription(found.map(|found| {
                    found.state = SubscriptionState::Refunded;
                    found.clone()
                }))
            }
            Request::Reset { id: n, from } => {
                let from = SubscriptionVersion::new(from);
                let Some(found) = self.by_id(id(n)) else { return Answer::Subscription(None) };
                if found.version == from {
                    found.version = from.next();
                } else if found.version != from.next() {
                    return Answer::Refused;
                }
                Answer::Subscription(Some(found.clone()))
            }
        }
    }
}

async fn ask(store: &impl AccountStore, request: &Request, made: Subscription) -> Answer {
    match *request {
        Request::Create { number: n, salt: its_salt, .. } => {
            match store.create(number(n), salt(its_salt), made).await {
                Ok(kept) => Answer::Subscription(Some(kept)),
                Err(CreateError::Exists) => Answer::Refused,
                Err(CreateError::Store(error)) => panic!("{}", error.cause()),
            }
        }
        Request::OfAccount { number: n } => {
            let found = store.of_account(number(n)).await.unwrap();
            Answer::Account(found.map(|(found, salt)| (found, *salt.bytes())))
        }
        Request::ChangeNumber { from, to } => {
            match store.change_number(number(from), number(to)).await {
                Ok(changed) => Answer::Changed(changed),
                Err(CreateError::Exists) => Answer::Refused,
                Err(CreateError::Store(error)) => panic!("{}", error.cause()),
            }
        }
        Request::Subscription { id: n } => {
            Answer::Subscription(store.subscription(id(n)).await.unwrap())
        }
        Request::Refund { id: n } => Answer::Subscription(store.refund(id(n)).await.unwrap()),
        Request::Reset { id: n, from } => {
            match store.reset(id(n), SubscriptionVersion::new(from)).await {
                Ok(found) => Answer::Subscription(found),
                Err(ResetError::OtherVersion) => Answer::Refused,
                Err(ResetError::Store(error)) => panic!("{}", error.cause()),
            }
        }
    }
}

fn any_requests<P: Place>() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
    let requests = proptest::collection::vec((request(), any::<bool>()), 1..40);
    let compared = TestRunner::new(config).run(&requests, |requests| {
        runtime.block_on(async {
            let place = P::new();
            let (instances, mut model, mut made) = (place.instances().await, Model::default(), 0);
            for (request, first) in requests {
                let covered = match &request {
                    Request::Create { covered, .. } => *covered,
                    _ => Covered::parse(&["vpn.dip"]).unwrap(),
                };
                let new = Subscription::new(id(made), covered);
                made += u8::from(matches!(request, Request::Create { .. }));
                let answer = ask(&instances[usize::from(first)], &request, new.clone()).await;
                prop_assert_eq!(answer, model.answer(&request, new), "{:?}", request);
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
