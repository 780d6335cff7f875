//! All that a call is passed in one block, for guests that say so: the same as with an allocation for each, and no less safe.

use super::super::passing::Passing;
use super::*;

/// Gives back all that it was shown, each string in an edit.
pub(super) const ECHO: &str = r#"
    (local $at i32) (local $i i32)
    (local.set $at (i32.const 8192))
    (i32.store8 (local.get $at) (i32.const 3))
    (i32.store offset=4 (local.get $at) (local.get $method)) (i32.store offset=8 (local.get $at) (local.get $method-length))
    (local.set $at (i32.add (local.get $at) (i32.const 20)))
    (i32.store8 (local.get $at) (i32.const 4))
    (i32.store offset=4 (local.get $at) (local.get $authority)) (i32.store offset=8 (local.get $at) (local.get $authority-length))
    (local.set $at (i32.add (local.get $at) (i32.const 20)))
    (i32.store8 (local.get $at) (i32.const 5))
    (i32.store offset=4 (local.get $at) (local.get $path)) (i32.store offset=8 (local.get $at) (local.get $path-length))
    (local.set $at (i32.add (local.get $at) (i32.const 20)))
    (i32.store8 (local.get $at) (i32.const 6))
    (i32.store offset=4 (local.get $at) (local.get $has-query))
    (i32.store offset=8 (local.get $at) (local.get $query)) (i32.store offset=12 (local.get $at) (local.get $query-length))
    (local.set $at (i32.add (local.get $at) (i32.const 20)))
    (i32.store8 (local.get $at) (i32.const 1))
    (i32.store offset=4 (local.get $at) (i32.const 3120)) (i32.store offset=8 (local.get $at) (i32.const 4))
    (i32.store offset=12 (local.get $at) (local.get $scheme)) (i32.store offset=16 (local.get $at) (local.get $scheme-length))
    (local.set $at (i32.add (local.get $at) (i32.const 20)))
    (block $headers-done (loop $next
      (br_if $headers-done (i32.ge_u (local.get $i) (local.get $headers-length)))
      (i32.store8 (local.get $at) (i32.const 1))
      (i64.store offset=4 align=4 (local.get $at) (i64.load align=4 (local.get $headers)))
      (i64.store offset=12 align=4 (local.get $at) (i64.load offset=8 align=4 (local.get $headers)))
      (local.set $at (i32.add (local.get $at) (i32.const 20)))
      (local.set $headers (i32.add (local.get $headers) (i32.const 16)))
      (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)))
    (local.set $i (i32.const 0))
    (block $attributes-done (loop $next
      (br_if $attributes-done (i32.ge_u (local.get $i) (local.get $attributes-length)))
      (i32.store8 (local.get $at) (i32.const 1))
      (i64.store offset=4 align=4 (local.get $at) (i64.load align=4 (local.get $attributes)))
      (i64.store offset=12 align=4 (local.get $at) (i64.load offset=8 align=4 (local.get $attributes)))
      (local.set $at (i32.add (local.get $at) (i32.const 20)))
      (local.set $attributes (i32.add (local.get $attributes) (i32.const 16)))
      (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)))
    (i32.store (i32.const 2072) (i32.const 8192))
    (i32.store (i32.const 2076) (i32.div_u (i32.sub (local.get $at) (i32.const 8192)) (i32.const 20)))
    (return (i32.const 2048))"#;

/// Asks for everything, and for the attributes `client.ip` and `site`.
pub(super) const ASK: &str = "(i32.store8 (i32.const 1032) (i32.const 31)) (i32.store8 (i32.const 1044) (i32.const 1))
    (i32.store (i32.const 1048) (i32.const 3000)) (i32.store (i32.const 1052) (i32.const 2))";
pub(super) const NAMES: &str = r#"(data (i32.const 3000) "\1c\0c\00\00\09\00\00\00\30\0c\00\00\04\00\00\00")
    (data (i32.const 3100) "client.ip") (data (i32.const 3120) "site")"#;
const SAYS_SO: &str = r#"(@custom "portcullis:one-block" "1")"#;

#[test]
fn one_block_shows_what_many_allocations_show() {
    let head = request(Some("q=1"));
    let seen = |bytes: &[u8]| {
        let settings = serde_json::json!({ "long": "x".repeat(100) });
        let guests = configure_with(bytes, settings, patient(), Isolation::Worker).unwrap().for_worker();
        guests.on_request(&exchange(), &head, &mut None).map(|decision| format!("{:?}", decision.edits))
    };
    let echo = [("(;CONFIGURE;)", ASK), ("(;REQUEST;)", ECHO)];
    let many = seen(&raw(&[&echo[..], &[("(;DATA;)", NAMES)]].concat())).unwrap();
    // No allocation but the one can be as large.
    let fails = ("(;REALLOC;)", "(if (i32.lt_u (local.get $size) (i32.const 100)) (then unreachable))");
    let data = format!("{NAMES} {SAYS_SO}");
    let one = seen(&raw(&[&echo[..], &[("(;DATA;)", &data), fails]].concat())).unwrap();
    assert_eq!(one, many);
    for part in ["SetMethod(GET)", "SetPath(", "q=1", "https", "client.ip"] {
        assert!(one.contains(part), "{part}: {one}");
    }
    assert!(seen(&raw(&[&echo[..], &[("(;DATA;)", NAMES), fails]].concat())).is_err(), "who does not say so gets many");
}

