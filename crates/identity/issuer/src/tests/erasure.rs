//! What a thief of all files finds of a private key: nothing in clear while it signs, nothing at all after.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use blind_rsa::{AwsLcSigner, RawSigner as _};
use coarse::{Epoch, UnixTime};
use epoch_keys::{Purpose, ScheduledKey, truncated_id_collides};
use privacy_pass::KeyId;

use super::room::{DAY, Room, TODAY, blinded, key_store, refusal};
use crate::{Committed, KeyStore, KeyStoreError, Keys, KeysError, SignFailure, Signers};

const ACCESS: Purpose = Purpose::Access;
const TOMORROW: Epoch = TODAY.next();

/// The bytes of all files under a directory, and their names.
fn all_files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    files
}

/// The numbers of a DER RSA key inside PKCS#8 that nobody may know: d, p, q, d mod p-1, d mod q-1, 1/q.
fn secret_numbers(pkcs8: &[u8]) -> Vec<Vec<u8>> {
    let mut numbers = integers(pkcs8);
    // Versions and the public numbers come first: 0; 0, n, e.
    assert_eq!(numbers.len(), 10);
    numbers.drain(..4);
    assert!(numbers.iter().all(|number| number.len() >= 120));
    numbers
}

/// All INTEGERs inside DER, depth first.
fn integers(mut der: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let [tag, length, rest @ ..] = der {
        let (length, rest) = match length {
            0x82 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
            0x81 => (usize::from(rest[0]), &rest[1..]),
            short => (usize::from(*short), rest),
        };
        let (inside, after) = rest.split_at(length);
        match tag {
            0x02 => found.push(inside.strip_prefix(&[0]).unwrap_or(inside).to_vec()),
            0x30 | 0x04 => found.extend(integers(inside)),
            _ => {}
        }
        der = after;
    }
    found
}

/// Whether any file holds 16 bytes in a row of `secret`, as they are, backwards, or as text.
fn is_found(secret: &[u8], files: &[(String, Vec<u8>)]) -> bool {
    let backwards: Vec<u8> = secret.iter().rev().copied().collect();
    let hex = hex::encode(secret).into_bytes();
    let forms = [secret.to_vec(), backwards, hex.to_ascii_uppercase(), hex];
    let mut pieces: Vec<Vec<u8>> =
        forms.iter().flat_map(|form| form.chunks_exact(16).map(<[u8]>::to_vec)).collect();
    // base64 of the bytes from each of the three alignments on, without what neighbours share.
    for skip in 0..3 {
        let text = encoding::Base64Url(secret[skip..].to_vec()).to_text();
        for piece in text.as_bytes().chunks_exact(16) {
            pieces.push(piece.to_vec());
            let plain = String::from_utf8_lossy(piece).replace('-', "+").replace('_', "/");
            pieces.push(plain.into_bytes());
        }
    }
    pieces.iter().any(|piece| files.iter().any(|(_, bytes)| contains(bytes, piece)))
}

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}

