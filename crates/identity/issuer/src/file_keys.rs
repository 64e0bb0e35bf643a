//! [`KeyStore`] in a directory.
//!
//! ```text
//! trees/access.json                   public: the tree's pin and all keys
//! private/access-20777                private key, encrypted under the epoch's own key
//! never-back-up/access-20777          that epoch key, wrapped by the wrapping key
//! never-back-up/wrapping.key          32 random bytes
//! ```
//!
//! A private key is PKCS#8 under AES-256-GCM with a random key of its own epoch, which in turn is
//! wrapped by the wrapping key, also with AES-256-GCM. Both files are a 12-byte random nonce, the
//! ciphertext and the 16-byte tag; what is authenticated with it is
//! `"cloakroom/issuer/<private-key|epoch-key>/v1/" || purpose || "/" || epoch` in decimal.
//!
//! To erase a key both files are overwritten, synced and unlinked, the epoch key first. Without it a
//! forgotten copy of `private` is worthless even to whoever takes the wrapping key later.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use blind_rsa::{AwsLcSigner, RawSigner};
use coarse::{Epoch, Secret};
use encoding::Base64Url;
use epoch_keys::{CommitmentTree, Purpose, TreePin};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Committed, KeyStore, KeyStoreError};

const PRIVATE_KEY: &str = "cloakroom/issuer/private-key/v1/";
const EPOCH_KEY: &str = "cloakroom/issuer/epoch-key/v1/";

/// Keys in a directory that only this user may enter. Several instances of the service may share it.
pub struct FileKeyStore {
    trees: PathBuf,
    private: PathBuf,
    unsaved: PathBuf,
    wrapping: Secret<32>,
}

impl FileKeyStore {
    /// Opens or creates the store in `directory`.
    pub fn open(
        directory: &Path,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Result<Self, KeyStoreError> {
        let [trees, private, unsaved] =
            ["trees", "private", "never-back-up"].map(|name| directory.join(name));
        for directory in [&trees, &private, &unsaved] {
            store::private_directory(directory)?;
        }
        let wrapping = store::load_or_create(&unsaved.join("wrapping.key"), rng)?;
        Ok(Self { trees, private, unsaved, wrapping })
    }

    /// Starts a tree for `purpose`, which must not have one. Keys that a broken-off run left behind are
    /// erased: nobody ever saw them.
    pub fn draft(&self, purpose: Purpose, first_epoch: Epoch) -> Result<Draft<'_>, KeyStoreError> {
        let path = self.trees.join("lock");
        let lock = File::create(&path).map_err(|error| KeyStoreError::Io(path, error))?;
        lock.try_lock().map_err(|_| KeyStoreError::Busy)?;
        let tree = self.tree_file(purpose);
        if tree.try_exists().map_err(|error| KeyStoreError::Io(tree, error))? {
            return Err(KeyStoreError::Exists(purpose));
        }
        for (other, epoch) in self.held()? {
            if other == purpose {
                self.erase(purpose, epoch)?;
            }
        }
        Ok(Draft { store: self, purpose, first_epoch, spkis: Vec::new(), _lock: lock })
    }

    fn tree_file(&self, purpose: Purpose) -> PathBuf {
        self.trees.join(format!("{purpose}.json"))
    }

    fn keep(
        &self,
        purpose: Purpose,
        epoch: Epoch,
        signer: &AwsLcSigner,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Result<(), KeyStoreError> {
        let pkcs8 = signer.to_pkcs8().map_err(|_| KeyStoreError::Library)?;
        let epoch_key = Secret::<32>::random(rng);
        let name = file_name(purpose, epoch);
        let wrapped =
            seal(&self.wrapping, &about(EPOCH_KEY, purpose, epoch), epoch_key.expose(), rng)?;
        store::write_secret_file(&self.unsaved.join(&name), &wrapped)?;
        let sealed = seal(&epoch_key, &about(PRIVATE_KEY, purpose, epoch), &pkcs8, rng)?;
        Ok(store::write_secret_file(&self.private.join(&name), &sealed)?)
    }
}

impl KeyStore for FileKeyStore {
    fn committed(&self) -> Result<Vec<Committed>, KeyStoreError> {
        let trees = Purpose::ALL.into_iter().filter_map(|purpose| {
            let path = self.tree_file(purpose);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => return Some(Err(KeyStoreError::Io(path, error))),
            };
            Some(match serde_json::from_slice::<TreeFile>(&bytes) {
                Ok(TreeFile { pin, keys }) if pin.purpose == purpose => {
                    Ok(Committed { pin, spkis: keys.into_iter().map(|key| key.0).collect() })
                }
                _ => Err(KeyStoreError::Damaged(path)),
            })
        });
        trees.collect()
    }

