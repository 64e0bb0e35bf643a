//! The operator's routes.

use dip_api::operator::{
    Alter, Altered, CASES, Category, Change, Complained, Complaint, GATEWAYS, Imported,
    KnownTokenKeys, LEASE_AT, LeaseView, MOST_ADDRESSES, NamedGateway, NewAddress, PLACES, POOL,
    POOL_ADDRESSES, POOL_ALTER, POOL_IMPORT, POOL_SURVEY, POOL_TIDY, Page, Place, PoolImport,
    PoolStatus, Service as Wanted, Survey, TOKEN_KEYS, Tidied, TokenKeys,
};
use epoch_keys::Purpose;
use serde_json::{Value, json};

use crate::fixture::{EPOCH, gateway, problem, published, read, start, token};

#[tokio::test]
async fn nobody_but_the_operator_is_answered() {
    let service = start().await;
    for path in [POOL, POOL_SURVEY, POOL_ADDRESSES, PLACES, GATEWAYS, TOKEN_KEYS, LEASE_AT, CASES] {
        assert_eq!(problem(&service.get(path).await), (401, "operator-only".into()));
    }
    let stranger = ["Bearer somebody-else-entirely".to_owned()];
    let refused = service.post(POOL_TIDY, &stranger, String::new()).await;
    assert_eq!(problem(&refused), (401, "operator-only".into()));
    for path in [POOL_IMPORT, POOL_ALTER, PLACES, GATEWAYS, TOKEN_KEYS, CASES] {
        let refused = service.post(path, &stranger, "{}".into()).await;
        assert_eq!(problem(&refused), (401, "operator-only".into()));
    }
}

fn new(address: &str, region: &str, gateway: &str) -> NewAddress {
    NewAddress {
        address: address.parse().unwrap(),
        region: region.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
    }
}

#[tokio::test]
async fn a_pool_grows_is_counted_and_is_drained() {
    let service = start().await;
    let import = |addresses, dry_run| PoolImport { addresses, dry_run };
    let two = vec![new("203.0.113.7", "ap-1", "one"), new("2001:db8:1:2::/64", "ap-1", "one")];
    for (dry_run, expected) in [(true, (2, 0)), (false, (2, 0)), (false, (0, 2))] {
        let imported: Imported =
            read(&service.operate(POOL_IMPORT, &import(two.clone(), dry_run)).await);
        assert_eq!((imported.new, imported.known), expected);
    }
    for (address, slug) in [
        (new("203.0.113.8", "ap-1", "two"), (422, "gateway-unknown")),
        (new("203.0.113.7", "ap-2", "one"), (409, "address-conflict")),
        (new("2001:db8:1:2::7", "ap-1", "one"), (409, "address-conflict")),
    ] {
        let refused = service.operate(POOL_IMPORT, &import(vec![address], false)).await;
        assert_eq!(problem(&refused), (slug.0, slug.1.into()));
    }
    let many = vec![new("203.0.113.9", "ap-1", "one"); MOST_ADDRESSES + 1];
    let refused = service.operate(POOL_IMPORT, &import(many, true)).await;
    assert_eq!(problem(&refused), (422, "too-many-addresses".into()));

    let page: Page =
        read(&service.look(&format!("{POOL_ADDRESSES}?region=ap-1&state=available")).await);
    let listed: Vec<_> = page.addresses.iter().map(|one| one.address.to_string()).collect();
    assert_eq!(listed, ["2001:db8:1:2::/64", "203.0.113.7"]);
    let after = format!("{POOL_ADDRESSES}?region=ap-1&after=2001:db8:1:2::/64");
    assert_eq!(read::<Page>(&service.look(&after).await).addresses.len(), 1);
    let unknown = service.look(&format!("{POOL_ADDRESSES}?state=free")).await;
    assert_eq!(problem(&unknown), (422, "query-refused".into()));

    let drain = Alter {
        addresses: page.addresses.iter().map(|one| one.address).collect(),
        change: Change::Service(Wanted::Drained),
        dry_run: false,
    };
    let altered: Altered = read(&service.operate(POOL_ALTER, &drain).await);
    assert_eq!(altered, Altered { changed: 2, ..Altered::default() });
    let elsewhere = Alter { change: Change::Gateway("two".parse().unwrap()), ..drain };
    let refused = service.operate(POOL_ALTER, &elsewhere).await;
    assert_eq!(problem(&refused), (422, "gateway-unknown".into()));

    let status: PoolStatus = read(&service.look(POOL).await);
    let regions: Vec<_> = status
        .regions
        .iter()
        .map(|one| (one.region.as_str(), one.available, one.drained))
        .collect();
    assert_eq!(regions, [("ap-1", 0, 2), ("eu-1", 2, 0), ("us-1", 1, 0)]);
    assert_eq!(status.token_key_epochs, [EPOCH, EPOCH.next()]);
    assert!(!read::<Tidied>(&service.act(POOL_TIDY).await).more);
    // The trail tells what was done, and what was refused.
    let trail = std::fs::read_to_string(service.room.path().join("trail.jsonl")).unwrap();
    let told: Vec<String> = trail
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            [&line["action"], &line["subject"], &line["outcome"]]
                .map(|text| text.as_str().unwrap().to_owned())
                .join("; ")
        })
        .collect();
    assert_eq!(told[0], "pool-import; 203.0.113.7/32 2001:db8:1:2::/64; done");
    assert_eq!(told[2], "pool-import; 203.0.113.8/32; refused: gateway-unknown");
    assert_eq!(told[5], "pool-service; drained 203.0.113.7/32 2001:db8:1:2::/64; done");
}

