//! What a whole assignment can't do without, each measured alone in this run: CPU microseconds for one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey as Peer, X25519};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};
use blind_rsa::{AwsLcSigner, RawSigner as _};
use rsa_raw::Modulus;

use crate::machine::of_thread;

/// How often each happens in one assignment, on both sides, and why.
pub(crate) const COUNTS: &str = "1 RSA private operation, 1 inversion and 8 RSA public operations; Ed25519: 5 signatures and 8 \
     verifications; X25519: 3 agreements";
/// What an attestation adds.
pub(crate) const ATTESTATION: &str = "P-384: 1 signature and 5 verifications";

/// The sums in milliseconds of CPU time.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    /// All but the attestation.
    pub(crate) assignment: f64,
    /// The attestation.
    pub(crate) attestation: f64,
}

/// Measures every primitive for about a tenth of a second.
pub(crate) fn measure() -> Result<Sums> {
    let failed = |what: &'static str| anyhow!(what);
    let message = [7; 100];

    let rsa = AwsLcSigner::generate(2048).context("an RSA key")?;
    let spki = rsa.public_key().spki();
    let modulus =
        Modulus::new(spki.get(81..81 + 256).context("a modulus")?).context("a modulus")?;
    let number = [5; 256];
    let number = if modulus.check(&number).is_ok() { number } else { [1; 256] };
    let private = each(|| rsa.sign_blinded(&number).map(drop).context("signing"))?;
    let inversion = each(|| modulus.inverse(&number).map(drop).context("inverting"))?;
    let public = each(|| modulus.pow(&number, 65_537).map(drop).context("raising"))?;

    let random = SystemRandom::new();
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| failed("an Ed25519 key"))?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| failed("an Ed25519 key"))?;
    let signature = pair.sign(&message);
    let key = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref().to_vec());
    let signing = each(|| {
        let _ = pair.sign(&message);
        Ok(())
    })?;
    let verifying =
        each(|| key.verify(&message, signature.as_ref()).map_err(|_| failed("Ed25519")))?;

    let ours = PrivateKey::generate(&X25519).map_err(|_| failed("an X25519 key"))?;
    let theirs = PrivateKey::generate(&X25519).map_err(|_| failed("an X25519 key"))?;
    let theirs = theirs.compute_public_key().map_err(|_| failed("an X25519 key"))?;
    let theirs = Peer::new(&X25519, theirs.as_ref().to_vec());
    let agreeing = each(|| agreement::agree(&ours, &theirs, failed("X25519"), |_| Ok(())))?;

    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
        .map_err(|_| failed("a P-384 key"))?;
    let signature = pair.sign(&random, &message).map_err(|_| failed("P-384"))?;
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, pair.public_key().as_ref().to_vec());
    let attesting = each(|| pair.sign(&random, &message).map(drop).map_err(|_| failed("P-384")))?;
    let checking = each(|| key.verify(&message, signature.as_ref()).map_err(|_| failed("P-384")))?;

    let assignment =
        private + inversion + 8.0 * public + 5.0 * signing + 8.0 * verifying + 3.0 * agreeing;
    Ok(Sums { assignment, attestation: attesting + 5.0 * checking })
}

/// Milliseconds of this thread's CPU time for one.
fn each(mut once: impl FnMut() -> Result<()>) -> Result<f64> {
    once()?;
    let (begun, before, mut times) = (Instant::now(), of_thread()?, 0_u32);
    while begun.elapsed() < Duration::from_millis(100) {
        for _ in 0..10 {
            once()?;
            times += 1;
        }
    }
    Ok((of_thread()? - before).as_secs_f64() * 1000.0 / f64::from(times))
}
