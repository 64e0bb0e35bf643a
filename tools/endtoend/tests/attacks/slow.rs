//! Strangers who keep a service waiting: heads and bodies that never end.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use endtoend::raw::{self, Raw, Said};
use endtoend::rows::Rows;

use crate::TOWN;
use crate::endpoints;

/// How long a head may take, and then a body: what every service is set to, and a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(10);
/// How often a slow stranger says another byte.
const PAUSE: Duration = Duration::from_millis(200);

/// Begins a request and goes on with a byte now and then, for ever; what the service says in the end, and after how long.
fn dawdle(address: SocketAddr, beginning: &[u8], byte: &[u8]) -> Result<(Said, Duration)> {
    let start = Instant::now();
    let mut stranger = Raw::connect(address)?;
    stranger.say(beginning);
    // The other side hangs up sooner or later: then nothing can be said any more.
    while stranger.say(byte) {
        ensure!(start.elapsed() < LIMIT + SLACK, "it still waits");
        thread::sleep(PAUSE);
    }
    Ok((stranger.hear()?, start.elapsed()))
}

#[test]
fn whoever_dawdles_is_hung_up_on() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    let mut slow = Vec::new();
    for service in endpoints::SERVICES {
        let address = raw::address(&town.url(service)?)?;
        // A head that never ends; one that begins with nothing; a body that never comes to its end, by length and in chunks.
        slow.push((
            service,
            "head",
            address,
            b"GET /health HTTP/1.1\r\nHost: a\r\nX: ".to_vec(),
            "a",
        ));
        slow.push((service, "blank", address, Vec::new(), "\r\n"));
        for length in ["Content-Length: 9000", "Transfer-Encoding: chunked"] {
            let endpoint = all.iter().find(|one| one.service == service && !one.body.is_empty());
            let path = endpoint.map_or("/", |endpoint| &endpoint.path);
            let kind = "Content-Type: application/json";
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{kind}\r\n{length}\r\n\r\n");
            let more = if length.starts_with('C') { " " } else { "1\r\n \r\n" };
            slow.push((service, "body", address, head.into_bytes(), more));
        }
    }
    let ended = thread::scope(|scope| {
        let dawdling: Vec<_> = slow
            .iter()
            .map(|(service, what, address, beginning, byte)| {
                let dawdle = move || dawdle(*address, beginning, byte.as_bytes());
                (service, what, scope.spawn(dawdle))
            })
            .collect();
        // Meanwhile everybody else is served.
        let others = endpoints::assert_all_well(&all);
        let ended: Vec<_> = dawdling
            .into_iter()
            .map(|(service, what, thread)| (service, what, thread.join().unwrap()))
            .collect();
        others.map(|()| ended)
    })?;
    for (service, what, ended) in ended {
        let (said, after) = ended.map_err(|error| error.context(format!("{service}: {what}")))?;
        assert!(after < LIMIT + SLACK, "{service}, {what}: {after:?}");
        let refused = said.status.is_none_or(|status| (400..500).contains(&status));
        assert!(refused, "{service}, {what}: {}", said.head);
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}
