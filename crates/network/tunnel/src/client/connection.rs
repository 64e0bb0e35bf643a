//! One connection of the proxy: handshake, then the far end, then bytes both ways.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

use super::handshake::{Handshake, Step};
use super::target::{Failure, Target};
use crate::splice::Splice;
use crate::stack::Stack;

/// How long a client may take to say what it wants.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the far end may take, with its name: a little more than the exit allows it.
const CONNECT: Duration = Duration::from_secs(30);
/// How long a client may take to read a refusal.
const FAREWELL: Duration = Duration::from_secs(5);

/// A client's connection and how far it has come.
pub(super) struct Connection {
    splice: Splice<TcpStream>,
    handshake: Handshake,
    /// Bytes of the handshake that still have to go to the client.
    answers: Vec<u8>,
    phase: Phase,
    deadline: Option<Instant>,
}

enum Phase {
    Handshake,
    /// The exit is looking the name up.
    Resolving {
        port: u16,
    },
    /// One address is being tried, others are left.
    Connecting {
        handle: SocketHandle,
        local_port: u16,
        left: VecDeque<Ipv4Addr>,
        port: u16,
    },
    Relaying {
        handle: SocketHandle,
        local_port: u16,
    },
    /// The refusal has been said; the client should have time to read it.
    Closing,
    /// All is said.
    Gone,
    /// The far end is gone, in order or not.
    Cut,
}

/// What the loop has to do for a connection.
pub(super) enum Wish {
    /// Nothing but wait for events.
    Nothing,
    /// Look a name up, or connect; then call [`Connection::resolving`] or [`Connection::connecting`].
    Connect(Target),
    /// Connect to the first of these, the former address having failed.
    Retry(VecDeque<Ipv4Addr>, u16),
}

