//! `cargo xtask demo`: the main job on this machine, from nothing. Builds the proxy with its plugins and one more as a third party
//! would, starts an origin, serves https on localhost through a chain, and says what to try. `--once` tries it itself and ends.

mod origin;
mod requests;

use crate::{apt, run, wasm_target};
use requests::Request;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub fn run(arguments: &[String]) -> Result<(), String> {
    let once = match arguments {
        [] => false,
        [flag] if flag == "--once" => true,
        _ => return Err("takes nothing, or --once".to_owned()),
    };
    wasm_target::ensure()?;
    if apt::is_debian() && apt::is_root() {
        apt::install(&["curl"])?;
    }
    run::run(run::cargo().args(["build", "--locked", "--package", "portcullis"]))?;
    show(once)
}

/// With the binary that stands in target/debug. `once`: sends the requests itself, checks their answers and ends.
///
/// # Errors
/// If something cannot be built or started, or an answer is not the one that was expected.
pub fn show(once: bool) -> Result<(), String> {
    let plugin = third_party()?;
    let origin = origin::start().map_err(|error| format!("the demo origin: {error}"))?;
    let folder = run::root().join("target/demo");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (https, http) = if once { (0, 0) } else { (free(8443), free(8080)) };
    let config = configuration(https, http, origin, &plugin);
    let file = folder.join("portcullis.toml");
    fs::write(&file, config).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut proxy = Proxy::start(&folder)?;
    let requests = requests::all(proxy.https, proxy.http);
    println!("\nThe configuration is {}; the certificate comes from a CA made for it, {}.", file.display(), ca(&folder).display());
    if once { requests.iter().try_for_each(|request| request.check(&ca(&folder))) } else { proxy.serve(&requests, &folder) }
}

/// Builds examples/first-plugin as its author would.
fn third_party() -> Result<PathBuf, String> {
    let target = run::root().join("target/examples");
    let mut cargo = run::cargo();
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(flags);
    }
    cargo.args(["build", "--release", "--target", wasm_target::TARGET, "--target-dir"]).arg(&target);
    run::run(cargo.current_dir(run::root().join("examples/first-plugin")))?;
    Ok(target.join(wasm_target::TARGET).join("release/first_plugin.wasm"))
}

/// The usual port if nobody has it, else one of the kernel's choice.
fn free(port: u16) -> u16 {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() { port } else { 0 }
}

fn ca(folder: &Path) -> PathBuf {
    folder.join("state/ca/root.pem")
}

fn configuration(https: u16, http: u16, origin: SocketAddr, plugin: &Path) -> String {
    format!(
        r#"# Written by `cargo xtask demo`.
[server]
state = "state"

[listen]
https = ["127.0.0.1:{https}"]
http  = ["127.0.0.1:{http}"]

[plugin.first]                      # examples/first-plugin, built on the spot
source = "{}"

[site.localhost]                    # no `tls`: a certificate of the local CA
chain   = ["request-id", {{ use = "first", config = {{ agent = "curl" }} }}]
headers = {{ response = {{ set = {{ X-Served-By = "portcullis" }} }} }}

[site.localhost.routes]
"/*"            = "app"
"/api/*"        = {{ to = "app", strip = "/api" }}
"/old/*"        = {{ redirect = "/new/{{rest}}" }}
"=/robots.txt"  = {{ respond = {{ status = 200, body = "User-agent: *\nDisallow:\n" }} }}
"/canary/*"     = {{ split = {{ app = 95, next = 5 }}, chain = [{{ use = "route", rules = [{{ to = "next", cookie = {{ version = "next" }} }}] }}] }}

[upstream.app]
servers = ["{origin}"]

[upstream.next]
servers = ["{origin}"]
"#,
        plugin.display()
    )
}

/// The running proxy; ends with us.
struct Proxy {
    child: Child,
    https: u16,
    http: u16,
}

impl Proxy {
    fn start(folder: &Path) -> Result<Self, String> {
        let binary = run::root().join("target/debug/portcullis");
        let mut command = Command::new(&binary);
        command.args(["run", "portcullis.toml"]).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        let Some(log) = child.stderr.take() else { return Err("the proxy has no standard error".to_owned()) };
        let mut proxy = Self { child, https: 0, http: 0 };
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        for line in lines.by_ref() {
            eprintln!("{line}");
            proxy.note(&line);
            if line.contains(" ready in ") {
                std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
                return Ok(proxy);
            }
        }
        Err("the proxy ended before it was ready".to_owned())
    }

    fn note(&mut self, line: &str) {
        let port = |protocol: &str| {
            line.split_once(&format!("listening {protocol} ")).and_then(|(_, rest)| rest.trim().rsplit(':').next()?.parse().ok())
        };
        self.https = port("https").unwrap_or(self.https);
        self.http = port("http").unwrap_or(self.http);
    }

    /// Says what to try and waits for the end: Ctrl-C reaches the proxy too, which finishes what runs.
    fn serve(&mut self, requests: &[Request], folder: &Path) -> Result<(), String> {
        println!("\nTry, in another terminal:\n");
        for request in requests {
            println!("  {}\n      {}\n", request.line(&ca(folder)), request.shows);
        }
        println!("Ctrl-C ends it.\n");
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("the proxy: {status}")) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Already gone after Ctrl-C.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
