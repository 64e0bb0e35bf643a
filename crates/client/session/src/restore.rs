//! Taking a lease over from its backup, to another device.

use access_code::{AccessCode, OpenError};
use wallet::{Dip, Leased, Restored};

use crate::backup::url;
use crate::{Error, Session};

impl Session {
    /// Whether a code is needed to restore: not when a lease was taken from its backup already, and only its refresh failed.
    ///
    /// # Errors
    /// Why nothing can be restored into this wallet: [`Error::NoTrust`], [`Error::NoBackupService`], [`Error::NoAccount`] or
    /// [`Error::Occupied`].
    pub fn restoring_needs_code(&self) -> Result<bool, Error> {
        url(&self.provider()?)?;
        if self.wallet().account.is_none() {
            return Err(Error::NoAccount);
        }
        match self.wallet().dip {
            Dip::Nothing => Ok(true),
            Dip::Restored(_) => Ok(false),
            Dip::Drawing(_) | Dip::Drawn(_) | Dip::Leased(_) => Err(Error::Occupied),
        }
    }

    /// Takes the lease that is backed up under this code, and gets this device's own tokens for it. Nobody else's are touched. What was taken
    /// is on disk before the enclave is asked: after a failure [`refresh`](Self::refresh) goes on.
    ///
    /// # Errors
    /// As [`restoring_needs_code`](Self::restoring_needs_code); [`Error::NoBackup`] when nothing opens; and the step's [`Error`].
    pub async fn restore(&mut self, code: AccessCode) -> Result<&Leased, Error> {
        if self.restoring_needs_code()? {
            let provider = self.provider()?;
            let keys = self.stretch(code).await?;
            let blob = self.read_backup(&provider, &keys).await?;
            let contents = keys.open(&blob).map_err(|error| match error {
                OpenError::Unopenable => Error::NoBackup,
                other => other.into(),
            })?;
            self.narrator()
                .checked("The backup opens: it is of this account, and nobody changed it.");
            let trusted = self.wallet().trust.as_ref().map(|trust| trust.file.signer());
            if trusted != Some(&contents.signer) {
                self.narrator()
                    .warn("The backup was written when another key signed the provider's file.");
            }
            self.file.change(|wallet| {
                wallet.backup.restored(&keys, &contents.drt);
                wallet.dip = Dip::Restored(Box::new(Restored::new(contents)));
            })?;
        }
        self.refresh().await
    }
}
