//! The keys, and the rules of time.

use std::time::Duration;

use coarse::{Hour, UnixTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// How long a role's steps have to wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a key is published before it may sign, so that every verifier has it.
    pub notice: Duration,
    /// How long what a key signed last is good for: so long it is accepted after the next one was activated.
    pub overlap: Duration,
    /// How many keys there may be at once.
    pub most: usize,
}

/// A new key: its name, its public part, and its secret (or what stands for that).
pub struct Fresh {
    /// The name (an RFC 7638 thumbprint).
    pub kid: String,
    /// The public part.
    pub public: [u8; 32],
    /// The secret: a seed, or a key that is wrapped.
    pub secret: Zeroizing<Vec<u8>>,
}

/// What a key does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Published; signs nothing yet.
    Next,
    /// Signs.
    Current,
    /// Signs nothing any more; what it signed is still accepted.
    Former,
}

/// A key of the ring.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its name.
    pub kid: String,
    /// What it does at present.
    pub standing: Standing,
    /// Since which hour.
    pub since: Hour,
    #[serde(with = "bytes")]
    public: Vec<u8>,
    #[serde(with = "secret", default, skip_serializing_if = "Option::is_none")]
    secret: Option<Zeroizing<Vec<u8>>>,
}

impl Key {
    /// Its public part.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public.as_slice().try_into().unwrap_or([0; 32])
    }

    /// Its secret, which a former key may have no more.
    #[must_use]
    pub fn secret(&self) -> Option<&[u8]> {
        self.secret.as_ref().map(|secret| secret.as_slice())
    }
}

/// All keys of one role. There is exactly one current key, and at most one next.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    keys: Vec<Key>,
}

/// Why a step isn't taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The next key hasn't been published for long enough.
    #[error(
        "{kid} may be activated from {safe_from} on: before that a verifier may not know it and would refuse what it signs \
         (--compromised activates it at once, and ends the present key at once: {cost})"
    )]
    TooFresh {
        /// The next key.
        kid: String,
        /// When it will be safe.
        safe_from: Hour,
        /// What to do it at once costs.
        cost: &'static str,
    },
    /// What a former key signed may still be good.
    #[error(
        "{kid} may be retired from {safe_from} on, when the last thing that it signed has ended (--compromised retires it at once: {cost})"
    )]
    StillGood {
        /// The former key.
        kid: String,
        /// When it will be safe.
        safe_from: Hour,
        /// What to do it at once costs.
        cost: &'static str,
    },
    /// A key can't be ended at once while nothing can take its place.
    #[error("there is no next key to take its place: prepare one first")]
    NoNext,
    /// The current key can't be retired.
    #[error(
        "{0} is the current key: activate another one first (with --compromised that ends this one at once)"
    )]
    Current(String),
    /// No key has this name.
    #[error("there is no key {0}")]
    Unknown(String),
    /// There is no room for one more key.
    #[error("there are as many keys as there may be: retire {kid} first, from {safe_from} on")]
    Full {
        /// The key that is in the way.
        kid: String,
        /// When it may be retired.
        safe_from: Hour,
    },
}

impl Ring {
    /// A ring with its first key, which signs at once.
    #[must_use]
    pub fn begin(first: Fresh, now: UnixTime) -> Self {
        Self { keys: vec![Key::new(first, Standing::Current, now)] }
    }

