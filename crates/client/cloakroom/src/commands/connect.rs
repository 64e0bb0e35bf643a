//! `cloakroom connect`, `disconnect` and `status`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use session::{Connected, TunnelPlan};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Connect, Global};
use crate::commands::{home, session};
use crate::control::{self, Request, Status};
use crate::output::{Failure, json, line, note};

/// How often an open tunnel is looked after.
const TICK: Duration = Duration::from_secs(5);
/// Without a handshake for this long the gateway may have forgotten the peer: the token is presented again. WireGuard
/// makes a new handshake after 120 s and gives up a session after 180 s.
const SILENT: Duration = Duration::from_secs(150);

pub(crate) async fn run(global: &Global, options: Connect) -> Result<(), Failure> {
    if !options.foreground && !options.background {
        return in_background(global, &options);
    }
    let home = home(global)?;
    if options.background {
        rustix::process::setsid().map_err(anyhow::Error::from)?;
    }
    let listener = control::listen(&home)?;
    let plan = session(global)?.tunnel_plan()?;
    let mut tunnel = match plan.open(options.proxy).await {
        Ok(connected) => Tunnel { global: global.clone(), plan, connected },
        Err(error) => {
            control::close(&home);
            return Err(error.into());
        }
    };
    if options.background || global.json {
        json(&tunnel.status())?;
    } else {
        show(&tunnel.status());
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = tick.tick() => tunnel.look_after().await,
            Ok((stream, _)) = listener.accept() => {
                if tunnel.answer(stream).await == Some(Request::Disconnect) {
                    break;
                }
            }
        }
    }
    tunnel.connected.tunnel.shutdown();
    control::close(&home);
    Ok(())
}

/// Starts this program again, detached, and waits until its tunnel is open.
fn in_background(global: &Global, options: &Connect) -> Result<(), Failure> {
    let home = home(global)?;
    let program = std::env::current_exe().map_err(anyhow::Error::from)?;
    let mut command = Command::new(program);
    command.arg("--home").arg(&home).arg("--quiet");
    if let Some(source) = global.source {
        command.arg("--source").arg(source.to_string());
    }
    command.args(["connect", "--background", "--proxy"]).arg(options.proxy.to_string());
    let log = home.join("connect.log");
    let mut child = std::fs::File::create(&log)
        .and_then(|log| command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn())
        .context("the tunnel's process could not be started")?;
    let mut first = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut first).map_err(anyhow::Error::from)?;
    }
    let Ok(status) = serde_json::from_str::<Status>(&first) else {
        let status = child.wait().map_err(anyhow::Error::from)?;
        note(std::fs::read_to_string(&log).unwrap_or_default().trim_end());
        return Err(if status.code() == Some(2) { Failure::usage("") } else { Failure::refused() });
    };
    if global.json {
        json(&status)
    } else {
        show(&status);
        Ok(())
    }
}

pub(crate) fn disconnect(global: &Global) -> Result<(), Failure> {
    let home = home(global)?;
    match control::ask(&home, Request::Disconnect)? {
        Some(_) => {
            control::wait_until_closed(&home)?;
            note("The tunnel is closed.");
        }
        None => note("There was no tunnel."),
    }
    if global.json { json(&Status::CLOSED) } else { Ok(()) }
}

pub(crate) fn status(global: &Global) -> Result<(), Failure> {
    let status = control::ask(&home(global)?, Request::Status)?.unwrap_or(Status::CLOSED);
    if global.json {
        return json(&status);
    }
    show(&status);
    Ok(())
}

fn show(status: &Status) {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    if !status.connected {
        return line("disconnected");
    }
    line(format_args!("connected      traffic leaves from {}", text(&status.exit_address)));
    line(format_args!("proxy          {} (SOCKS5 and HTTP CONNECT)", text(&status.proxy)));
    line(format_args!("access until   {}", text(&status.access_until)));
    let age = status.handshake_seconds.map_or("none".into(), |age| format!("{age} s ago"));
    line(format_args!("last handshake {age}; sent {}, received {}", status.sent, status.received));
}

struct Tunnel {
    global: Global,
    plan: TunnelPlan,
    connected: Connected,
}

impl Tunnel {
    fn status(&self) -> Status {
        let tunnel = self.connected.tunnel.status();
        Status {
            connected: true,
            proxy: Some(self.connected.tunnel.proxy_addr().to_string()),
            exit_address: Some(self.connected.peer.exit_address.to_string()),
            access_until: Some(self.connected.peer.ends.to_string()),
            handshake_seconds: tunnel.handshake_age.map(|age| age.as_secs()),
            sent: tunnel.sent,
            received: tunnel.received,
            open_flows: tunnel.open_flows,
        }
    }

    /// Presents the token again when the gateway has been silent for long.
    async fn look_after(&mut self) {
        let silent = self.connected.tunnel.status().handshake_age.is_none_or(|age| age > SILENT);
        if silent {
            self.present().await;
        }
    }

    /// Takes the token from the wallet again (it may have been refreshed) and presents it. A failure is told and tried
    /// again later; the tunnel stays as it is.
    async fn present(&mut self) {
        if let Ok(session) = session(&self.global)
            && let Ok(plan) = session.tunnel_plan()
        {
            self.plan = plan;
        }
        match self.plan.present().await {
            Ok(peer) => self.connected.peer = peer,
            Err(error) => note(format_args!("! The token could not be presented: {error}")),
        }
    }

    async fn answer(&mut self, stream: UnixStream) -> Option<Request> {
        let (read, mut write) = stream.into_split();
        let mut asked = String::new();
        let mut lines = tokio::io::BufReader::new(tokio::io::AsyncReadExt::take(read, 1024));
        let reading = lines.read_line(&mut asked);
        tokio::time::timeout(Duration::from_secs(2), reading).await.ok()?.ok()?;
        let request: Request = serde_json::from_str(&asked).ok()?;
        if request == Request::Reload {
            self.present().await;
        }
        let status = if request == Request::Disconnect { Status::CLOSED } else { self.status() };
        let mut answer = serde_json::to_vec(&status).ok()?;
        answer.push(b'\n');
        write.write_all(&answer).await.ok()?;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_without_a_tunnel_is_disconnected() {
        let home = tempfile::tempdir().unwrap();
        assert!(control::ask(home.path(), Request::Status).unwrap().is_none());
    }
}
