//! What [`IssuerStore`] promises, on each kind of database, by two instances and many requests at a time.

use coarse::{Epoch, UnixTime};
use epoch_keys::Purpose;
use receipt::{SubscriptionId, SubscriptionVersion};
use tokio::task::JoinSet;

use super::places::{Place, in_each_place};
use super::room::{NOW, TODAY, WEEK, blinded};
use crate::{
    ACCESS_SLOTS, Asked, BlindSignature, BlindedHash, Draw, DrawError, IssuerStore, Limit,
};

in_each_place![
    a_draw_is_answered_alike_for_good,
    one_dedicated_address_for_a_version,
    ten_devices_for_an_epoch,
    what_is_not_sold_is_not_drawn,
    versions_only_rise,
    looking_remembers_a_version,
    a_message_finds_the_key_that_answered_it,
    of_many_that_race_for_an_address_one_draws,
    of_many_devices_that_race_ten_draw,
    a_version_that_is_seen_meanwhile_is_never_lowered,
    what_has_ended_is_forgotten_by_whoever_tidies,
    tidying_at_once_harms_nobody,
];

const DIP: Purpose = Purpose::DedicatedIp;
const ACCESS: Purpose = Purpose::Access;

pub(super) fn draw(customer: u8, version: u32, message: u8, key: (Purpose, Epoch)) -> Draw {
    let (purpose, epoch) = key;
    Draw {
        subscription: SubscriptionId::from_bytes([customer; 16]),
        version: SubscriptionVersion::new(version),
        purpose,
        epoch,
        blinded: BlindedHash::of(&blinded(message)),
    }
}

pub(super) const fn signature(n: u8) -> BlindSignature {
    BlindSignature([n; 256])
}

/// What came of a request, as far as tests compare it.
pub(super) fn outcome<T>(answer: Result<T, DrawError>) -> Result<T, Limit> {
    answer.map_err(|error| match error {
        DrawError::Limit(limit) => limit,
        DrawError::Store(error) => panic!("{}", error.cause()),
    })
}

async fn look(store: &impl IssuerStore, draw: Draw) -> Result<Option<BlindSignature>, Limit> {
    outcome(store.look(draw).await)
}

async fn record(
    store: &impl IssuerStore,
    draw: Draw,
    signature: BlindSignature,
) -> Result<BlindSignature, Limit> {
    outcome(store.record(draw, signature).await)
}

/// Runs a request `times` at once, alternately by each instance, and gives what came of each.
async fn at_once<S, T, W>(instances: &[S; 2], times: u8, request: impl Fn(S, u8) -> W) -> Vec<T>
where
    S: IssuerStore + Clone,
    T: Send + 'static,
    W: Future<Output = T> + Send + 'static,
{
    let mut running = JoinSet::new();
    for (instance, n) in instances.iter().cycle().zip(0..times) {
        running.spawn(request(instance.clone(), n));
    }
    running.join_all().await
}

async fn a_draw_is_answered_alike_for_good<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    let draws = [(DIP, WEEK), (ACCESS, TODAY)].map(|key| draw(1, 0, 1, key));
    for draw in draws {
        assert_eq!(look(&one, draw).await, Ok(None));
        assert_eq!(record(&one, draw, signature(1)).await, Ok(signature(1)));
        for store in [&one, &other] {
            assert_eq!(look(store, draw).await, Ok(Some(signature(1))));
            assert_eq!(record(store, draw, signature(2)).await, Ok(signature(1)));
        }
    }
    drop((one, other));
    let [one, other] = place.instances().await;
    for draw in draws {
        assert_eq!(record(&one, draw, signature(3)).await, Ok(signature(1)));
        assert_eq!(look(&other, draw).await, Ok(Some(signature(1))));
    }
    assert_eq!(P::rows(&one).await, (1, 2));
}

async fn one_dedicated_address_for_a_version<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    record(&one, draw(1, 0, 1, (DIP, WEEK)), signature(1)).await.unwrap();
    for wrong in [draw(1, 0, 2, (DIP, WEEK)), draw(1, 0, 1, (DIP, WEEK.next()))] {
        assert_eq!(look(&other, wrong).await, Err(Limit::Reached));
        assert_eq!(record(&other, wrong, signature(2)).await, Err(Limit::Reached));
    }
    // Another customer, and another version.
    for right in [draw(2, 0, 1, (DIP, WEEK)), draw(1, 1, 1, (DIP, WEEK))] {
        assert_eq!(record(&other, right, signature(3)).await, Ok(signature(3)));
    }
    assert_eq!(record(&one, draw(1, 1, 2, (DIP, WEEK)), signature(4)).await, Err(Limit::Reached));
    assert_eq!(P::rows(&one).await, (2, 3));
}