    /// All keys, the current one first.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        let standing = |wanted| self.keys.iter().filter(move |key| key.standing == wanted);
        standing(Standing::Current)
            .chain(standing(Standing::Next))
            .chain(standing(Standing::Former))
    }

    /// The key that signs.
    #[must_use]
    pub fn current(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.standing == Standing::Current)
    }

    /// The key that will.
    #[must_use]
    pub fn next(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.standing == Standing::Next)
    }

    /// Whether it is as a ring must be: it may come from a file that somebody edited.
    #[must_use]
    pub(crate) fn is_sound(&self) -> bool {
        let count = |wanted| self.keys.iter().filter(|key| key.standing == wanted).count();
        let apart = |key: &Key| self.keys.iter().filter(|other| other.kid == key.kid).count() == 1;
        count(Standing::Current) == 1
            && count(Standing::Next) <= 1
            && self.keys.iter().all(|key| apart(key) && key.public.len() == 32)
            && self.keys.iter().all(|key| key.standing == Standing::Former || key.secret.is_some())
    }

    /// Adds a next key, unless there is one. Whether something changed.
    ///
    /// # Errors
    /// [`Refused::Full`].
    pub fn prepare(&mut self, fresh: Fresh, now: UnixTime, rules: &Rules) -> Result<bool, Refused> {
        if self.next().is_some() {
            return Ok(false);
        }
        if self.keys.len() >= rules.most {
            let former = self.keys.iter().filter(|key| key.standing == Standing::Former);
            let oldest = former.min_by_key(|key| key.since).or_else(|| self.current());
            let (kid, since) = oldest
                .map_or_else(|| (String::new(), now.hour()), |key| (key.kid.clone(), key.since));
            return Err(Refused::Full { kid, safe_from: end(since, rules.overlap) });
        }
        self.keys.push(Key::new(fresh, Standing::Next, now));
        Ok(true)
    }

    /// Makes the next key the current one; the one before becomes a former one, or is dropped at once when it is compromised.
    /// Without a next key nothing changes. Whether something did.
    ///
    /// # Errors
    /// [`Refused::TooFresh`]; [`Refused::NoNext`] for a compromised key that nothing can take the place of.
    pub fn activate(
        &mut self,
        now: UnixTime,
        rules: &Rules,
        compromised: bool,
        cost: &'static str,
    ) -> Result<bool, Refused> {
        let Some(next) = self.next() else {
            return if compromised { Err(Refused::NoNext) } else { Ok(false) };
        };
        let safe_from = end(next.since, rules.notice);
        if !compromised && now < safe_from.start() {
            return Err(Refused::TooFresh { kid: next.kid.clone(), safe_from, cost });
        }
        if compromised {
            self.keys.retain(|key| key.standing != Standing::Current);
        }
        for key in &mut self.keys {
            match key.standing {
                Standing::Former => continue,
                Standing::Current => key.standing = Standing::Former,
                Standing::Next => key.standing = Standing::Current,
            }
            key.since = now.hour();
        }
        Ok(true)
    }

    /// Drops the former keys whose time is over; with a name that one alone. A compromised one is dropped whatever the time,
    /// and so is a next key that is named. Gives the names of what was dropped.
    ///
    /// # Errors
    /// [`Refused::StillGood`] when the time of none is over; [`Refused::Current`] and [`Refused::Unknown`] for a name.
    pub fn retire(
        &mut self,
        kid: Option<&str>,
        now: UnixTime,
        rules: &Rules,
        compromised: bool,
        cost: &'static str,
    ) -> Result<Vec<String>, Refused> {
        let named = kid.map(|kid| self.keys.iter().find(|key| key.kid == kid).ok_or(kid));
        match named {
            Some(Err(kid)) => return Err(Refused::Unknown(kid.to_owned())),
            Some(Ok(key)) if key.standing == Standing::Current => {
                return Err(Refused::Current(key.kid.clone()));
            }
            _ => {}
        }
        let meant = |key: &Key| match (kid, key.standing) {
            (_, Standing::Current) => false,
            (Some(kid), _) => key.kid == kid,
            (None, standing) => standing == Standing::Former,
        };
        let over = |key: &Key| {
            compromised
                || key.standing == Standing::Next
                || now >= end(key.since, rules.overlap).start()
        };
        let soonest = self.keys.iter().filter(|key| meant(key)).min_by_key(|key| key.since);
        if let Some(key) = soonest.filter(|key| !over(key)) {
            let safe_from = end(key.since, rules.overlap);
            return Err(Refused::StillGood { kid: key.kid.clone(), safe_from, cost });
        }
        let (dropped, kept) =
            std::mem::take(&mut self.keys).into_iter().partition(|key| meant(key) && over(key));
        self.keys = kept;
        Ok(Vec::into_iter(dropped).map(|key: Key| key.kid).collect())
    }

    /// From which hour on a key may be activated or retired; nothing for the current one.
    #[must_use]
    pub fn safe_from(key: &Key, rules: &Rules) -> Option<Hour> {
        match key.standing {
            Standing::Next => Some(end(key.since, rules.notice)),
            Standing::Current => None,
            Standing::Former => Some(end(key.since, rules.overlap)),
        }
    }

    /// Wipes the secrets of former keys, for a role whose former keys only verify.
    pub fn forget_former_secrets(&mut self) {
        for key in self.keys.iter_mut().filter(|key| key.standing == Standing::Former) {
            key.secret = None;
        }
    }
}

