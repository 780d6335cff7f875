//! nginx.conf.

use super::{holds, import, places, same, serve, sound};
use portcullis_tests::{Origin, Server, get, origin, tools};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;

#[test]
fn an_imported_site_answers_as_nginx_does() {
    let (app, api) = (Origin::named("app"), Origin::named("api"));
    let (app, api) = (app.name(), api.name());
    let http = |listen: std::net::SocketAddr| {
        format!(
            r#"
            upstream app {{ server {app}; keepalive 8; }}
            server {{
                listen {listen} default_server;
                server_name _;
                return 404;
            }}
            server {{
                listen {listen};
                server_name moved.test;
                rewrite ^(.*)$ http://app.test$1 permanent;
            }}
            server {{
                listen {listen};
                server_name app.test www.app.test;
                add_header X-Edge "a {{b}}" always;
                proxy_set_header Host $host;
                location / {{
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header Host $host;
                    proxy_set_header X-Real-IP $remote_addr;
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    proxy_set_header X-Kind "plain $request_method";
                    proxy_set_header X-Gone "";
                    proxy_read_timeout 30s;
                }}
                location /api/ {{
                    proxy_pass http://{api}/;
                    proxy_set_header Host $http_host;
                }}
                location /v1/ {{
                    proxy_pass http://{api}/v2/;
                    proxy_set_header Host backend.test;
                    proxy_hide_header X-Origin;
                }}
                location = /exact {{ return 200 "exactly\n"; }}
                location /old/ {{ return 301 https://new.test$request_uri; }}
                location ~ ^/img/(.*)\.png$ {{
                    proxy_pass http://app;
                    rewrite ^/img/(.*)\.png$ /pictures/$1 break;
                }}
                location /closed/ {{ deny all; proxy_pass http://app; }}
                location /open/ {{ allow 127.0.0.0/8; deny all; proxy_pass http://app; }}
                location /gone/ {{ return 410; }}
                location /went/ {{ rewrite ^/went/(.*)$ /there/$1 permanent; }}
                location /away/ {{ rewrite ^/away/(.*)$ https://new.test/x/$1 redirect; }}
                location /kept/ {{ expires 1h30m; proxy_pass http://app; }}
                location /asked-again/ {{ expires -1; proxy_pass http://app; }}
            }}"#
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let nginx = Server::nginx(|listen, _| http(listen));
    let listen: std::net::SocketAddr = nginx.name().parse().unwrap();
    let file = dir.path().join("nginx.conf");
    fs::write(&file, format!("events {{}}\nhttp {{ {} }}", http(listen))).unwrap();
    let (text, lost) = import("nginx", &file);
    assert_eq!(lost, Vec::<String>::new(), "{text}");
    sound(&text, dir.path());
    let proxy = serve(&text, listen);
    for path in [
        "/",
        "/x?a=1",
        "/api/users?b=2",
        "/v1/x",
        "/exact",
        "/old/page?c=3",
        "/img/cat.png",
        "/closed/x",
        "/open/x",
        "/gone/x",
        "/kept/x",
        "/asked-again/x",
        "/went/a/b?c=1",
        "/away/",
    ] {
        same(listen, proxy.http(), "app.test", path, "X-Gone: 1\r\n", &["host", "x-real-ip", "x-kind", "x-gone"]);
    }
    same(listen, proxy.http(), "www.app.test", "/x", "", &["host"]);
    same(listen, proxy.http(), "moved.test", "/x/y?z=1", "", &[]);
    same(listen, proxy.http(), "other.test", "/x", "", &[]);
}

/// Lets in whoever has the key, but not everywhere.
fn door(stream: &mut TcpStream, _: &Mutex<Vec<String>>) {
    while let Some((head, _)) = origin::read_head(stream) {
        let head = head.to_lowercase();
        let keeps = head.contains("x-original-uri: /only/that");
        let answer = match (head.starts_with("get /api/verify?kind=nginx http/1"), head.contains("x-key: right")) {
            (true, true) if !keeps => "200 OK\r\nRemote-User: ann",
            (true, false) if head.contains("x-key") => "401 Unauthorized\r\nWWW-Authenticate: Key",
            (true, _) => "403 Forbidden",
            (false, _) => "500 Other\r\nX-Asked: otherwise",
        };
        let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
}

/// The door says who comes in, and what the server is told of them.
#[test]
fn who_is_asked_first_is_asked_first() {
    let (app, auth) = (Origin::named("app"), Origin::serve(door));
    let text = |listen: std::net::SocketAddr| {
        format!(
            r#"
            map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
            server {{
                listen {listen};
                server_name app.test;
                location = /verify {{
                    internal;
                    proxy_pass http://{auth}/api/verify?kind=nginx;
                    proxy_pass_request_body off;
                    proxy_set_header Content-Length "";
                    proxy_set_header X-Original-URI $request_uri;
                }}
                location / {{
                    auth_request /verify;
                    auth_request_set $user $upstream_http_remote_user;
                    proxy_set_header Remote-User $user;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_http_version 1.1;
                    proxy_pass http://{app};
                }}
                location /open/ {{ proxy_pass http://{app}; }}
            }}"#,
            auth = auth.name(),
            app = app.name()
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let nginx = Server::nginx(|listen, _| text(listen));
    let listen: std::net::SocketAddr = nginx.name().parse().unwrap();
    let file = dir.path().join("nginx.conf");
    fs::write(&file, format!("events {{}}\nhttp {{ {} }}", text(listen))).unwrap();
    let (text, lost) = import("nginx", &file);
    assert_eq!(lost, Vec::<String>::new(), "{text}");
    sound(&text, dir.path());
    let proxy = serve(&text, listen);
    for fields in ["", "X-Key: wrong\r\n", "X-Key: right\r\nRemote-User: eve\r\n"] {
        for path in ["/x", "/only/this?a=1", "/only/that", "/open/x", "/verify"] {
            same(listen, proxy.http(), "app.test", path, fields, &["remote-user"]);
        }
    }
    let known = portcullis_tests::get_with(proxy.http(), "app.test", "/x", "X-Key: right\r\n");
    assert_eq!((known.status, known.text().to_lowercase().contains("remote-user: ann")), (200, true), "{}", known.text());
    assert_eq!(get(proxy.http(), "app.test", "/x").status, 403);
}

#[test]
fn limits_and_passwords_are_carried_over() {
    let origin = Origin::named("app");
    let dir = tempfile::tempdir().unwrap();
    let htpasswd = tools::need("htpasswd", "apache2-utils");
    assert!(Command::new(htpasswd).args(["-cbB", "-C", "4"]).arg(dir.path().join("users")).args(["ann", "pw"]).status().unwrap().success());
    let listen = portcullis_tests::nobody();
    let text = format!(
        "limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;\nserver {{\n listen {listen};\n server_name a.test;\n gzip on;\n gzip_types text/css;\n \
         location /once/ {{ limit_req zone=one burst=1 nodelay; proxy_pass http://{0}; }}\n \
         location /staff/ {{ auth_basic staff; auth_basic_user_file {1}; proxy_pass http://{0}; }}\n}}\n",
        origin.name(),
        dir.path().join("users").display()
    );
    let file = dir.path().join("site.conf");
    fs::write(&file, text).unwrap();
    let (text, lost) = import("nginx", &file);
    assert_eq!(lost, Vec::<String>::new(), "{text}");
    sound(&text, dir.path());
    let proxy = serve(&text, listen);
    let statuses = [(); 3].map(|()| get(proxy.http(), "a.test", "/once/x").status);
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(get(proxy.http(), "a.test", "/staff/x").status, 401);
    let known = portcullis_tests::get_with(proxy.http(), "a.test", "/staff/x", "Authorization: Basic YW5uOnB3\r\n");
    assert_eq!((known.status, known.text().to_lowercase().contains("authorization: basic")), (200, true));
}

#[test]
fn what_is_lost_is_told_and_what_it_kept_out_stays_out() {
    let dir = tempfile::tempdir().unwrap();
    let listen = portcullis_tests::nobody();
    let text = format!(
        "worker_processes auto;\nevents {{}}\nhttp {{\n  sendfile on;\n  map $http_upgrade $up {{ default mine; }}\n  server {{\n    listen {listen};\n    \
         server_name a.test;\n    client_max_body_size 10m;\n    location /files/ {{ root /srv; }}\n    location /secret/ {{\n      auth_request /auth;\n      \
         proxy_pass http://127.0.0.1:9;\n    }}\n    location /v/ {{ proxy_pass http://$backend; }}\n    location / {{ proxy_pass http://127.0.0.1:9; frobnicate on; }}\n  }}\n}}\n"
    );
    let file = dir.path().join("nginx.conf");
    fs::write(&file, text).unwrap();
    let (text, lost) = import("nginx", &file);
    let expected = [5, 9, 10, 10, 12, 15, 16].map(|line| format!("nginx.conf:{line}"));
    assert_eq!(places(&lost), expected, "{lost:#?}");
    assert!(lost[4].contains("`auth_request /auth`") && lost[4].contains("403"), "{}", lost[4]);
    assert!(lost[6].contains("`frobnicate on`"), "{}", lost[6]);
    sound(&text, dir.path());
    let proxy = serve(&text, listen);
    assert_eq!(get(proxy.http(), "a.test", "/secret/x").status, 403);
}

#[test]
fn tls_names_and_redirects_become_one_site() {
    let dir = tempfile::tempdir().unwrap();
    let authority = portcullis_tests::pki::Authority::new("import");
    authority.issue(dir.path(), "app", &["app.example.com", "www.example.com"]);
    authority.write(dir.path(), "partners");
    fs::create_dir(dir.path().join("sites")).unwrap();
    fs::write(
        dir.path().join("sites/app.conf"),
        "server { listen 80; listen [::]:80; server_name app.example.com www.example.com; return 301 https://$host$request_uri; }\n\
         server {\n listen 443 ssl http2; listen [::]:443 ssl http2;\n server_name app.example.com www.example.com;\n ssl_certificate app.pem;\n \
         ssl_certificate_key app.key;\n ssl_client_certificate partners.pem;\n ssl_verify_client optional;\n \
         location / { proxy_pass https://10.0.0.1:8443; proxy_ssl_verify on; proxy_ssl_trusted_certificate partners.pem; proxy_ssl_name app.internal; }\n}\n",
    )
    .unwrap();
    let stream = "stream { upstream db { server 10.0.0.5:5432; } proxy_timeout 10m; \
                  server { listen 5432; listen [::]:5432; listen 10.0.0.9:5433; proxy_pass db; proxy_timeout 1h; } \
                  server { listen 5434; proxy_pass db; } }\n";
    fs::write(dir.path().join("nginx.conf"), format!("events {{}}\nhttp {{ include sites/*.conf; }}\n{stream}")).unwrap();
    let (text, lost) = import("nginx", &dir.path().join("nginx.conf"));
    assert_eq!(lost, Vec::<String>::new(), "{text}");
    assert!(!text.contains("[listen]"), "the usual ports go without saying: {text}");
    sound(&text, dir.path());
    for part in [
        "[site.\"app.example.com\"]",
        "client = { ca = ",
        "require = false",
        "servers = [\"https://10.0.0.1:8443\"]",
        "name = \"app.internal\"",
        "[tcp.\":5432\"]\nto      = \"db\"\ntimeout = { idle = \"1h\" }",
        "[tcp.\"10.0.0.9:5433\"]",
        "[tcp.\":5434\"]\nto      = \"db\"\ntimeout = { idle = \"10m\" }",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

#[test]
fn servers_keep_their_shares_their_places_and_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let text = "events {}\nhttp {\n\
         upstream app { least_conn; server 10.0.0.1:80 weight=3 max_conns=50; server 10.0.0.2 max_conns=50; server 10.0.0.3:80 backup max_conns=50; }\n\
         upstream by { hash $http_x_user consistent; server 10.0.0.1:80; server 10.0.0.2:80 max_fails=3; }\n\
         upstream rpc { server 10.0.0.4:50051; }\n\
         server { listen 80; server_name a.test b.test;\n access_log /var/log/a.log;\n\
         location /by/ { proxy_pass http://by; proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 3; }\n\
         location /shop.Orders/ { grpc_pass grpc://rpc; grpc_read_timeout 5m; }\n\
         location /never/ { proxy_pass http://app; proxy_next_upstream off; }\n\
         location / { proxy_pass https://app; proxy_ssl_verify on; }\n}\n}\n";
    let file = dir.path().join("nginx.conf");
    fs::write(&file, text).unwrap();
    let (text, lost) = import("nginx", &file);
    // Once each, though there are two sites.
    assert_eq!(places(&lost), [3, 4, 7].map(|line| format!("nginx.conf:{line}")), "{lost:#?}\n{text}");
    sound(&text, dir.path());
    holds(
        &text,
        &[
            "{ address = \"10.0.0.1:80\", weight = 3 }, \"10.0.0.2:80\", { address = \"10.0.0.3:80\", priority = 1 }",
            "{ address = \"https://10.0.0.1:80\", weight = 3 }",
            "balance = \"hash(header:x-user)\"",
            "limits = { per-server = 50 }",
            "retry = { on = [\"connect\", \"reset\", \"timeout\", \"503\"], tries = 3 }",
            "retry = { tries = 1 }",
            "servers = [\"grpc://10.0.0.4:50051\"]",
        ],
    );
    assert_eq!(text.matches("balance = \"least\"").count(), 2, "over TLS it is the same set of servers: {text}");
}

/// What a block says for itself takes the place of what stands around it, and what is not carried over is told in whatever block it stands.
#[test]
fn inner_blocks_say_otherwise_and_nothing_is_dropped_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let text = "events {}\nhttp {\nlog_format short \"$status\";\nauth_request_set $user $upstream_http_remote_user;\n\
         upstream app { sticky cookie sid expires=1h; server 10.0.0.1:80; }\n\
         server { listen 80; server_name a.test; proxy_next_upstream off; proxy_next_upstream_tries 3;\n\
         location = /ask { internal; proxy_pass http://10.0.0.9:80; }\n\
         location / { proxy_pass http://app; auth_request /ask; proxy_set_header Remote-User $user; proxy_next_upstream error; }\n\
         location /once/ { proxy_pass http://app; }\n\
         location /gone/ {\nrewrite ^/gone/a$ /b permanent;\nreturn 410; }\n\
         location /went/ {\nrewrite ^/went/a$ /b permanent;\nrewrite ^/went/(.*)$ /there/$1 permanent; }\n}\n}\n\
         stream {\nlog_format short \"$status\";\nserver { listen 5432; proxy_pass 10.0.0.5:5432;\naccess_log /x;\nproxy_timeout 1M; }\n}\n";
    let file = dir.path().join("nginx.conf");
    fs::write(&file, text).unwrap();
    let (text, lost) = import("nginx", &file);
    assert_eq!(places(&lost), [3, 5, 11, 14, 19, 21, 22].map(|line| format!("nginx.conf:{line}")), "{lost:#?}\n{text}");
    assert!([0, 4, 5].iter().all(|index| lost[*index].contains("`access-log` in [server]")), "{lost:#?}");
    assert!(lost[1].contains("max-age") && [2, 3].iter().all(|index| lost[*index].contains("`redirect` links")), "{lost:#?}");
    sound(&text, dir.path());
    holds(
        &text,
        &[
            "copy = [\"Remote-User\"] }], retry = { on = [\"connect\", \"reset\"], tries = 3 }",
            "\"/once/*\" = { to = \"app\", retry = { tries = 1 } }",
            "\"=/ask\" = { respond = 404",
            "redirect = \"/there/{rest}\", status = 301",
        ],
    );
}

/// What Debian's nginx is installed with.
#[test]
fn the_configuration_of_a_fresh_nginx_says_what_is_missing() {
    tools::need("nginx", "nginx-light");
    let file = std::path::Path::new("/etc/nginx/nginx.conf");
    let output = portcullis_tests::proxy::run(std::path::Path::new("/"), &["import", "nginx", file.to_str().unwrap()]);
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("files are not served here"), "{said}");
    assert!(text.contains("[site.\"*\"]") && text.contains("404"), "{text}");
}

#[test]
fn what_a_location_keeps_out_stays_out_whatever_becomes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nginx.conf");
    let listen = portcullis_tests::nobody();
    let site = |more: &str| {
        format!(
            "events {{}}\nhttp {{ server {{ listen {listen}; server_name a.test;\nlocation / {{ proxy_pass http://127.0.0.1:1; }}\n{more}\n}} }}\n"
        )
    };
    let closed = "location ~ /\\.ht { deny all; }\nlocation /gone/ { return 444; }\nlocation /inner/ { internal; proxy_pass http://127.0.0.1:1; }\n\
                  location /there/ { auth_ldap \"x\"; proxy_pass http://127.0.0.1:1; }";
    fs::write(&file, site(closed)).unwrap();
    let (text, lost) = import("nginx", &file);
    sound(&text, dir.path());
    assert!(lost.iter().filter(|line| line.contains("403")).count() >= 4, "{lost:#?}");
    let proxy = serve(&text, listen);
    for path in ["/x/.htaccess", "/gone/x", "/inner/x", "/there/x"] {
        assert_eq!(get(proxy.http(), "a.test", path).status, 403, "{path}");
    }
    assert_eq!(get(proxy.http(), "a.test", "/x").status, 502, "nobody is there, but it is asked");
    // What the pattern means is not known here, so nobody gets anything.
    fs::write(&file, site("location ~ ^/(?=secret) { deny all; }")).unwrap();
    let (text, _) = import("nginx", &file);
    let proxy = serve(&text, listen);
    assert_eq!(get(proxy.http(), "a.test", "/x").status, 403);
}