/// A block that ends beyond memory is a fault like any other pointer out of bounds.
#[test]
fn one_block_is_held_to_the_bounds_of_memory() {
    let data = format!("{NAMES} {SAYS_SO}");
    for at in ["262140", "-8"] {
        let realloc = format!("(if (i32.lt_u (local.get $size) (i32.const 1000)) (then (return (i32.const {at}))))");
        let bytes = raw(&[("(;CONFIGURE;)", ASK), ("(;REQUEST;)", ECHO), ("(;DATA;)", &data), ("(;REALLOC;)", &realloc)]);
        let settings = serde_json::json!({ "long": "x".repeat(1000) });
        let guests = configure_with(&bytes, settings, patient(), Isolation::Worker).unwrap().for_worker();
        assert!(guests.on_request(&exchange(), &request(None), &mut None).is_err(), "{at}");
    }
}

#[test]
fn only_the_module_with_the_memory_can_ask_for_one_block() {
    let says = |changes: &[(&str, &str)]| Passing::of(&raw(changes)).one_block();
    assert!(says(&[("(;DATA;)", SAYS_SO)]));
    assert!(Passing::of(bundled::bundled("headers").unwrap()).one_block(), "the SDK's plugins do");
    assert!(!says(&[]));
    assert!(!says(&[("(;IMPORT;)", SAYS_SO)]), "the component around it");
    assert!(!says(&[("(;IMPORT;)", &format!("(core module {SAYS_SO})"))]), "another module");
    assert!(!says(&[("(;DATA;)", SAYS_SO), ("(;IMPORT;)", "(core module (memory 1))")]), "another memory");
}

const HAS_A_PLACE: &str = r#"(@custom "portcullis:one-block" "1024")"#;

/// Asked once, then no more: neither in the next call nor by the next guest.
#[test]
fn a_block_with_a_place_of_its_own_is_asked_for_once() {
    let data = format!("{NAMES} {HAS_A_PLACE}");
    // Settings are no block of a call. Their guest has asked, and would trap if it were asked again.
    let once = "(if (i32.lt_u (local.get $size) (i32.const 2000)) (then
        (if (i32.load (i32.const 4000)) (then unreachable)) (i32.store (i32.const 4000) (i32.const 1)) (return (i32.const 60000))))";
    let bytes = raw(&[("(;CONFIGURE;)", ASK), ("(;REQUEST;)", ECHO), ("(;DATA;)", &data), ("(;REALLOC;)", once)]);
    let plain = raw(&[("(;CONFIGURE;)", ASK), ("(;REQUEST;)", ECHO), ("(;DATA;)", NAMES)]);
    for isolation in [Isolation::Worker, Isolation::Request] {
        let of = |bytes: &[u8]| {
            let settings = serde_json::json!({ "long": "x".repeat(2000) });
            configure_with(bytes, settings, patient(), isolation).unwrap().for_worker()
        };
        let (placed, many) = (of(&bytes), of(&plain));
        for query in ["q=1", "a=b&longer=yes", ""] {
            let head = request(Some(query));
            let seen = |guests: &Guests| guests.on_request(&exchange(), &head, &mut None).map(|decision| format!("{:?}", decision.edits));
            assert_eq!(seen(&placed).unwrap(), seen(&many).unwrap(), "{query}");
        }
    }
}

/// The place that a guest gave is no more believed than any pointer.
#[test]
fn a_place_is_held_to_the_bounds_of_memory() {
    let data = format!("{NAMES} {HAS_A_PLACE}");
    // The first block ends where memory ends; the second is longer.
    let realloc = "(if (i32.lt_u (local.get $size) (i32.const 2000)) (then (return (i32.and (i32.sub (i32.const 262144) (local.get $size)) (i32.const -4)))))";
    let bytes = raw(&[("(;CONFIGURE;)", ASK), ("(;REQUEST;)", ECHO), ("(;DATA;)", &data), ("(;REALLOC;)", realloc)]);
    let settings = serde_json::json!({ "long": "x".repeat(2000) });
    let guests = configure_with(&bytes, settings, patient(), Isolation::Worker).unwrap().for_worker();
    assert!(guests.on_request(&exchange(), &request(None), &mut None).is_ok());
    let fault = guests.on_request(&exchange(), &request(Some(&"q".repeat(300))), &mut None).unwrap_err();
    assert_eq!(fault.cause, Cause::BadOutput, "{fault:?}");
}