/// The first whole hour that is `wait` and a clock's error after any moment of `since`.
fn end(since: Hour, wait: Duration) -> Hour {
    if wait.is_zero() {
        return since;
    }
    let last = Hour::new(since.number() + 1).start();
    let end = last.plus(wait).plus(jws::CLOCK_SKEW);
    Hour::new(end.hour().number() + 1)
}

impl Key {
    fn new(fresh: Fresh, standing: Standing, now: UnixTime) -> Self {
        let Fresh { kid, public, secret } = fresh;
        Self { kid, standing, since: now.hour(), public: public.to_vec(), secret: Some(secret) }
    }
}

mod bytes {
    //! Bytes as base64url in JSON.

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(from)?);
        URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

mod secret {
    //! Secret bytes as base64url in JSON, with what was copied on the way wiped.

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::{Deserializer, Serializer, Zeroizing, bytes};

    #[expect(clippy::ref_option, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Zeroizing<Vec<u8>>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(secret) = secret else { return serializer.serialize_none() };
        serializer.serialize_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, D::Error> {
        bytes::deserialize(from).map(Zeroizing::new).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    const RULES: Rules =
        Rules { notice: Duration::from_secs(DAY), overlap: Duration::from_secs(3 * DAY), most: 3 };
    const START: u64 = 1_800_000_900;
    const COST: &str = "customers notice";

    fn fresh(number: u8) -> Fresh {
        let secret = Zeroizing::new(vec![number]);
        Fresh { kid: format!("key-{number}"), public: [number; 32], secret }
    }

    const fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(START + seconds)
    }

    fn names(ring: &Ring) -> Vec<(String, Standing)> {
        ring.keys().map(|key| (key.kid.clone(), key.standing)).collect()
    }

    fn expect(ring: &Ring, all: &[(u8, Standing)]) {
        assert!(ring.is_sound());
        let all: Vec<_> =
            all.iter().map(|(key, standing)| (format!("key-{key}"), *standing)).collect();
        assert_eq!(names(ring), all);
    }

    #[test]
    fn a_rotation_waits_for_verifiers_and_for_the_last_token() {
        use Standing::{Current, Former, Next};
        let mut ring = Ring::begin(fresh(1), at(0));
        expect(&ring, &[(1, Current)]);
        assert_eq!(ring.activate(at(0), &RULES, false, COST), Ok(false), "nothing was prepared");
        assert_eq!(ring.prepare(fresh(2), at(0), &RULES), Ok(true));
        assert_eq!(ring.prepare(fresh(3), at(0), &RULES), Ok(false), "there is a next one");
        expect(&ring, &[(1, Current), (2, Next)]);

        let early = ring.activate(at(DAY), &RULES, false, COST).unwrap_err();
        let Refused::TooFresh { kid, safe_from, .. } = early else { panic!("{early}") };
        assert_eq!(kid, "key-2");
        // Published for a whole day, whenever in its hour that began, and whatever the clocks.
        assert!(at(0).plus(RULES.notice) < safe_from.start());
        assert!(safe_from.start().seconds() < START + DAY + 3 * 3600);
        let before = UnixTime::from_seconds(safe_from.start().seconds() - 1);
        assert!(ring.activate(before, &RULES, false, COST).is_err());
        let activated = safe_from.start();
        assert_eq!(ring.activate(activated, &RULES, false, COST), Ok(true));
        assert_eq!(ring.activate(activated, &RULES, false, COST), Ok(false), "said again");
        expect(&ring, &[(2, Current), (1, Former)]);

        let early = ring.retire(None, activated.plus(RULES.overlap), &RULES, false, COST);
        let Err(Refused::StillGood { kid, safe_from, .. }) = early else { panic!("{early:?}") };
        assert_eq!(kid, "key-1");
        // A token of the hour's last second has ended by then, whatever the clocks.
        let last = Hour::new(activated.hour().number() + 1).start();
        assert!(last.plus(RULES.overlap).plus(jws::CLOCK_SKEW) < safe_from.start());
        let before = UnixTime::from_seconds(safe_from.start().seconds() - 1);
        assert!(ring.retire(None, before, &RULES, false, COST).is_err());
        assert_eq!(ring.retire(None, safe_from.start(), &RULES, false, COST).unwrap(), ["key-1"]);
        expect(&ring, &[(2, Current)]);
        assert!(ring.retire(None, safe_from.start(), &RULES, false, COST).unwrap().is_empty());
    }