#[tokio::test]
async fn a_thief_finds_no_key_before_and_nothing_of_it_after() {
    let room = Room::new().await;
    let path = room.directory.path().to_owned();
    let store = key_store(&path);
    // A key whose numbers the test knows. Its short id is none of another key's.
    let scheduled: Vec<_> = Keys::new(store.committed().unwrap()).unwrap().scheduled().collect();
    let (purpose, epoch) = (Purpose::RelayTicket, TODAY);
    let known = loop {
        let known = AwsLcSigner::generate(2048).unwrap();
        let key_id = KeyId::of(known.public_key());
        if !truncated_id_collides(&ScheduledKey { purpose, epoch, key_id }, &scheduled) {
            break known;
        }
    };
    let pkcs8 = known.to_pkcs8().unwrap();
    let secrets = secret_numbers(&pkcs8);
    let mut draft = store.draft(Purpose::RelayTicket, TODAY).unwrap();
    draft.add(&known, &mut coarse::system_rng()).unwrap();
    draft.commit().unwrap();
    room.drawn(&room.srt(1, 0), ACCESS, TODAY, &blinded(1)).await;
    let room = room.restart().await;

    let search = |files: &[_]| secrets.iter().filter(|secret| is_found(secret, files)).count();
    let planted = [("copy".to_owned(), pkcs8.to_vec())];
    assert_eq!(search(&planted), secrets.len(), "the search finds what is there");
    let before = all_files(&path);
    assert_eq!(search(&before), 0, "in clear");
    let own: Vec<_> =
        before.iter().filter(|(name, _)| name.ends_with("relay-ticket-20777")).cloned().collect();
    assert_eq!(own.len(), 2, "the private key and the epoch key");
    // Second names of the same blocks of the disk.
    let blocks = tempfile::tempdir_in(path.parent().unwrap()).unwrap();
    for (number, (name, _)) in own.iter().enumerate() {
        fs::hard_link(name, blocks.path().join(number.to_string())).unwrap();
    }

    // Its last second, and the one after.
    room.at(DAY / 2 - 1);
    room.issuer.tidy().await.unwrap();
    assert!(store.signer(Purpose::RelayTicket, TODAY).unwrap().is_some());
    room.at(DAY / 2);
    room.issuer.tidy().await.unwrap();
    assert!(store.signer(Purpose::RelayTicket, TODAY).unwrap().is_none());
    let after = all_files(&path);
    assert_eq!(search(&after), 0);
    for (name, bytes) in own {
        assert!(!is_found(&bytes, &after), "remains of {name}");
        assert!(
            !is_found(&bytes, &all_files(blocks.path())),
            "unlinked but not overwritten: {name}"
        );
    }
    // Its public half is there for ever, with its proof.
    let keys = Keys::new(store.committed().unwrap()).unwrap();
    assert!(keys.published(Purpose::RelayTicket, TODAY).is_some());
}

