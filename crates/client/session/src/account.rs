//! The account, and the subscription receipt that it gets.

use accounts_api::{AccountNumber, MintedSrt};
use http::Method;
use http::header::AUTHORIZATION;
use jws::Compact;
use wallet::HeldSrt;
use zeroize::Zeroizing;

use crate::session::request;
use crate::{Error, Session};

const SERVICE: &str = "accounts";

impl Session {
    /// Sets the account number, once it got a subscription receipt.
    ///
    /// # Errors
    /// [`Error::Service`] when accounts doesn't know it, or its subscription has ended.
    pub async fn log_in(&mut self, account: AccountNumber) -> Result<(), Error> {
        let srt = self.fetch_srt(&account).await?;
        self.file.change(|wallet| {
            wallet.account = Some(account);
            wallet.srt = Some(srt);
        })?;
        self.narrator().checked("The account has a paid subscription.");
        Ok(())
    }

    /// A subscription receipt that is good for another hour at least; a new one is fetched when the last one isn't.
    pub(crate) async fn srt(&mut self) -> Result<Compact, Error> {
        let now = self.now();
        if let Some(held) = self.wallet().srt.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(held.srt.clone());
        }
        self.renew_srt().await
    }

    /// Fetches a new subscription receipt.
    ///
    /// # Errors
    /// [`Error::NoAccount`] or [`Error::Service`].
    pub async fn renew_srt(&mut self) -> Result<Compact, Error> {
        let account = self.wallet().account.clone().ok_or(Error::NoAccount)?;
        let held = self.fetch_srt(&account).await?;
        let srt = held.srt.clone();
        self.file.change(|wallet| wallet.srt = Some(held))?;
        Ok(srt)
    }

    async fn fetch_srt(&self, account: &AccountNumber) -> Result<HeldSrt, Error> {
        let provider = self.provider()?;
        self.narrator().step("Asking accounts for a subscription receipt");
        let bearer = Zeroizing::new(format!("Bearer {}", account.to_text().as_str()));
        let request = request(
            SERVICE,
            &provider.urls.accounts,
            Method::POST,
            accounts_api::SRT,
            &[(AUTHORIZATION, &bearer)],
            Vec::new(),
        )?;
        let response = self.send(SERVICE, request).await?;
        let minted: MintedSrt = http_client::parse(&response)
            .map_err(|error| Error::Service { service: SERVICE, error })?;
        Ok(HeldSrt { srt: minted.srt, ends: minted.ends })
    }
}
