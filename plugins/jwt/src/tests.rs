//! Tokens are those of the RFCs, or signed here with secrets; signatures of fresh keys are tested end to end, where a library makes them.

use super::*;
use algorithm::Hash;
use base64ct::{Base64UrlUnpadded, Encoding};
use core::time::Duration;
use hmac::{Hmac, Mac};
use portcullis_sdk::test::{Harness, Installed, Outcome, Outside, SentRequest, get};
use portcullis_sdk::{Reply, http, kv};
use std::cell::Cell;

const SECRET: &str = "a secret of thirty-two bytes or so";
const NOW: u64 = 1_700_000_000;

/// RFC 8037, appendix A: a key and what it signed.
const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const SIGNED_ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
/// RFC 7515, appendix A.3 and A.2.
const P256: &str =
    r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const SIGNED_P256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const RSA: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const SIGNED_RSA: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

fn encoded(text: &str) -> String {
    Base64UrlUnpadded::encode_string(text.as_bytes())
}

fn signed(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length").chain_update(&signed).finalize();
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&mac.into_bytes()))
}

fn token(claims: &str) -> String {
    signed(r#"{"alg":"HS256","typ":"JWT"}"#, claims)
}

fn clock() -> Installed {
    Outside::new().clock(Duration::from_secs(NOW)).install()
}

fn jwt(more: &str) -> Harness<Jwt> {
    Harness::new(&format!(r#"{{"secret": "{SECRET}"{more}}}"#))
}

fn bearer(token: &str) -> SentRequest {
    get("/").header("authorization", format!("Bearer {token}"))
}

/// Status, and what the challenge says beyond the realm.
fn refusal(outcome: &Outcome<SentRequest>) -> Option<(u16, String)> {
    let reply = outcome.reply()?;
    let challenge = reply.header_str("www-authenticate").unwrap_or_default();
    let error = challenge.split("error_description=\"").nth(1).unwrap_or_default();
    Some((reply.status(), error.trim_end_matches('"').to_owned()))
}

fn invalid(why: &str) -> Option<(u16, String)> {
    Some((401, why.to_owned()))
}

/// The signature of an RFC's example; `None`: the key has nothing to do with it.
fn verifies(key: &str, token: &str) -> Option<bool> {
    let token = Token::parse(token).expect("a token");
    Keyset::parse(format!(r#"{{"keys": [{key}]}}"#).as_bytes()).expect("a set").verifies(
        Algorithm::named(&token.algorithm).expect("known"),
        None,
        &token,
    )
}

#[test]
fn signatures_of_the_rfcs_are_right_and_changed_ones_wrong() {
    for (key, token) in [(ED25519, SIGNED_ED25519), (P256, SIGNED_P256), (RSA, SIGNED_RSA)] {
        assert_eq!(verifies(key, token), Some(true), "{key}");
        let other = |at: usize| {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(changed).expect("text")
        };
        let payload = token.find('.').expect("a dot") + 1;
        let signature = token.rfind('.').expect("a dot") + 1;
        for at in [payload, signature, signature + 30] {
            assert_eq!(verifies(key, &other(at)), Some(false), "{key} {at}");
        }
        let cut = [&token[..signature], &token[signature + 4..]].concat();
        assert_eq!(verifies(key, &cut), Some(false), "{key}");
        for (kind, _) in [(ED25519, 0), (P256, 0), (RSA, 0)].into_iter().filter(|(kind, _)| *kind != key) {
            assert_eq!(verifies(kind, token), None, "a key of another kind");
        }
    }
    assert_eq!(verifies(&RSA.replace("\"e\"", "\"use\":\"enc\",\"e\""), SIGNED_RSA), None);
    assert_eq!(verifies(&RSA.replace("\"e\"", "\"alg\":\"PS256\",\"e\""), SIGNED_RSA), None, "a key that is for something else");
    assert_eq!(verifies(&RSA.replace("\"e\"", "\"key_ops\":[\"encrypt\"],\"e\""), SIGNED_RSA), None);
}

#[test]
fn weak_keys_are_none() {
    let weak = rsa::RsaKey::new(&[0xff; 128], &[1, 0, 1]);
    assert!(weak.is_none() && rsa::RsaKey::new(&[0xff; 256], &[1]).is_none() && rsa::RsaKey::new(&[0xff; 256], &[2]).is_none());
    let key = rsa::RsaKey::new(&[0xff; 256], &[1, 0, 1]).expect("long enough");
    for signature in [&[][..], &[0; 256], &[0xff; 256], &[1; 255]] {
        assert!(!key.verifies_pkcs1(Hash::Sha256, b"", signature) && !key.verifies_pss(Hash::Sha512, b"", signature));
    }
}

#[test]
fn a_token_lets_in_and_its_claims_go_to_the_upstream() {
    let _clock = clock();
    let jwt = jwt(
        r#", "issuer": "idp", "audience": ["a", "b"], "claims": {"X-User": "sub", "x-roles": "realm.roles", "x-admin": "admin", "x-none": "none"}"#,
    );
    let claims = format!(r#"{{"iss":"idp","aud":["x","b"],"sub":"ann","realm":{{"roles":["r1","r2"]}},"admin":true,"exp":{}}}"#, NOW + 10);
    for _ in 0..2 {
        let after = jwt.on_request(bearer(&token(&claims)).header("x-user", "root").header("x-none", "forged"));
        assert_eq!(refusal(&after), None);
        let told = ["x-user", "x-roles", "x-admin", "x-none"].map(|name| after.header(name));
        assert_eq!(told, [Some("ann"), Some("r1,r2"), Some("true"), None]);
        assert_eq!(after.attribute("log.sub"), Some("ann"));
        assert!(after.header("authorization").is_some());
    }
}

#[test]
fn what_is_wrong_with_a_token_is_told() {
    let outside = clock();
    let jwt = jwt(r#", "issuer": "idp", "audience": "a", "leeway": "5s", "require": {"scope": ["read", "write"], "plan": "gold"}"#);
    let good = |exp: u64| format!(r#"{{"iss":"idp","aud":"a","exp":{exp},"scope":"openid write","plan":["gold"]}}"#);
    let ask = |claims: &str| refusal(&jwt.on_request(bearer(&token(claims))));
    assert_eq!(ask(&good(NOW + 10)), None);
    for (claims, why) in [
        (good(NOW - 5), "it has expired"),
        (good(NOW + 9).replace("\"exp\"", "\"iat\""), "it never expires"),
        (good(NOW + 9).replace("\"aud\":\"a\"", "\"aud\":[]"), "it is for somebody else"),
        (good(NOW + 9).replace("idp", "idp2"), "it comes from somebody else"),
        (good(NOW + 9).replace("\"iss\":\"idp\",", ""), "it comes from somebody else"),
        (good(NOW + 9).replace("\"aud\"", &format!("\"nbf\":{},\"aud\"", NOW + 6)), "its time has not come"),
        (good(NOW + 9).replace("\"exp\":", "\"exp\":\"").replace(",\"scope", "\",\"scope"), "its times are none"),
        ("[]".to_owned(), "it says nothing that could be read"),
    ] {
        assert_eq!(ask(&claims), invalid(why), "{claims}");
    }
    assert_eq!(ask(&good(NOW - 4)), None, "within the leeway");
    for short in [good(NOW + 9).replace("write", "writes"), good(NOW + 9).replace("gold", "silver"), good(NOW + 9).replace("plan", "plans")]
    {
        assert_eq!(ask(&short).map(|(status, _)| status), Some(403), "{short}");
    }
    outside.advance(Duration::from_secs(15));
    assert_eq!(ask(&good(NOW + 10)), invalid("it has expired"), "though its signature is known");
}

#[test]
fn tokens_that_are_none_or_want_too_much() {
    let _clock = clock();
    let jwt = jwt("");
    let claims = format!(r#"{{"exp":{}}}"#, NOW + 10);
    let ask = |token: &str| refusal(&jwt.on_request(bearer(token)));
    for none in ["x", "a.b", "a.b.c", "a.b.c.d", "..", "é", &token(&claims).replace('.', "..")] {
        assert_eq!(ask(none), invalid("it is no token"), "{none}");
    }
    for header in
        [r#"{"alg":"none"}"#, r#"{"alg":"None"}"#, r#"{"alg":"hs256"}"#, r#"{"alg":"RS256"}"#, r#"{"alg":"HS512"}"#, r#"{"alg":""}"#]
    {
        assert_eq!(ask(&signed(header, &claims)), invalid("its signature is of a kind that is not taken here"), "{header}");
    }
    let unsigned = format!("{}.{}.", encoded(r#"{"alg":"HS256"}"#), encoded(&claims));
    assert_eq!(ask(&unsigned), invalid("its signature is wrong"));
    assert_eq!(ask(&signed(r#"{"alg":"HS256","crit":["x"],"x":1}"#, &claims)), invalid("it wants something understood that is not"));
    assert_eq!(ask(&signed(r#"{"alg":"HS256","b64":false}"#, &claims)), invalid("it wants something understood that is not"));
    let reply = jwt.on_request(get("/"));
    assert_eq!(reply.reply().and_then(|reply| reply.header_str("www-authenticate")), Some("Bearer realm=\"api\""));
    assert_eq!(ask(&"a".repeat(20_000)), invalid(""), "too long to be one");
}

/// The classic: a public key, which everybody has, taken for the secret of HS256.
#[test]
fn a_public_key_is_no_secret() {
    let _clock = clock();
    let keys = format!(r#"{{\"keys\": [{}]}}"#, RSA.replace('"', "\\\""));
    let jwt = Harness::<Jwt>::new(&format!(r#"{{"keys": "{keys}"}}"#));
    let claims = format!(r#"{{"exp":{}}}"#, NOW + 10);
    assert_eq!(refusal(&jwt.on_request(bearer(&token(&claims)))), invalid("its signature is of a kind that is not taken here"));
    assert_eq!(refusal(&jwt.on_request(bearer(SIGNED_RSA))), invalid("it has expired"), "the signature is right");
    assert_eq!(refusal(&jwt.on_request(bearer(SIGNED_P256))), invalid("it was signed with a key that is not known"));
    let problems = Harness::<Jwt>::refused(&format!(r#"{{"keys": "{keys}", "algorithms": ["HS256", "none", "RS1"]}}"#));
    let places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
    assert_eq!(places, ["/algorithms/0", "/algorithms/1", "/algorithms/2"]);
}

#[test]
fn a_token_is_taken_from_where_it_may_be() {
    let _clock = clock();
    let jwt = jwt(r#", "from": ["cookie:session", "query:access_token", "header:X-Token"], "forward": false, "optional": true"#);
    let token = token(&format!(r#"{{"sub":"ann","exp":{}}}"#, NOW + 10));
    let after = jwt.on_request(get("/?a=1&access_token=x").header("cookie", format!("a=b; session={token}; sessions=2")));
    assert_eq!(
        (after.attribute("log.sub"), after.header("cookie"), after.query()),
        (Some("ann"), Some("a=b; sessions=2"), Some("a=1&access_token=x"))
    );
    let after = jwt.on_request(get(&format!("/?a=1&access%5Ftoken={token}&b=2")));
    assert_eq!((after.attribute("log.sub"), after.query()), (Some("ann"), Some("a=1&b=2")));
    let after = jwt.on_request(get(&format!("/?access_token={token}")));
    assert_eq!((after.attribute("log.sub"), after.query()), (Some("ann"), None));
    let after = jwt.on_request(get("/").header("x-token", &token));
    assert_eq!((after.attribute("log.sub"), after.header("x-token")), (Some("ann"), None));
    let after = jwt.on_request(get("/").header("authorization", format!("Bearer {token}")));
    assert_eq!((refusal(&after), after.attribute("log.sub")), (None, None), "not there, and it need not be");
    assert!(refusal(&jwt.on_request(get("/").header("x-token", "wrong"))).is_some());
}

/// A server of keys, which counts; what it says is set from outside.
fn server(says: &'static Cell<u8>) -> Outside {
    Outside::new().clock(Duration::from_secs(NOW)).store("(local)").log().upstream("idp", move |request: &http::Request| {
        assert_eq!(request.path(), "/.well-known/jwks.json");
        let key = |key: &str, kid: &str| key.replace("\"kty\"", &format!("\"kid\":\"{kid}\",\"kty\""));
        match says.get() {
            0 => Err(http::Error::Timeout),
            1 => Ok(Reply::new(200).body(format!(r#"{{"keys": [{}, {{"kty":"oct","k":"AAAA"}}, 7]}}"#, key(RSA, "1")))),
            2 => Ok(Reply::new(200).body(format!(r#"{{"keys": [{}, {}]}}"#, key(RSA, "1"), key(P256, "2")))),
            3 => Ok(Reply::new(200).body("[]")),
            _ => Ok(Reply::new(503)),
        }
    })
}

#[test]
fn keys_come_from_the_upstream_and_are_asked_for_anew_when_they_must() {
    let says: &'static Cell<u8> = Box::leak(Box::new(Cell::new(1)));
    let outside = server(says).install();
    let make = || Harness::<Jwt>::new(r#"{"jwks": {"upstream": "idp", "keep": "1h"}}"#);
    let ask = |jwt: &Harness<Jwt>, token: &str| refusal(&jwt.on_request(bearer(token)));
    let (one, other) = (make(), make());
    // That of the RFC has expired long ago: its signature was right, then.
    let right = invalid("it has expired");
    let unknown = invalid("it was signed with a key that is not known");
    assert_eq!((ask(&one, SIGNED_RSA), ask(&one, SIGNED_RSA), ask(&other, SIGNED_RSA)), (right.clone(), right.clone(), right.clone()));
    assert_eq!(outside.asked().len(), 1, "guests share what one has fetched");
    assert_eq!(ask(&one, SIGNED_P256), unknown);
    assert_eq!(outside.asked().len(), 1, "not again so soon");
    says.set(2);
    outside.advance(remote::PAUSE);
    assert_eq!((ask(&one, SIGNED_P256), ask(&other, SIGNED_P256)), (right.clone(), right.clone()), "keys were rotated");
    assert_eq!(outside.asked().len(), 2);
    for broken in [0, 3, 4] {
        says.set(broken);
        outside.advance(Duration::from_secs(601));
        assert_eq!((ask(&one, SIGNED_RSA), ask(&one, SIGNED_P256)), (right.clone(), right.clone()), "the last ones stay in use");
    }
    let lines: Vec<String> = outside.logged().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("no answer in time; the last ones stay") && lines[2].contains("status 503"), "{lines:?}");
    outside.advance(Duration::from_secs(3_600));
    assert_eq!(ask(&one, SIGNED_RSA).map(|(status, _)| status), Some(503), "but not for ever");
    let fresh = make();
    kv::Store::named("(local)").delete("jwks|idp||/.well-known/jwks.json").expect("works");
    assert_eq!(ask(&fresh, SIGNED_RSA).map(|(status, _)| status), Some(503));
}

#[test]
fn mistakes_are_told_at_their_places() {
    let places = |settings: &str| Harness::<Jwt>::refused(settings).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
    assert_eq!(places("{}"), [""]);
    assert_eq!(
        places(r#"{"secret": "short", "leeway": "long", "from": "body", "claims": {"Host": "sub"}}"#),
        ["/secret", "/from", "/claims/Host", "/leeway"]
    );
    assert_eq!(places(r#"{"keys": "-----BEGIN"}"#), ["/keys"]);
    assert_eq!(places(r#"{"keys": "{\"keys\": []}", "realm": "\""}"#), ["/keys", "/realm"]);
    assert_eq!(places(r#"{"jwks": {"upstream": "idp", "path": "x", "refresh": "0s"}}"#), ["/jwks/refresh", "/jwks/path"]);
}
