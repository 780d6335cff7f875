//! `cargo xtask testssl`: lets Debian's testssl.sh look at a TLS site for everything that is known to be wrong with servers, and fails
//! from severity MEDIUM up. The certificate is made for it; what a site's answers say (HSTS and its kind) is the configuration's.

use crate::{apt, run, wasm_target};
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What testssl.sh finds at a certificate that a public CA would not give either.
const EXTENSIONS: &str = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n\
    extendedKeyUsage=serverAuth\ncrlDistributionPoints=URI:http://127.0.0.1:9/ca.crl\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";

pub fn run(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("takes nothing".to_owned());
    }
    wasm_target::ensure()?;
    apt::install(&["testssl.sh", "openssl", "bsdextrautils", "dnsutils"])?;
    run::run(run::cargo().args(["build", "--locked", "--package", "portcullis"]))?;
    let folder = run::root().join("target/testssl");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    certificates(&folder)?;
    let port = free()?;
    let _proxy = Proxy::start(&folder, port)?;
    look(&folder, port)
}

fn certificates(folder: &Path) -> Result<(), String> {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let openssl = |arguments: &[&str]| run::read(Command::new("openssl").current_dir(folder).args(arguments)).map(drop);
    fs::write(folder.join("leaf.cnf"), EXTENSIONS).map_err(|error| error.to_string())?;
    let ca = ["req", "-x509", "-days", "300", "-subj", "/CN=testssl CA", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&ca[..], &["-addext", "keyUsage=critical,keyCertSign,cRLSign"], &key].concat())?;
    openssl(&[&["req", "-subj", "/CN=localhost", "-keyout", "site.key", "-out", "site.csr"][..], &key].concat())?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        "site.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "200",
        "-extfile",
        "leaf.cnf",
        "-out",
        "site.pem",
    ])
}

/// Taken again by the proxy; nobody else on this machine is asked to leave it alone.
fn free() -> Result<u16, String> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| error.to_string())
}

struct Proxy(Child);

impl Proxy {
    fn start(folder: &Path, port: u16) -> Result<Self, String> {
        let config = format!(
            "[server]\nstate = \"state\"\n[listen]\nhttps = [\"127.0.0.1:{port}\"]\nhttp = []\n[site.localhost]\n\
             tls = {{ cert = \"site.pem\", key = \"site.key\" }}\nroutes = {{ \"/*\" = {{ respond = \"hello\" }} }}\n\
             headers = {{ response = {{ set = {{ Strict-Transport-Security = \"max-age=31536000\", X-Content-Type-Options = \"nosniff\", \
             X-Frame-Options = \"DENY\", Content-Security-Policy = \"default-src 'none'\", Referrer-Policy = \"no-referrer\" }} }} }}\n"
        );
        fs::write(folder.join("portcullis.toml"), config).map_err(|error| error.to_string())?;
        let mut command = Command::new(run::root().join("target/debug/portcullis"));
        command.args(["run", "portcullis.toml"]).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        let proxy = Self(command.spawn().map_err(|error| format!("the proxy does not start: {error}"))?);
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline {
                return Err("the proxy does not listen".to_owned());
            }
            sleep(Duration::from_millis(100));
        }
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Prints what is worth a look; fails if any of it is MEDIUM or worse.
fn look(folder: &Path, port: u16) -> Result<(), String> {
    let found = folder.join("found.csv");
    let _earlier = fs::remove_file(&found);
    let mut testssl = Command::new("testssl");
    testssl.args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--add-ca", "ca.pem", "--csvfile", "found.csv"]);
    testssl.arg(format!("localhost:{port}")).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    eprintln!("+ testssl (a minute or two)");
    // Its exit code counts oddities of all kinds; the file says which.
    let ended = testssl.status().map_err(|error| format!("testssl does not start: {error}"))?;
    let text = fs::read_to_string(&found).map_err(|error| format!("testssl ended with {ended} and wrote nothing: {error}"))?;
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.trim_matches('"').split("\",\"").collect()).collect();
    // A whole look gives well over a hundred, whatever is found.
    if rows.len() < 100 {
        return Err(format!("testssl broke off after {} findings", rows.len()));
    }
    let of = |wanted: &[&str]| rows.iter().filter(|row| row.get(3).is_some_and(|severity| wanted.contains(severity))).collect::<Vec<_>>();
    for row in of(&["LOW", "WARN", "MEDIUM", "HIGH", "CRITICAL", "FATAL"]) {
        println!("{:9}{}: {}", row[3], row[0], row.get(4).unwrap_or(&""));
    }
    println!("{} findings, {} of them good", rows.len(), of(&["OK"]).len());
    match of(&["MEDIUM", "HIGH", "CRITICAL", "FATAL"]).len() {
        0 => Ok(()),
        bad => Err(format!("{bad} findings of MEDIUM or worse")),
    }
}
