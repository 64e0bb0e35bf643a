//! The stream to the enclave.

use std::sync::OnceLock;
use std::time::Duration;

use record::{Connection, Opened, Tap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use wire::StreamAddress;
use wire::frame::{Message, body_length};
use wire::parent::{Answer, Failure, Request};

use crate::dial::{Stream, dial};

/// Streams that are open at once; more requests wait.
const STREAMS: usize = 8;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The enclave gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// The stream can't be opened, or broke.
    Unreachable,
    /// The answer took too long.
    TimedOut,
    /// The request is longer than a frame may be.
    TooLong,
}

/// A few streams to one enclave, each used by one request at a time.
pub struct Link<T: Tap> {
    enclave: StreamAddress,
    idle: Mutex<Vec<Tapped<T>>>,
    slots: Semaphore,
    boot: OnceLock<Request>,
    tap: T,
}

struct Tapped<T: Tap> {
    stream: Box<dyn Stream>,
    tap: T::Connection,
}

impl<T: Tap> Link<T> {
    /// A link to the enclave at this address.
    #[must_use]
    pub fn new(enclave: StreamAddress, tap: T) -> Self {
        Self {
            enclave,
            idle: Mutex::new(Vec::new()),
            slots: Semaphore::new(STREAMS),
            boot: OnceLock::new(),
            tap,
        }
    }

    /// The boot by which an enclave that was restarted is to be booted again. The first one stays.
    pub fn boot_again_with(&self, boot: Request) {
        let _ = self.boot.set(boot);
    }

    /// Asks and waits for the answer; boots the enclave again if it says that it isn't.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn ask(&self, request: &Request) -> Result<Answer, LinkError> {
        let answer = self.ask_once(request).await?;
        if answer == Answer::Failed(Failure::NotBooted)
            && let Some(boot) = self.boot.get()
            && matches!(self.ask_once(boot).await?, Answer::Booted { .. })
        {
            tracing::warn!("the enclave was restarted and is booted again");
            return self.ask_once(request).await;
        }
        Ok(answer)
    }

    /// Every request may be repeated, so one whose idle stream turns out to
    /// be dead (an enclave that was restarted) is asked again on a fresh one. An enclave that is slow isn't asked twice.
    async fn ask_once(&self, request: &Request) -> Result<Answer, LinkError> {
        let frame = request.encode().map_err(|_| LinkError::TooLong)?;
        let _slot = self.slots.acquire().await.map_err(|_| LinkError::Unreachable)?;
        let reused = self.idle.lock().await.pop();
        if let Some(stream) = reused {
            match self.exchange(stream, &frame).await {
                Err(LinkError::Unreachable) => {}
                answered => return answered,
            }
        }
        let stream = timeout(PATIENCE, dial(&self.enclave))
            .await
            .map_err(|_| LinkError::TimedOut)?
            .map_err(|_| LinkError::Unreachable)?;
        let tap = self.tap.connected(Opened::ByUs, None);
        self.exchange(Tapped { stream, tap }, &frame).await
    }

    async fn exchange(&self, mut to: Tapped<T>, frame: &[u8]) -> Result<Answer, LinkError> {
        let answer = timeout(PATIENCE, to.exchange(frame))
            .await
            .map_err(|_| LinkError::TimedOut)?
            .ok_or(LinkError::Unreachable)?;
        self.idle.lock().await.push(to);
        Ok(answer)
    }
}

impl<T: Tap> Tapped<T> {
    async fn exchange(&mut self, frame: &[u8]) -> Option<Answer> {
        self.stream.write_all(frame).await.ok()?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await.ok()?;
        let mut body = vec![0; body_length(length).ok()?];
        self.stream.read_exact(&mut body).await.ok()?;
        self.tap.received(&length);
        self.tap.received(&body);
        Answer::decode(&body).ok()
    }
}
