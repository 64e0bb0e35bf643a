//! The backup of a lease: made, written anew, removed.
//!
//! What is sent to the backup service names neither the account nor the address: a key that nobody knows otherwise, and
//! bytes that the code alone opens.

use access_code::{AccessCode, BackupKeys, OpenError};
use accounts_api::AccountSalt;
use attested::Provider;
use backup_api::{Blob, Found, READ, REMOVE, Read, Removed, WRITE, Written};
use http::Method;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::{request, rng};
use crate::{Error, Session};

const SERVICE: &str = "backup service";

/// Under which code to back up.
pub enum BackupCode {
    /// The one that there is already; a generated one when there is none.
    Same,
    /// Another, generated one.
    New,
    /// This one of the person's own.
    Own(AccessCode),
}

/// What the backup service has of this wallet's backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupStatus {
    /// This wallet has no backup.
    None,
    /// The refresh token that this wallet holds.
    Current,
    /// Another refresh token of the same lease: an earlier one, or another device's.
    Other,
    /// Nothing that opens.
    Missing,
}

impl Session {
    /// Writes the lease's refresh token to the backup service, under the code that is wanted. When that is another code than before, the
    /// former backup stays until [`remove_former_backups`](Self::remove_former_backups). After a failure the same call goes on where it stopped.
    ///
    /// # Errors
    /// [`Error::NoLease`], [`Error::NoBackupService`] and the step's [`Error`].
    pub async fn back_up(&mut self, code: BackupCode) -> Result<(), Error> {
        let provider = self.provider()?;
        url(&provider)?;
        self.leased()?;
        match code {
            BackupCode::Own(own) => self.begin_backup(own, false).await?,
            // A change that was begun goes on, with the code that was generated for it.
            BackupCode::New if !self.wallet().backup.is_changing() => self.generate_code().await?,
            BackupCode::Same if self.wallet().backup.wanted()?.is_none() => {
                self.generate_code().await?;
            }
            BackupCode::New | BackupCode::Same => {}
        }
        let keys = self.wallet().backup.wanted()?.ok_or(Error::NoBackup)?;
        self.write_backup(&provider, &keys).await?;
        self.narrator().checked("The backup holds this wallet's refresh token.");
        Ok(())
    }

    /// Writes the present refresh token to the backup that there is, when that holds another one as far as this wallet knows. To be called
    /// some random time after each refresh. Whether anything was written.
    ///
    /// # Errors
    /// [`Error::NoLease`] and the step's [`Error`].
    pub async fn rewrite_backup(&mut self) -> Result<bool, Error> {
        let drt = &self.leased()?.minted.drt;
        if self.wallet().backup.is_empty() {
            return Ok(false);
        }
        let stale = !self.wallet().backup.holds(drt);
        let provider = self.provider()?;
        let mut written = false;
        if let Some(keys) = self.wallet().backup.current()?.filter(|_| stale) {
            self.write_backup(&provider, &keys).await?;
            written = true;
        }
        self.remove_former_backups().await?;
        Ok(written)
    }

    /// The generated code of the backup that there is, if nobody was shown it yet: the wallet keeps it for so long.
    #[must_use]
    pub fn unshown_code(&self) -> Option<&AccessCode> {
        self.wallet().backup.unshown()
    }

    /// The code was shown. The wallet forgets it.
    ///
    /// # Errors
    /// [`Error::Wallet`].
    pub fn code_was_shown(&mut self) -> Result<(), Error> {
        Ok(self.file.change(|wallet| wallet.backup.shown())?)
    }

    /// Removes backups under former codes.
    ///
    /// # Errors
    /// The step's [`Error`]; what is left is tried again with the next call.
    pub async fn remove_former_backups(&mut self) -> Result<(), Error> {
        while let Some(keys) = self.wallet().backup.to_remove()? {
            let provider = self.provider()?;
            self.narrator().step("Removing a former backup");
            let _: Removed = self.ask_backup(&provider, REMOVE, &keys.remove()).await?;
            self.file.change(|wallet| wallet.backup.removed())?;
        }
        Ok(())
    }

