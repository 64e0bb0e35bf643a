//! The people of a demo: each has two devices with a network address and a wallet of its own, and runs the client on them. The second
//! device takes the address over from its backup.

use std::io::{BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use record::Recording;
use serde_json::Value;

use super::device::Device;
use super::process::text;
use super::town::{REGION, as_text};
use super::{PersonResult, Town};
use crate::knowledge::{Fact, Known};
use crate::message::Message;

/// A step that every person takes.
type Take = fn(&mut Person) -> Result<()>;

/// The steps, in order. From `connect` on the tunnel is up, also for login and refresh.
pub(crate) const STEPS: [(&str, Take); 11] = [
    ("trust the provider", Person::trust),
    ("login: a subscription receipt", Person::login),
    ("assign: token, attestation, dedicated IP", Person::assign),
    ("back up under an Access Code", Person::back_up),
    ("connect: WireGuard tunnel", Person::connect),
    ("the web server's view", Person::browse),
    ("restore on a second device", Person::restore),
    ("the web server's view of both devices at once", Person::browse),
    ("login and refresh with the tunnel up", Person::refresh),
    ("the web server's view after the refresh", Person::browse),
    ("disconnect", Person::disconnect),
];

/// One person.
pub struct Person {
    number: usize,
    provider: PathBuf,
    device: Device,
    second: Option<Device>,
    second_source: Ipv4Addr,
    account: String,
    subscription: String,
    web: SocketAddr,
    seen: Vec<IpAddr>,
    held: Option<Held>,
    backup: Option<Backup>,
    taken_over: Option<TakenOver>,
}

/// What the wallet held after the assignment.
struct Held {
    dedicated_ip: Ipv4Addr,
    lease: Vec<u8>,
    srt: String,
    later_srt: Option<String>,
    token: Vec<u8>,
    device_key: Vec<u8>,
    dat: String,
    drt: String,
}

/// What the wallet said of the backup.
struct Backup {
    access_code: String,
    locator: Vec<u8>,
    salt: Vec<u8>,
}

/// What the second device got.
struct TakenOver {
    device_key: Vec<u8>,
    dat: String,
    drt: String,
}

impl Person {
    /// As many people, each with an account.
    ///
    /// # Errors
    /// When an account can't be made.
    pub fn all(town: &Town, count: usize) -> Result<Vec<Self>> {
        (0..count).map(|number| Self::new(town, number)).collect()
    }

    /// One more person, with an account.
    ///
    /// # Errors
    /// When the account can't be made.
    pub fn new(town: &Town, number: usize) -> Result<Self> {
        let (account, subscription) = town.make_account()?;
        let [high, low] = u16::try_from(number)?.to_be_bytes();
        let last = low.checked_add(1).context("too many people")?;
        // An address per device, none of them in the pool.
        let source = Ipv4Addr::new(127, 10, high, last);
        let home = town.homes().join(number.to_string());
        Ok(Self {
            number,
            provider: town.provider(),
            device: Device::new(town.binaries().client(), home, source),
            second: None,
            second_source: Ipv4Addr::new(127, 11, high, last),
            account,
            subscription,
            web: town.web_address(),
            seen: Vec::new(),
            held: None,
            backup: None,
            taken_over: None,
        })
    }

    /// The same person, whose clock goes with the town's.
    pub(crate) fn rehearsing(mut self, town: &Town) -> Self {
        self.device.program = town.binaries().rehearsed_client();
        self.device.ahead = Some(town.clock());
        self
    }

    /// The subscription's id.
    pub(crate) fn subscription(&self) -> &str {
        &self.subscription
    }

    /// Gives up what the wallet holds.
    pub(crate) fn forget(&mut self) -> Result<()> {
        self.device.run(&["dip", "forget", "--yes"], "")?;
        Ok(())
    }

    /// That the client refuses to do something, with these words.
    pub(crate) fn is_refused(&self, arguments: &[&str], words: &str) -> Result<()> {
        match self.device.run(arguments, "") {
            Ok(_) => bail!("cloakroom {} was not refused", arguments.join(" ")),
            Err(error) if format!("{error:#}").contains(words) => Ok(()),
            Err(error) => Err(error.context(format!("it should have been: {words}"))),
        }
    }

    /// The account's number.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    /// Where the wallet is.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.device.home
    }

    /// The subscription's id and the lease's, 16 bytes each: what an attacker would like to pair.
    ///
    /// # Errors
    /// Before the assignment.
    pub fn secret_pair(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let held = self.held.as_ref().context("nothing is assigned yet")?;
        Ok((hex::decode(&self.subscription)?, held.lease.clone()))
    }

    /// The dedicated address.
    ///
    /// # Errors
    /// Before the assignment.
    pub fn dedicated_ip(&self) -> Result<Ipv4Addr> {
        Ok(self.held.as_ref().context("nothing is assigned yet")?.dedicated_ip)
    }

    /// The device's tunnel key, 32 bytes.
    ///
    /// # Errors
    /// Before the assignment.
    pub fn device_key(&self) -> Result<Vec<u8>> {
        Ok(self.held.as_ref().context("nothing is assigned yet")?.device_key.clone())
    }

    /// Where the backup is.
    ///
    /// # Errors
    /// Before there is one.
    pub fn locator(&self) -> Result<Vec<u8>> {
        Ok(self.backup.as_ref().context("nothing is backed up yet")?.locator.clone())
    }

    /// Takes the provider's file in.
    ///
    /// # Errors
    /// What the client says.
    pub fn trust(&mut self) -> Result<()> {
        self.trust_on(&self.device)
    }

    fn trust_on(&self, device: &Device) -> Result<()> {
        let provider = as_text(&self.provider)?;
        device.run(&["trust", "add", provider, "--accept-untrusted-development"], "")?;
        Ok(())
    }

    /// Sets the account, which gets a subscription receipt.
    ///
    /// # Errors
    /// What the client says.
    pub fn login(&mut self) -> Result<()> {
        self.device.run(&["account", "login"], &self.account)?;
        Ok(())
    }

    /// Draws a token and gets an address for it.
    ///
    /// # Errors
    /// What the client says.
    pub fn assign(&mut self) -> Result<()> {
        let leased = self.device.run(&["dip", "assign", "--region", REGION, "--wait", "0"], "")?;
        self.held = Some(Held::read(&leased, &self.device.wallet()?)?);
        Ok(())
    }

    /// Backs the address up, under a code that the client makes.
    ///
    /// # Errors
    /// What the client says.
    pub fn back_up(&mut self) -> Result<()> {
        let made = self.device.run(&["dip", "backup"], "")?;
        let wallet = self.device.wallet()?;
        self.backup = Some(Backup {
            access_code: text(&made, &["access_code"])?.to_owned(),
            locator: URL_SAFE_NO_PAD.decode(text(&made, &["locator"])?)?,
            salt: URL_SAFE_NO_PAD.decode(text(&wallet, &["salt"])?)?,
        });
        Ok(())
    }

    /// Makes the device known to the gateway, without a tunnel: by exporting a stock configuration file.
    ///
    /// # Errors
    /// What the client says.
    pub fn register(&mut self) -> Result<()> {
        let file = self.device.home.join("stock.conf");
        self.device.run(&["dip", "export", "--out", as_text(&file)?], "")?;
        Ok(())
    }

    pub(crate) fn connect(&mut self) -> Result<()> {
        self.device.connect()
    }

    /// Takes the address over to a second device with an empty wallet, and opens a tunnel from there, too.
    pub(crate) fn restore(&mut self) -> Result<()> {
        let code = &self.backup.as_ref().context("nothing is backed up")?.access_code;
        let home = self.device.home.with_file_name(format!("{}-second", self.number));
        let mut second = self.device.beside(home, self.second_source);
        self.trust_on(&second)?;
        second.run(&["account", "login"], &self.account)?;
        let restored = second.run(&["dip", "restore"], code)?;
        let ip = self.dedicated_ip()?.to_string();
        ensure!(text(&restored, &["dedicated_ip"])? == ip, "another address was restored");
        let wallet = second.wallet()?;
        let minted = |name| text(&wallet, &["dip", "leased", "minted", name]);
        self.taken_over = Some(TakenOver {
            device_key: STANDARD.decode(text(&restored, &["device_key"])?)?,
            dat: minted("dat")?.to_owned(),
            drt: minted("drt")?.to_owned(),
        });
        second.connect()?;
        self.second = Some(second);
        Ok(())
    }

    pub(crate) fn browse(&mut self) -> Result<()> {
        for device in [Some(&self.device), self.second.as_ref()].into_iter().flatten() {
            self.seen.extend(device.seen_by(self.web)?);
        }
        Ok(())
    }

    /// Refreshes, and writes the backup anew.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        self.login()?;
        let refreshed = self.device.run(&["dip", "refresh"], "")?;
        let ip = self.dedicated_ip()?.to_string();
        ensure!(text(&refreshed, &["dedicated_ip"])? == ip, "the refresh changed the address");
        let written = self.device.run(&["dip", "backup"], "")?;
        ensure!(written.get("access_code").is_none(), "the code was shown twice");
        let later = text(&self.device.wallet()?, &["srt", "srt"])?.to_owned();
        if let Some(held) = &mut self.held {
            held.later_srt = Some(later);
        }
        Ok(())
    }

    pub(crate) fn disconnect(&mut self) -> Result<()> {
        [Some(&mut self.device), self.second.as_mut()]
            .into_iter()
            .flatten()
            .try_for_each(Device::disconnect)
    }

    /// Asks every service for something that it refuses, and shows it what it may know: whoever repeats what was asked does it
    /// now.
    pub(crate) fn err(&self, town: &Town) -> Result<()> {
        let held = self.held.as_ref().context("nothing is assigned")?;
        let token = URL_SAFE_NO_PAD.encode(&held.token);
        let (bearer, nothing) = (|text: &str| format!("Bearer {text}"), String::new);
        let odd = |text: &str| format!("{{\"{text}\":\"{text}\"}}");
        let (account, lease) = (&self.account, hex::encode(&held.lease));
        let locator = hex::encode(self.locator()?);
        for (service, path, credential, body) in [
            ("accounts", "/api/v1/srt", nothing(), odd(account)),
            ("accounts", &format!("/nothing/{}", self.subscription), nothing(), odd(account)),
            ("issuer", "/token-request", bearer(&held.srt), odd(&self.subscription)),
            ("issuer", "/nothing", bearer(&held.srt), nothing()),
            ("dip", "/api/v1/assign", nothing(), nothing()),
            ("dip", "/api/v1/assign", format!("PrivateToken token=\"{token}\""), odd(&lease)),
            ("dip", "/api/v1/refresh", nothing(), odd(&lease)),
            ("dip", &format!("/nothing/{lease}"), nothing(), nothing()),
            ("parent", "/api/v1/generate-tokens", nothing(), odd(&held.dedicated_ip.to_string())),
            ("gateway", "/api/v1/peers", bearer(&held.dat), odd(&held.dedicated_ip.to_string())),
            ("backup", "/api/v1/backup/read", nothing(), odd(&locator)),
            ("backup", &format!("/nothing/{locator}"), nothing(), nothing()),
        ] {
            let authorization = match credential.as_str() {
                "" => nothing(),
                credential => format!("Authorization: {credential}\r\n"),
            };
            let kind = match path {
                "/token-request" => "application/private-token-request",
                _ => "application/json",
            };
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: {}\r\n{authorization}Content-Type: {kind}\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                town.door(service)?,
                body.len()
            );
            let mut stream = super::wire::call(self.device.source.into(), town.door(service)?)?;
            stream.write_all(request.as_bytes())?;
            let answer = Message::read(&mut BufReader::new(stream), false)?;
            let status = answer.as_ref().map_or("", Message::second_word);
            ensure!(status.starts_with('4'), "{service} answered {path} with {status:?}");
        }
        Ok(())
    }

    pub(crate) fn result(&self) -> PersonResult {
        let dedicated_ip = self.dedicated_ip().map(|ip| ip.to_string()).unwrap_or_default();
        // One view that differs is enough to be shown.
        let other = self.seen.iter().map(IpAddr::to_string).find(|seen| *seen != dedicated_ip);
        let first = self.seen.first().map(IpAddr::to_string).unwrap_or_default();
        PersonResult {
            client_address: self.device.source.to_string(),
            second_address: self.second_source.to_string(),
            server_saw: other.unwrap_or(first),
            dedicated_ip,
        }
    }
}

