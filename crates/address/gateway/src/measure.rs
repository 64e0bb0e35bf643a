//! What the gateway counts.

use enclave_watch::{Attestor, EnclaveWatch};
use telemetry::{Counter, Metrics, Named, Pace, Precision};
use tunnel::{ExitHandle, Handshakes};

const ADMISSIONS: Named = Named {
    name: "cloakroom_gateway_admissions_total",
    help: "Devices that asked to become peers.",
    pace: Pace::Hourly,
};
const CHANGES: Named = Named {
    name: "cloakroom_gateway_device_changes_total",
    help: "Devices that another of their address removed or restored.",
    pace: Pace::Hourly,
};
const PEERS: Named = Named {
    name: "cloakroom_gateway_peers",
    help: "Devices whose grant has not ended.",
    pace: Pace::Hourly,
};
const HANDSHAKES: Named = Named {
    name: "cloakroom_gateway_handshakes_total",
    help: "WireGuard handshake messages for the gateway's key, by what became of them.",
    pace: Pace::Hourly,
};
const ATTESTED: Named = Named {
    name: "cloakroom_enclave_attested",
    help: "Whether the enclave is attested: 1 or 0.",
    pace: Pace::Minutely,
};

pub(crate) struct Measures {
    admitted: Counter,
    refused: Counter,
    pub(crate) removed: Counter,
    pub(crate) restored: Counter,
}

/// One outcome's count.
type CountOf = fn(Handshakes) -> u64;

impl Measures {
    pub(crate) fn new<A: Attestor>(
        metrics: &Metrics,
        enclave: &EnclaveWatch<A>,
        exit: &ExitHandle,
    ) -> Self {
        store::measure(metrics);
        let keys = enclave.watched();
        metrics.gauge(ATTESTED, Precision::Exact, &[], move || u64::from(keys.borrow().is_some()));
        let counted = exit.watch();
        metrics.gauge(PEERS, Precision::Tens, &[], move || counted.peers() as u64);
        let kinds: [(_, CountOf); 4] = [
            ("taken", |handshakes| handshakes.taken),
            ("stranger", |handshakes| handshakes.strangers),
            ("cookie", |handshakes| handshakes.cookies),
            ("dropped", |handshakes| handshakes.dropped),
        ];
        for (outcome, count) in kinds {
            let counted = exit.watch();
            let read = move || count(counted.handshakes());
            metrics.counted(HANDSHAKES, Precision::Tens, &[("outcome", outcome)], read);
        }
        let counter = |answer| metrics.counter(ADMISSIONS, &[("answer", answer)]);
        let changed = |change| metrics.counter(CHANGES, &[("change", change)]);
        Self {
            admitted: counter("admitted"),
            refused: counter("refused"),
            removed: changed("removed"),
            restored: changed("restored"),
        }
    }

    pub(crate) fn answered(&self, admitted: bool) {
        if admitted { &self.admitted } else { &self.refused }.increment();
    }
}