    /// Removes the backup. Other devices go on with the lease, and none is added any more.
    ///
    /// # Errors
    /// The step's [`Error`]; the same call goes on where it stopped.
    pub async fn remove_backup(&mut self) -> Result<(), Error> {
        url(&self.provider()?)?;
        self.file.change(|wallet| wallet.backup.give_up())?;
        self.remove_former_backups().await
    }

    /// Asks the backup service what it has.
    ///
    /// # Errors
    /// The step's [`Error`].
    pub async fn backup_status(&self) -> Result<BackupStatus, Error> {
        let Some(keys) = self.wallet().backup.current()? else { return Ok(BackupStatus::None) };
        let drt = &self.leased()?.minted.drt;
        let provider = self.provider()?;
        match keys.open(&self.read_backup(&provider, &keys).await?) {
            Ok(contents) if contents.drt == *drt => Ok(BackupStatus::Current),
            Ok(_) => Ok(BackupStatus::Other),
            Err(OpenError::Unopenable) => Ok(BackupStatus::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// What stands in the place that these keys lead to.
    pub(crate) async fn read_backup(
        &self,
        provider: &Provider,
        keys: &BackupKeys,
    ) -> Result<Blob, Error> {
        self.narrator().step("Asking the backup service");
        let found: Found =
            self.ask_backup(provider, READ, &Read { locator: *keys.locator() }).await?;
        Ok(found.blob)
    }

    /// The account's salt; accounts is asked when this wallet hasn't heard it yet.
    pub(crate) async fn salt(&mut self) -> Result<AccountSalt, Error> {
        if self.wallet().salt.is_none() {
            self.renew_srt().await?;
        }
        self.wallet().salt.ok_or(Error::NoAccount)
    }

    /// Stretches a code.
    pub(crate) async fn stretch(&mut self, code: AccessCode) -> Result<BackupKeys, Error> {
        let salt = self.salt().await?;
        self.narrator().step("Stretching the Access Code");
        let derived = tokio::task::spawn_blocking(move || BackupKeys::derive(&code, &salt)).await;
        let failed = Error::Unexpected { service: "wallet", what: "a thread ended" };
        Ok(derived.map_err(|_| failed)??)
    }

    async fn generate_code(&mut self) -> Result<(), Error> {
        self.begin_backup(AccessCode::generate(&mut rng()), true).await
    }

    /// Means to back up under a code, on disk before anything is sent.
    async fn begin_backup(&mut self, code: AccessCode, show: bool) -> Result<(), Error> {
        let keys = self.stretch(code.clone()).await?;
        let code = show.then_some(code);
        Ok(self.file.change(|wallet| wallet.backup.begin(&keys, code))?)
    }

    async fn write_backup(&mut self, provider: &Provider, keys: &BackupKeys) -> Result<(), Error> {
        let trust = self.wallet().trust.as_ref().ok_or(Error::NoTrust)?;
        let contents = self.leased()?.contents(trust.file.signer().clone());
        self.narrator().step("Writing the backup");
        let blob = keys.seal(&contents, &mut rng())?;
        let _: Written = self.ask_backup(provider, WRITE, &keys.write(blob)).await?;
        Ok(self.file.change(|wallet| wallet.backup.written(keys, &contents.drt))?)
    }

    async fn ask_backup<A: DeserializeOwned>(
        &self,
        provider: &Provider,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, Error> {
        let failed = |error| Error::Service { service: SERVICE, error };
        let headers = [(CONTENT_TYPE, "application/json")];
        let body = http_client::to_json(body).map_err(failed)?;
        let request = request(SERVICE, url(provider)?, Method::POST, path, &headers, body)?;
        let response = self.send(SERVICE, request).await?;
        http_client::parse(&response).map_err(failed)
    }
}

/// Where the backup service is.
pub(crate) fn url(provider: &Provider) -> Result<&str, Error> {
    provider.urls.backup.as_deref().ok_or(Error::NoBackupService)
}