impl Connection {
    pub(super) fn new(stream: TcpStream, now: Instant) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            splice: Splice::new(stream),
            handshake: Handshake::default(),
            answers: Vec::new(),
            phase: Phase::Handshake,
            deadline: Some(now + HANDSHAKE),
        }
    }

    pub(super) fn wake(&mut self, event: &Event) {
        self.splice.wake(event);
    }

    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone | Phase::Cut)
    }

    pub(super) const fn is_relaying(&self) -> bool {
        matches!(self.phase, Phase::Relaying { .. })
    }

    pub(super) const fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. })
    }

    /// The socket of the stack, and our port there.
    pub(super) const fn socket(&self) -> Option<(SocketHandle, u16)> {
        match self.phase {
            Phase::Connecting { handle, local_port, .. }
            | Phase::Relaying { handle, local_port } => Some((handle, local_port)),
            _ => None,
        }
    }

    /// Notes that the name is being looked up.
    pub(super) fn resolving(&mut self, port: u16, now: Instant) {
        self.deadline = Some(now + CONNECT);
        self.phase = Phase::Resolving { port };
    }

    /// The port for which a name is being looked up.
    pub(super) const fn resolving_port(&self) -> Option<u16> {
        match self.phase {
            Phase::Resolving { port } => Some(port),
            _ => None,
        }
    }

    /// Notes that `handle` is connecting from `local_port`, and which other addresses are left.
    pub(super) fn connecting(
        &mut self,
        handle: SocketHandle,
        local_port: u16,
        left: VecDeque<Ipv4Addr>,
        port: u16,
        now: Instant,
    ) {
        if matches!(self.phase, Phase::Handshake) {
            self.deadline = Some(now + CONNECT);
        }
        self.phase = Phase::Connecting { handle, local_port, left, port };
    }

    /// Moves on as far as possible. Whether anything changed, and what the loop has to do.
    pub(super) fn advance(&mut self, stack: &mut Stack, now: Instant) -> (bool, Wish) {
        self.flush();
        match &mut self.phase {
            Phase::Handshake => (false, self.read_handshake(now)),
            Phase::Connecting { handle, .. } => {
                let handle = *handle;
                match stack.socket(handle).state() {
                    tcp::State::SynSent | tcp::State::SynReceived => (false, Wish::Nothing),
                    tcp::State::Closed => (true, self.address_failed(Failure::Refused, stack, now)),
                    _ => (self.connected(stack), Wish::Nothing),
                }
            }
            Phase::Relaying { handle, .. } if self.answers.is_empty() => {
                let socket = stack.socket(*handle);
                let moved = self.splice.pump(socket);
                if self.splice.is_finished(socket) {
                    self.leave_stack(stack);
                    self.phase = Phase::Cut;
                }
                (moved, Wish::Nothing)
            }
            Phase::Closing => {
                self.say_farewell();
                (false, Wish::Nothing)
            }
            _ => (false, Wish::Nothing),
        }
    }

    /// The address that is being tried can't be reached. What is left to do.
    pub(super) fn address_failed(
        &mut self,
        failure: Failure,
        stack: &mut Stack,
        now: Instant,
    ) -> Wish {
        self.leave_stack(stack);
        match std::mem::replace(&mut self.phase, Phase::Handshake) {
            Phase::Connecting { left, port, .. } if !left.is_empty() => Wish::Retry(left, port),
            _ => {
                self.refuse(failure, now);
                Wish::Nothing
            }
        }
    }

    /// Tells the client that it doesn't get its connection.
    pub(super) fn refuse(&mut self, failure: Failure, now: Instant) {
        self.answers.extend(self.handshake.conclude(Err(failure)));
        self.close(now);
    }

    /// Ends the connection if its time is up. `tunnel` says whether the tunnel stands.
    pub(super) fn check_deadline(&mut self, tunnel: bool, stack: &mut Stack, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.phase {
            Phase::Resolving { .. } | Phase::Connecting { .. } => {
                self.leave_stack(stack);
                self.refuse(if tunnel { Failure::TimedOut } else { Failure::NoTunnel }, now);
            }
            _ => self.phase = Phase::Gone,
        }
    }

    /// Gives the socket of the stack back, without a word to the far end.
    pub(super) fn leave_stack(&mut self, stack: &mut Stack) {
        if let Some((handle, _)) = self.socket() {
            stack.remove(handle);
        }
    }

    /// The stack is lost, and this connection's socket with it.
    pub(super) fn stack_lost(&mut self, now: Instant) {
        match self.phase {
            Phase::Connecting { .. } => {
                self.phase = Phase::Handshake;
                self.refuse(Failure::Unreachable, now);
            }
            Phase::Relaying { .. } => self.phase = Phase::Cut,
            _ => {}
        }
    }

    /// Closes the client's connection, by a reset unless all went in order.
    pub(super) fn end(self) {
        match self.phase {
            Phase::Cut | Phase::Relaying { .. } => self.splice.close(),
            // There was nothing that could be cut short.
            _ => {}
        }
    }

    fn read_handshake(&mut self, now: Instant) -> Wish {
        let mut buffer = [0; 2048];
        while self.handshake.room() > 0 {
            let length = self.handshake.room().min(buffer.len());
            let Some(part) = buffer.get_mut(..length) else { break };
            let count = match self.splice.stream().read(part) {
                Ok(0) => {
                    self.phase = Phase::Gone;
                    return Wish::Nothing;
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.phase = Phase::Gone;
                    return Wish::Nothing;
                }
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            match self.handshake.receive(bytes, &mut self.answers) {
                Step::Wait => {}
                Step::Connect(target) => {
                    self.flush();
                    return Wish::Connect(target);
                }
                Step::Close => {
                    self.close(now);
                    break;
                }
            }
        }
        self.flush();
        Wish::Nothing
    }

    fn connected(&mut self, stack: &mut Stack) -> bool {
        let Phase::Connecting { handle, local_port, .. } = self.phase else { return false };
        self.answers.extend(self.handshake.conclude(Ok(())));
        // The socket's buffer is empty, and larger than what a handshake leaves over.
        let _ = stack.socket(handle).send_slice(&self.handshake.take_rest());
        self.deadline = None;
        self.phase = Phase::Relaying { handle, local_port };
        self.flush();
        true
    }

    fn close(&mut self, now: Instant) {
        self.deadline = Some(now + FAREWELL);
        self.phase = Phase::Closing;
        self.flush();
    }

    fn flush(&mut self) {
        while !self.answers.is_empty() {
            match self.splice.stream().write(&self.answers) {
                Ok(count) => drop(self.answers.drain(..count.min(self.answers.len()))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Reading, too, will tell that the client is gone.
                Err(_) => return self.answers.clear(),
            }
        }
        if matches!(self.phase, Phase::Closing) {
            let _ = self.splice.stream().shutdown(Shutdown::Write);
        }
    }

    /// Reads until the client has closed as well: closing with bytes unread would reset the connection,
    /// and the client might never see why.
    fn say_farewell(&mut self) {
        let mut buffer = [0; 2048];
        for _ in 0..64 {
            match self.splice.stream().read(&mut buffer) {
                Ok(count) if count > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => break,
            }
        }
        self.phase = Phase::Gone;
    }
}
