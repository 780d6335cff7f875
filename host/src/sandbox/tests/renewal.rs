//! Guests that serve one exchange after the other: no exchange finds anything of another, and what cannot be set back is not tried.

use super::direct::shell;
use super::one_block::ASK;
use super::*;

/// What its guests decide about requests with queries of 0, 1, 2 … bytes, and how many guests that took.
fn asked(sandbox: &Sandbox, changes: &[(&str, &str)], calls: usize) -> (Vec<Result<Decision, Fault>>, u64) {
    let plugin = sandbox.load(&shell(true, changes), None).unwrap();
    assert!(plugin.direct.is_some());
    let grant = Grant {
        limits: patient(),
        isolation: Some(Isolation::Request),
        remember: Remember { wanted: false, secret: false },
        ..Grant::default()
    };
    let configured = plugin.configure_under(&serde_json::json!({}), grant, "test").unwrap_or_else(|error| panic!("{error:?}"));
    let guests = configured.for_worker();
    let ask = |length: usize| guests.on_request(&exchange(), &request(Some(&"q".repeat(length))), &mut None);
    let decided = (0..calls).map(ask).collect();
    (decided, configured.counts().guests)
}

/// Only the request: a guest is done after it.
const REQUESTS: &str = "(i32.store8 (i32.const 1056) (i32.const 0))";

fn alike(changes: &[(&str, &str)]) -> u64 {
    const CALLS: usize = 40;
    let (decided, made) = asked(sandbox(), changes, CALLS);
    for (call, decided) in decided.iter().enumerate() {
        assert!(decided.as_ref().is_ok_and(is_next), "call {call} of {changes:?}: {decided:?}");
    }
    assert!(made == 1 || made == CALLS as u64, "{made} guests");
    made
}

#[test]
fn memory_and_numbers_are_as_settings_left_them() {
    let configure =
        format!("{ASK} {REQUESTS} (i32.store (i32.const 61000) (i32.const 5)) (global.set $a (i32.const 6)) (global.set $b (f64.const 7))");
    // Each call writes to a page that none before it wrote to, and traps where one did.
    let request = "(local $n i32)
        (if (i32.ne (i32.load (i32.const 61000)) (i32.const 5)) (then unreachable))
        (if (i32.ne (global.get $a) (i32.const 6)) (then unreachable))
        (if (f64.ne (global.get $b) (f64.const 7)) (then unreachable))
        (loop $next
          (if (i32.load (i32.add (i32.const 70000) (i32.mul (local.get $n) (i32.const 4096)))) (then unreachable))
          (br_if $next (i32.le_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get $query-length))))
        (i32.store (i32.add (i32.const 70000) (i32.mul (local.get $query-length) (i32.const 4096))) (i32.const 1))
        (i32.store (i32.const 61000) (i32.const 0)) (i32.store (i32.const 62000) (i32.const 1))
        (global.set $a (i32.const 1)) (global.set $b (f64.const nan))";
    let globals = "(global $a (mut i32) (i32.const 1)) (global $b (mut f64) (f64.const 1)) (global $fixed i64 (i64.const 9))";
    assert_eq!(alike(&[("(;CONFIGURE;)", &configure), ("(;REQUEST;)", request), ("(;DATA;)", globals)]), 1);
}

#[test]
fn who_grew_is_not_used_again() {
    let request = "(if (i32.ne (memory.size) (i32.const 4)) (then unreachable)) (drop (memory.grow (i32.const 1)))";
    assert_eq!(alike(&[("(;CONFIGURE;)", REQUESTS), ("(;REQUEST;)", request)]), 40);
    let settings = format!("{REQUESTS} (drop (memory.grow (i32.const 1)))");
    assert_eq!(alike(&[("(;CONFIGURE;)", &settings)]), 1, "what settings need is there again");
}

