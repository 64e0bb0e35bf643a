//! The backup of a lease, as the wallet of one device knows it.
//!
//! ```text
//! (nothing) -- begin --> next -- written --> current       the code in the wallet until it was shown
//! current   -- begin --> current and next -- written --> current and former -- removed --> current
//! ```
//!
//! A wallet keeps what a code was stretched to, not the code: with that it writes the backup anew after each refresh. A generated code is kept
//! until somebody has seen it, so that a crash between the upload and the print loses nobody the code that their backup is
//! under; for so long the former backup stays, too.

use access_code::{AccessCode, BackupKeys, DeriveError};
use aws_lc_rs::digest::{SHA256, digest};
use coarse::Secret;
use encoding::Base64Url;
use jws::Compact;
use serde::{Deserialize, Serialize};

use crate::held::{deserialize_secret, serialize_secret};

/// What a wallet knows of its backup.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<Kept>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Kept>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Root>,
}

/// A backup under one code.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    root: Root,
    /// SHA-256 of the refresh token that was written last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holds: Option<Base64Url>,
    /// The code, as long as nobody has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<AccessCode>,
}

/// What a code was stretched to.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Root(
    #[serde(serialize_with = "serialize_root", deserialize_with = "deserialize_secret")] Secret<32>,
);

impl Backup {
    /// Whether there is nothing to keep.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.current.is_none() && self.next.is_none() && self.former.is_empty()
    }

    /// A lease with this refresh token was taken from the backup under these keys: this wallet writes it, too, from now on.
    pub fn restored(&mut self, keys: &BackupKeys, drt: &Compact) {
        self.begin(keys, None);
        self.written(keys, drt);
    }

    /// Means to back up under these keys from now on. `code` is to be shown once that is done; `None` when its owner knows it. Nothing
    /// changes when they are the present ones.
    pub fn begin(&mut self, keys: &BackupKeys, code: Option<AccessCode>) {
        let is = |kept: &Kept| kept.root.0.same_as(keys.root());
        if self.next.as_ref().is_some_and(is) {
            return;
        }
        // It may have been written, though nobody heard.
        self.former.extend(self.next.take().map(|given_up| given_up.root));
        // What is wanted again isn't to be removed.
        self.former.retain(|former| !former.0.same_as(keys.root()));
        if !self.current.as_ref().is_some_and(is) {
            self.next = Some(Kept { root: Root(keys.root().clone()), holds: None, code });
        }
    }

    /// Whether a change of the code was begun and isn't done.
    #[must_use]
    pub const fn is_changing(&self) -> bool {
        self.next.is_some()
    }

    /// The keys to write a backup with that somebody asked for: those that were begun with last.
    ///
    /// # Errors
    /// [`DeriveError`], which no wallet gives.
    pub fn wanted(&self) -> Result<Option<BackupKeys>, DeriveError> {
        self.next.as_ref().or(self.current.as_ref()).map(|kept| kept.root.keys()).transpose()
    }

    /// The keys of the backup that is there.
    ///
    /// # Errors
    /// [`DeriveError`], which no wallet gives.
    pub fn current(&self) -> Result<Option<BackupKeys>, DeriveError> {
        self.current.as_ref().map(|kept| kept.root.keys()).transpose()
    }

    /// Whether the backup that is there holds this refresh token, as far as this wallet knows.
    #[must_use]
    pub fn holds(&self, drt: &Compact) -> bool {
        let held = self.current.as_ref().and_then(|kept| kept.holds.as_ref());
        held.is_some_and(|held| *held == hash(drt))
    }

    /// A backup of this refresh token was written under these keys.
    pub fn written(&mut self, keys: &BackupKeys, drt: &Compact) {
        let is = |kept: &Kept| kept.root.0.same_as(keys.root());
        if self.next.as_ref().is_some_and(is) {
            self.former.extend(self.current.take().map(|former| former.root));
            self.current = self.next.take();
        }
        if let Some(current) = self.current.as_mut().filter(|kept| is(kept)) {
            current.holds = Some(hash(drt));
        }
    }

    /// The code of the backup that is there, if nobody has seen it yet.
    #[must_use]
    pub fn unshown(&self) -> Option<&AccessCode> {
        self.current.as_ref().and_then(|kept| kept.code.as_ref())
    }

    /// The code was shown: it is wiped here.
    pub fn shown(&mut self) {
        if let Some(current) = &mut self.current {
            current.code = None;
        }
    }

    /// The keys of a backup that is to be removed: not before the code of the one in its place was seen.
    ///
    /// # Errors
    /// [`DeriveError`], which no wallet gives.
    pub fn to_remove(&self) -> Result<Option<BackupKeys>, DeriveError> {
        let first = self.former.first().filter(|_| self.unshown().is_none());
        first.map(Root::keys).transpose()
    }

    /// The first of those that were to be removed was.
    pub fn removed(&mut self) {
        if !self.former.is_empty() {
            self.former.remove(0);
        }
    }

    /// Means to have no backup any more: all are to be removed.
    pub fn give_up(&mut self) {
        let all = [self.current.take(), self.next.take()];
        self.former.extend(all.into_iter().flatten().map(|kept| kept.root));
    }

    /// Leaves the backup to other devices: this wallet doesn't write it any more.
    pub fn forget(&mut self) {
        self.current = None;
        self.next = None;
    }
}

