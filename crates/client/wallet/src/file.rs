//! The wallet's file: one person's, one process's at a time, whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand_core::CryptoRng;
use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use crate::Wallet;

/// How long to wait for another command on the same wallet.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a wallet can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The file system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// Another command has it.
    #[error("another command is using the wallet in {0}; try again when it is done")]
    Busy(PathBuf),
    /// The file isn't a wallet.
    #[error("{0} is damaged or of a newer version of this program; it was left as it is")]
    Damaged(PathBuf),
}

/// An open wallet. It is locked against other processes until it is dropped.
pub struct WalletFile {
    path: PathBuf,
    wallet: Wallet,
    _lock: File,
}

impl WalletFile {
    /// Opens the wallet in `home` (`wallet.json`, 0600, in a directory that is made 0700), or begins one.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn open(home: &Path, rng: &mut impl CryptoRng) -> Result<Self, WalletError> {
        let failed = |error| WalletError::Io(home.to_owned(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(failed)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(home.join("wallet.lock"))
            .map_err(failed)?;
        wait_for(&lock, home)?;
        let path = home.join("wallet.json");
        let wallet = match std::fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => {
                Wallet::from_json(&bytes).ok_or_else(|| WalletError::Damaged(path.clone()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Wallet::new(rng),
            Err(error) => return Err(WalletError::Io(path, error)),
        };
        Ok(Self { path, wallet, _lock: lock })
    }

    /// What it holds.
    #[must_use]
    pub const fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// Changes what it holds, on disk first: when this returns, the change survives a crash; when it fails, nothing has
    /// changed on disk.
    ///
    /// # Errors
    /// [`WalletError::Io`].
    pub fn change(&mut self, change: impl FnOnce(&mut Wallet)) -> Result<(), WalletError> {
        change(&mut self.wallet);
        self.save().map_err(|error| WalletError::Io(self.path.clone(), error))
    }

    fn save(&self) -> io::Result<()> {
        let text = self.wallet.to_json()?;
        let fresh = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        self.path.parent().map_or(Ok(()), |home| File::open(home)?.sync_all())
    }
}

fn wait_for(lock: &File, home: &Path) -> Result<(), WalletError> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = flock(lock, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(WalletError::Io(home.to_owned(), error.into()));
        }
        if Instant::now() > deadline {
            return Err(WalletError::Busy(home.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use coarse::system_rng;

    use super::*;

    #[test]
    fn a_wallet_comes_back_as_it_was_kept_and_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().join("inner");
        let mut file = WalletFile::open(&home, &mut system_rng()).unwrap();
        let device = file.wallet().device.public();
        let account = accounts_api::AccountNumber::random(&mut system_rng());
        let number = account.to_text();
        file.change(|wallet| wallet.account = Some(account)).unwrap();
        drop(file);
        let file = WalletFile::open(&home, &mut system_rng()).unwrap();
        assert_eq!(file.wallet().device.public(), device);
        assert_eq!(file.wallet().account.as_ref().unwrap().to_text(), number);
        let mode = std::fs::metadata(home.join("wallet.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_wallet_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("wallet.json");
        for damaged in ["", "{}", "{\"version\": 2}"] {
            std::fs::write(&path, damaged).unwrap();
            let refused = WalletFile::open(home.path(), &mut system_rng()).map(|_| ());
            assert!(matches!(refused, Err(WalletError::Damaged(_))));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
    }
}
