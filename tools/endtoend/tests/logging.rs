//! What must never be logged can't be: the types in `docs/operations/logging.md`, one by one.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;

use access_code::{AccessCode, BackupKeys, Contents};
use accounts_api::AccountNumber;
use backup_api::{Blob, Locator, WriteKey};
use coarse::{Secret, SecretText};
use encoding::Base64Url;
use jws::{Compact, SigningKey};
use lease::{ExitAddress, LeaseId};
use peer_key::{PeerKey, PeerSecret, Thumbprint};
use privacy_pass::{Nonce, SpendHash, Token};
use receipt::SubscriptionId;

/// Whether a type has `Debug` and `Display`: method resolution takes the first of the traits below that fits, and
/// the second fits everything.
struct Type<T>(PhantomData<T>);

trait Has {
    fn debug(&self) -> bool;
}

trait HasNot {
    fn debug(&self) -> bool;
}

impl<T: Debug> Has for Type<T> {
    fn debug(&self) -> bool {
        true
    }
}

impl<T> HasNot for &Type<T> {
    fn debug(&self) -> bool {
        false
    }
}

trait Shows {
    fn display(&self) -> bool;
}

trait ShowsNot {
    fn display(&self) -> bool;
}

impl<T: Display> Shows for Type<T> {
    fn display(&self) -> bool {
        true
    }
}

impl<T> ShowsNot for &Type<T> {
    fn display(&self) -> bool {
        false
    }
}

/// `(Debug, Display)`
macro_rules! shown {
    ($kind:ty) => {{
        let kind = &Type::<$kind>(PhantomData);
        (kind.debug(), kind.display())
    }};
}

#[test]
fn the_probe_tells_types_apart() {
    struct Neither;
    assert_eq!(shown!(String), (true, true));
    assert_eq!(shown!(Vec<u8>), (true, false));
    assert_eq!(shown!(Neither), (false, false));
}

#[test]
fn types_are_as_the_document_says() {
    let page = include_str!("../../../docs/operations/logging.md");
    let mut said = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        said.insert(cells[1].trim_matches('`').to_owned(), cells[4] != "none");
    }
    let is: BTreeMap<_, _> = [
        ("Secret", shown!(Secret<32>)),
        ("SecretText", shown!(SecretText)),
        ("AccountNumber", shown!(AccountNumber)),
        ("SubscriptionId", shown!(SubscriptionId)),
        ("Compact", shown!(Compact)),
        ("SigningKey", shown!(SigningKey)),
        ("PeerSecret", shown!(PeerSecret)),
        ("Token", shown!(Token)),
        ("Nonce", shown!(Nonce)),
        ("LeaseId", shown!(LeaseId)),
        ("Base64Url", shown!(Base64Url)),
        ("AccessCode", shown!(AccessCode)),
        ("BackupKeys", shown!(BackupKeys)),
        ("Contents", shown!(Contents)),
        ("Locator", shown!(Locator)),
        ("WriteKey", shown!(WriteKey)),
        ("Blob", shown!(Blob)),
    ]
    .into_iter()
    .map(|(name, (debug, display))| {
        assert!(!display, "{name} has a Display");
        (name.to_owned(), debug)
    })
    .collect();
    assert_eq!(said, is);
}

#[test]
fn where_there_is_a_debug_it_shows_nothing() {
    let rng = &mut coarse::system_rng();
    let subscription = SubscriptionId::random(rng);
    let lease = LeaseId::random(rng);
    let address: ExitAddress = "203.0.113.77".parse().unwrap();
    let device: PeerKey = PeerSecret::from_bytes(&Secret::new([7; 32])).public();
    for (shown, expected) in [
        (format!("{subscription:?}"), "SubscriptionId(..)"),
        (format!("{:?}", Compact::new("a.b.c".to_owned())), "Compact(..)"),
        (format!("{lease:?}"), "LeaseId(..)"),
        (format!("{address:?}"), "ExitAddress(..)"),
        (format!("{device:?}"), "PeerKey(..)"),
        (format!("{:?}", Thumbprint::from(&device)), "Thumbprint(..)"),
        (format!("{:?}", SpendHash::from_bytes([7; 32])), "SpendHash(..)"),
        (format!("{:?}", Base64Url(vec![7; 9])), "Base64Url(9 bytes)"),
    ] {
        assert_eq!(shown, expected);
    }
}
