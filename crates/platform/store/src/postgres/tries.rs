//! Trying again.

use std::time::Duration;

use rand_core::Rng as _;
use tokio::time::sleep;

/// How often a job is tried that others stand in the way of, or that loses its connection before anything was done.
const MOST: u32 = 8;

/// The tries of one job.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether there is one more try, after a pause whose length is random and grows: those who met once shall not meet again.
    pub(super) async fn again(&mut self) -> bool {
        self.0 += 1;
        if self.0 >= MOST {
            return false;
        }
        let longest = 2_000 << self.0;
        let pause = coarse::system_rng().next_u64() % longest;
        sleep(Duration::from_micros(pause)).await;
        true
    }
}