impl Root {
    fn keys(&self) -> Result<BackupKeys, DeriveError> {
        BackupKeys::from_root(self.0.clone())
    }
}

fn hash(drt: &Compact) -> Base64Url {
    Base64Url(digest(&SHA256, drt.as_str().as_bytes()).as_ref().to_vec())
}

fn serialize_root<S: serde::Serializer>(root: &Secret<32>, to: S) -> Result<S::Ok, S::Error> {
    serialize_secret(root.expose(), to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(root: u8) -> BackupKeys {
        BackupKeys::from_root(Secret::new([root; 32])).unwrap()
    }

    fn drt(text: &str) -> Compact {
        Compact::new(text.to_owned())
    }

    fn code() -> Option<AccessCode> {
        Some(AccessCode::generate(&mut coarse::system_rng()))
    }

    fn is(found: Result<Option<BackupKeys>, DeriveError>, root: u8) -> bool {
        found.unwrap().is_some_and(|found| found.same_as(&keys(root)))
    }

    fn restored(root: u8, token: &str) -> Backup {
        let mut backup = Backup::default();
        backup.restored(&keys(root), &drt(token));
        backup
    }

    fn none(found: Result<Option<BackupKeys>, DeriveError>) -> bool {
        found.unwrap().is_none()
    }

    #[test]
    fn a_code_is_kept_until_it_was_shown() {
        let mut backup = Backup::default();
        assert!(backup.is_empty() && none(backup.wanted()));
        backup.begin(&keys(1), code());
        assert!(is(backup.wanted(), 1) && none(backup.current()) && backup.unshown().is_none());
        backup.written(&keys(1), &drt("a.b.c"));
        assert!(is(backup.current(), 1) && backup.unshown().is_some() && !backup.is_changing());
        assert!(backup.holds(&drt("a.b.c")) && !backup.holds(&drt("a.b.d")));
        backup.shown();
        assert!(backup.unshown().is_none() && is(backup.current(), 1));
    }

    #[test]
    fn there_is_a_backup_all_the_while_its_code_changes() {
        let mut backup = restored(1, "a.b.c");
        backup.begin(&keys(2), code());
        assert!(is(backup.current(), 1) && is(backup.wanted(), 2) && none(backup.to_remove()));
        // Meanwhile the former one may be written anew.
        backup.written(&keys(1), &drt("d.e.f"));
        assert!(is(backup.current(), 1) && backup.holds(&drt("d.e.f")) && backup.is_changing());
        backup.written(&keys(2), &drt("d.e.f"));
        assert!(is(backup.current(), 2));
        assert!(none(backup.to_remove()), "the former stays until the new code was seen");
        backup.shown();
        assert!(is(backup.to_remove(), 1));
        backup.removed();
        assert!(none(backup.to_remove()) && is(backup.current(), 2));
    }

    #[test]
    fn what_may_have_been_written_is_removed() {
        let mut backup = restored(1, "a.b.c");
        backup.begin(&keys(2), code());
        backup.begin(&keys(2), code());
        backup.begin(&keys(3), None);
        assert!(is(backup.wanted(), 3) && is(backup.to_remove(), 2));
        // Back to one that was given up: it is no longer to be removed.
        backup.begin(&keys(2), None);
        assert!(is(backup.wanted(), 2) && is(backup.to_remove(), 3));
        // Back to the present one.
        backup.begin(&keys(1), None);
        assert!(is(backup.wanted(), 1) && !backup.is_changing());
        backup.give_up();
        let mut removed = 0;
        while backup.to_remove().unwrap().is_some() {
            backup.removed();
            removed += 1;
        }
        assert!(removed == 3 && backup.is_empty());
    }

    #[test]
    fn a_wallet_that_gives_its_lease_up_removes_nothing_of_others() {
        let mut backup = restored(1, "a.b.c");
        backup.forget();
        assert!(backup.is_empty() && none(backup.to_remove()));
    }

    #[test]
    fn what_is_restored_is_no_longer_to_be_removed() {
        let mut backup = restored(1, "a.b.c");
        backup.begin(&keys(2), None);
        backup.give_up();
        backup.restored(&keys(1), &drt("d.e.f"));
        assert!(is(backup.current(), 1) && backup.holds(&drt("d.e.f")));
        assert!(is(backup.to_remove(), 2));
        backup.removed();
        assert!(none(backup.to_remove()));
    }

    #[test]
    fn it_comes_back_as_it_was_kept() {
        let mut backup = restored(1, "a.b.c");
        backup.begin(&keys(2), code());
        backup.begin(&keys(3), code());
        let text = serde_json::to_string(&backup).unwrap();
        let again: Backup = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        assert!(is(again.wanted(), 3) && is(again.to_remove(), 2) && again.holds(&drt("a.b.c")));
    }
}