async fn ten_devices_for_an_epoch<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    for device in 0..10 {
        let draw = draw(1, 0, device, (ACCESS, TODAY));
        assert_eq!(record(&one, draw, signature(device)).await, Ok(signature(device)));
    }
    let eleventh = draw(1, 0, 10, (ACCESS, TODAY));
    assert_eq!(look(&other, eleventh).await, Err(Limit::Reached));
    assert_eq!(record(&other, eleventh, signature(1)).await, Err(Limit::Reached));
    assert_eq!(P::rows(&one).await, (0, 10), "nothing is kept of the subscription");
    // A higher version is no way to more of the same day; another day is.
    let again = record(&one, draw(1, 1, 10, (ACCESS, TODAY)), signature(1)).await;
    assert_eq!(again, Err(Limit::Reached));
    assert!(record(&one, draw(1, 1, 10, (ACCESS, TODAY.next())), signature(1)).await.is_ok());
}

async fn what_is_not_sold_is_not_drawn<P: Place>() {
    let place = P::new();
    let [one, _other] = place.instances().await;
    for purpose in [Purpose::Renewal, Purpose::RelayTicket] {
        let draw = draw(1, 0, 1, (purpose, TODAY));
        assert_eq!(look(&one, draw).await, Err(Limit::Reached));
        assert_eq!(record(&one, draw, signature(1)).await, Err(Limit::Reached));
    }
    assert_eq!(P::rows(&one).await, (0, 0));
}

async fn versions_only_rise<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    record(&one, draw(1, 3, 1, (ACCESS, TODAY)), signature(1)).await.unwrap();
    for version in 0..3 {
        for key in [(DIP, WEEK), (ACCESS, TODAY)] {
            let old = draw(1, version, 2, key);
            assert_eq!(look(&other, old).await, Err(Limit::OldVersion));
            assert_eq!(record(&other, old, signature(2)).await, Err(Limit::OldVersion));
        }
    }
    record(&other, draw(1, u32::MAX, 1, (DIP, WEEK)), signature(3)).await.unwrap();
    // What was answered in a version that has ended isn't answered any more.
    assert_eq!(look(&one, draw(1, 3, 1, (ACCESS, TODAY))).await, Err(Limit::OldVersion));
    assert_eq!(P::rows(&one).await, (1, 2));
}

async fn looking_remembers_a_version<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    record(&one, draw(1, 0, 1, (DIP, WEEK)), signature(1)).await.unwrap();
    assert_eq!(look(&other, draw(1, 2, 1, (DIP, WEEK))).await, Ok(None));
    assert_eq!(look(&one, draw(1, 1, 1, (DIP, WEEK))).await, Err(Limit::OldVersion));
    drop((one, other));
    let [one, other] = place.instances().await;
    assert_eq!(look(&one, draw(1, 1, 1, (DIP, WEEK))).await, Err(Limit::OldVersion));
    // The new version's address is its own.
    assert_eq!(record(&other, draw(1, 2, 1, (DIP, WEEK)), signature(2)).await, Ok(signature(2)));
    assert_eq!(look(&one, draw(1, 2, 2, (DIP, WEEK))).await, Err(Limit::Reached));
    // Also when the look itself is refused, and for whom nothing was known of.
    let refused = draw(2, 4, 1, (Purpose::Renewal, TODAY));
    assert_eq!(look(&one, refused).await, Err(Limit::Reached));
    assert_eq!(look(&other, draw(2, 3, 1, (DIP, WEEK))).await, Err(Limit::OldVersion));
}

async fn a_message_finds_the_key_that_answered_it<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    let keys = [(ACCESS, TODAY), (ACCESS, TODAY.next()), (DIP, WEEK)];
    for (n, key) in (1..).zip(keys) {
        record(&one, draw(1, 0, 1, key), signature(n)).await.unwrap();
    }
    let asked = |message, now| {
        let Draw { subscription, version, blinded, .. } = draw(1, 0, message, (DIP, WEEK));
        Asked { subscription, version, blinded, now }
    };
    for (n, key) in (1..).zip(keys) {
        let is_meant = move |purpose, epoch| (purpose, epoch) == key;
        let found = outcome(other.look_among(asked(1, None), is_meant).await).unwrap();
        let (found, answer) = found.unwrap();
        assert_eq!(((found.purpose, found.epoch), answer), (key, Some(signature(n))));
        // What was answered before goes before what may be drawn now.
        let now = Some((ACCESS, Epoch::new(1)));
        let found = outcome(other.look_among(asked(1, now), is_meant).await).unwrap();
        assert_eq!(found.and_then(|(_, answer)| answer), Some(signature(n)));
    }
    let nothing = |_, _| false;
    assert!(outcome(one.look_among(asked(1, None), nothing).await).unwrap().is_none());
    let found = outcome(one.look_among(asked(2, Some(keys[0])), nothing).await).unwrap();
    let (found, answer) = found.unwrap();
    assert_eq!(((found.purpose, found.epoch), answer), (keys[0], None));
    let reached = one.look_among(asked(2, Some(keys[2])), nothing).await;
    assert_eq!(outcome(reached).err(), Some(Limit::Reached));
}

