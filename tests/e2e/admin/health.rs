//! Health, who may ask, and that nothing of it is there unless it is written.

use portcullis_tests::{Origin, Proxy, Raw, get, get_with};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn start(origin: &Origin, admin: &str) -> Proxy {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "sesame-sesame-sesame\n").unwrap();
    let config = format!(
        "[admin]\n{admin}\n[site.\"*\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    );
    Proxy::start_in(dir, &config)
}

#[test]
fn ready_while_it_serves_and_not_while_it_drains() {
    let origin = Origin::says_and_stays("");
    let mut proxy = start(&origin, "listen = \"127.0.0.1:0\"");
    let admin = proxy.admin();
    let health = |path: &str| get(admin, &admin.to_string(), path);
    assert_eq!((health("/healthz").status, health("/readyz").status), (200, 200));
    // Keeps the proxy from ending.
    let mut waiting = Raw::connect(proxy.http());
    waiting.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
    while origin.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    proxy.terminate();
    proxy.logged("stopping");
    let ready = health("/readyz");
    assert_eq!((ready.status, health("/healthz").status), (503, 200));
    assert!(ready.text().contains("draining"), "{}", ready.text());
    drop(waiting);
    assert_eq!(proxy.wait(Duration::from_secs(30)), Some(0));
}

#[test]
fn a_token_is_asked_for_what_is_not_health() {
    let origin = Origin::echo();
    let proxy = start(&origin, "listen = \"127.0.0.1:0\"\ntoken = { file = \"token\" }");
    let admin = proxy.admin();
    assert_eq!(get(admin, "a.test", "/readyz").status, 200);
    let refused = get(admin, "a.test", "/metrics");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(get_with(admin, "a.test", "/metrics", "Authorization: Bearer sesame-sesame-sesame\r\n").status, 200);
}

#[test]
fn a_unix_socket_is_its_permissions() {
    let origin = Origin::echo();
    let mut proxy = start(&origin, "listen = \"unix:admin.sock?mode=0600\"");
    let path = proxy.dir.path().join("admin.sock");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.0 200") && text.contains("portcullis_build_info"), "{text}");
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(30)), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_name_that_is_not_ours_is_not_answered_without_a_token() {
    let origin = Origin::echo();
    let proxy = start(&origin, "listen = \"127.0.0.1:0\"");
    assert_eq!(get(proxy.admin(), "rebound.test", "/metrics").status, 421);
}

#[test]
fn requests_of_sites_never_come_here_nor_scrapes_there() {
    let origin = Origin::echo();
    let proxy = start(&origin, "listen = \"127.0.0.1:0\"");
    assert!(!get(proxy.http(), "a.test", "/metrics").text().contains("portcullis_build_info"));
    assert_eq!(get(proxy.admin(), &proxy.admin().to_string(), "/x").status, 404);
}

#[test]
fn not_ready_while_all_servers_are_down_that_it_cannot_do_without() {
    let (well, other) = (Origin::echo(), portcullis_tests::nobody());
    let proxy = Proxy::start(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[site.\"*\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\", \"/b/*\" = \"b\", \"/c/*\" = \"c\" }}\n\
         [upstream]\napp = {{ servers = [\"{0}\", \"{other}\"], health = {{ down = 1, ready = true }} }}\n\
         b = {{ servers = [\"{other}\"], health = {{ down = 1 }} }}\nc = {{ servers = [\"{other}\"], health = {{ down = 1, ready = true }} }}\n",
        well.name()
    ));
    let admin = proxy.admin();
    proxy.logged("upstream c: server");
    let ready = get(admin, &admin.to_string(), "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("all servers of upstream c are down") && !ready.text().contains("upstream app"), "{}", ready.text());
    let up = |scrape: &super::Scrape, upstream: &str, server: &str| {
        scrape.value("portcullis_upstream_server_up", &[("upstream", upstream), ("server", server)])
    };
    super::until(admin, "servers are down", |scrape| {
        ["app", "b", "c"].iter().all(|upstream| up(scrape, upstream, &other.to_string()) == Some(0.0))
            && up(scrape, "app", &well.name()) == Some(1.0)
    });
}
