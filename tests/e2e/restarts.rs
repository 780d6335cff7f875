//! Servers that are restarted in turn under load, as in a rolling update: clients notice nothing.

use portcullis_tests::{Proxy, origin, while_asked};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A server that can be killed: whatever it is doing, its sockets are closed at once.
struct Server {
    address: SocketAddr,
    run: Option<Run>,
}

/// From a start to its kill.
struct Run {
    over: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    accepting: JoinHandle<()>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind(portcullis_tests::nobody()).unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, run: Some(Run::start(listener)) }
    }

    fn kill(&mut self) {
        let Some(Run { over, connections, accepting }) = self.run.take() else { return };
        over.store(true, Ordering::SeqCst);
        // Wakes whoever accepts, who lets go of the port.
        let _ = TcpStream::connect(self.address);
        accepting.join().unwrap();
        for connection in connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.run = Some(Run::start(listener));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Run {
    fn start(listener: TcpListener) -> Self {
        let (over, connections) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<TcpStream>>>::default());
        let (ending, all) = (Arc::clone(&over), Arc::clone(&connections));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                all.lock().unwrap().push(stream.try_clone().unwrap());
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { over, connections, accepting }
    }
}

/// Answers whatever is asked, after some work.
fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    while origin::read_head(&mut stream).is_some() {
        std::thread::sleep(Duration::from_millis(2));
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

#[test]
fn three_servers_are_restarted_in_turn_and_not_one_get_fails() {
    let mut servers = [Server::start(), Server::start(), Server::start()];
    let names: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.address)).collect();
    let proxy = Proxy::start(&format!(
        "[server]\nworkers = 2\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [{}]\n",
        names.join(", ")
    ));
    while_asked(
        &proxy,
        12,
        "/",
        |response| response.status == 200 && response.text() == "ok",
        |some_more| {
            some_more();
            for _ in 0..2 {
                for server in &mut servers {
                    server.kill();
                    some_more();
                    server.restart();
                    some_more();
                }
            }
        },
    );
}
