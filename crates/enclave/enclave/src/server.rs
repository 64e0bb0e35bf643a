//! Streams in, one frame an answer.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use coarse::{Secret, system_rng};
use jws::{SigningKey, VerifyingKey};
use minting::{Mint, Observer, Outcome};
use seal::OpeningKey;
use wire::BootConfiguration;
use wire::frame::Message;
use wire::parent::{Answer, Failure, Request};

use crate::clock::ModuleClock;
use crate::{KeySource, Listener, SecurityModule, Stream};

/// Streams that are served at once; one more is closed.
const MAX_STREAMS: usize = 32;
/// How long a parent may keep silent in the middle of a frame.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing is accepted after it failed.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest nonce that the module signs (the AWS specification's 512 bytes).
const MAX_NONCE: usize = 512;

/// An enclave: its module, and what it was booted with.
pub struct Enclave<M, O> {
    module: M,
    clock: ModuleClock,
    booting: Mutex<Option<O>>,
    booted: OnceLock<Booted<O>>,
}

struct Booted<O> {
    configuration: Vec<u8>,
    wrapped_key: Vec<u8>,
    former_keys: Vec<Vec<u8>>,
    mint: Mint<O>,
}

impl<O: Observer> Booted<O> {
    fn answer(&self) -> Answer {
        let public_key = self.mint.minting_key().bytes().to_vec();
        Answer::Booted { wrapped_key: self.wrapped_key.clone(), public_key }
    }
}

/// Serves every stream that comes, each in a thread of its own, for ever.
pub fn serve<M, O>(listener: &Listener, enclave: &Arc<Enclave<M, O>>) -> !
where
    M: SecurityModule + KeySource + 'static,
    O: Observer + 'static,
{
    let streams = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok(stream) = listener.accept() else {
            // Out of descriptors, most likely: others must end first.
            thread::sleep(PAUSE);
            continue;
        };
        let Some(slot) = Slot::take(&streams) else { continue };
        let enclave = Arc::clone(enclave);
        // Without a thread for it the stream is closed.
        let _ = thread::Builder::new().spawn(move || {
            enclave.answer_all(stream);
            drop(slot);
        });
    }
}

