//! nginx as it would be tuned for this job: one process, big keep-alive numbers, no temporary files.

use super::{Setup, Variant, stream};

pub fn configuration(setup: &Setup) -> String {
    if setup.scenario.tunnel() { tunnel(setup) } else { proxy(setup) }
}

fn tunnel(setup: &Setup) -> String {
    let Setup { dir, http, origin, .. } = setup;
    let prelude = stream::prelude(setup.binary, dir).unwrap_or_default();
    let buffers = if setup.variant == Variant::WideBuffers { "proxy_buffer_size 256k;" } else { "" };
    format!(
        "{prelude}{}
stream {{
  upstream o {{ server 127.0.0.1:{origin}; }}
  server {{ listen 127.0.0.1:{http}; proxy_pass o; proxy_connect_timeout 5s; proxy_timeout 600s; tcp_nodelay on; {buffers} }}
}}
",
        process(setup)
    )
}

fn process(setup: &Setup) -> String {
    let dir = setup.dir.display();
    format!(
        "daemon off; master_process off; worker_processes 1;
pid {dir}/nginx.pid; error_log {dir}/error.log warn;
events {{ worker_connections 16384; use epoll; multi_accept on; }}"
    )
}

fn proxy(setup: &Setup) -> String {
    let Setup { dir, http, https, origin, cert, key, scenario, .. } = setup;
    let dir = dir.display();
    let tls = match scenario.tls {
        true => format!("listen 127.0.0.1:{https} ssl http2; ssl_certificate {}; ssl_certificate_key {};", cert.display(), key.display()),
        false => String::new(),
    };
    let filters: String =
        (1..=scenario.filters).map(|i| format!("if ($http_x_bench_key != good) {{ return 403; }} add_header x-filter-{i} 1;\n")).collect();
    let mut servers = match scenario.routes {
        0 => format!("server {{ listen 127.0.0.1:{http}; {tls} server_name _; location / {{ {filters} proxy_pass http://o; }} }}\n"),
        _ => format!("server {{ listen 127.0.0.1:{http} default_server; server_name _; location / {{ return 404; }} }}\n"),
    };
    for i in 0..scenario.routes {
        servers += &format!(
            "server {{ listen 127.0.0.1:{http}; server_name h{i}.bench.test; location / {{ return 404; }} location /r{i}/ {{ proxy_pass http://o; }} }}\n"
        );
    }
    format!(
        "{}
http {{
  access_log off; sendfile on; tcp_nodelay on; server_tokens off; default_type text/plain;
  keepalive_timeout 600s; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  ssl_protocols TLSv1.3; ssl_ecdh_curve X25519; ssl_session_cache shared:S:20m; ssl_session_tickets on; ssl_session_timeout 1h;
  upstream o {{ server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 600s; }}
  proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; proxy_request_buffering off; proxy_max_temp_file_size 0;
{servers}}}
",
        process(setup)
    )
}
