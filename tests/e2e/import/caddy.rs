//! The Caddyfile.

use super::{holds, import, places, same, serve, sound};
use portcullis_tests::{Origin, Server, get, get_with};
use std::fs;

#[test]
fn an_imported_site_answers_as_caddy_does() {
    let (app, api) = (Origin::named("app"), Origin::named("api"));
    let caddyfile = |listen: std::net::SocketAddr| {
        format!(
            "{{\n\tadmin off\n\tauto_https off\n}}\n\n(edge) {{\n\theader X-Edge \"{{args.0}} b\"\n}}\n\nhttp://app.test:{port}, http://www.app.test:{port} {{\n\tbind 127.0.0.1\n\
             \timport edge a\n\t@posts {{\n\t\tpath /form/*\n\t\tmethod POST\n\t}}\n\thandle /exact {{\n\t\trespond \"exactly\"\n\t}}\n\
             \thandle_path /api/* {{\n\t\treverse_proxy {api} {{\n\t\t\theader_up X-Real-IP {{remote_host}}\n\t\t\theader_up -X-Gone\n\t\t\theader_down -X-Origin\n\t\t}}\n\t}}\n\
             \tredir /old/* https://new.test{{uri}} permanent\n\thandle @posts {{\n\t\trespond \"no\" 405\n\t}}\n\
             \thandle /gone/* {{\n\t\trespond 410\n\t}}\n\thandle {{\n\t\treverse_proxy {app}\n\t}}\n}}\n",
            port = listen.port(),
            app = app.name(),
            api = api.name()
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Caddyfile");
    let caddy = Server::program("caddy", dir.path(), |listen| {
        fs::write(&file, caddyfile(listen)).unwrap();
        ["run", "--config", "Caddyfile", "--adapter", "caddyfile"].map(str::to_owned).to_vec()
    });
    let listen: std::net::SocketAddr = caddy.name().parse().unwrap();
    let (text, lost) = import("caddy", &file);
    // `auto_https` and `bind` have no counterpart; `admin` is another thing.
    assert_eq!(lost.len(), 3, "{lost:#?}\n{text}");
    let text = text.replace(&format!("\":{}\"", listen.port()), &format!("\"{listen}\""));
    sound(&text, dir.path());
    let proxy = serve(&text, listen);
    for path in ["/", "/x?a=1", "/api/users?b=2", "/exact", "/old/page?c=3", "/gone/x", "/form/x"] {
        same(listen, proxy.http(), "app.test", path, "X-Gone: 1\r\n", &["host", "x-real-ip"]);
    }
    same(listen, proxy.http(), "www.app.test", "/api/x", "", &["host"]);
}

#[test]
fn sites_certificates_and_servers_are_carried_over() {
    let dir = tempfile::tempdir().unwrap();
    portcullis_tests::pki::Authority::new("import").issue(dir.path(), "app", &["shop.example.com"]);
    let text = "{\n\temail ops@example.com\n\tservers {\n\t\ttrusted_proxies static private_ranges 192.0.2.0/24\n\t}\n}\n\
        app.example.com,\nwww.example.com {\n\tencode zstd gzip\n\treverse_proxy 10.0.0.1:8080 10.0.0.2:8080 {\n\t\tlb_policy round_robin\n\t}\n\
        \tforward_auth 10.0.0.9:9091 {\n\t\turi /api/verify\n\t\tcopy_headers Remote-User Remote-Groups\n\t}\n}\n\
        dev.test {\n\ttls internal\n\treverse_proxy https://app.internal:8443 {\n\t\theader_up Host {upstream_hostport}\n\t\ttransport http {\n\t\t\ttls_server_name app.internal\n\t\t}\n\t}\n}\n\
        shop.example.com {\n\ttls app.pem app.key\n\treverse_proxy unix//run/shop.sock\n}\n";
    fs::write(dir.path().join("Caddyfile"), text).unwrap();
    let (text, lost) = import("caddy", &dir.path().join("Caddyfile"));
    assert_eq!(lost, Vec::<String>::new(), "{text}");
    sound(&text, dir.path());
    for part in [
        "contact = [\"ops@example.com\"]|contact = \"ops@example.com\"",
        "\"192.0.2.0/24\"",
        "aliases = [\"www.example.com\"]",
        "balance = \"round-robin\"",
        "use = \"forward-auth\", upstream = \"auth\", path = \"/api/verify\", copy = [\"Remote-User\", \"Remote-Groups\"]",
        "tls = \"local\"",
        "host = \"app.internal:8443\"",
        "servers = [\"unix:/run/shop.sock\"]",
    ] {
        assert!(part.split('|').any(|part| text.contains(part)), "{part} in:\n{text}");
    }
}

#[test]
fn servers_keep_their_checks_their_shares_and_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let text = "http://a.test {\n\tlog {\n\t\toutput file /var/log/a.log\n\t}\n\
        \treverse_proxy /checked/* 10.0.0.1:80 10.0.0.2:80 {\n\t\thealth_uri /healthz\n\t\thealth_interval 1m30s\n\t\thealth_status 204\n\t\thealth_timeout 1.5s\n\t\tlb_retries 2\n\t}\n\
        \treverse_proxy /shares/* 10.0.0.1:80 10.0.0.2:80 {\n\t\tlb_policy weighted_round_robin 3 1\n\t}\n\
        \treverse_proxy /order/* 10.0.0.1:80 10.0.0.2:80 10.0.0.3:80 {\n\t\tlb_policy first\n\t}\n\
        \treverse_proxy 10.0.0.1:80 10.0.0.2:80 {\n\t\tlb_policy cookie sid\n\t}\n}\n";
    fs::write(dir.path().join("Caddyfile"), text).unwrap();
    let (text, lost) = import("caddy", &dir.path().join("Caddyfile"));
    assert_eq!(places(&lost), [2, 9].map(|line| format!("Caddyfile:{line}")), "{lost:#?}");
    sound(&text, dir.path());
    holds(
        &text,
        &[
            "health = { every = \"1m30s\", expect = [204], get = \"/healthz\" }",
            "retry = { tries = 3 }",
            "[{ address = \"10.0.0.1:80\", weight = 3 }, { address = \"10.0.0.2:80\", weight = 1 }]",
            "[\"10.0.0.1:80\", { address = \"10.0.0.2:80\", priority = 1 }, { address = \"10.0.0.3:80\", priority = 2 }]",
            "sticky = { cookie = \"sid\" }",
        ],
    );
}

#[test]
fn a_line_that_cannot_be_carried_over_takes_no_other_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let text = "http://a.test {\n\treverse_proxy 10.0.0.1:8443 {\n\t\ttransport http {\n\t\t\tread_timeout 1.5s\n\t\t\ttls\n\t\t\ttls_server_name app.internal\n\t\t}\n\t}\n}\n";
    fs::write(dir.path().join("Caddyfile"), text).unwrap();
    let (text, lost) = import("caddy", &dir.path().join("Caddyfile"));
    assert_eq!(places(&lost), ["Caddyfile:4"], "{lost:#?}");
    sound(&text, dir.path());
    holds(&text, &["servers = [\"https://10.0.0.1:8443\"]", "name = \"app.internal\""]);
}

