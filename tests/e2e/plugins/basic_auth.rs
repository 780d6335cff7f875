//! `basic-auth`: users as `htpasswd` makes them, asked by curl.

use super::{chained, refused};
use portcullis_tests::{Origin, Proxy, get, tools};
use std::process::Command;

/// What `htpasswd` prints for a user.
fn htpasswd(arguments: &[&str]) -> String {
    let output = Command::new(tools::need("htpasswd", "apache2-utils")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Status and body.
fn curl(proxy: &Proxy, user: &str) -> (u16, String) {
    let url = format!("http://{}/x", proxy.http());
    let output = Command::new(tools::need("curl", "curl"))
        .args([
            "--silent",
            "--max-time",
            "20",
            "--header",
            "Host: a.test",
            "--header",
            "X-User: root",
            "--user",
            user,
            "--write-out",
            "\n%{http_code}",
            &url,
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_lowercase())
}

#[test]
fn users_of_htpasswd_come_in_and_the_upstream_knows_who_they_are() {
    let app = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    let users = format!("{}\n{}\n", htpasswd(&["-nbB", "ann", "sesame"]), htpasswd(&["-nbB", "-C", "6", "bob", "open"]));
    std::fs::write(dir.path().join("users"), users).unwrap();
    let proxy = Proxy::start_in(dir, &chained(&app, "{ use = \"basic-auth\", htpasswd = { file = \"users\" }, header = \"X-User\" }", ""));
    for _ in 0..5 {
        for (user, name) in [("ann:sesame", "ann"), ("bob:open", "bob")] {
            let (status, body) = curl(&proxy, user);
            assert!(status == 200 && body.contains(&format!("x-user: {name}\r\n")) && !body.contains("root"), "{body}");
            assert!(!body.contains("authorization"), "the password goes no further: {body}");
        }
    }
    for wrong in ["ann:open", "bob:sesame", "eve:sesame", "ann:"] {
        assert_eq!(curl(&proxy, wrong).0, 401, "{wrong}");
    }
    let response = get(proxy.http(), "a.test", "/x");
    assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Basic realm=\"restricted\", charset=\"UTF-8\"")));
    proxy.access_line(|line| line.contains("user=ann"));
}

/// The dearest hash that is taken fits the time that the plugin has.
#[test]
fn the_dearest_hash_fits_the_limit() {
    let app = Origin::echo();
    let line = htpasswd(&["-nbB", "-C", "8", "ann", "sesame"]);
    let proxy = super::start(&app, &format!("{{ use = \"basic-auth\", htpasswd = \"{line}\" }}"), "");
    assert_eq!((curl(&proxy, "ann:sesame").0, curl(&proxy, "ann:wrong").0, curl(&proxy, "eve:wrong").0), (200, 401, 401));
}

#[test]
fn mistakes_point_at_the_user() {
    let dear = htpasswd(&["-nbB", "-C", "9", "ann", "sesame"]);
    let hash = dear.split_once(':').unwrap().1;
    let text = refused(&Origin::echo(), &format!("{{ use = \"basic-auth\", users = {{ ann = \"{hash}\", bob = \"$apr1$a$b\" }} }}"), "");
    assert!(text.contains("costs too much") && text.contains("MD5 is no protection") && text.contains("portcullis.toml:"), "{text}");
    assert!(!text.contains("sesame"));
}
