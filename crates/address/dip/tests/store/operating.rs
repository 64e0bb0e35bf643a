//! What operators do.

use coarse::Week;
use dip::store::{AlterError, DipStore, ImportError, PoolStore, Standing};
use dip_api::operator::{
    AddressState, Alter, Altered, Case, CaseAct, Category, Change, Complaint, Filter, Imported,
    Mark, MarkLease, Place, Service,
};
use lease::{ExitAddress, Notice};

use crate::fixture::{
    Room, WEEK, block, counts, gateway, hold, later, leased, new, status, tidy, wish, with_pool,
};

pub(crate) async fn imports_are_idempotent_and_never_move_an_address<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    store.set_gateway(gateway("two")).await.unwrap();
    let held = hold(&store, 1).await;
    let import =
        |text, region: &str, gateway: &str| store.import(new(text, region, gateway), false);
    let again = import("192.0.2.0/27", "eu-1", "one").await.unwrap();
    assert_eq!(again, Imported { new: 16, known: 14 });
    assert_eq!(hold(&store, 1).await, held);
    for (region, gateway) in [("us-1", "one"), ("eu-1", "two")] {
        let refused = import("192.0.2.30/31", region, gateway).await;
        assert!(matches!(refused, Err(ImportError::Elsewhere(_))));
    }
    let refused = import("198.51.100.0/28", "eu-1", "three").await;
    assert!(matches!(refused, Err(ImportError::UnknownGateway(_))));
    assert_eq!(store.regions().await.unwrap(), ["eu-1".parse().unwrap()]);
    assert_eq!(status(&store, WEEK).await.available, 29);
}

pub(crate) async fn nothing_of_a_bad_import_stays<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let tried = store.import(new("198.51.100.0/28", "eu-2", "one"), true).await.unwrap();
    assert_eq!(tried, Imported { new: 14, known: 0 });
    let mut bad = new("198.51.100.0/28", "eu-2", "one");
    bad.extend(new("192.0.2.1", "eu-2", "one"));
    let refused = store.import(bad, false).await;
    assert!(matches!(refused, Err(ImportError::Elsewhere(_))));
    assert_eq!(store.regions().await.unwrap(), ["eu-1".parse().unwrap()]);
    assert_eq!(store.places().await.unwrap().len(), 1);
}

pub(crate) async fn prefixes_do_not_overlap<R: Room>(room: &R) {
    let store = with_pool(room, "2001:db8:1::/60").await;
    // IPv4 addresses stand between IPv6 ones in the order of bytes.
    store.import(new("32.1.13.184", "eu-1", "one"), false).await.unwrap();
    store.import(new("2001:db8:2::7", "eu-1", "one"), false).await.unwrap();
    for (inside, of) in [
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("2001:db8:1:f:ffff:ffff:ffff:ffff", "2001:db8:1:f::/64"),
        ("2001:db8:1::/60/60", "2001:db8:1::/64"),
        ("2001:db8:1::/56/56", "2001:db8:1::/64"),
        ("2001:db8:2::/64", "2001:db8:2::7"),
        ("2001:db8:2::/48/48", "2001:db8:2::7"),
    ] {
        match store.import(new(inside, "eu-1", "one"), false).await {
            Err(ImportError::Overlaps { old, .. }) => assert_eq!(old.to_string(), of),
            other => panic!("{inside}: {other:?}"),
        }
    }
    for beside in ["2001:db8:1:10::/64", "2001:db8:2::8", "2001:db8:0:ffff::/64"] {
        let imported = store.import(new(beside, "eu-1", "one"), false).await.unwrap();
        assert_eq!(imported.new, 1);
    }
    assert_eq!(status(&store, WEEK).await.total(), 21);
}

pub(crate) async fn a_gateway_takes_its_leases_along<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let held = hold(&store, 1).await;
    let moved = gateway("one");
    store.set_gateway(moved.clone()).await.unwrap();
    assert_ne!(held.gateway, moved.gateway);
    assert_eq!(hold(&store, 1).await.gateway, moved.gateway);
    assert_eq!(store.gateways().await.unwrap(), [moved]);
}

