//! Words for states and kinds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                let all = Self::ALL.iter().copied();
                all.into_iter().find(|one| one.as_str() == text).ok_or(UnknownWord {
                    what: $what,
                    words: &[$($word),*],
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

/// A text that is none of the words that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    what: &'static str,
    words: &'static [&'static str],
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is one of: {}", self.what, self.words.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

words! {
    /// Who has an address.
    AddressState, "a state" {
        /// Nobody.
        Available = "available",
        /// A token, without a grant so far.
        Reserved = "reserved",
        /// A lease.
        Leased = "leased",
        /// A lease that nobody can extend any more.
        Grace = "grace",
        /// Nobody, for a while.
        Quarantine = "quarantine",
        /// Nobody, and nobody will.
        Drained = "drained",
        /// Nobody, and nobody may.
        Blocked = "blocked",
    }
}

words! {
    /// What the operator wants of an address.
    Service, "a service" {
        /// It is given out.
        Open = "open",
        /// It isn't given out any more; whoever has it keeps it.
        Drained = "drained",
        /// It isn't used any more: whoever has it gets no new tokens for it.
        Blocked = "blocked",
    }
}

words! {
    /// What a complaint is about.
    Category, "a category" {
        /// Unsolicited mail or messages.
        Spam = "spam",
        /// Searching for weak hosts or services.
        Scanning = "scanning",
        /// Guessing passwords.
        BruteForce = "brute-force",
        /// Overloading a host.
        DenialOfService = "denial-of-service",
        /// Software or sites that do harm.
        Malware = "malware",
        /// Works without their author's leave.
        Copyright = "copyright",
        /// An authority's request.
        Authority = "authority",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// What operators did about complaints.
    CaseAct, "an act" {
        /// A complaint came.
        Complaint = "complaint",
        /// A complaint came about an address that nobody had.
        Unleased = "unleased",
        /// A lease was frozen.
        Freeze = "freeze",
        /// A freeze was ended.
        Thaw = "thaw",
        /// A holder was told something.
        Notice = "notice",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_as_they_are_read() {
        for category in Category::ALL {
            let json = serde_json::to_string(category).unwrap();
            assert_eq!(json, format!("\"{category}\""));
            assert_eq!(serde_json::from_str::<Category>(&json).unwrap(), *category);
            assert_eq!(category.as_str().parse(), Ok(*category));
        }
        let unknown = "opened".parse::<Service>().unwrap_err();
        assert_eq!(unknown.to_string(), "a service is one of: open, drained, blocked");
    }
}
