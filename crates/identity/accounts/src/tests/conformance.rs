//! What [`AccountStore`] promises, on each kind of database, by two instances and many requests at a time.

use accounts_api::{AccountSalt, SubscriptionState};
use receipt::{SubscriptionId, SubscriptionVersion};
use tokio::task::JoinSet;

use super::places::{Place, in_each_place};
use crate::{AccountStore, Covered, CreateError, NumberHash, ResetError, Subscription};

in_each_place![
    an_account_is_kept_with_its_salt,
    requests_may_be_repeated,
    nothing_comes_of_nobody,
    of_many_creations_at_once_one_counts,
    creations_for_different_things_dont_mix,
    a_number_goes_to_one_of_many,
    an_account_is_renamed_once,
    numbers_that_go_round_lose_no_account,
    a_version_rises_by_one_whoever_asks,
    a_refund_and_a_reset_both_count,
];

pub(super) fn number(n: u8) -> NumberHash {
    NumberHash::of(&format!("{n:024}").parse().unwrap())
}

pub(super) fn fresh(names: &[&str]) -> Subscription {
    let id = SubscriptionId::random(&mut coarse::system_rng());
    Subscription::new(id, Covered::parse(names).unwrap())
}

pub(super) fn salt(n: u8) -> AccountSalt {
    AccountSalt::from_bytes([n; 16])
}

const ALL: &[&str] = &["vpn.dip", "vpn.access"];

/// Runs a request `times` at once, alternately by each instance, and gives what came of each.
async fn at_once<S, T, W>(instances: &[S; 2], times: u8, request: impl Fn(S, u8) -> W) -> Vec<T>
where
    S: AccountStore + Clone,
    T: Send + 'static,
    W: Future<Output = T> + Send + 'static,
{
    let mut running = JoinSet::new();
    for (instance, n) in instances.iter().cycle().zip(0..times) {
        running.spawn(request(instance.clone(), n));
    }
    running.join_all().await
}

async fn an_account_is_kept_with_its_salt<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    let mut kept = Vec::new();
    for (n, names) in (1..).zip([&["vpn.dip"][..], &["vpn.access"], ALL]) {
        let new = fresh(names);
        assert_eq!(one.create(number(n), salt(n), new.clone()).await.unwrap(), new);
        kept.push((n, new));
    }
    drop((one, other));
    let [one, other] = place.instances().await;
    for (n, new) in kept {
        let found = other.of_account(number(n)).await.unwrap().unwrap();
        assert!(found == (new.clone(), salt(n)));
        assert_eq!(one.subscription(new.id).await.unwrap(), Some(new));
    }
}

async fn requests_may_be_repeated<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    let new = fresh(ALL);
    one.create(number(1), salt(1), new.clone()).await.unwrap();
    // The same account, with another id and another salt, as the service makes them for each request.
    assert_eq!(other.create(number(1), salt(2), fresh(ALL)).await.unwrap(), new);
    assert!(other.of_account(number(1)).await.unwrap().unwrap().1 == salt(1));
    let else_what = one.create(number(1), salt(1), fresh(&["vpn.dip"])).await;
    assert!(matches!(else_what, Err(CreateError::Exists)));

    let first = SubscriptionVersion::new(0);
    for store in [&one, &other] {
        let raised = store.reset(new.id, first).await.unwrap().unwrap();
        assert_eq!(raised.version, first.next());
        let refunded = store.refund(new.id).await.unwrap().unwrap();
        assert_eq!(refunded.state, SubscriptionState::Refunded);
        assert!(store.change_number(number(1), number(2)).await.unwrap());
    }
    for version in [2, 7] {
        let wrong = one.reset(new.id, SubscriptionVersion::new(version)).await;
        assert!(matches!(wrong, Err(ResetError::OtherVersion)));
    }
    drop((one, other));
    let [one, other] = place.instances().await;
    let (found, its_salt) = other.of_account(number(2)).await.unwrap().unwrap();
    let expected =
        Subscription { version: first.next(), state: SubscriptionState::Refunded, ..new };
    assert!(found == expected && its_salt == salt(1));
    assert!(one.of_account(number(1)).await.unwrap().is_none());
    assert!(one.change_number(number(1), number(2)).await.unwrap(), "that was done before");
    assert!(one.change_number(number(2), number(2)).await.unwrap());
    assert_eq!(one.create(number(2), salt(3), fresh(ALL)).await.unwrap(), expected);
}

async fn nothing_comes_of_nobody<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    let new = fresh(ALL);
    assert!(one.of_account(number(1)).await.unwrap().is_none());
    assert_eq!(one.subscription(new.id).await.unwrap(), None);
    assert_eq!(one.refund(new.id).await.unwrap(), None);
    assert_eq!(one.reset(new.id, SubscriptionVersion::new(0)).await.unwrap(), None);
    assert!(!one.change_number(number(1), number(2)).await.unwrap());
    assert!(!one.change_number(number(1), number(1)).await.unwrap());
    one.create(number(2), salt(1), new.clone()).await.unwrap();
    assert!(!other.change_number(number(1), number(3)).await.unwrap());
    other.create(number(3), salt(1), fresh(ALL)).await.unwrap();
    let taken = other.change_number(number(2), number(3)).await;
    assert!(matches!(taken, Err(CreateError::Exists)));
    assert_eq!(one.of_account(number(2)).await.unwrap().unwrap().0, new);
}