    #[test]
    fn a_compromised_key_is_gone_at_once() {
        use Standing::{Current, Former, Next};
        let mut ring = Ring::begin(fresh(1), at(0));
        let alone = ring.activate(at(0), &RULES, true, COST);
        assert_eq!(alone, Err(Refused::NoNext), "a role is never without a key");
        ring.prepare(fresh(2), at(0), &RULES).unwrap();
        assert_eq!(ring.activate(at(0), &RULES, true, COST), Ok(true));
        expect(&ring, &[(2, Current)]);
        // A former one, and one that is only prepared.
        ring.prepare(fresh(3), at(0), &RULES).unwrap();
        ring.activate(at(2 * DAY), &RULES, false, COST).unwrap();
        ring.prepare(fresh(4), at(2 * DAY), &RULES).unwrap();
        expect(&ring, &[(3, Current), (4, Next), (2, Former)]);
        let retire = |ring: &mut Ring, kid| ring.retire(Some(kid), at(2 * DAY), &RULES, true, COST);
        assert_eq!(retire(&mut ring, "key-2").unwrap(), ["key-2"]);
        assert_eq!(retire(&mut ring, "key-4").unwrap(), ["key-4"]);
        assert_eq!(retire(&mut ring, "key-3"), Err(Refused::Current("key-3".into())));
        assert_eq!(retire(&mut ring, "key-9"), Err(Refused::Unknown("key-9".into())));
        expect(&ring, &[(3, Current)]);
    }

    #[test]
    fn two_rotations_may_overlap_as_far_as_there_is_room() {
        use Standing::{Current, Former};
        let mut ring = Ring::begin(fresh(1), at(0));
        ring.prepare(fresh(2), at(0), &RULES).unwrap();
        ring.activate(at(2 * DAY), &RULES, false, COST).unwrap();
        ring.prepare(fresh(3), at(2 * DAY), &RULES).unwrap();
        ring.activate(at(4 * DAY), &RULES, false, COST).unwrap();
        expect(&ring, &[(3, Current), (1, Former), (2, Former)]);
        let full = ring.prepare(fresh(4), at(4 * DAY), &RULES).unwrap_err();
        assert!(matches!(full, Refused::Full { ref kid, .. } if kid == "key-1"), "{full}");
        // The first one's time is over, the second's isn't.
        let retired = ring.retire(None, at(5 * DAY + 4 * 3600), &RULES, false, COST).unwrap();
        assert_eq!(retired, ["key-1"]);
        expect(&ring, &[(3, Current), (2, Former)]);
        // There is room again.
        assert_eq!(ring.prepare(fresh(4), at(4 * DAY), &RULES), Ok(true));
    }

    #[test]
    fn a_ring_that_somebody_edited_is_not_sound() {
        let ring = |edit: fn(&mut Vec<Key>)| {
            let mut ring = Ring::begin(fresh(1), at(0));
            ring.prepare(fresh(2), at(0), &RULES).unwrap();
            edit(&mut ring.keys);
            ring.is_sound()
        };
        assert!(ring(|_| {}));
        assert!(!ring(|keys| keys.clear()));
        assert!(!ring(|keys| keys[0].standing = Standing::Former));
        assert!(!ring(|keys| keys[1].standing = Standing::Current));
        assert!(!ring(|keys| keys[1].kid = "key-1".into()));
        assert!(!ring(|keys| keys[1].secret = None));
        assert!(!ring(|keys| keys[1].public = vec![1]));
    }
}
