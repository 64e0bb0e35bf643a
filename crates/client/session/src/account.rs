//! The account, and the subscription receipt that it gets.

use accounts_api::{AccountNumber, ChangeNumber, MintedSrt, NumberChanged};
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use jws::Compact;
use wallet::{HeldSrt, Wallet};
use zeroize::Zeroizing;

use crate::session::{request, rng};
use crate::{Error, Session};

const SERVICE: &str = "accounts";

impl Session {
    /// Sets the account number, once it got a subscription receipt.
    ///
    /// # Errors
    /// [`Error::Service`] when accounts doesn't know it, or its subscription has ended.
    pub async fn log_in(&mut self, account: AccountNumber) -> Result<(), Error> {
        let minted = self.fetch_srt(&account).await?;
        self.file.change(|wallet| {
            wallet.account = Some(account);
            wallet.next_account = None;
            keep(wallet, minted);
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
        if self.apart {
            return Err(Error::NoReceipt);
        }
        self.renew_srt().await
    }

    /// Fetches a new subscription receipt.
    ///
    /// # Errors
    /// [`Error::NoAccount`] or [`Error::Service`].
    pub async fn renew_srt(&mut self) -> Result<Compact, Error> {
        if self.wallet().next_account.is_some() {
            self.change_number().await?;
        }
        let account = self.wallet().account.clone().ok_or(Error::NoAccount)?;
        let minted = self.fetch_srt(&account).await?;
        let srt = minted.srt.clone();
        self.file.change(|wallet| keep(wallet, minted))?;
        Ok(srt)
    }

    /// Gives the account a new number, at random. Whoever has the former one (a lost device, say) gets no more receipts. The number is on
    /// disk before it is sent, so that the same call goes on after any failure.
    ///
    /// # Errors
    /// [`Error::NoAccount`] or [`Error::Service`].
    pub async fn change_number(&mut self) -> Result<AccountNumber, Error> {
        let provider = self.provider()?;
        let former = self.wallet().account.clone().ok_or(Error::NoAccount)?;
        if self.wallet().next_account.is_none() {
            let fresh = AccountNumber::random(&mut rng());
            self.file.change(|wallet| wallet.next_account = Some(fresh))?;
        }
        let next = self.wallet().next_account.clone().ok_or(Error::NoAccount)?;
        self.narrator().step("Giving the account a new number");
        let failed = |error| Error::Service { service: SERVICE, error };
        let body = http_client::to_json(&ChangeNumber { account: next.clone() }).map_err(failed)?;
        let bearer = Zeroizing::new(format!("Bearer {}", former.to_text().as_str()));
        let request = request(
            SERVICE,
            &provider.urls.accounts,
            Method::POST,
            accounts_api::NUMBER,
            &[(AUTHORIZATION, &bearer), (CONTENT_TYPE, "application/json")],
            body,
        )?;
        let response = self.send(SERVICE, request).await?;
        let _: NumberChanged = http_client::parse(&response).map_err(failed)?;
        self.file.change(|wallet| {
            wallet.account = wallet.next_account.take();
        })?;
        Ok(next)
    }

    async fn fetch_srt(&self, account: &AccountNumber) -> Result<MintedSrt, Error> {
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
        http_client::parse(&response).map_err(|error| Error::Service { service: SERVICE, error })
    }
}

/// Keeps what accounts gave.
fn keep(wallet: &mut Wallet, minted: MintedSrt) {
    let MintedSrt { srt, ends, salt } = minted;
    wallet.srt = Some(HeldSrt { srt, ends });
    wallet.salt = Some(salt);
}