#[tokio::test]
async fn a_complaint_leads_to_a_lease_and_to_nobody() {
    let service = start().await;
    service.assigned(&token(), "us-1").await;
    let complaint = |address: &str| Complaint {
        address: address.parse().unwrap(),
        category: Category::Scanning,
    };
    let complained: Complained = read(&service.operate(CASES, &complaint("198.51.100.1")).await);
    let view: LeaseView = read(&service.look(&format!("{LEASE_AT}?address=198.51.100.1")).await);
    assert_eq!(complained.lease.as_ref(), Some(&view));
    let complained: Complained = read(&service.operate(CASES, &complaint("192.0.2.1")).await);
    assert_eq!(complained.lease, None);
    let free = service.look(&format!("{LEASE_AT}?address=192.0.2.1")).await;
    assert_eq!(problem(&free), (404, "not-leased".into()));
    let report: Value = read(&service.look(CASES).await);
    let acts: Vec<_> =
        report["cases"].as_array().unwrap().iter().map(|case| &case["act"]).collect();
    assert_eq!(acts, ["complaint", "unleased"]);
    // No answer to an operator names a lease.
    let text = serde_json::to_string(&view).unwrap();
    assert!(!text.contains("\"lease\""), "{text}");
}

#[tokio::test]
async fn gateways_and_places_are_checked() {
    let service = start().await;
    let mut named = NamedGateway { name: "two".parse().unwrap(), gateway: gateway() };
    assert_eq!(read::<NamedGateway>(&service.operate(GATEWAYS, &named).await), named);
    named.gateway.url = "ftp://gateway.example".into();
    let refused = service.operate(GATEWAYS, &named).await;
    assert_eq!(problem(&refused), (422, "gateway-url".into()));
    let place = |country: Option<&str>, subdivision: Option<&str>| Place {
        region: "eu-1".parse().unwrap(),
        country: country.map(str::to_owned),
        subdivision: subdivision.map(str::to_owned),
        city: None,
    };
    for (place, good) in [
        (place(Some("DE"), Some("DE-BE")), true),
        (place(None, None), true),
        (place(Some("XX"), None), false),
        (place(Some("DE"), Some("FR-75")), false),
        (place(None, Some("DE-BE")), false),
    ] {
        let response = service.operate(PLACES, &place).await;
        if good {
            assert_eq!(read::<Place>(&response), place);
        } else {
            assert_eq!(problem(&response), (422, "place-refused".into()));
        }
    }
}

#[tokio::test]
async fn only_committed_keys_are_taken_in() {
    let service = start().await;
    let (keys, _) = published();
    let known: KnownTokenKeys =
        read(&service.operate(TOKEN_KEYS, &TokenKeys { keys: keys.clone() }).await);
    assert_eq!((known.epochs, known.passed_over), (vec![EPOCH, EPOCH.next()], 0));
    let mut other = keys.clone();
    other[0].purpose = Purpose::Access;
    let known: KnownTokenKeys =
        read(&service.operate(TOKEN_KEYS, &TokenKeys { keys: other }).await);
    assert_eq!(known.passed_over, 1);
    let mut wrong = keys;
    wrong[0].epoch = EPOCH.next();
    let refused = service.operate(TOKEN_KEYS, &TokenKeys { keys: wrong }).await;
    assert_eq!(problem(&refused), (422, "token-key-refused".into()));
    let refused = service.operate(TOKEN_KEYS, &json!({ "keys": "none" })).await;
    assert_eq!(problem(&refused).0, 422);
}

#[tokio::test]
async fn a_survey_counts_what_began() {
    let service = start().await;
    let token = token();
    for _ in 0..2 {
        service.assigned(&token, "eu-1").await;
    }
    service.dip.demand.write(service.dip.store()).await.unwrap();
    let survey: Survey = read(&service.look(POOL_SURVEY).await);
    let region = &survey.regions[0];
    assert_eq!((region.status.region.as_str(), region.begun.len()), ("eu-1", 1));
    assert_eq!((region.begun[0].week, region.begun[0].count), (survey.week, 1));
    assert_eq!(region.lease_ends.len(), 1);
}
