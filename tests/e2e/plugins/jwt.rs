//! `jwt`: tokens that another library signs with keys made when the test runs, and servers of keys that rotate, are slow, or are away.

use super::{chained, refused, start};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use portcullis_tests::origin::read_head;
use portcullis_tests::{Origin, Proxy, Response, get, get_with, nobody};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// base64url without padding (RFC 4648, section 5).
fn encoded(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(|index| char::from(DIGITS[(bits >> (18 - 6 * index)) as usize & 63])).collect::<String>()
    };
    bytes.as_ref().chunks(3).map(digits).collect()
}

enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

struct Key {
    kid: String,
    signer: Signer,
}

impl Key {
    fn new(kind: &str, kid: &str) -> Self {
        let random = SystemRandom::new();
        let signer = match kind {
            "RSA" => Signer::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
            "EC" => {
                let kind = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
                Signer::Ec(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref()).unwrap())
            }
            _ => Signer::Ed(Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap()),
        };
        Self { kid: kid.to_owned(), signer }
    }

    fn jwk(&self) -> Value {
        match &self.signer {
            Signer::Rsa(pair) => {
                // A sequence of two numbers, in DER: of a modulus of 2,048 bits the places are known.
                let der = pair.public_key().as_ref();
                let (n, e) = (&der[9..265], &der[267..]);
                json!({ "kty": "RSA", "kid": self.kid, "use": "sig", "n": encoded(n), "e": encoded(e) })
            }
            Signer::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": encoded(&point[1..33]), "y": encoded(&point[33..]) })
            }
            Signer::Ed(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": encoded(pair.public_key()) }),
        }
    }

    fn sign(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": self.kid });
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match &self.signer {
            Signer::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Signer::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Signer::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", encoded(signature))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({ "iss": "https://idp.test/", "aud": ["api"], "sub": "ann", "scope": "read write", "exp": now() + 300, "realm": { "roles": ["a", "b"] } })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn jwks(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// A server of keys: answers with what is in the mutex; nothing in it: not at all.
fn server(document: Arc<Mutex<Option<String>>>) -> Origin {
    Origin::serve(move |stream, seen| {
        while let Some((head, _)) = read_head(stream) {
            seen.lock().unwrap().push(head);
            let Some(body) = document.lock().unwrap().clone() else {
                let _ = std::io::Read::read(stream, &mut [0]);
                return;
            };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\ncontent-type: application/json\r\n\r\n{body}", body.len());
        }
    })
}

const SETTINGS: &str = "issuer = \"https://idp.test/\", audience = \"api\", claims = { x-user = \"sub\", x-roles = \"realm.roles\" }";

fn ask(proxy: &Proxy, token: &str) -> Response {
    get_with(proxy.http(), "a.test", "/x", &format!("Authorization: Bearer {token}\r\nX-User: root\r\n"))
}

/// What is wrong with a token.
fn told(response: &Response) -> &str {
    let challenge = response.header("www-authenticate").unwrap_or_default();
    challenge.split("error_description=\"").nth(1).unwrap_or_default().trim_end_matches('"')
}

fn upstream(idp: &Origin) -> String {
    format!("[upstream.idp]\nservers = [\"{}\"]\n", idp.name())
}

#[test]
fn every_kind_of_signature_is_verified() {
    let keys = [Key::new("RSA", "rsa"), Key::new("EC", "ec"), Key::new("OKP", "ed")];
    let [rsa, ec, ed] = &keys;
    let idp = server(Arc::new(Mutex::new(Some(jwks(&[rsa, ec, ed])))));
    let app = Origin::echo();
    let chain = format!("{{ use = \"jwt\", {SETTINGS}, jwks = {{ upstream = \"idp\", path = \"/keys\", host = \"idp.test\" }} }}");
    let proxy = start(&app, &chain, &upstream(&idp));
    for (key, algorithm) in
        [(rsa, "RS256"), (rsa, "RS384"), (rsa, "RS512"), (rsa, "PS256"), (rsa, "PS384"), (rsa, "PS512"), (ec, "ES256"), (ed, "EdDSA")]
    {
        let token = key.sign(algorithm, &claims());
        let response = ask(&proxy, &token);
        let upstream = response.text().to_lowercase();
        assert_eq!(response.status, 200, "{algorithm}: {response:?}");
        assert!(upstream.contains("x-user: ann\r\n") && upstream.contains("x-roles: a,b\r\n") && !upstream.contains("root"), "{upstream}");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = key.sign(algorithm, &with("sub", json!("root")));
        let forged = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
        let cut = format!("{signed}.{}", &signature[4..]);
        for wrong in [forged, cut, format!("{signed}.")] {
            let response = ask(&proxy, &wrong);
            assert_eq!((response.status, told(&response)), (401, "its signature is wrong"), "{algorithm}");
        }
    }
    // As if it were the other's key.
    let confused = Key { kid: "ec".to_owned(), signer: Key::new("RSA", "").signer }.sign("RS256", &claims());
    assert_eq!(told(&ask(&proxy, &confused)), "it was signed with a key that is not known");
    assert!(idp.requests()[0].starts_with("GET /keys HTTP/1.1\r\n") && idp.requests()[0].to_lowercase().contains("host: idp.test"));
    assert!(idp.requests().len() <= 2, "both workers share what was fetched: {}", idp.requests().len());
    proxy.access_line(|line| line.contains("sub=ann"));
}

#[test]
fn what_a_token_says_is_looked_at() {
    let key = Key::new("OKP", "1");
    let app = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("jwks.json"), jwks(&[&key])).unwrap();
    let chain = format!(
        "{{ use = \"jwt\", {SETTINGS}, keys = {{ file = \"jwks.json\" }}, require = {{ scope = \"write\" }}, from = [\"header:authorization\", \"cookie:t\"] }}"
    );
    let proxy = Proxy::start_in(dir, &chained(&app, &chain, ""));
    for (claims, why) in [
        (with("exp", json!(now() - 60)), "it has expired"),
        (with("nbf", json!(now() + 60)), "its time has not come"),
        (with("iss", json!("https://evil.test/")), "it comes from somebody else"),
        (with("aud", json!("other")), "it is for somebody else"),
        (with("exp", Value::Null), "its times are none"),
    ] {
        let response = ask(&proxy, &key.sign("EdDSA", &claims));
        assert_eq!((response.status, told(&response)), (401, why), "{claims}");
    }
    let response = ask(&proxy, &key.sign("EdDSA", &with("scope", json!("read"))));
    assert_eq!(response.status, 403);
    assert!(response.header("www-authenticate").unwrap().contains("error=\"insufficient_scope\""));
    let response = get(proxy.http(), "a.test", "/x");
    assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer realm=\"api\"")));
    let none = format!("{}.{}.", encoded(json!({ "alg": "none" }).to_string()), encoded(claims().to_string()));
    assert_eq!(told(&ask(&proxy, &none)), "its signature is of a kind that is not taken here");
    let token = key.sign("EdDSA", &claims());
    assert_eq!(get_with(proxy.http(), "a.test", "/x", &format!("Cookie: a=b; t={token}\r\n")).status, 200);
    assert_eq!(app.requests().len(), 1);
}