/// Each is what the host could not put back.
#[test]
fn who_has_more_than_memory_and_numbers_is_made_anew() {
    assert_eq!(alike(&[("(;CONFIGURE;)", REQUESTS)]), 1);
    for (request, more) in [
        (
            "(if (ref.is_null (table.get $table (i32.const 0))) (then) (else unreachable)) (table.set $table (i32.const 0) (ref.func $one))",
            "(func $one) (elem declare func $one)",
        ),
        ("(if (i32.ne (table.size $table) (i32.const 1)) (then unreachable)) (drop (table.grow $table (ref.null func) (i32.const 1)))", ""),
        ("(table.fill $table (i32.const 0) (ref.null func) (i32.const 1))", ""),
        ("(table.copy $table $table (i32.const 0) (i32.const 0) (i32.const 1))", ""),
        ("(table.init $table $some (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop $some)", "(func $one) (elem $some func $one)"),
        ("(memory.init $some (i32.const 90000) (i32.const 0) (i32.const 1)) (data.drop $some)", r#"(data $some "x")"#),
        (
            "(if (ref.is_null (global.get $held)) (then) (else unreachable)) (global.set $held (ref.func $one))",
            "(global $held (mut funcref) (ref.null func)) (func $one) (elem declare func $one)",
        ),
    ] {
        assert_eq!(alike(&[("(;CONFIGURE;)", REQUESTS), ("(;REQUEST;)", request), ("(;DATA;)", more)]), 40, "{request}");
    }
}

#[test]
fn names_are_given_by_us_alone() {
    for pretended in [r#"(export "portcullis:renewal" (memory 0))"#, r#"(export "portcullis:renewal/7" (global $top))"#] {
        let bytes = shell(true, &[("(;DATA;)", pretended)]);
        assert!(sandbox().load(&bytes, None).unwrap().direct.is_none(), "{pretended}");
    }
}

/// They take places that exchanges may need.
#[test]
fn only_some_guests_may_rest() {
    let small = Sandbox::new(&SandboxOptions { cache: None, guests: 8 }).unwrap();
    let plugin = small.load(&shell(true, &[]), None).unwrap();
    let grant = Grant { isolation: Some(Isolation::Request), remember: Remember { wanted: false, secret: false }, ..Grant::default() };
    let configured = plugin.configure_under(&serde_json::json!({}), grant, "test").unwrap_or_else(|error| panic!("{error:?}"));
    let guests = configured.for_worker();
    for _ in 0..2 {
        let mut held: [Option<_>; 5] = Default::default();
        held.iter_mut().for_each(|held| assert!(guests.on_request(&exchange(), &request(None), held).is_ok()));
        assert_eq!(small.population().guests, Some(5));
        held.iter_mut().for_each(|held| assert!(guests.on_response(&exchange(), &request(None), &response(), held).is_ok()));
        assert_eq!(small.population().guests, Some(2));
    }
    assert_eq!(configured.counts().guests, 8, "five, and three more");
    drop((guests, configured));
    assert_eq!(small.population().guests, Some(0));
}

/// The names stand before the code, and its places are told as if they did not.
#[test]
fn places_are_those_of_the_author_s_file() {
    let place = |changes: &[(&str, &str)]| {
        let bytes = shell(true, changes);
        let start = super::super::direct::module(&bytes).unwrap().as_ptr().addr() - bytes.as_ptr().addr();
        let place = |bytes: &[u8]| {
            let guests = configure_with(bytes, serde_json::json!({}), patient(), Isolation::Request).unwrap().for_worker();
            let fault = on_request(&guests).unwrap_err();
            assert_eq!(fault.cause, Cause::Trap, "{}", fault.detail);
            let place = fault.report.split("(+0x").nth(1).unwrap_or_else(|| panic!("{}", fault.report));
            usize::from_str_radix(place.split(')').next().unwrap(), 16).unwrap()
        };
        let through = shell(false, changes);
        let begin = through.windows(8).position(|window| window == b"\0asm\x01\0\0\0").unwrap();
        (place(&bytes) + start, place(&through) + start - begin)
    };
    let many: String = (0..20).map(|index| format!("(global (mut i64) (i64.const {index}))")).collect();
    for globals in ["", &many] {
        let (alone, through) = place(&[("(;REQUEST;)", "unreachable"), ("(;DATA;)", globals)]);
        assert_eq!(alone, through, "{globals}");
    }
}
