//! Guests that are called without the component around their module: the same decisions and the same faults as with it.

use super::one_block::{ASK, ECHO, NAMES};
use super::*;

/// `raw.wat` with its functions named as `wit-component` names them, saying that it is a plain shell or not.
pub(super) fn shell(says: bool, changes: &[(&str, &str)]) -> Vec<u8> {
    let mut text = std::fs::read_to_string(repository().join("tests/guests/raw.wat")).unwrap();
    for (short, long) in [
        ("configure", "lifecycle@0.1.0#configure"),
        ("on-request", "on-request@0.1.0#on-request"),
        ("on-response", "on-response@0.1.0#on-response"),
    ] {
        text = text.replace(&format!("(func (export \"{short}\")"), &format!("(func (export \"portcullis:plugin/{long}\")"));
        text = text.replace(&format!("(core func $guest \"{short}\")"), &format!("(core func $guest \"portcullis:plugin/{long}\")"));
    }
    for (mark, code) in changes {
        assert!(text.contains(mark), "no {mark} in raw.wat");
        text = text.replace(mark, &format!("{code} {mark}"));
    }
    if says {
        text = text.replace("(;DATA;)", "(@custom \"portcullis:direct\" \"1\")");
    }
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn is_direct(bytes: &[u8]) -> bool {
    sandbox().load(bytes, None).unwrap().direct.is_some()
}

/// What a guest of `bytes` decides, twice, and after that about a response.
fn decided(bytes: &[u8], settings: &serde_json::Value, isolation: Isolation) -> String {
    let plugin = sandbox().load(bytes, None).unwrap();
    let remember = Remember { wanted: false, secret: false };
    let grant = Grant { isolation: Some(isolation), remember, ..Grant::default() };
    let guests = match plugin.configure_under(settings, grant, "test") {
        Ok(configured) => configured.for_worker(),
        Err(error) => return format!("{error:?}"),
    };
    let told = |decided: Result<Decision, Fault>| match decided {
        Ok(decision) => format!("{:?} {:?}", decision.verdict, decision.edits),
        Err(fault) => format!("{:?}", fault.cause),
    };
    let mut held = None;
    let first = told(guests.on_request(&exchange(), &request(Some("q=1")), &mut held));
    let answered = told(guests.on_response(&exchange(), &request(Some("q=1")), &response(), &mut held));
    format!("{first} | {answered} | {}", told(on_request(&guests)))
}

fn same(changes: &[(&str, &str)]) -> String {
    let (direct, through) = (shell(true, changes), shell(false, changes));
    assert!(is_direct(&direct) && !is_direct(&through));
    let nothing = serde_json::json!({});
    for isolation in [Isolation::Worker, Isolation::Request] {
        assert_eq!(decided(&direct, &nothing, isolation), decided(&through, &nothing, isolation), "{changes:?}");
    }
    decided(&direct, &nothing, Isolation::Worker)
}

#[test]
fn what_a_guest_is_shown_is_the_same() {
    let seen = same(&[("(;CONFIGURE;)", ASK), ("(;REQUEST;)", ECHO), ("(;DATA;)", NAMES)]);
    for part in ["SetMethod(GET)", "SetPath(", "q=1", "https", "client.ip"] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    let one_block = format!(r#"{NAMES} (@custom "portcullis:one-block" "1024")"#);
    assert_eq!(same(&[("(;CONFIGURE;)", ASK), ("(;REQUEST;)", ECHO), ("(;DATA;)", &one_block)]), seen);
}

#[test]
fn faults_are_the_same() {
    let grow = "(loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0)))) unreachable";
    for (code, cause) in [
        ("", "Next"),
        ("unreachable", "Trap"),
        ("(loop $again (br $again))", "Timeout"),
        (grow, "Memory"),
        ("(return (i32.const 2049))", "BadOutput"),
        ("(return (i32.const -4))", "BadOutput"),
        ("(i32.store8 (i32.const 2048) (i32.const 9))", "BadOutput"),
        ("(i32.store (i32.const 2072) (i32.const 262140)) (i32.store (i32.const 2076) (i32.const 2))", "BadOutput"),
    ] {
        assert!(same(&[("(;REQUEST;)", code)]).starts_with(cause), "{code}");
        let answered = same(&[("(;RESPONSE;)", code)]);
        assert!(answered.split(" | ").nth(1).is_some_and(|answered| answered.starts_with(cause)), "{code}: {answered}");
    }
}

#[test]
fn an_allocator_that_lies_is_a_fault_of_the_guest() {
    for at in ["262143", "-1", "16385"] {
        let realloc = format!("(if (i32.gt_u (local.get $size) (i32.const 2)) (then (return (i32.const {at}))))");
        let seen = same(&[("(;CONFIGURE;)", ASK), ("(;REQUEST;)", ECHO), ("(;DATA;)", NAMES), ("(;REALLOC;)", &realloc)]);
        assert!(seen.starts_with("BadOutput"), "{at}: {seen}");
    }
}

#[test]
fn who_is_more_than_a_shell_is_called_through_it() {
    assert!(is_direct(&shell(true, &[])));
    let post = r#"(func (export "cabi_post_portcullis:plugin/on-request@0.1.0#on-request") (param i32))"#;
    assert!(!is_direct(&shell(true, &[("(;DATA;)", post)])), "something to free");
    assert!(!is_direct(&shell(true, &[("(;DATA;)", r#"(func (export "_initialize"))"#)])), "something to begin with");
    assert!(!is_direct(&shell(true, &[("(;IMPORT;)", "(core module)")])), "another module");
    let beside = shell(false, &[("(;IMPORT;)", r#"(@custom "portcullis:direct" "1")"#)]);
    assert!(!is_direct(&beside), "said of the component");
    assert!(!is_direct(&raw(&[("(;DATA;)", r#"(@custom "portcullis:direct" "1")"#)])), "other names");
}

/// Functions under the right names with other types are not called.
#[test]
fn types_are_compared() {
    let text = String::from_utf8(std::fs::read(repository().join("tests/guests/raw.wat")).unwrap()).unwrap();
    assert!(text.contains("(param $old i32)"));
    for name in [
        "portcullis:plugin/on-request@0.1.0#on-request",
        "portcullis:plugin/on-response@0.1.0#on-response",
        "portcullis:plugin/lifecycle@0.1.0#configure",
    ] {
        let wrong = format!(r#"(func (export "{name}") (param i32)) (@custom "portcullis:direct" "1")"#);
        assert!(!is_direct(&raw(&[("(;DATA;)", &wrong)])), "{name}");
    }
}

#[test]
fn bundled_plugins_decide_alike() {
    let settings = |name: &str| match name {
        "headers" => {
            serde_json::json!({ "request": { "set": { "x-a": "{client.ip} {request.path}" } }, "response": { "add": { "x-b": "1" }, "remove": ["server"] } })
        }
        "rewrite" => serde_json::json!({ "strip": "/a" }),
        "redirect" => serde_json::json!({ "to": "/new" }),
        "respond" => serde_json::json!({ "status": 404 }),
        _ => serde_json::json!({}),
    };
    for name in ["headers", "rewrite", "redirect", "respond"] {
        let bytes = bundled::bundled(name).unwrap();
        assert!(is_direct(bytes), "{name}");
        let mut through = bytes.to_vec();
        let at = through.windows(17).position(|window| window == b"portcullis:direct").unwrap();
        through[at..at + 17].copy_from_slice(b"portcullis:nothin");
        assert!(!is_direct(&through), "{name}");
        for isolation in [Isolation::Worker, Isolation::Request] {
            assert_eq!(decided(bytes, &settings(name), isolation), decided(&through, &settings(name), isolation), "{name}");
        }
    }
}