impl Held {
    /// From what the client printed, and its wallet.
    fn read(leased: &Value, wallet: &Value) -> Result<Self> {
        let minted = |name| text(wallet, &["dip", "leased", "minted", name]);
        let token = text(wallet, &["dip", "leased", "drawn", "token"])?;
        Ok(Self {
            dedicated_ip: text(leased, &["dedicated_ip"])?.parse()?,
            lease: hex::decode(text(leased, &["lease"])?)?,
            srt: text(wallet, &["srt", "srt"])?.to_owned(),
            later_srt: None,
            token: URL_SAFE_NO_PAD.decode(token)?,
            device_key: STANDARD.decode(text(leased, &["device_key"])?)?,
            dat: minted("dat")?.to_owned(),
            drt: minted("drt")?.to_owned(),
        })
    }
}

/// Lets every person take a step, all at once.
pub(crate) fn together(
    people: &mut [Person],
    step: impl Fn(&mut Person) -> Result<()> + Sync,
) -> Result<()> {
    thread::scope(|scope| {
        let step = &step;
        let taking: Vec<_> =
            people.iter_mut().map(|person| scope.spawn(move || step(person))).collect();
        taking
            .into_iter()
            .try_for_each(|taken| taken.join().unwrap_or_else(|_| anyhow::bail!("a step panicked")))
    })
}