pub(crate) async fn an_address_moves_with_its_lease<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let held = leased(&store, 1, later(9)).await;
    let mut addresses = vec![held.address, "198.51.100.1".parse().unwrap()];
    addresses.extend(block("192.0.2.0/28").into_iter().find(|one| *one != held.address));
    let move_to = |to: &str, dry_run| {
        let change = Change::Gateway(to.parse().unwrap());
        store.alter(Alter { addresses: addresses.clone(), change, dry_run })
    };
    let refused = move_to("two", false).await;
    assert!(matches!(refused, Err(AlterError::UnknownGateway(_))));
    let two = gateway("two");
    store.set_gateway(two.clone()).await.unwrap();
    let altered = Altered { changed: 2, same: 0, held: 1, unknown: 1 };
    assert_eq!(move_to("two", true).await.unwrap(), altered);
    assert_eq!(hold(&store, 1).await, held);
    assert_eq!(move_to("two", false).await.unwrap(), altered);
    let again = Altered { changed: 0, same: 2, held: 0, unknown: 1 };
    assert_eq!(move_to("two", false).await.unwrap(), again);
    let now = hold(&store, 1).await;
    assert_eq!((now.address, now.lease, now.gateway), (held.address, held.lease, two.gateway));
}

pub(crate) async fn every_address_is_counted_once<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/27").await;
    let serve = |addresses, service| {
        store.alter(Alter { addresses, change: Change::Service(service), dry_run: false })
    };
    hold(&store, 1).await;
    leased(&store, 2, later(9)).await;
    leased(&store, 3, later(1)).await;
    leased(&store, 4, WEEK).await;
    let drained = leased(&store, 5, later(9)).await;
    store.tidy(WEEK, later(5)).await.unwrap();
    let page = |state| {
        let filter = Filter { state: Some(state), ..Filter::default() };
        store.addresses(filter, WEEK, 100)
    };
    let free: Vec<_> = page(AddressState::Available)
        .await
        .unwrap()
        .addresses
        .iter()
        .map(|one| one.address)
        .collect();
    serve(vec![free[0], drained.address], Service::Drained).await.unwrap();
    serve(vec![free[1]], Service::Blocked).await.unwrap();

    let survey = store.survey(WEEK).await.unwrap();
    assert_eq!(survey.len(), 1);
    let status = &survey[0].status;
    // The reservation ended with its token's week.
    let told = [
        (AddressState::Available, status.available, 24),
        (AddressState::Reserved, status.reserved, 0),
        (AddressState::Leased, status.leased, 2),
        (AddressState::Grace, status.grace, 1),
        (AddressState::Quarantine, status.quarantine, 1),
        (AddressState::Drained, status.drained, 1),
        (AddressState::Blocked, status.blocked, 1),
    ];
    for (state, counted, expected) in told {
        assert_eq!((state, counted), (state, expected));
        let listed = page(state).await.unwrap().addresses.len();
        assert_eq!((state, listed), (state, expected as usize));
    }
    assert_eq!((status.withdrawing, status.total()), (1, 30));
    let weeks = |counts: &[dip_api::operator::WeekCount]| {
        counts.iter().map(|one| (one.week, one.count)).collect::<Vec<_>>()
    };
    assert_eq!(weeks(&survey[0].lease_ends), [(later(1), 1), (later(9), 2)]);
    assert_eq!(weeks(&survey[0].quarantine_ends), [(later(5), 1)]);
}

pub(crate) async fn lists_have_pages_and_filters<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    store.import(new("2001:db8:1::/61", "us-1", "one"), false).await.unwrap();
    let listed = |page: dip_api::operator::Page| {
        let addresses: Vec<_> = page.addresses.iter().map(|one| one.address).collect();
        (addresses, page.next)
    };
    let mut all: Vec<ExitAddress> = Vec::new();
    let mut filter = Filter::default();
    loop {
        let (addresses, next) = listed(store.addresses(filter.clone(), WEEK, 5).await.unwrap());
        assert!(addresses.len() == 5 || next.is_none());
        all.extend(addresses);
        let Some(next) = next else { break };
        filter.after = Some(next);
    }
    let mut expected = [block("192.0.2.0/28"), block("2001:db8:1::/61")].concat();
    expected.sort_unstable();
    assert_eq!(all, expected);
    let of_region = Filter { region: Some("us-1".parse().unwrap()), ..Filter::default() };
    assert_eq!(listed(store.addresses(of_region, WEEK, 8).await.unwrap()).0.len(), 8);
    let elsewhere = Filter { gateway: Some("two".parse().unwrap()), ..Filter::default() };
    assert_eq!(listed(store.addresses(elsewhere, WEEK, 8).await.unwrap()), (vec![], None));
}

fn notice(text: &str) -> Notice {
    Notice { reference: "case-7".parse().unwrap(), text: text.parse().unwrap() }
}

