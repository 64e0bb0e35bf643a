//! People with a subscription receipt in hand, and what becomes of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accounts_api::{ACCOUNTS, CreateAccount, CreatedAccount};
use anyhow::{Context as _, Result};
use coarse::SystemClock;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_client::{BaseUrl, ClientConfig, HttpClient};
use lab::Town;
use session::{Session, SessionConfig, Silent};

/// How many people get their accounts at once.
const TOGETHER: usize = 32;

/// Makes accounts and wallets in `homes` and logs everybody in: what comes before an assignment.
pub(crate) async fn logged_in(town: &Town, homes: &Path, count: usize) -> Result<Vec<Session>> {
    let registrar = Arc::new(Registrar::of(town)?);
    let mut people = Vec::with_capacity(count);
    while people.len() < count {
        let first = people.len();
        let tasks: Vec<_> = (first..count.min(first + TOGETHER))
            .map(|number| {
                let registrar = Arc::clone(&registrar);
                let home = homes.join(number.to_string());
                tokio::spawn(async move { registrar.welcome(home).await })
            })
            .collect();
        for task in tasks {
            people.push(task.await??);
        }
    }
    Ok(people)
}

struct Registrar {
    http: HttpClient,
    accounts: BaseUrl,
    operator: HeaderValue,
    provider: Vec<u8>,
}

impl Registrar {
    fn of(town: &Town) -> Result<Self> {
        let token = std::fs::read_to_string(town.home("accounts").join("state/operator.token"))?;
        let accounts = town.url("accounts")?;
        Ok(Self {
            http: HttpClient::new(ClientConfig::default(), ()),
            accounts: accounts.parse().ok().context("the accounts service's URL")?,
            operator: HeaderValue::from_str(&format!("Bearer {}", token.trim()))?,
            provider: std::fs::read(town.provider())?,
        })
    }

    async fn welcome(&self, home: std::path::PathBuf) -> Result<Session> {
        let create = CreateAccount { account: None, entitlements: vec!["vpn.dip".to_owned()] };
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.accounts.join(ACCOUNTS).ok().context("the accounts service's URL")?)
            .header(AUTHORIZATION, &self.operator)
            .header(CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&create)?.into())?;
        let made: CreatedAccount = http_client::parse(&self.http.send(request).await?)?;
        let mut session = Session::open(SessionConfig {
            home,
            source: None,
            clock: Arc::new(SystemClock),
            narrator: Arc::new(Silent),
        })?;
        session.add_trust(&self.provider, true)?;
        session.log_in(made.account).await?;
        Ok(session)
    }
}

/// Has everybody assigned an address, `at_once` at a time, and gives how long each took, in order of size.
pub(crate) async fn assign(people: Vec<Session>, at_once: usize) -> Result<Vec<Duration>> {
    let people = Arc::new(std::sync::Mutex::new(people));
    let workers: Vec<_> = (0..at_once)
        .map(|_| {
            let people = Arc::clone(&people);
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let next =
                        people.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
                    let Some(mut session) = next else { return Ok::<_, anyhow::Error>(times) };
                    let begun = Instant::now();
                    let region = lab::REGION.parse().ok();
                    session.assign(region, 0).await?;
                    times.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await??);
    }
    times.sort_unstable();
    Ok(times)
}
