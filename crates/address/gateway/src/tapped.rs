//! `cloakroom-gateway` for the knowledge audit: the same library, and a recorder of what it receives: the control
//! API's connections, tunnels' datagrams with where they come from, and the packets inside.

use std::net::SocketAddr;
use std::process::ExitCode;

use record::{Recorder, Tap as _};

fn main() -> ExitCode {
    match Recorder::from_environment() {
        Some(recorder) => gateway::main(recorder.clone(), Watched(recorder)),
        None => ExitCode::from(2),
    }
}

struct Watched(Recorder);

impl tunnel::Observer for Watched {
    fn inner_packet(&mut self, packet: &[u8]) {
        self.0.note("inner-packet", packet);
    }

    fn datagram(&mut self, source: SocketAddr, bytes: &[u8]) {
        self.0.note("datagram-source", source.to_string().as_bytes());
        self.0.note("datagram", bytes);
    }
}
