use super::*;
use portcullis_sdk::test::{Harness, Outcome, SentRequest, get};

/// Of "sesame", made when the test runs.
fn bcrypt(password: &str) -> String {
    bcrypt::hash_with_salt(password, 4, [7; 16]).expect("hashes").format_for_version(bcrypt::Version::TwoY)
}

fn sha256(secret: &str) -> String {
    let digits = Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256:{digits}")
}

fn auth(more: &str) -> Harness<BasicAuth> {
    let settings = format!(r#"{{"users": {{"ann": "{}", "bot": "{}"}}{more}}}"#, bcrypt("sesame"), sha256("0123456789abcdef"));
    Harness::new(&settings)
}

fn from(credentials: &str) -> SentRequest {
    get("/").header("authorization", format!("Basic {}", Base64::encode_string(credentials.as_bytes())))
}

fn status(outcome: &Outcome<SentRequest>) -> Option<u16> {
    outcome.reply().map(Reply::status)
}

#[test]
fn who_knows_the_password_is_let_in() {
    let auth = auth(r#", "header": "X-Remote-User""#);
    for (credentials, name) in [("ann:sesame", "ann"), ("bot:0123456789abcdef", "bot")] {
        for _ in 0..2 {
            let after = auth.on_request(from(credentials).header("x-remote-user", "root"));
            assert_eq!((status(&after), after.header("x-remote-user"), after.attribute("log.user")), (None, Some(name), Some(name)));
            assert_eq!(after.header("authorization"), None);
        }
    }
    let lower = get("/").header("authorization", format!("basic  {}", Base64::encode_string(b"ann:sesame")));
    assert_eq!(status(&auth.on_request(lower)), None);
}

#[test]
fn others_are_asked_who_they_are() {
    let auth = auth(r#", "realm": "staff""#);
    auth.on_request(from("ann:sesame"));
    for wrong in ["ann:Sesame", "ann:", "ann", "bob:sesame", ":sesame", "ann:sesame ", "ann:0123456789abcdef", "bot:sesame", ""] {
        let outcome = auth.on_request(from(wrong));
        let reply = outcome.reply().expect(wrong);
        assert_eq!(
            (reply.status(), reply.header_str("www-authenticate")),
            (401, Some("Basic realm=\"staff\", charset=\"UTF-8\"")),
            "{wrong}"
        );
    }
    for field in ["", "Basic", "Basic !", "Bearer YW5uOnNlc2FtZQ==", "Basic YW5uOnNlc2FtZQ"] {
        assert_eq!(status(&auth.on_request(get("/").header("authorization", field))), Some(401), "{field}");
    }
    assert_eq!(status(&auth.on_request(get("/"))), Some(401));
}

#[test]
fn a_password_that_was_right_is_known_and_others_are_not() {
    let auth = auth("");
    let known = || auth.plugin().known.borrow().iter().filter(|known| known.is_some()).count();
    auth.on_request(from("ann:wrong"));
    assert_eq!(known(), 0);
    auth.on_request(from("ann:sesame"));
    assert_eq!(known(), 1);
    assert_eq!(status(&auth.on_request(from("ann:wrong"))), Some(401));
    assert_eq!((status(&auth.on_request(from("ann:sesame"))), known()), (None, 1));
}

#[test]
fn a_name_as_utf_8_and_a_password_with_colons() {
    let settings = format!(r#"{{"users": {{"jürgen": "{}"}}, "forward": true}}"#, sha256("a:b:ü"));
    let after = Harness::<BasicAuth>::new(&settings).on_request(from("jürgen:a:b:ü"));
    assert!(status(&after).is_none() && after.header("authorization").is_some());
}

#[test]
fn users_from_a_file() {
    let settings = format!(r##"{{"htpasswd": "# staff\nann:{}\r\n\nbob:{}\n"}}"##, bcrypt("a"), bcrypt("b"));
    let auth = Harness::<BasicAuth>::new(&settings);
    assert!(status(&auth.on_request(from("bob:b"))).is_none() && status(&auth.on_request(from("bob:a"))).is_some());
}

#[test]
fn mistakes_are_told_at_their_places() {
    let costly = bcrypt("a").replace("$04$", "$10$");
    let settings = format!(
        r#"{{"users": {{"a": "password", "b": "$apr1$x$y", "c": "{costly}", "d": "sha256:00", "e:": "x", "f": "$2y$05$short", "g": "$argon2id$v=19"}},
            "htpasswd": "x\na:{}\nz:{}\nz:{}", "header": "Host", "realm": "\""}}"#,
        bcrypt("a"),
        bcrypt("a"),
        bcrypt("b")
    );
    let problems = Harness::<BasicAuth>::refused(&settings);
    let places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
    assert_eq!(
        places,
        ["/users/a", "/users/b", "/users/c", "/users/d", "/users/e:", "/users/f", "/users/g", "/htpasswd", "/htpasswd", "/header"]
    );
    assert!(problems[2].message.starts_with("costs too much") && problems[8].message == "line 4: this name is there twice", "{problems:?}");
    assert_eq!(Harness::<BasicAuth>::refused("{}")[0].message, "nobody could come in: needs `users` or `htpasswd`");
    assert_eq!(Harness::<BasicAuth>::refused(&format!(r#"{{"users": {{"a": "{}"}}, "realm": "a\"b"}}"#, sha256("a")))[0].path, "/realm");
}
