//! The wall, as a table: who may know what. The audit holds every run against it.

use super::{Fact, Party};

const YES: bool = true;
const NO: bool = false;

/// For each fact what each party is expected to know, in the order of [`Party::ALL`].
///
/// "Yes" is as strict as "no": a yes that isn't found means that the audit looked in the wrong place. No relay
/// hides a client's network address so far, so everybody whom it calls sees it. The enclave's parent
/// knows a token by its SHA-256, which orders name; the enclave knows a blinded token by the hash in
/// the receipt of its issuance. The wallet forgets the Access Code once it was shown, so that nothing on disk shows it: the client
/// knows it as its maker.
#[rustfmt::skip]
pub const EXPECTED: [(Fact, [bool; Party::ALL.len()]); Fact::ALL.len()] = [
    //                     client accounts blind  dip  parent enclave gateway backup
    (Fact::Account,       [YES,   YES,     NO,    NO,  NO,    NO,     NO,     NO ]),
    (Fact::Subscription,  [YES,   YES,     YES,   NO,  NO,    YES,    NO,     NO ]),
    (Fact::Srt,           [YES,   YES,     YES,   NO,  NO,    YES,    NO,     NO ]),
    (Fact::Salt,          [YES,   YES,     NO,    NO,  NO,    NO,     NO,     NO ]),
    (Fact::ClientAddress, [YES,   YES,     YES,   YES, YES,   NO,     YES,    YES]),
    (Fact::BlindedToken,  [YES,   NO,      YES,   NO,  NO,    YES,    NO,     NO ]),
    (Fact::Token,         [YES,   NO,      NO,    YES, YES,   YES,    NO,     NO ]),
    (Fact::DedicatedIp,   [YES,   NO,      NO,    YES, YES,   YES,    YES,    NO ]),
    (Fact::Lease,         [YES,   NO,      NO,    YES, YES,   YES,    NO,     NO ]),
    (Fact::DeviceKey,     [YES,   NO,      NO,    NO,  NO,    YES,    YES,    NO ]),
    (Fact::Dat,           [YES,   NO,      NO,    NO,  NO,    YES,    YES,    NO ]),
    (Fact::Drt,           [YES,   NO,      NO,    NO,  NO,    YES,    NO,     NO ]),
    (Fact::AccessCode,    [YES,   NO,      NO,    NO,  NO,    NO,     NO,     NO ]),
    (Fact::BackupLocator, [YES,   NO,      NO,    NO,  NO,    NO,     NO,     YES]),
];

/// What a party makes itself: it knows that whatever it receives and keeps.
pub const MADE: [(Party, &[Fact]); 3] = [
    (
        Party::Client,
        &[
            Fact::ClientAddress,
            Fact::BlindedToken,
            Fact::Token,
            Fact::DeviceKey,
            Fact::AccessCode,
            Fact::BackupLocator,
        ],
    ),
    (Party::Accounts, &[Fact::Account, Fact::Srt, Fact::Salt]),
    (Party::Enclave, &[Fact::Dat, Fact::Drt]),
];

/// The two facts that nobody may hold together...
pub const NEVER_TOGETHER: [Fact; 2] = [Fact::Subscription, Fact::DedicatedIp];

/// ... but these.
pub const TOGETHER: [Party; 2] = [Party::Client, Party::Enclave];

/// Whether `party` is expected to know `fact`.
#[must_use]
pub fn expected(fact: Fact, party: Party) -> bool {
    let row = EXPECTED.iter().find(|(of, _)| *of == fact);
    let cell = row.and_then(|(_, row)| Party::ALL.iter().zip(row).find(|(of, _)| **of == party));
    cell.is_some_and(|(_, expected)| *expected)
}

/// Whether `party` makes `fact` itself.
#[must_use]
pub fn makes(party: Party, fact: Fact) -> bool {
    MADE.iter().any(|(of, facts)| *of == party && facts.contains(&fact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_fact_once_and_in_order() {
        assert_eq!(EXPECTED.map(|(fact, _)| fact), Fact::ALL);
    }

    #[test]
    fn the_table_keeps_the_wall() {
        for party in Party::ALL {
            let both = NEVER_TOGETHER.iter().all(|fact| expected(*fact, party));
            assert_eq!(both, TOGETHER.contains(&party), "{party:?}");
        }
    }

    #[test]
    fn nobody_makes_what_it_may_not_know() {
        for (party, facts) in MADE {
            assert!(facts.iter().all(|fact| expected(*fact, party)), "{party:?}");
        }
    }
}