#[test]
fn keys_that_are_rotated_are_found() {
    let (old, new) = (Key::new("EC", "old"), Key::new("EC", "new"));
    let document = Arc::new(Mutex::new(Some(jwks(&[&old]))));
    let (app, idp) = (Origin::echo(), server(Arc::clone(&document)));
    let proxy = start(&app, &format!("{{ use = \"jwt\", {SETTINGS}, jwks = {{ upstream = \"idp\" }} }}"), &upstream(&idp));
    assert_eq!(ask(&proxy, &old.sign("ES256", &claims())).status, 200);
    assert_eq!(told(&ask(&proxy, &new.sign("ES256", &claims()))), "it was signed with a key that is not known");
    *document.lock().unwrap() = Some(jwks(&[&old, &new]));
    let token = new.sign("ES256", &claims());
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut asked = 0;
    while ask(&proxy, &token).status != 200 {
        asked += 1;
        assert!(Instant::now() < deadline, "never: the new key");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(asked < 10 || idp.requests().len() < asked, "tokens with unknown keys do not make a request each");
    assert_eq!(ask(&proxy, &old.sign("ES256", &claims())).status, 200);
}

#[test]
fn a_server_of_keys_that_is_away_or_slow_leaves_the_last_ones_in_use() {
    let key = Key::new("EC", "1");
    let document = Arc::new(Mutex::new(Some(jwks(&[&key]))));
    let (app, idp) = (Origin::echo(), server(Arc::clone(&document)));
    let jwks = "jwks = { upstream = \"idp\", refresh = \"1s\", timeout = \"3s\" }";
    let proxy = start(&app, &format!("{{ use = \"jwt\", {SETTINGS}, {jwks} }}"), &upstream(&idp));
    assert_eq!(ask(&proxy, &key.sign("ES256", &claims())).status, 200);
    *document.lock().unwrap() = None;
    // Each token anew, so that its signature is looked at.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !proxy.log().contains("the last ones stay in use") {
        let response = ask(&proxy, &key.sign("ES256", &claims()));
        assert!(response.status == 200 && Instant::now() < deadline, "{response:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let away = format!("[upstream.idp]\nservers = [\"{}\"]\n", nobody());
    let proxy = start(&app, &format!("{{ use = \"jwt\", {SETTINGS}, {jwks} }}"), &away);
    let response = ask(&proxy, &key.sign("ES256", &claims()));
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")), "without any key nothing can be said");
    assert!(proxy.logged("no keys from upstream `idp`").contains("jwt"));
}

#[test]
fn mistakes_point_into_the_link() {
    let app = Origin::echo();
    let text = refused(&app, "{ use = \"jwt\", jwks = { upstream = \"ipd\" } }", "[upstream.idp]\nservers = [\"127.0.0.1:1\"]\n");
    assert!(text.contains("E012") && text.contains("did you mean `idp`?"), "{text}");
    let text = refused(&app, "{ use = \"jwt\", secret = { env = \"HOME\" }, algorithms = [\"none\"] }", "");
    assert!(text.contains("anybody can make a token without a signature") && text.contains("fewer than 32 bytes"), "{text}");
}
