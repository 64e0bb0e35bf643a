//! Blind signatures: in the library, and through the blind token service with its durable record.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use blind_rsa::{AwsLcSigner, PublicKey, RawSigner as _};
use coarse::system_rng;
use privacy_pass::{KeyId, MEDIA_TYPE_REQUEST, TokenRequest, TokenResponse};
use rand_core::Rng as _;
use rsa_raw::Modulus;

use crate::issuer::IssuerProcess;
use crate::load::{Answered, Prepared, Queue, drive};
use crate::machine::{mean, of_other, of_process, of_thread, openssl_rsa};
use crate::note;
use crate::report::Row;

const RAW: &str = "openssl speed rsa2048, private operations, in turns with it";
/// How long one turn takes: OpenSSL and we in alternation, so that a busy machine is busy for both.
const TURN: Duration = Duration::from_secs(1);
/// Connections of the load generator, each with one request in flight.
const CONNECTIONS: usize = 192;
/// No machine of today signs more in a second.
const MOST_A_SECOND: u64 = 20_000;

/// Measures both rows, each for `length` and as long again for OpenSSL.
pub(crate) async fn run(length: Duration) -> Result<Vec<Row>> {
    Ok(vec![library(length)?, service(length).await?])
}

fn library(length: Duration) -> Result<Row> {
    note("signing in the library, in turns with openssl");
    let signer = AwsLcSigner::generate(2048).context("no key")?;
    let (mut signed, mut used, mut raw) = (0, Duration::ZERO, Vec::new());
    for _ in 0..turns(length) {
        raw.push(openssl_rsa()?);
        let (begun, at_first) = (Instant::now(), of_thread()?);
        while begun.elapsed() < TURN {
            for _ in 0..64 {
                signer.sign_blinded(&message()).context("a signature")?;
                signed += 1;
            }
        }
        used += of_thread()? - at_first;
    }
    let value = signed as f64 / used.as_secs_f64();
    let name = "blind signatures in the library, result checked, one core";
    Ok(Row::rate(name, "1/CPU s", value, (RAW, mean(&raw)), signed))
}

async fn service(length: Duration) -> Result<Row> {
    let room = tempfile::Builder::new().prefix("cloakroom-bench-").tempdir()?;
    let issuer = IssuerProcess::start(room.path())?;
    let turns = turns(length);
    let prepared = MOST_A_SECOND.min(6000) * turns;
    note(&format!("preparing {prepared} requests, each of a subscription of its own"));
    let queue = prepare(&issuer, prepared)?;
    note("signing through the service, in turns with openssl");
    let (mut answered, mut used, mut raw) = (Vec::new(), Duration::ZERO, Vec::new());
    let cpu = || Ok::<_, anyhow::Error>(of_process()? + of_other(issuer.id())?);
    for turn in 0..=turns {
        raw.push(openssl_rsa()?);
        let at_first = cpu()?;
        let part = drive(issuer.address, &queue, CONNECTIONS, Instant::now() + TURN).await?;
        // The first turn warms up.
        if turn > 0 {
            used += cpu()? - at_first;
            answered.extend(part);
        }
    }
    let n = answered.len() as u64;
    note(&format!("verifying {n} signatures"));
    verify(&issuer, &answered)?;
    let name = "blind signatures through the service: HTTP, SRT checked, receipt signed, mark and answer durable; \
                CPU time of service and load generator";
    let value = n as f64 / used.as_secs_f64();
    Ok(Row::rate(name, "1/CPU s", value, (RAW, mean(&raw)), n))
}

fn turns(length: Duration) -> u64 {
    length.as_secs().max(1)
}

/// A number below every modulus of 2,048 bits.
fn message() -> [u8; 256] {
    let mut message = [0; 256];
    system_rng().fill_bytes(&mut message);
    let [first, ..] = &mut message;
    *first &= 0x7f;
    message
}

fn prepare(issuer: &IssuerProcess, count: u64) -> Result<Queue> {
    let public = PublicKey::from_spki(&issuer.key.public_key.0).context("the key")?;
    let truncated = KeyId::of(&public).truncated();
    let mut all = VecDeque::new();
    for _ in 0..count {
        let blinded = message();
        let body = TokenRequest::new(truncated, blinded).encode();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: {MEDIA_TYPE_REQUEST}\r\n\
             Content-Length: {}\r\n\r\n",
            issuer_api::TOKEN_REQUEST,
            issuer.address,
            issuer.subscribe()?.as_str(),
            body.len(),
        );
        all.push_back(Prepared { bytes: [head.as_bytes(), &body].concat(), blinded });
    }
    Ok(Arc::new(Mutex::new(all)))
}

/// Every answer is the blinded message's signature.
fn verify(issuer: &IssuerProcess, answered: &[Answered]) -> Result<()> {
    let public = PublicKey::from_spki(&issuer.key.public_key.0).context("the key")?;
    let spki = public.spki();
    let modulus = spki.get(81..81 + 256).context("the key's modulus")?;
    let modulus = Modulus::new(modulus).context("the modulus")?;
    for (blinded, body) in answered {
        let signature = TokenResponse::decode(body).context("an answer")?;
        let again = modulus.pow(signature.blind_signature(), 65_537).context("a signature")?;
        ensure!(again.as_slice() == blinded, "the service gave a wrong signature");
    }
    Ok(())
}