#[test]
fn what_is_lost_is_told_and_what_it_kept_out_stays_out() {
    let origin = Origin::named("app");
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "http://a.test:{port} {{\n\troot * /srv\n\thandle /files/* {{\n\t\tfile_server\n\t}}\n\thandle /staff/* {{\n\t\tbasic_auth {{\n\t\t\tann $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n\t\t}}\n\
         \t\treverse_proxy {app}\n\t}}\n\thandle {{\n\t\treverse_proxy {app}\n\t}}\n\tfrobnicate\n}}\n",
        port = 8080,
        app = origin.name()
    );
    fs::write(dir.path().join("Caddyfile"), text).unwrap();
    let (text, lost) = import("caddy", &dir.path().join("Caddyfile"));
    assert_eq!(places(&lost), [2, 4, 7, 15].map(|line| format!("Caddyfile:{line}")), "{lost:#?}");
    assert!(lost[2].contains("403") && lost[3].contains("`frobnicate`"), "{lost:#?}");
    sound(&text, dir.path());
    let proxy = serve(&text.replace("\":8080\"", "\"127.0.0.1:8080\""), "127.0.0.1:8080".parse().unwrap());
    assert_eq!(get_with(proxy.http(), "a.test", "/staff/x", "Authorization: Basic YW5uOnB3\r\n").status, 403);
    assert_eq!(get(proxy.http(), "a.test", "/x").header("x-origin"), Some("app"));
}

#[test]
fn what_a_matcher_keeps_out_stays_out_whatever_becomes_of_it() {
    let origin = Origin::named("app");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Caddyfile");
    let ask = |more: &str, path: &str| {
        fs::write(&file, format!("http://a.test:8080 {{\n{more}\n\treverse_proxy {}\n}}\n", origin.name())).unwrap();
        let (text, lost) = import("caddy", &file);
        sound(&text, dir.path());
        let proxy = serve(&text.replace("\":8080\"", "\"127.0.0.1:8080\""), "127.0.0.1:8080".parse().unwrap());
        (get(proxy.http(), "a.test", path).status, lost)
    };
    let (status, lost) = ask("\t@denied not remote_ip 10.0.0.0/8\n\tabort @denied", "/x");
    assert_eq!(status, 403, "who is denied is not known here: {lost:#?}");
    assert!(lost.iter().any(|line| line.contains("`abort @denied`") && line.contains("403")), "{lost:#?}");
    let some = "\tabort /gone/*\n\trespond /no/* \"{http.vars.x}\" 404";
    for (path, expected) in [("/gone/x", 403), ("/no/x", 403), ("/x", 200)] {
        assert_eq!(ask(some, path).0, expected, "{path}");
    }
}
