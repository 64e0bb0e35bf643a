//! Getting a dedicated IP, and keeping it.

use std::time::Duration;

use attested::Provider;
use dip_api::{Assign, Assigned, Refresh, Refreshed, Regions};
use encoding::Base64Url;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_client::ClientError;
use lease::{Notice, Region};
use minting::Refusal;
use privacy_pass::TokenHeader;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wallet::{AnswerError, Dip, Leased, Restored};

use crate::session::{request, rng, up_to};
use crate::{Error, Session};

const SERVICE: &str = "DIP service";
/// How often a request is sealed at most.
const SEALS: u32 = 3;

impl Session {
    /// Gets a dedicated IP in `region` (any that has a free address when `None`): draws a token, waits a random
    /// time of `most_wait` seconds at most so that the two halves can't be joined by time, and assigns. Does
    /// nothing when there is a lease already; one that was restored is refreshed. After a failure the same call goes on where it stopped.
    ///
    /// # Errors
    /// The step's [`Error`].
    pub async fn assign(
        &mut self,
        region: Option<Region>,
        most_wait: u32,
    ) -> Result<&Leased, Error> {
        if matches!(self.wallet().dip, Dip::Restored(_)) {
            return self.refresh().await;
        }
        if !matches!(self.wallet().dip, Dip::Leased(_)) {
            self.draw().await?;
            self.wait_before_assigning(most_wait).await;
            let region = self.region_or_any(region).await?;
            let mut left = SEALS;
            while let Err(error) = self.assign_once(&region).await {
                left -= 1;
                let receipts = matches!(
                    &error,
                    Error::Answer(AnswerError::Refused(
                        Refusal::Srt | Refusal::SrtExpired | Refusal::Receipt
                    ))
                );
                self.mend(error, left).await?;
                if receipts {
                    // They were fetched from the identity side.
                    self.wait_before_assigning(most_wait).await;
                }
            }
        }
        self.leased()
    }

    /// The lease.
    ///
    /// # Errors
    /// [`Error::NoLease`], or [`Error::Restored`] while there is no access token for it.
    pub fn leased(&self) -> Result<&Leased, Error> {
        match &self.wallet().dip {
            Dip::Leased(leased) => Ok(leased),
            Dip::Restored(_) => Err(Error::Restored),
            _ => Err(Error::NoLease),
        }
    }

    /// Gives up the token or lease in this wallet. Its backup is left to other devices.
    ///
    /// # Errors
    /// [`Error::Wallet`].
    pub fn forget(&mut self) -> Result<(), Error> {
        self.file.change(|wallet| {
            wallet.dip = Dip::Nothing;
            wallet.backup.forget();
        })?;
        Ok(())
    }

    async fn wait_before_assigning(&self, most: u32) {
        let seconds = up_to(most, &mut rng());
        if seconds > 0 {
            self.narrator().step(&format!(
                "Waiting {seconds} s, a random time, so that drawing and assigning can't be joined"
            ));
            tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        }
    }

    async fn region_or_any(&self, region: Option<Region>) -> Result<Region, Error> {
        if let Some(region) = region {
            return Ok(region);
        }
        let provider = self.provider()?;
        let all: Regions = self.get(SERVICE, &provider.urls.dip_service, dip_api::REGIONS).await?;
        let most = u32::try_from(all.regions.len().saturating_sub(1)).unwrap_or(0);
        let drawn = up_to(most, &mut rng()) as usize;
        all.regions.into_iter().nth(drawn).ok_or(Error::Unexpected {
            service: SERVICE,
            what: "no region has a free address just now",
        })
    }

    async fn assign_once(&mut self, region: &Region) -> Result<(), Error> {
        let provider = self.provider()?;
        let srt = self.srt().await?;
        let enclave = self.enclave(&provider).await?;
        let device = self.wallet().device.0.clone();
        let Dip::Drawn(drawn) = &self.wallet().dip else { return Err(Error::NoLease) };
        let (sealed, _) = drawn.seal_request(&srt, &device, &enclave, &mut rng())?;
        self.narrator().step("Presenting the token for an address");
        let authorization = TokenHeader::build(&drawn.token()?);
        let body = Assign { region: region.clone(), sealed: Base64Url(sealed.request.clone()) };
        let assigned: Assigned = self
            .ask_dip(&provider, dip_api::ASSIGN, &[(AUTHORIZATION, &authorization)], &body)
            .await?;
        let minted = sealed.open(
            &assigned.sealed.0,
            assigned.lease,
            &device.public(),
            &enclave,
            self.now(),
        )?;
        self.narrator().checked("The tokens are signed by the attested enclave, for this device.");
        self.file.change(|wallet| {
            let dip = std::mem::replace(&mut wallet.dip, Dip::Nothing);
            wallet.dip = match dip {
                Dip::Drawn(drawn) => Dip::Leased(Box::new(drawn.lease(minted, assigned.gateway))),
                other => other,
            };
        })?;
        Ok(())
    }

    /// Renews the lease's tokens, or gets this device's first ones for a lease that was restored.
    ///
    /// # Errors
    /// [`Error::NoLease`] and the step's [`Error`].
    pub async fn refresh(&mut self) -> Result<&Leased, Error> {
        match self.leased() {
            Ok(_) | Err(Error::Restored) => {}
            Err(error) => return Err(error),
        }
        let mut left = SEALS;
        while let Err(error) = self.refresh_once().await {
            left -= 1;
            self.mend(error, left).await?;
        }
        self.leased()
    }