#[tokio::test]
async fn a_stale_copy_of_a_private_key_is_worthless() {
    let room = Room::new().await;
    let store = key_store(room.directory.path());
    let file = room.directory.path().join("epoch-keys/private/access-20777");
    let copy = fs::read(&file).unwrap();
    store.erase(ACCESS, TODAY).unwrap();
    fs::write(&file, copy).unwrap();
    assert!(store.signer(ACCESS, TODAY).unwrap().is_none());
    store.erase(ACCESS, TODAY).unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn a_past_key_is_erased_at_the_start_and_before_the_next_signature() {
    let room = Room::new().await;
    let store = key_store(room.directory.path());
    let holds = |epoch| store.held().unwrap().contains(&(ACCESS, epoch));
    assert!(holds(TODAY));
    room.at(DAY / 2);
    room.drawn(&room.srt(1, 0), ACCESS, TOMORROW, &blinded(1)).await;
    assert!(!holds(TODAY) && holds(TOMORROW));
    room.at(DAY / 2 + DAY);
    let _room = room.restart().await;
    assert!(!holds(TOMORROW) && holds(TOMORROW.next()));
}

#[tokio::test]
async fn a_key_that_was_erased_too_early_signs_nothing() {
    let room = Room::new().await;
    key_store(room.directory.path()).erase(ACCESS, TODAY).unwrap();
    let answer = room.blind_sign(&room.srt(1, 0), ACCESS, TODAY, &blinded(1)).await;
    assert_eq!(refusal(&answer), (500, "internal".into()));
    assert_eq!(room.rows().await, (0, 0));
}

/// Instances that share a directory tidy at the same moments.
#[test]
fn several_erase_the_same_keys_at_once() {
    let room = tempfile::tempdir().unwrap();
    let store = key_store(room.path());
    let epochs = (0..60).map(Epoch::new);
    for directory in ["private", "never-back-up"] {
        for epoch in epochs.clone() {
            let name = format!("epoch-keys/{directory}/access-{epoch}");
            fs::write(room.path().join(name), [1; 60]).unwrap();
        }
    }
    assert_eq!(store.held().unwrap().len(), 60);
    let barrier = std::sync::Barrier::new(4);
    let erase = || {
        let store = key_store(room.path());
        barrier.wait();
        epochs.clone().for_each(|epoch| store.erase(ACCESS, epoch).unwrap());
    };
    std::thread::scope(|scope| {
        for erasing in [(); 4].map(|()| scope.spawn(erase)) {
            erasing.join().unwrap();
        }
    });
    assert_eq!(store.held().unwrap(), []);
}

#[tokio::test]
async fn files_are_bound_to_their_purpose_and_epoch() {
    let room = Room::new().await;
    let store = key_store(room.directory.path());
    let place = |directory: &str, name: &str| {
        room.directory.path().join("epoch-keys").join(directory).join(name)
    };
    for directory in ["private", "never-back-up"] {
        let name = |epoch: Epoch| place(directory, &format!("access-{epoch}"));
        let original = fs::read(name(TOMORROW)).unwrap();
        fs::copy(name(TODAY), name(TOMORROW)).unwrap();
        assert!(matches!(store.signer(ACCESS, TOMORROW), Err(KeyStoreError::Damaged(_))));
        fs::write(name(TOMORROW), original).unwrap();
        assert!(store.signer(ACCESS, TOMORROW).unwrap().is_some());
    }
    // Both at once decrypt under no other name, either.
    for directory in ["private", "never-back-up"] {
        fs::copy(place(directory, "access-20777"), place(directory, "renewal-20777")).unwrap();
    }
    assert!(store.signer(Purpose::Renewal, TODAY).is_err());
}

#[test]
fn keys_that_share_a_truncated_id_are_refused() {
    let signer = AwsLcSigner::generate(2048).unwrap();
    let spki = signer.public_key().spki();
    let keys = |spkis: Vec<Vec<u8>>, first: u32| {
        let first_epoch = Epoch::new(first);
        let tree = epoch_keys::CommitmentTree::build(ACCESS, first_epoch, &spkis).unwrap();
        let pin = epoch_keys::TreePin { purpose: ACCESS, first_epoch, root: tree.root() };
        Keys::new(vec![Committed { pin, spkis }])
    };
    assert!(keys(vec![spki.clone()], 5).is_ok());
    let refused = keys(vec![spki.clone(), spki], 5).err();
    assert!(matches!(refused, Some(KeysError::Collision(..))));
}

#[test]
fn keys_that_do_not_lead_to_their_root_are_refused() {
    let [one, other] = [(); 2].map(|()| AwsLcSigner::generate(2048).unwrap().public_key().spki());
    let first_epoch = Epoch::new(5);
    let tree = epoch_keys::CommitmentTree::build(ACCESS, first_epoch, &[&one]).unwrap();
    let pin = epoch_keys::TreePin { purpose: ACCESS, first_epoch, root: tree.root() };
    assert!(Keys::new(vec![Committed { pin, spkis: vec![one] }]).is_ok());
    let refused = Keys::new(vec![Committed { pin, spkis: vec![other] }]).err();
    assert!(matches!(refused, Some(KeysError::Root(ACCESS))));
}

#[tokio::test]
async fn a_private_key_other_than_the_committed_one_signs_nothing() {
    struct Swapped(Box<dyn KeyStore>);
    impl KeyStore for Swapped {
        fn committed(&self) -> Result<Vec<Committed>, KeyStoreError> {
            self.0.committed()
        }
        fn held(&self) -> Result<Vec<(Purpose, Epoch)>, KeyStoreError> {
            self.0.held()
        }
        fn signer(
            &self,
            purpose: Purpose,
            epoch: Epoch,
        ) -> Result<Option<Box<dyn blind_rsa::RawSigner>>, KeyStoreError> {
            self.0.signer(purpose, epoch.next())
        }
        fn erase(&self, purpose: Purpose, epoch: Epoch) -> Result<(), KeyStoreError> {
            self.0.erase(purpose, epoch)
        }
    }
    let room = Room::new().await;
    let now: UnixTime = ACCESS.epoch_start(TODAY);
    let store = Swapped(Box::new(key_store(room.directory.path())));
    let keys = Arc::clone(&room.issuer.keys);
    let signers = Arc::new(Signers::new(keys, Box::new(store), now).unwrap());
    let signed = signers.sign(ACCESS, TODAY, blinded(1), now).await;
    assert!(matches!(signed, Err(SignFailure::OtherKey)));
}