/// One of the [`MAX_STREAMS`]; given back when dropped, also by a thread that panics.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(streams: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(Arc::clone(streams));
        (streams.fetch_add(1, Ordering::SeqCst) < MAX_STREAMS).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<M: SecurityModule + KeySource, O: Observer> Enclave<M, O> {
    /// An enclave that waits to be booted.
    pub fn new(module: M, observer: O) -> Self {
        Self {
            module,
            clock: ModuleClock::default(),
            booting: Mutex::new(Some(observer)),
            booted: OnceLock::new(),
        }
    }

    fn answer_all(&self, mut stream: Stream) {
        while let Ok(Some(request)) = read_patiently(&mut stream) {
            let answer = self.answer(request).unwrap_or_else(Answer::Failed);
            if answer.write_to(&mut stream).is_err() {
                return;
            }
        }
    }

    /// One answer to one request.
    ///
    /// # Errors
    /// The [`Failure`] that the parent is told.
    pub fn answer(&self, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Boot { configuration, wrapped_key, former_keys } => {
                self.boot(&configuration, &wrapped_key, &former_keys)
            }
            Request::NewKey => self.new_key(),
            Request::Attest { nonce } => self.attest(&nonce),
            Request::Generate { order, sealed } => {
                let order = std::str::from_utf8(&order).map_err(|_| Failure::Order)?;
                let (booted, now) = (self.booted()?, self.now()?);
                booted.mint.assign(order, &sealed, now, &mut system_rng()).map(answer_of)
            }
            Request::Refresh { order, sealed } => {
                let order = std::str::from_utf8(&order).map_err(|_| Failure::Order)?;
                let (booted, now) = (self.booted()?, self.now()?);
                booted.mint.refresh(order, &sealed, now, &mut system_rng()).map(answer_of)
            }
        }
    }

    /// Boots once. The same configuration with the same former keys again is answered as before; another is refused.
    fn boot(
        &self,
        configuration: &[u8],
        wrapped_key: &[u8],
        former_keys: &[Vec<u8>],
    ) -> Result<Answer, Failure> {
        let mut waiting = self.booting.lock().map_err(|_| Failure::Module)?;
        if let Some(booted) = self.booted.get() {
            let same = booted.configuration == configuration && booted.former_keys == former_keys;
            return same.then(|| booted.answer()).ok_or(Failure::Configuration);
        }
        let boot: BootConfiguration =
            serde_json::from_slice(configuration).map_err(|_| Failure::Configuration)?;
        let (seed, wrapped_key) = self.minting_seed(wrapped_key)?;
        let minting_key = SigningKey::from_seed(&seed).map_err(|_| Failure::Module)?;
        // A former key proves itself: only this program's key source wrapped it, and gives it back.
        let former = former_keys.iter().map(|wrapped| self.former_key(wrapped));
        let former = former.collect::<Result<Vec<_>, _>>()?;
        let refused = |key: &VerifyingKey| boot.refused_minting_keys.contains(key.id());
        if refused(minting_key.verifying_key()) || former.iter().any(refused) {
            return Err(Failure::Configuration);
        }
        let opening_key = OpeningKey::generate(&mut system_rng());
        let observer = waiting.take().ok_or(Failure::Module)?;
        let booted = Booted {
            configuration: configuration.to_vec(),
            wrapped_key,
            former_keys: former_keys.to_vec(),
            mint: Mint::with_former_keys(boot, opening_key, minting_key, former, observer),
        };
        let answer = booted.answer();
        self.booted.set(booted).map_err(|_| Failure::Module)?;
        Ok(answer)
    }

    /// The minting key's seed, from the wrapped key or new, and the wrapped key.
    fn minting_seed(&self, wrapped: &[u8]) -> Result<(Secret<32>, Vec<u8>), Failure> {
        if wrapped.is_empty() {
            return self.new_seed();
        }
        Ok((self.unwrapped(wrapped)?, wrapped.to_vec()))
    }

    fn new_seed(&self) -> Result<(Secret<32>, Vec<u8>), Failure> {
        let seed = Secret::random(&mut system_rng());
        let wrapped = self.module.wrap(seed.expose()).map_err(|_| Failure::Module)?;
        Ok((seed, wrapped))
    }

    fn unwrapped(&self, wrapped: &[u8]) -> Result<Secret<32>, Failure> {
        let seed = self.module.unwrap(wrapped).map_err(|_| Failure::Configuration)?;
        seed.as_slice().try_into().map(Secret::new).map_err(|_| Failure::Configuration)
    }

    /// The public part of a key that minted before; the rest is dropped at once.
    fn former_key(&self, wrapped: &[u8]) -> Result<VerifyingKey, Failure> {
        let key = SigningKey::from_seed(&self.unwrapped(wrapped)?).map_err(|_| Failure::Module)?;
        Ok(key.verifying_key().clone())
    }

    /// A minting key for a later boot.
    fn new_key(&self) -> Result<Answer, Failure> {
        self.booted()?;
        let (seed, wrapped_key) = self.new_seed()?;
        let key = SigningKey::from_seed(&seed).map_err(|_| Failure::Module)?;
        Ok(Answer::Key { wrapped_key, public_key: key.verifying_key().bytes().to_vec() })
    }

    fn attest(&self, nonce: &[u8]) -> Result<Answer, Failure> {
        if nonce.len() > MAX_NONCE {
            return Err(Failure::Unknown);
        }
        let booted = self.booted()?;
        let minting_key = booted.mint.minting_key();
        let former_keys = booted.mint.former_keys();
        let user_data =
            BootConfiguration::user_data(&booted.configuration, minting_key, former_keys);
        let document = self
            .module
            .attest(booted.mint.sealing_key().bytes(), &user_data, nonce)
            .map_err(|_| Failure::Module)?;
        Ok(Answer::Attested {
            document,
            configuration: booted.configuration.clone(),
            minting_key: minting_key.bytes().to_vec(),
            former_keys: former_keys.iter().map(|key| key.bytes().to_vec()).collect(),
        })
    }

    fn booted(&self) -> Result<&Booted<O>, Failure> {
        self.booted.get().ok_or(Failure::NotBooted)
    }

    fn now(&self) -> Result<coarse::UnixTime, Failure> {
        self.clock.now(&self.module, O::ASKS_FOR_TIME).map_err(|_| Failure::Module)
    }
}

fn answer_of(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Granted { grant, sealed } => {
            Answer::Granted { grant: grant.as_str().as_bytes().to_vec(), sealed }
        }
        Outcome::Refused { sealed } => Answer::Refused { sealed },
    }
}

/// Waits for a frame as long as it takes to begin, and [`PATIENCE`] for the rest of it.
fn read_patiently(stream: &mut Stream) -> std::io::Result<Option<Request>> {
    stream.set_read_timeout(None)?;
    let mut first = [0];
    if stream.read(&mut first)? == 0 {
        return Ok(None);
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    Request::read_after(first, stream).map(Some)
}