async fn of_many_creations_at_once_one_counts<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    for account in 0..5 {
        let create = move |store: P::Store, n| async move {
            store.create(number(account), salt(n), fresh(ALL)).await.unwrap()
        };
        let answers = at_once(&instances, 24, create).await;
        let kept = instances[0].of_account(number(account)).await.unwrap().unwrap().0;
        assert!(answers.iter().all(|answer| *answer == kept));
        assert_eq!(instances[1].subscription(kept.id).await.unwrap(), Some(kept));
    }
}

async fn creations_for_different_things_dont_mix<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    for account in 0..5 {
        let create = move |store: P::Store, n: u8| async move {
            let new = fresh(if n % 4 < 2 { &["vpn.dip"] } else { &["vpn.access"] });
            (new.covered, store.create(number(account), salt(n), new).await)
        };
        let answers = at_once(&instances, 24, create).await;
        let kept = instances[0].of_account(number(account)).await.unwrap().unwrap().0;
        for (asked, answer) in answers {
            match answer {
                Ok(given) => assert!(given == kept && asked == kept.covered),
                Err(error) => {
                    assert!(matches!(error, CreateError::Exists) && asked != kept.covered);
                }
            }
        }
    }
}

async fn a_number_goes_to_one_of_many<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    for round in 0..5 {
        let all = round * 20..round * 20 + 12;
        for n in all.clone() {
            instances[0].create(number(n), salt(n), fresh(ALL)).await.unwrap();
        }
        let wanted = number(round * 20 + 19);
        let change = move |store: P::Store, n: u8| async move {
            (n, store.change_number(number(round * 20 + n), wanted).await)
        };
        let answers = at_once(&instances, 12, change).await;
        let (won, lost): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|(_, answer)| matches!(answer, Ok(true)));
        let refused = |(_, answer): &(u8, _)| matches!(answer, Err(CreateError::Exists));
        assert!(won.len() == 1 && lost.iter().all(refused));
        let winner = round * 20 + won[0].0;
        assert!(instances[1].of_account(wanted).await.unwrap().unwrap().1 == salt(winner));
        for n in all {
            let found = instances[1].of_account(number(n)).await.unwrap();
            assert_eq!(found.is_none(), n == winner);
        }
    }
}

async fn an_account_is_renamed_once<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    let new = instances[0].create(number(0), salt(0), fresh(ALL)).await.unwrap();
    let change = |store: P::Store, n: u8| async move {
        // Each wish by both instances.
        store.change_number(number(0), number(1 + n / 2)).await.map(|changed| (n / 2, changed))
    };
    let answers = at_once(&instances, 16, change).await;
    let renamed: Vec<u8> =
        answers.into_iter().map(Result::unwrap).filter(|(_, done)| *done).map(|(n, _)| n).collect();
    assert!(!renamed.is_empty() && renamed.iter().all(|n| *n == renamed[0]), "{renamed:?}");
    assert!(instances[0].of_account(number(0)).await.unwrap().is_none());
    let found = instances[1].of_account(number(1 + renamed[0])).await.unwrap().unwrap();
    assert!(found == (new, salt(0)));
}

async fn numbers_that_go_round_lose_no_account<P: Place>() {
    const NUMBERS: u8 = 6;
    let place = P::new();
    let instances = place.instances().await;
    let mut accounts = Vec::new();
    for n in 0..4 {
        accounts.push(instances[0].create(number(n), salt(n), fresh(ALL)).await.unwrap().id);
    }
    let change = |store: P::Store, n: u8| async move {
        for step in 0..8 {
            let (from, to) = ((n + step) % NUMBERS, (n * 5 + step * 7 + 1) % NUMBERS);
            match store.change_number(number(from), number(to)).await {
                Ok(_) | Err(CreateError::Exists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    for done in at_once(&instances, 16, change).await {
        done.unwrap();
    }
    let mut found = Vec::new();
    for n in 0..NUMBERS {
        found.extend(instances[0].of_account(number(n)).await.unwrap().map(|(found, _)| found.id));
    }
    let sorted = |mut ids: Vec<SubscriptionId>| {
        ids.sort_unstable_by_key(|id| *id.bytes());
        ids
    };
    assert!(sorted(found) == sorted(accounts));
}

async fn a_version_rises_by_one_whoever_asks<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    let id = instances[0].create(number(1), salt(1), fresh(ALL)).await.unwrap().id;
    for from in 0..10 {
        let from = SubscriptionVersion::new(from);
        let reset = move |store: P::Store, _| async move { store.reset(id, from).await };
        for answer in at_once(&instances, 12, reset).await {
            assert_eq!(answer.unwrap().unwrap().version, from.next());
        }
    }
}

async fn a_refund_and_a_reset_both_count<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    for n in 0..10 {
        let id = instances[0].create(number(n), salt(n), fresh(ALL)).await.unwrap().id;
        let first = SubscriptionVersion::new(0);
        let change = move |store: P::Store, n: u8| async move {
            if n.is_multiple_of(2) {
                store.refund(id).await.is_ok()
            } else {
                store.reset(id, first).await.is_ok()
            }
        };
        assert!(at_once(&instances, 6, change).await.iter().all(|done| *done));
        let found = instances[1].subscription(id).await.unwrap().unwrap();
        assert_eq!((found.state, found.version), (SubscriptionState::Refunded, first.next()));
    }
}