    /// Makes it worth while to seal the request once more: the enclave has a new key, which will be fetched, or it wants a newer
    /// subscription receipt than the one in the wallet (after a reset, say) or a newer receipt of issuance, or it is another enclave than before.
    /// Any other error stays one.
    async fn mend(&mut self, error: Error, left: u32) -> Result<(), Error> {
        match &error {
            _ if left == 0 => Err(error),
            _ if problem_of(&error) == "enclave-key-changed" => {
                self.attestation = None;
                Ok(())
            }
            Error::Answer(AnswerError::Refused(Refusal::Srt | Refusal::SrtExpired)) => {
                self.renew_srt().await.map(drop)
            }
            // The blind token service has a new key for receipts: it signs this token's anew.
            Error::Answer(AnswerError::Refused(Refusal::Receipt)) => self.draw_again().await,
            // The enclave was updated, maybe: then the provider's newest file names it.
            Error::Attestation(_) => match self.update_trust().await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(error),
            },
            _ => Err(error),
        }
    }

    /// Gives the lease back: it isn't renewed any more, and its address goes to nobody else before its last access token has ended
    /// and a quarantine is over. The wallet forgets it. May be repeated.
    ///
    /// # Errors
    /// [`Error::NoLease`] and the step's [`Error`].
    pub async fn give_back(&mut self) -> Result<(), Error> {
        self.leased()?;
        let mut left = SEALS;
        while let Err(error) = self.give_back_once().await {
            left -= 1;
            // Given back before, by an answer that was lost, or ended by itself.
            if matches!(problem_of(&error), "lease-ended" | "lease-unknown") {
                break;
            }
            self.mend(error, left).await?;
        }
        self.forget()
    }

    async fn give_back_once(&mut self) -> Result<(), Error> {
        let provider = self.provider()?;
        let srt = self.srt().await?;
        let enclave = self.enclave(&provider).await?;
        let device = self.wallet().device.0.clone();
        let leased = self.leased()?;
        let lease = leased.minted.lease;
        let sealed = leased.seal_release(&srt, &device, &enclave, &mut rng())?;
        self.narrator().step("Giving the lease back");
        let body = Refresh { lease, sealed: Base64Url(sealed.request.clone()) };
        let answer: Refreshed = self.ask_dip(&provider, dip_api::REFRESH, &[], &body).await?;
        sealed.open_release(&answer.sealed.0)?;
        self.narrator().checked("The enclave says that the lease was given back.");
        Ok(())
    }

    async fn refresh_once(&mut self) -> Result<(), Error> {
        let provider = self.provider()?;
        let srt = self.srt().await?;
        let enclave = self.enclave(&provider).await?;
        let device = self.wallet().device.0.clone();
        let (lease, sealed) = match &self.wallet().dip {
            Dip::Restored(restored) => (
                restored.contents().lease,
                restored.seal_request(&srt, &device, &enclave, &mut rng())?,
            ),
            _ => {
                let leased = self.leased()?;
                let sealed = leased.seal_request(&srt, &device, &enclave, &mut rng())?;
                (leased.minted.lease, sealed)
            }
        };
        self.narrator().step("Refreshing the lease");
        let body = Refresh { lease, sealed: Base64Url(sealed.request.clone()) };
        let refreshed: Refreshed = self.ask_dip(&provider, dip_api::REFRESH, &[], &body).await?;
        let opened =
            sealed.open(&refreshed.sealed.0, lease, &device.public(), &enclave, self.now());
        if let Err(AnswerError::Frozen(notice)) = &opened {
            self.file.change(|wallet| {
                if let Dip::Leased(leased) = &mut wallet.dip {
                    leased.frozen = Some(notice.clone());
                }
            })?;
        }
        let minted = opened?;
        self.narrator().checked("The tokens are signed by the attested enclave, for this device.");
        if let Some(notice) = &minted.notice {
            self.narrator().warn(&told(notice));
        }
        self.file.change(|wallet| match &mut wallet.dip {
            Dip::Leased(leased) => leased.renew(minted, refreshed.gateway),
            Dip::Restored(_) => {
                wallet.dip = Dip::Leased(Box::new(Restored::lease(minted, refreshed.gateway)));
            }
            _ => {}
        })?;
        Ok(())
    }

    async fn ask_dip<A: DeserializeOwned>(
        &self,
        provider: &Provider,
        path: &str,
        headers: &[(http::HeaderName, &str)],
        body: &impl Serialize,
    ) -> Result<A, Error> {
        let body = http_client::to_json(body)
            .map_err(|error| Error::Service { service: SERVICE, error })?;
        let mut headers = headers.to_vec();
        headers.push((CONTENT_TYPE, "application/json"));
        let request =
            request(SERVICE, &provider.urls.dip_service, Method::POST, path, &headers, body)?;
        let response = self.send(SERVICE, request).await?;
        http_client::parse(&response).map_err(|error| Error::Service { service: SERVICE, error })
    }
}

/// The name of the problem that a service answered with; empty for other errors.
fn problem_of(error: &Error) -> &str {
    match error {
        Error::Service { error: ClientError::Problem(problem), .. } => problem.slug(),
        _ => "",
    }
}

/// A notice, for its reader.
fn told(Notice { reference, text }: &Notice) -> String {
    format!(
        "Your provider says of this address, case {reference}: {text} (It doesn't know who you are; whoever quotes the case to support tells.)"
    )
}