/// Everything that the people know, for the audit to look for elsewhere.
pub(crate) fn known(people: &[Person], town: &Town) -> Result<Vec<Known>> {
    let mut blinded = Vec::new();
    for path in super::recordings(&town.home("issuer"))? {
        blinded.extend(blinded_tokens(&Recording::load(&path)?));
    }
    let mut known = Vec::new();
    for person in people {
        let held = person.held.as_ref().context("nothing is assigned")?;
        let number = person.number;
        let subscription = hex::decode(&person.subscription)?;
        let mut new = |fact, value: Vec<u8>| known.push(Known::new(fact, number, value));
        new(Fact::Account, person.account.clone().into_bytes());
        new(Fact::Subscription, subscription);
        new(Fact::Token, held.token.clone());
        new(Fact::Lease, held.lease.clone());
        new(Fact::DeviceKey, held.device_key.clone());
        new(Fact::Dat, held.dat.clone().into_bytes());
        new(Fact::Drt, held.drt.clone().into_bytes());
        for (_, blinded) in blinded.iter().filter(|(srt, _)| *srt == held.srt) {
            new(Fact::BlindedToken, blinded.clone());
        }
        // The wallet keeps the last one only; of one hour they are the same.
        let srt = Known::new(Fact::Srt, number, held.srt.as_bytes());
        known.push(match &held.later_srt {
            Some(later) => srt.also(later.clone().into_bytes()),
            None => srt,
        });
        known.push(Known::address(Fact::ClientAddress, number, person.device.source));
        known.push(Known::address(Fact::DedicatedIp, number, held.dedicated_ip));
        let backup = person.backup.as_ref().context("nothing is backed up")?;
        let second = person.taken_over.as_ref().context("nothing is restored")?;
        let mut new = |fact, value: Vec<u8>| known.push(Known::new(fact, number, value));
        new(Fact::Salt, backup.salt.clone());
        new(Fact::BackupLocator, backup.locator.clone());
        new(Fact::DeviceKey, second.device_key.clone());
        new(Fact::Dat, second.dat.clone().into_bytes());
        new(Fact::Drt, second.drt.clone().into_bytes());
        let code = Known::new(Fact::AccessCode, number, backup.access_code.as_bytes());
        known.push(code.also(backup.access_code.replace('-', "").into_bytes()));
        known.push(Known::address(Fact::ClientAddress, number, person.second_source));
    }
    Ok(known)
}