pub(crate) async fn leases_are_frozen_and_told_something<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let held = leased(&store, 1, later(9)).await;
    let mark =
        |mark, address| store.mark(MarkLease { address, mark, category: Category::Spam }, WEEK);
    let reserved = hold(&store, 2).await;
    assert_eq!(mark(Mark::Thaw, reserved.address).await.unwrap(), None);
    assert_eq!(mark(Mark::Thaw, "198.51.100.1".parse().unwrap()).await.unwrap(), None);

    let view = mark(Mark::Notice(notice("mind the mail")), held.address).await.unwrap().unwrap();
    assert_eq!((view.frozen, view.notice), (false, Some(notice("mind the mail"))));
    for _ in 0..2 {
        let view = mark(Mark::Freeze(notice("too much mail")), held.address).await.unwrap();
        assert!(view.unwrap().frozen);
    }
    match store.standing(held.lease, WEEK).await.unwrap() {
        Standing::Leased(now) => {
            assert_eq!((now.frozen, now.notice), (true, Some(notice("too much mail"))));
        }
        other => panic!("{other:?}"),
    }
    let view = store.lease_at(held.address, WEEK).await.unwrap().unwrap();
    assert_eq!((view.state, view.until_week, view.frozen), (AddressState::Leased, later(9), true));
    let view = mark(Mark::Thaw, held.address).await.unwrap().unwrap();
    assert_eq!((view.frozen, view.notice), (false, None));
    // What changes nothing isn't counted.
    let acts: Vec<_> =
        store.cases().await.unwrap().iter().map(|case| (case.act, case.count)).collect();
    assert_eq!(acts, [(CaseAct::Freeze, 1), (CaseAct::Notice, 1), (CaseAct::Thaw, 1)]);
    // A notice goes with its lease.
    mark(Mark::Freeze(notice("again")), held.address).await.unwrap();
    tidy(&store, later(9)).await;
    assert_eq!(store.lease_at(held.address, later(9)).await.unwrap(), None);
}

pub(crate) async fn complaints_are_counted<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let held = leased(&store, 1, later(9)).await;
    let complain = |address, category, week| store.complain(Complaint { address, category }, week);
    let nobody = "198.51.100.1".parse().unwrap();
    for _ in 0..2 {
        let view = complain(held.address, Category::Spam, WEEK).await.unwrap();
        assert_eq!(view.unwrap().address, held.address);
    }
    assert_eq!(complain(nobody, Category::Spam, later(1)).await.unwrap(), None);
    let case = |week, act, count| Case { week, act, category: Category::Spam, count };
    let expected = [case(WEEK, CaseAct::Complaint, 2), case(later(1), CaseAct::Unleased, 1)];
    assert_eq!(store.cases().await.unwrap(), expected);
}

pub(crate) async fn demand_is_counted<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let region: lease::Region = "eu-1".parse().unwrap();
    let old = Week::new(WEEK.number() - 27);
    for begun in
        [vec![(region.clone(), old, 1), (region.clone(), WEEK, 2)], vec![(region.clone(), WEEK, 3)]]
    {
        store.count_demand(begun).await.unwrap();
    }
    let begun = async || {
        let survey = store.survey(WEEK).await.unwrap();
        survey[0].begun.iter().map(|one| (one.week, one.count)).collect::<Vec<_>>()
    };
    assert_eq!(begun().await, [(old, 1), (WEEK, 5)]);
    tidy(&store, WEEK).await;
    assert_eq!(begun().await, [(WEEK, 5)]);
}

pub(crate) async fn regions_have_places<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let place = |region: &str, country: Option<&str>| Place {
        region: region.parse().unwrap(),
        country: country.map(str::to_owned),
        subdivision: None,
        city: None,
    };
    assert_eq!(store.places().await.unwrap(), [place("eu-1", None)]);
    for set in [place("eu-1", Some("DE")), place("us-1", Some("US"))] {
        store.set_place(set).await.unwrap();
    }
    let expected = [place("eu-1", Some("DE")), place("us-1", Some("US"))];
    assert_eq!(store.places().await.unwrap(), expected);
    // A region without addresses is one that exists, and has none to give.
    let elsewhere = dip::store::Wish { region: "us-1".parse().unwrap(), ..wish(1) };
    let reservation = store.reserve(elsewhere).await.unwrap();
    assert_eq!(reservation, dip::store::Reservation::Exhausted);
    assert_eq!(counts(&store, WEEK).await, [14, 0, 0, 0]);
}
