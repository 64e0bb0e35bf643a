//! A program's clock, and waiting by it.

use std::time::Duration;

use coarse::{Clock, SystemClock, UnixTime};
use record::Tap;
use tokio::time::sleep;

/// How long a wait lasts before the clock is looked at again: it may have been set, or the machine been asleep.
const GLANCE: Duration = Duration::from_secs(5);

/// The system's clock; in rehearsals ahead of it by what the tap says.
#[derive(Clone, Copy, Debug)]
pub struct ProgramClock<T>(T);

impl<T: Tap> ProgramClock<T> {
    /// The clock of a program with this tap.
    pub fn of(tap: &T) -> Self {
        Self(tap.clone())
    }
}

impl<T: Tap> Clock for ProgramClock<T> {
    fn now(&self) -> UnixTime {
        SystemClock.now().plus(Duration::from_secs(self.0.ahead()))
    }
}

/// Waits until `clock` shows `moment`.
pub async fn sleep_until(clock: &dyn Clock, moment: UnixTime) {
    loop {
        let left = clock.now().until(moment);
        if left.is_zero() {
            return;
        }
        sleep(left.min(GLANCE)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Moved(u64);

    impl Tap for Moved {
        type Connection = ();

        fn connected(&self, _: record::Opened, _: Option<std::net::SocketAddr>) {}

        fn note(&self, _: &'static str, _: &[u8]) {}

        fn ahead(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn only_a_rehearsals_clock_is_ahead() {
        let present = SystemClock.now();
        let off = |now: UnixTime| now.seconds() - present.seconds();
        assert!(off(ProgramClock::of(&()).now()) < 60);
        assert!((90_000..90_060).contains(&off(ProgramClock::of(&Moved(90_000)).now())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_the_clock_says_so_however_it_got_there() {
        let clock = std::sync::Arc::new(coarse::FixedClock::new(UnixTime::from_seconds(1000)));
        let waiting = std::sync::Arc::clone(&clock);
        let waited =
            tokio::spawn(
                async move { sleep_until(&*waiting, UnixTime::from_seconds(100_000)).await },
            );
        sleep(Duration::from_secs(3600)).await;
        assert!(!waited.is_finished());
        clock.set(UnixTime::from_seconds(100_000));
        sleep(2 * GLANCE).await;
        assert!(waited.is_finished());
    }
}
