//! The parent in front of a machine that was booted, and whether what it attests to is what was built.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use coarse::{Clock as _, SystemClock};
use eif::Measurements;
use encoding::Base64Url;
use nitro::{Attestation, Expectations};
use rand_core::Rng as _;
use serde::Deserialize;

use crate::make::PORT;
use crate::process::Running;

/// Nobody's signature is asked for: the machine only attests.
const CONFIGURATION: &str = concat!(
    r#"{"srt_keys":{"keys":[]},"issuance_keys":{"keys":[]},"order_keys":{"keys":[]},"#,
    r#""issuer_name":"issuer.example","origin":"dip.example","tree":{"purpose":"dedicated-ip","#,
    r#""first_epoch":2968,"root":"0000000000000000000000000000000000000000000000000000000000000000"}}"#
);
/// How long the parent may take once the enclave listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether something listens on the enclave's port behind the monitor's socket.
pub(crate) fn enclave_listens(monitor: &Path) -> bool {
    let asked = || {
        let mut stream = UnixStream::connect(monitor)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("CONNECT {PORT}\n").as_bytes())?;
        let mut answer = [0; 3];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer == *b"OK ")
    };
    asked().unwrap_or(false)
}

/// Starts the parent, has the enclave attest over HTTP, and checks the document: module's root, nonce, measurements.
pub(crate) fn attest(
    program: &Path,
    room: &Path,
    monitor: &Path,
    expected: &Measurements,
) -> Result<Attestation> {
    let address = free_port()?;
    let configuration = room.join("boot.json");
    std::fs::write(&configuration, CONFIGURATION)?;
    let mut command = Command::new(program);
    command.arg("--state").arg(room.join("parent")).args(["serve", "--listen"]);
    command.arg(address.to_string());
    command.arg("--enclave").arg(format!("hybrid-vsock:{}:{PORT}", monitor.display()));
    command.arg("--boot-configuration").arg(&configuration);
    let mut parent = Running::start("parent", &mut command, room)?;
    let mut nonce = [0; 32];
    coarse::system_rng().fill_bytes(&mut nonce);
    let path = format!("/attestation?nonce={}", hex::encode(nonce));
    let answer = parent.until(PATIENCE, "attesting", |_| get(address, &path).ok())?;
    let served: Served = serde_json::from_slice(&answer).context("no attestation")?;
    ensure!(served.boot_configuration.0 == CONFIGURATION.as_bytes(), "another boot configuration");
    let root = std::fs::read(room.join("nsm/root.der"))?;
    let Measurements { pcr0, pcr1, pcr2 } = *expected;
    let expected = Expectations {
        nonce: Some(nonce.to_vec()),
        pcrs: [(0, pcr0), (1, pcr1), (2, pcr2)].into(),
        max_age: Some(Duration::from_secs(300)),
        ..Expectations::default()
    };
    nitro::verify(&served.document.0, &root, SystemClock.now(), &expected)
        .context("the machine's document was refused")
}

#[derive(Deserialize)]
struct Served {
    document: Base64Url,
    boot_configuration: Base64Url,
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").context("no HTTP answer")?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "the parent refuses");
    Ok(answer.split_off(end + 4))
}
