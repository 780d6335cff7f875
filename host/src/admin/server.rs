//! The listener and its thread. Few connections, short waits: who watches is one, or three, and asks every some seconds.

use super::access::Access;
use super::answer::answer;
use super::board::Board;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdTcp;
use std::os::unix::net::UnixListener as StdUnix;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at once; more wait in the kernel's queue. Arbitrary.
const MOST: usize = 64;
/// For a request's head, and between two requests.
const PATIENCE: Duration = Duration::from_secs(30);
/// A connection's whole life, also if what is said to it is never read; whoever scrapes makes another.
const LIFE: Duration = Duration::from_secs(300);
/// Of a request's head, bytes. hyper's smallest.
const HEAD: usize = 8 << 10;
/// After an error that will not go away at once: out of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening, non-blocking socket.
pub enum Socket {
    Tcp(StdTcp),
    Unix(StdUnix),
}

/// The thread. Dropping it ends the thread and cuts its connections.
pub struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves until the handle is dropped. Errors: no runtime or thread can be had.
pub fn start(sockets: Vec<(Socket, Access)>, board: Arc<dyn Board>) -> io::Result<Admin> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listeners = {
        let _context = runtime.enter();
        sockets.into_iter().map(|(socket, access)| Ok((Listener::new(socket)?, access))).collect::<io::Result<Vec<_>>>()?
    };
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("admin".into()).spawn(move || {
        run(&runtime, listeners, &board, stopped);
        // Whoever has an answer worked out gets none any more, and nobody waits for the work.
        runtime.shutdown_background();
    })?;
    Ok(Admin { stop: Some(stop), thread: Some(thread) })
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed; there is nothing else to do about it here.
            drop(thread.join());
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            Socket::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }
}

fn run(runtime: &Runtime, listeners: Vec<(Listener, Access)>, board: &Arc<dyn Board>, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        let room = Arc::new(Semaphore::new(MOST));
        let mut accepting = JoinSet::new();
        for (listener, access) in listeners {
            accepting.spawn(accept_all(listener, access, Arc::clone(board), Arc::clone(&room)));
        }
        // Whichever way the other end goes, it is time.
        let _ = stopped.await;
    });
}

/// Its connections end with it.
async fn accept_all(listener: Listener, access: Access, board: Arc<dyn Board>, room: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (access, board) = (access.clone(), Arc::clone(&board));
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                connections.spawn(async move {
                    serve(stream, access, board).await;
                    drop(permit);
                })
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                connections.spawn(async move {
                    serve(stream, access, board).await;
                    drop(permit);
                })
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!("the admin listener cannot accept connections: {error}");
            sleep(PAUSE).await;
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, access: Access, board: Arc<dyn Board>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (access, board) = (access.clone(), Arc::clone(&board));
        async move { Ok::<_, Infallible>(answer(request, &access, &board).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut ended = timeout(LIFE, connection.as_mut()).await;
    if ended.is_err() {
        // What is being answered, such as a reload, still is.
        connection.as_mut().graceful_shutdown();
        ended = timeout(LIFE, connection).await;
    }
    if let Ok(Err(error)) = ended {
        tracing::debug!("a connection of the admin listener: {error}");
    }
}
