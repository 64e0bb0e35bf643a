//! What ends, and what a restored database lacks.

use coarse::{Week, system_rng};
use dip::store::{DipStore, Replay, Replayed, Reservation, Standing};
use lease::{ExitAddress, LeaseId};

use crate::fixture::{
    Room, WEEK, assignment, counts, hold, later, leased, status, tidy, token, wish, with_pool,
};

pub(crate) async fn a_weeks_end_with_many_rows_is_tidied_in_parts<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/24").await;
    for number in 0..140 {
        let held = hold(&store, number).await;
        if number % 2 == 0 {
            store.commit(assignment(number, &held, WEEK)).await.unwrap();
        }
    }
    let before = Week::new(WEEK.number() - 1);
    assert_eq!(counts(&store, before).await, [114, 70, 70, 0]);
    let grace = status(&store, before).await.grace;
    assert_eq!(grace, 70);
    assert!(tidy(&store, WEEK).await > 2);
    assert_eq!(counts(&store, WEEK).await, [184, 0, 0, 70]);
    tidy(&store, later(4)).await;
    assert_eq!(counts(&store, WEEK).await, [184, 0, 0, 70]);
    tidy(&store, later(5)).await;
    assert_eq!(counts(&store, WEEK).await, [254, 0, 0, 0]);
    // The tokens' marks are gone, too: their deadline is past.
    assert!(matches!(store.reserve(wish(0)).await.unwrap(), Reservation::Held(_)));
}

pub(crate) async fn tidying_twice_at_once_does_it_once<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/25").await;
    for number in 0..100 {
        leased(&store, number, WEEK).await;
    }
    let (left, right) = tokio::join!(tidy(&store, WEEK), tidy(&store, WEEK));
    assert!(left + right > 1);
    assert_eq!(counts(&store, WEEK).await, [26, 0, 0, 100]);
}

fn replayed(number: u32, address: ExitAddress, ends: Week) -> Replayed {
    let lease = LeaseId::random(&mut system_rng());
    let token = Some(token(number));
    Replayed { token, until: WEEK, lease, address, ends, ending: false }
}

pub(crate) async fn a_restored_database_is_made_good<R: Room>(room: &R) {
    let before = Week::new(WEEK.number() - 1);
    let store = with_pool(room, "192.0.2.0/28").await;
    let known = leased(&store, 1, later(9)).await;
    let shorter = leased(&store, 2, later(8)).await;
    let kept = leased(&store, 3, later(9)).await;
    let reserved = hold(&store, 4).await;
    let in_the_way = hold(&store, 5).await;
    let drawn = [&known, &shorter, &kept, &reserved, &in_the_way].map(|held| held.address);
    let free = crate::fixture::block("192.0.2.0/28");
    let free = free.into_iter().find(|one| !drawn.contains(one)).unwrap();

    let of = |number, held: &dip::store::Held, ends| Replayed {
        lease: held.lease,
        ..replayed(number, held.address, ends)
    };
    let lost = replayed(6, free, later(9));
    let over_a_reservation = replayed(7, in_the_way.address, later(9));
    let ended = replayed(8, "192.0.2.14".parse().unwrap(), before);
    let journal = vec![
        of(1, &known, later(9)),
        of(2, &shorter, later(9)),
        Replayed { ending: true, ..of(3, &kept, later(1)) },
        of(4, &reserved, later(9)),
        lost,
        over_a_reservation,
        ended,
    ];
    let replay = store.replay(journal.clone(), before).await.unwrap();
    assert_eq!(replay, Replay { tokens: 3, leases: 5, conflicts: 0 });
    assert_eq!(store.replay(journal, before).await.unwrap(), Replay::default());

    let end_of = async |lease| match store.standing(lease, before).await.unwrap() {
        Standing::Leased(held) => Some((held.address, held.ends)),
        _ => None,
    };
    assert_eq!(end_of(known.lease).await, Some((known.address, later(9))));
    assert_eq!(end_of(shorter.lease).await, Some((shorter.address, later(9))));
    assert_eq!(end_of(kept.lease).await, None);
    assert_eq!(end_of(reserved.lease).await, Some((reserved.address, later(9))));
    assert_eq!(end_of(lost.lease).await, Some((free, later(9))));
    // No token comes back to life: not even that of a lease which has ended.
    assert_eq!(hold(&store, 6).await.lease, lost.lease);
    assert_eq!(store.reserve(wish(8)).await.unwrap(), Reservation::Ended);
    // Whoever had a mere reservation gets another address.
    assert_ne!(hold(&store, 5).await.address, in_the_way.address);
    assert_eq!(status(&store, before).await.total(), 14);
    assert_eq!(counts(&store, before).await, [7, 1, 6, 0]);
}

pub(crate) async fn what_cannot_be_made_good_is_counted<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let before = Week::new(WEEK.number() - 1);
    let known = leased(&store, 1, later(9)).await;
    let conflicts = [
        // Somebody else has the address.
        replayed(2, known.address, later(9)),
        // The address isn't in the pool.
        replayed(3, "198.51.100.1".parse().unwrap(), later(9)),
        // The lease has another address.
        Replayed { lease: known.lease, ..replayed(1, "192.0.2.30".parse().unwrap(), later(9)) },
    ];
    for conflict in conflicts {
        let replay = store.replay(vec![conflict], before).await.unwrap();
        assert_eq!(replay.conflicts, 1);
    }
    assert_eq!(hold(&store, 1).await, known);
    // The token bought another lease already.
    let bought = replayed(1, "192.0.2.1".parse().unwrap(), before);
    assert_eq!(store.replay(vec![bought], before).await.unwrap().conflicts, 1);
    assert_eq!(hold(&store, 1).await, known);
}