    fn held(&self) -> Result<Vec<(Purpose, Epoch)>, KeyStoreError> {
        let mut held = Vec::new();
        for directory in [&self.private, &self.unsaved] {
            let failed = |error| KeyStoreError::Io(directory.clone(), error);
            for entry in fs::read_dir(directory).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                held.extend(name.to_str().and_then(parse_file_name));
            }
        }
        held.sort_unstable();
        held.dedup();
        Ok(held)
    }

    fn signer(
        &self,
        purpose: Purpose,
        epoch: Epoch,
    ) -> Result<Option<Box<dyn RawSigner>>, KeyStoreError> {
        let name = file_name(purpose, epoch);
        let (wrapped, sealed) = (self.unsaved.join(&name), self.private.join(&name));
        let Some(wrapping) = open(&self.wrapping, &about(EPOCH_KEY, purpose, epoch), &wrapped)?
        else {
            return Ok(None);
        };
        let key = <[u8; 32]>::try_from(wrapping.as_slice());
        let key = Secret::new(key.map_err(|_| KeyStoreError::Damaged(wrapped))?);
        let Some(pkcs8) = open(&key, &about(PRIVATE_KEY, purpose, epoch), &sealed)? else {
            return Ok(None);
        };
        let signer = AwsLcSigner::from_pkcs8(&pkcs8).map_err(|_| KeyStoreError::Damaged(sealed))?;
        Ok(Some(Box::new(signer)))
    }

    fn erase(&self, purpose: Purpose, epoch: Epoch) -> Result<(), KeyStoreError> {
        for directory in [&self.unsaved, &self.private] {
            let path = directory.join(file_name(purpose, epoch));
            match destroy(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(KeyStoreError::Io(path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A tree while its keys are made. Dropped before [`Draft::commit`], it leaves only private keys that
/// nobody will use, which the next draft erases.
pub struct Draft<'a> {
    store: &'a FileKeyStore,
    purpose: Purpose,
    first_epoch: Epoch,
    spkis: Vec<Vec<u8>>,
    /// Held until the draft is dropped.
    _lock: File,
}

impl Draft<'_> {
    /// Keeps the next epoch's key.
    pub fn add(
        &mut self,
        signer: &AwsLcSigner,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Result<(), KeyStoreError> {
        let place = u32::try_from(self.spkis.len()).ok();
        let epoch = place.and_then(|place| self.first_epoch.number().checked_add(place));
        let epoch = Epoch::new(epoch.ok_or(KeyStoreError::Library)?);
        self.store.keep(self.purpose, epoch, signer, rng)?;
        self.spkis.push(signer.public_key().spki());
        Ok(())
    }

    /// Commits to the keys added: from now on the tree can't be changed.
    pub fn commit(self) -> Result<TreePin, KeyStoreError> {
        let tree = CommitmentTree::build(self.purpose, self.first_epoch, &self.spkis)
            .map_err(|_| KeyStoreError::Library)?;
        let pin =
            TreePin { purpose: self.purpose, first_epoch: self.first_epoch, root: tree.root() };
        let file = TreeFile { pin, keys: self.spkis.into_iter().map(Base64Url).collect() };
        let json = serde_json::to_vec(&file).map_err(|_| KeyStoreError::Library)?;
        store::write_secret_file(&self.store.tree_file(self.purpose), &json)?;
        Ok(pin)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeFile {
    pin: TreePin,
    keys: Vec<Base64Url>,
}

fn file_name(purpose: Purpose, epoch: Epoch) -> String {
    format!("{purpose}-{epoch}")
}

/// Also reads the name of a file whose writing was broken off: it is a remain of that key.
fn parse_file_name(name: &str) -> Option<(Purpose, Epoch)> {
    let (purpose, epoch) = name.strip_suffix(".new").unwrap_or(name).rsplit_once('-')?;
    Some((Purpose::parse(purpose).ok()?, Epoch::new(epoch.parse().ok()?)))
}

/// What a ciphertext is of.
fn about(kind: &str, purpose: Purpose, epoch: Epoch) -> String {
    format!("{kind}{purpose}/{epoch}")
}

fn seal(
    key: &Secret<32>,
    about: &str,
    plaintext: &[u8],
    rng: &mut impl rand_core::CryptoRng,
) -> Result<Vec<u8>, KeyStoreError> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let mut inside = Zeroizing::new(plaintext.to_vec());
    let tag = cipher(key)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(about.as_bytes()),
            &mut inside,
        )
        .map_err(|_| KeyStoreError::Library)?;
    Ok([&nonce[..], &inside, tag.as_ref()].concat())
}

/// What a file holds, `None` when there is no file.
fn open(
    key: &Secret<32>,
    about: &str,
    path: &Path,
) -> Result<Option<Zeroizing<Vec<u8>>>, KeyStoreError> {
    let mut bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeyStoreError::Io(path.to_owned(), error)),
    };
    let damaged = || KeyStoreError::Damaged(path.to_owned());
    let (nonce, inside) = bytes.split_first_chunk_mut::<NONCE_LEN>().ok_or_else(damaged)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = cipher(key)?
        .open_in_place(nonce, Aad::from(about.as_bytes()), inside)
        .map_err(|_| damaged())?;
    Ok(Some(Zeroizing::new(plain.to_vec())))
}

fn cipher(key: &Secret<32>) -> Result<LessSafeKey, KeyStoreError> {
    let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| KeyStoreError::Library)?;
    Ok(LessSafeKey::new(key))
}

/// Overwrites, syncs and unlinks a file, and what a broken-off writing of it left.
fn destroy(path: &Path) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    for path in [unfinished.as_path(), path] {
        let mut file = match OpenOptions::new().write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut noise = vec![0xff; length];
        file.write_all(&noise)?;
        file.sync_all()?;
        noise.zeroize();
        fs::remove_file(path)?;
    }
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
