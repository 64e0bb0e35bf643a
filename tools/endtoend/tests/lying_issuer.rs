//! A blind token service that says of a draw what isn't so: the client keeps the draw's seed as long as its epoch lasts,
//! or a signature that was given for it would be lost, and with it the one token that the subscription may draw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use endtoend::evidence::Stored;
use endtoend::program::{User, provider_file};
use endtoend::rogue::{Rogue, Told};
use endtoend::scene::shared;
use endtoend::services::Services;
use serde_json::Value;
use tempfile::TempDir;

/// The seed of the draw that a wallet is in.
fn seed(user: &User) -> Result<Value> {
    let wallet: Value = serde_json::from_str(&user.wallet().context("no wallet")?)?;
    wallet.pointer("/dip/drawing/seed").cloned().context("no draw is under way")
}

/// A user of the program for whom this is the blind token service.
fn user_with(issuer: &Rogue) -> Result<(User, TempDir)> {
    let town = shared()?;
    let mut provider = Services::of(town)?.provider;
    provider.urls.blind_token_service = issuer.url();
    let room = tempfile::tempdir()?;
    let file = provider_file(&provider, room.path())?;
    Ok((User::new(town)?.who_is_given(file).who_logs_in()?, room))
}

#[test]
fn a_draws_seed_is_kept_while_its_epoch_lasts_whatever_the_service_says() -> Result<()> {
    let town = shared()?;
    let (real, lies) = (town.url("issuer")?, Arc::new(AtomicBool::new(true)));
    let lying = Arc::clone(&lies);
    let issuer = Rogue::start(move |asked| {
        let told = asked.passed_on(&real)?;
        // It signs, and says that there is no such key (any more).
        if asked.method == "POST" && lying.load(Ordering::SeqCst) {
            return Ok(Told::problem(422, "key-unknown"));
        }
        Ok(told)
    })?;
    let (user, _room) = user_with(&issuer)?;
    let mut seeds = Vec::new();
    for _ in 0..3 {
        let refused = user.assign()?;
        assert_eq!(refused.status, 1, "{}", refused.out);
        seeds.push(seed(&user)?);
    }
    assert_eq!((&seeds[1], &seeds[2]), (&seeds[0], &seeds[0]));
    // Each time the same was sent, and nothing else: one message was signed for this subscription.
    let sent: Vec<_> = issuer.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|asked| asked.body == sent[0].body));
    let drawn = "answers WHERE subscription = ?1";
    let id = hex::decode(&user.subscription)?;
    assert_eq!(Stored::by(town, "issuer")?.count(drawn, [&id])?, 1);
    // Told the truth, it has the token that was signed the first time.
    lies.store(false, Ordering::SeqCst);
    user.assign()?.json()?;
    assert_eq!(Stored::by(town, "issuer")?.count(drawn, [&id])?, 1);
    Ok(())
}

#[test]
fn no_other_lie_costs_a_draw_its_seed() -> Result<()> {
    let town = shared()?;
    let real = town.url("issuer")?;
    let lies = [
        (404, "key-unknown"),
        (422, "epoch-not-open"),
        (409, "draw-limit-reached"),
        (409, "subscription-version-superseded"),
        (401, "srt-expired"),
        (403, "purpose-not-covered"),
        (422, "token-request-malformed"),
        (500, "internal"),
        (503, "store-failed"),
        (200, "well"),
    ];
    let told = Arc::new(std::sync::Mutex::new(lies[0]));
    let next = Arc::clone(&told);
    let issuer = Rogue::start(move |asked| {
        let (status, slug) = *next.lock().ok().context("poisoned")?;
        match asked.method.as_str() {
            "POST" => Ok(Told::problem(status, slug)),
            _ => asked.passed_on(&real),
        }
    })?;
    let (user, _room) = user_with(&issuer)?;
    assert_eq!(user.assign()?.status, 1);
    let first = seed(&user)?;
    for lie in lies {
        *told.lock().unwrap() = lie;
        assert_eq!(user.assign()?.status, 1, "{lie:?}");
        assert_eq!(seed(&user)?, first, "{lie:?}");
    }
    Ok(())
}
