//! Drawing a token from the blind token service.

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http_client::ClientError;
use issuer_api::{ISSUANCE_RECEIPT, PublishedKey};
use jws::Compact;
use privacy_pass::{MEDIA_TYPE_REQUEST, MEDIA_TYPE_RESPONSE, TokenResponse};
use wallet::{Dip, DrawError, Drawing, Drawn};
use zeroize::Zeroizing;

use crate::session::{request, rng};
use crate::{Error, Session};

const SERVICE: &str = "blind token service";
/// The service knows neither the key nor an earlier answer. Once the epoch is over, it never will: the draw may begin anew. Before that
/// it may be the service's own trouble, and the seed is kept.
const EPOCH_OVER: &str = "key-unknown";
/// The subscription was reset since this wallet's subscription receipt was minted.
const SUPERSEDED: &str = "subscription-version-superseded";
/// The subscription receipt isn't good any more, though its time isn't over.
const SRT_REFUSED: &str = "srt-refused";
/// How often a draw is sent at most.
const MENDS: u32 = 4;

impl Session {
    /// Makes sure that the wallet holds a token (or more than that).
    pub(crate) async fn draw(&mut self) -> Result<(), Error> {
        if matches!(self.wallet().dip, Dip::Nothing) {
            self.begin_draw().await?;
        }
        let mut left = MENDS;
        while let Err(error) = self.finish_draw().await {
            left -= 1;
            self.mend_draw(error, left).await?;
        }
        Ok(())
    }

    /// Makes it worth while to send the draw once more, or to begin it anew. Any other error stays one.
    async fn mend_draw(&mut self, error: Error, left: u32) -> Result<(), Error> {
        let slug = match &error {
            Error::Service { error: ClientError::Problem(problem), .. } => problem.slug(),
            _ => "",
        };
        match &error {
            _ if left == 0 => Err(error),
            _ if slug == EPOCH_OVER && self.epoch_is_over() => {
                self.file.change(|wallet| wallet.dip = Dip::Nothing)?;
                self.begin_draw().await
            }
            _ if slug == SUPERSEDED || slug == SRT_REFUSED => self.renew_srt().await.map(drop),
            // The key that signs receipts is a new one, maybe: then the provider's newest file names it.
            Error::Draw(DrawError::Receipt) => match self.update_trust().await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(error),
            },
            _ => Err(error),
        }
    }

    /// Sends the request of a token that is there once more, for a receipt of issuance by the service's present key.
    pub(crate) async fn draw_again(&mut self) -> Result<(), Error> {
        let Dip::Drawn(drawn) = &self.wallet().dip else { return Err(Error::NoLease) };
        let drawing = drawn.drawing();
        let srt = self.srt().await?;
        let drawn = match self.have_signed(&drawing, &srt).await {
            Err(Error::Draw(DrawError::Receipt)) if self.update_trust().await? => {
                self.have_signed(&drawing, &srt).await?
            }
            signed => signed?,
        };
        Ok(self.file.change(|wallet| wallet.dip = Dip::Drawn(Box::new(drawn)))?)
    }

    /// Whether a draw was begun whose key signs no more.
    fn epoch_is_over(&self) -> bool {
        let Dip::Drawing(drawing) = &self.wallet().dip else { return false };
        let key = drawing.key();
        key.purpose.epoch_end(key.epoch).plus(epoch_keys::CLOCK_SKEW) <= self.now()
    }

    /// Fetches the key, checks it, makes a seed and keeps both.
    async fn begin_draw(&mut self) -> Result<(), Error> {
        let provider = self.provider()?;
        // Without a subscription nothing is begun.
        self.srt().await?;
        self.narrator().step("Fetching this week's key of the blind token service");
        let path = format!("{}?purpose=dedicated-ip", issuer_api::PUBLIC_KEY);
        let key: PublishedKey =
            self.get(SERVICE, &provider.urls.blind_token_service, &path).await?;
        let epoch = key.epoch;
        let drawing = Drawing::begin(key, &provider, self.now(), &mut rng())?;
        self.narrator().checked(&format!(
            "The key is the one that the pinned tree commits to for epoch {epoch}: everybody gets the same."
        ));
        self.file.change(|wallet| wallet.dip = Dip::Drawing(Box::new(drawing)))?;
        Ok(())
    }

    /// Sends the blinded message and takes the signature in, if a draw was begun.
    async fn finish_draw(&mut self) -> Result<(), Error> {
        let srt = self.srt().await?;
        let Dip::Drawing(drawing) = &self.wallet().dip else { return Ok(()) };
        let drawn = self.have_signed(drawing, &srt).await?;
        self.file.change(|wallet| wallet.dip = Dip::Drawn(Box::new(drawn)))?;
        Ok(())
    }

    async fn have_signed(&self, drawing: &Drawing, srt: &Compact) -> Result<Drawn, Error> {
        let provider = self.provider()?;
        self.narrator().step("Having a blinded token signed");
        let blinded = drawing.blind(&provider)?;
        let bearer = Zeroizing::new(format!("Bearer {}", srt.as_str()));
        let request = request(
            SERVICE,
            &provider.urls.blind_token_service,
            Method::POST,
            issuer_api::TOKEN_REQUEST,
            &[
                (AUTHORIZATION, &bearer),
                (CONTENT_TYPE, MEDIA_TYPE_REQUEST),
                (ACCEPT, MEDIA_TYPE_RESPONSE),
            ],
            blinded.request().encode().to_vec(),
        )?;
        let response = self.send(SERVICE, request).await?;
        let unexpected = |what| Error::Unexpected { service: SERVICE, what };
        let receipt = response
            .headers()
            .get(ISSUANCE_RECEIPT)
            .and_then(|receipt| receipt.to_str().ok())
            .ok_or_else(|| unexpected("the receipt of issuance is missing"))?;
        let answer = TokenResponse::decode(response.body())
            .map_err(|_| unexpected("the answer is not a blind signature"))?;
        let receipt = Compact::new(receipt.to_owned());
        let drawn = drawing.finish_blinded(&blinded, &answer, receipt, &provider)?;
        self.narrator().checked("The unblinded signature holds, and the receipt is for it.");
        Ok(drawn)
    }
}
