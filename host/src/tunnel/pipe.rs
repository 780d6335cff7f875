//! Pipes to move bytes between two sockets without copying them (splice(2)): lent for as long as something is inside, never longer.

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// How much one holds, if the system allows it. Measured in CPU seconds a GiB: 64 KiB 0.33, 256 KiB 0.25, 1 MiB 0.21; but 1 MiB is four
/// times the memory for each that is full, and users other than root may have 64 MiB of pipes in all.
const ROOM: usize = 256 << 10;
/// Of one worker: 128 files, and 16 MiB if all were full. Whoever gets none copies.
const MOST: usize = 64;

/// One worker's pipes.
#[derive(Default)]
pub(super) struct Pipes {
    free: RefCell<Vec<Pipe>>,
    alive: Rc<Cell<usize>>,
}

/// A pipe. One that is dropped makes room for another.
pub(super) struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    /// Bytes inside.
    pub inside: usize,
    alive: Rc<Cell<usize>>,
}

impl Pipes {
    /// `None`: all are lent, or the system has none to give.
    pub fn take(&self) -> Option<Pipe> {
        self.free.borrow_mut().pop().or_else(|| {
            let room = self.alive.get() < MOST;
            room.then(|| Pipe::new(&self.alive).ok()).flatten()
        })
    }

    /// Back from a loan, empty.
    pub fn give_back(&self, pipe: Pipe) {
        self.free.borrow_mut().push(pipe);
    }
}

impl Pipe {
    fn new(alive: &Rc<Cell<usize>>) -> io::Result<Self> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Beyond what an unprivileged user may have, it stays at the usual 64 KiB.
        let _ = fcntl_setpipe_size(&into, ROOM);
        alive.set(alive.get() + 1);
        Ok(Self { out, into, inside: 0, alive: alive.clone() })
    }

    /// Moves what the socket has; 0: it has ended.
    pub fn fill(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let count = splice(socket, None, &self.into, None, ROOM, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
        self.inside += count;
        Ok(count)
    }

    /// Moves what the socket takes.
    pub fn drain(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let count = splice(&self.out, None, socket, None, self.inside, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
        self.inside -= count.min(self.inside);
        Ok(count)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        (one, listener.accept().expect("accepted").0)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let ((mut client, near), (far, mut server)) = (pair(), pair());
        let pipes = Pipes::default();
        let mut pipe = pipes.take().expect("a pipe");
        client.write_all(b"hello").expect("written");
        assert_eq!((pipe.fill(&near).expect("filled"), pipe.inside), (5, 5));
        assert_eq!((pipe.drain(&far).expect("drained"), pipe.inside), (5, 0));
        let mut read = [0; 5];
        server.read_exact(&mut read).expect("read");
        assert_eq!(&read, b"hello");
    }

    #[test]
    fn there_are_only_so_many() {
        let pipes = Pipes::default();
        let mut lent: Vec<Pipe> = (0..MOST).map(|_| pipes.take().expect("a pipe")).collect();
        assert!(pipes.take().is_none());
        lent.pop();
        let again = pipes.take().expect("one was dropped");
        assert!(pipes.take().is_none());
        pipes.give_back(again);
        assert!(pipes.take().is_some());
    }
}