/// Three times eight different requests: those that sent the one that won get its answer, the others nothing.
async fn of_many_that_race_for_an_address_one_draws<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    for customer in 0..6 {
        let race = move |store: P::Store, n: u8| async move {
            let message = n % 8;
            (message, record(&store, draw(customer, 0, message, (DIP, WEEK)), signature(n)).await)
        };
        let answers = at_once(&instances, 24, race).await;
        let given: Vec<_> =
            answers.iter().filter_map(|(message, answer)| Some((*message, answer.ok()?))).collect();
        assert!(given.len() == 3 && given.iter().all(|one| *one == given[0]), "{customer}");
        let refused = answers.iter().filter(|(_, answer)| *answer == Err(Limit::Reached));
        assert_eq!(refused.count(), 21);
        assert_eq!(
            P::rows(&instances[0]).await,
            (u32::from(customer) + 1, u32::from(customer) + 1)
        );
    }
}

async fn of_many_devices_that_race_ten_draw<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    for customer in 0..6 {
        let race = move |store: P::Store, n: u8| async move {
            record(&store, draw(customer, 0, n, (ACCESS, TODAY)), signature(n)).await
        };
        let answers = at_once(&instances, 24, race).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
        assert!(answers.iter().all(|answer| answer.is_ok() || *answer == Err(Limit::Reached)));
    }
    assert_eq!(P::rows(&instances[1]).await, (0, 6 * ACCESS_SLOTS));
}

/// Some draw in their version while others are seen with a higher one.
async fn a_version_that_is_seen_meanwhile_is_never_lowered<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    for customer in 0..8 {
        let race = move |store: P::Store, n: u8| async move {
            let version = u32::from(n % 6);
            if n % 4 < 2 {
                look(&store, draw(customer, version, n, (ACCESS, TODAY))).await.map(drop)
            } else {
                record(&store, draw(customer, version, n, (DIP, WEEK)), signature(n))
                    .await
                    .map(drop)
            }
        };
        at_once(&instances, 24, race).await;
        for version in 0..5 {
            let old = draw(customer, version, 99, (ACCESS, TODAY));
            assert_eq!(look(&instances[0], old).await, Err(Limit::OldVersion));
        }
        assert_eq!(look(&instances[1], draw(customer, 5, 99, (ACCESS, TODAY))).await, Ok(None));
    }
}

/// The first second in which an answer may be forgotten: its token can't be spent, by nobody's clock.
fn end_of(purpose: Purpose, epoch: Epoch) -> UnixTime {
    purpose.spend_deadline(epoch).plus(epoch_keys::CLOCK_SKEW)
}

async fn what_has_ended_is_forgotten_by_whoever_tidies<P: Place>() {
    let place = P::new();
    let [one, other] = place.instances().await;
    let keys = [(ACCESS, TODAY), (ACCESS, TODAY.next()), (DIP, WEEK), (DIP, WEEK.next())];
    for (customer, key) in (1..).zip(keys) {
        record(&one, draw(customer, 0, 1, key), signature(customer)).await.unwrap();
    }
    other.forget_ended(NOW).await.unwrap();
    assert_eq!(P::rows(&one).await, (2, 4));
    for (left, (purpose, epoch)) in [3, 2, 1, 0].into_iter().zip(keys) {
        let end = end_of(purpose, epoch);
        other.forget_ended(UnixTime::from_seconds(end.seconds() - 1)).await.unwrap();
        assert_eq!(P::rows(&one).await, (2, left + 1));
        for store in [&one, &other, &one] {
            store.forget_ended(end).await.unwrap();
        }
        assert_eq!(P::rows(&one).await, (2, left));
    }
    // What was drawn stays drawn.
    assert_eq!(look(&one, draw(3, 0, 1, (DIP, WEEK))).await, Err(Limit::Reached));
    other.forget_ended(UnixTime::from_seconds(0)).await.unwrap();
}

async fn tidying_at_once_harms_nobody<P: Place>() {
    let place = P::new();
    let instances = place.instances().await;
    let (past, end) =
        (Epoch::new(TODAY.number() - 1), end_of(ACCESS, Epoch::new(TODAY.number() - 1)));
    let work = move |store: P::Store, n: u8| async move {
        record(&store, draw(n, 0, 1, (ACCESS, past)), signature(n)).await.unwrap();
        store.forget_ended(end).await.unwrap();
        record(&store, draw(n, 0, 2, (ACCESS, TODAY)), signature(n)).await.unwrap();
        store.forget_ended(end).await.unwrap();
    };
    at_once(&instances, 40, work).await;
    assert_eq!(P::rows(&instances[0]).await, (0, 40));
}
