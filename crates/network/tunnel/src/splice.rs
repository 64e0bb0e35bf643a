//! A host's connection and a socket of the stack, joined: bytes and half-closes pass both ways.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use smoltcp::socket::tcp;
use socket2::SockRef;

/// A stream of the host's.
pub(crate) trait HostEnd: Read + Write {
    /// Says to the far end that this was all.
    fn finish(&self) -> io::Result<()>;
    /// Has the far end notice, once the stream is closed, that it was cut: it must not take a flow that was for a whole one.
    fn cut(&self);
}

impl HostEnd for TcpStream {
    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    /// Closing sends a reset.
    fn cut(&self) {
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

/// The host's half of a joined flow.
pub(crate) struct Splice<S> {
    stream: S,
    /// The stream has bytes, as far as is known. Events come on changes only.
    readable: bool,
    /// The stream has room, as far as is known.
    writable: bool,
    /// The host has sent all it will.
    ended: bool,
    /// The far end has sent all it will, in order: not by a reset.
    far_ended: bool,
    /// The host has been told so.
    told: bool,
    failed: bool,
}

impl<S: HostEnd> Splice<S> {
    /// Takes over a connected stream.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            readable: true,
            writable: true,
            ended: false,
            far_ended: false,
            told: false,
            failed: false,
        }
    }

    /// The stream, to register or forget it.
    pub(crate) const fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Notes that the stream has become readable or writable.
    pub(crate) fn wake(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Moves what can be moved between the stream and a connected `socket`. Whether anything changed.
    pub(crate) fn pump(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        let mut moved = self.pump_to_socket(socket) | self.pump_to_stream(socket);
        if self.ended && socket.may_send() {
            socket.close();
            moved = true;
        }
        self.far_ended |= matches!(
            socket.state(),
            tcp::State::CloseWait
                | tcp::State::LastAck
                | tcp::State::Closing
                | tcp::State::TimeWait
        );
        if self.far_ended && !self.told && !socket.can_recv() {
            let _ = self.stream.finish();
            self.told = true;
        }
        if self.failed && socket.is_open() {
            socket.abort();
            moved = true;
        }
        moved
    }

    fn pump_to_socket(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        let mut moved = false;
        while self.readable && !self.ended && socket.can_send() {
            let result = socket.send(|buffer| match self.stream.read(buffer) {
                Ok(0) => {
                    self.ended = true;
                    (0, 0)
                }
                Ok(count) => (count, count),
                Err(error) => {
                    self.readable = error.kind() == io::ErrorKind::Interrupted;
                    self.failed |= is_fatal(&error);
                    (0, 0)
                }
            });
            moved |= result.is_ok_and(|count| count > 0);
        }
        moved
    }

    fn pump_to_stream(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        let mut moved = false;
        while self.writable && socket.can_recv() {
            let result = socket.recv(|buffer| match self.stream.write(buffer) {
                Ok(count) => (count, count),
                Err(error) => {
                    self.writable = error.kind() == io::ErrorKind::Interrupted;
                    self.failed |= is_fatal(&error);
                    (0, 0)
                }
            });
            match result {
                Ok(count) => moved |= count > 0,
                Err(_) => break,
            }
        }
        moved
    }

    /// Whether `socket` has ended and nothing is left to move.
    pub(crate) fn is_finished(&self, socket: &tcp::Socket<'_>) -> bool {
        let over = match socket.state() {
            tcp::State::TimeWait => true,
            // A reset that hasn't been sent yet still needs the socket.
            tcp::State::Closed => socket.remote_endpoint().is_none(),
            _ => false,
        };
        over && (self.failed || !socket.can_recv())
    }

    /// Ends the host's connection: in order when both directions have ended in order, or else by a reset.
    pub(crate) fn close(self) {
        if !(self.ended && self.told) {
            self.stream.cut();
        }
    }
}

fn is_fatal(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