/// Who sent which blinded message, by SRT, from what the blind token service received. The client makes a
/// blinded message, sends it and forgets it.
fn blinded_tokens(recording: &Recording) -> Vec<(String, Vec<u8>)> {
    let received = recording.conversations.values().map(|conversation| &conversation.received);
    received.filter_map(|bytes| blinded_token(bytes)).collect()
}

/// The SRT and the blinded message of a token request (RFC 9578 section 6.1: type, one byte of the key's id, 256 bytes).
fn blinded_token(request: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = request.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (head, body) = request.split_at_checked(end + 4)?;
    let head = std::str::from_utf8(head).ok()?;
    let srt = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let bearer = name.eq_ignore_ascii_case("authorization").then(|| value.trim())?;
        bearer.strip_prefix("Bearer ")
    })?;
    let (_, blinded) = body.split_at_checked(3)?;
    (blinded.len() == 256).then(|| (srt.to_owned(), blinded.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blinded_message_is_found_with_its_sender() {
        let mut request =
            b"POST /token-request HTTP/1.1\r\nAuthorization: Bearer a.b.c\r\n\r\n\x00\x02\x07"
                .to_vec();
        request.extend([9; 256]);
        assert_eq!(blinded_token(&request), Some(("a.b.c".to_owned(), vec![9; 256])));
        assert_eq!(blinded_token(&request[..300]), None);
    }
}
