//! Every way to break the contract that we know of, each with the cause it must be given, and the next exchange served.

use super::*;

/// The fault of `behave` doing this on a request that asks for it; then the same guests must serve one that does not.
fn misbehaves(what: &str) -> Fault {
    misbehaves_within(what, patient())
}

fn misbehaves_within(what: &str, limits: GuestLimits) -> Fault {
    let settings = serde_json::json!({ "do": format!("if-asked:{what}") });
    let guests = configure_with(&guest("behave"), settings, limits, Isolation::Worker).unwrap().for_worker();
    assert!(is_next(&guests.on_request(&exchange(), &request(None), &mut None).unwrap()));
    let fault = on_request(&guests).unwrap_err();
    let after = guests.on_request(&exchange(), &request(None), &mut None);
    assert!(is_next(&after.unwrap()), "a fresh guest serves the next exchange");
    fault
}

#[track_caller]
fn assert_cause(fault: &Fault, cause: Cause, detail: &str) {
    assert_eq!(fault.cause, cause, "{}", fault.detail);
    assert!(fault.detail.contains(detail), "{detail:?} is not in {:?}", fault.detail);
}

#[test]
fn endless_loop_in_on_request() {
    let begun = std::time::Instant::now();
    assert_cause(&misbehaves("loop-request"), Cause::Timeout, "1s of CPU");
    assert!(begun.elapsed().as_secs() < 20);
}

#[test]
fn endless_loop_in_on_response() {
    let guests = behave("loop-response", Isolation::Worker);
    assert_cause(&on_response(&guests).unwrap_err(), Cause::Timeout, "CPU");
    assert!(on_request(&guests).is_ok());
}

#[test]
fn endless_loop_in_configure_and_describe() {
    let settings = serde_json::json!({ "do": "loop-configure" });
    let error = configure_with(&guest("behave"), settings, patient(), Isolation::Worker).err().unwrap();
    assert!(matches!(&error, ConfigureError::Fault(fault) if fault.cause == Cause::Timeout), "{error:?}");
    for place in ["(;DESCRIBE;)", "(;REALLOC;)"] {
        let bytes = raw(&[(place, "(loop $again (br $again))")]);
        let loaded = sandbox().load(&bytes, None);
        match place {
            "(;DESCRIBE;)" => assert!(matches!(loaded.err().unwrap(), LoadError::Describe(why) if why.contains("Timeout"))),
            _ => {
                let error = configure_with(&bytes, serde_json::json!({}), patient(), Isolation::Worker).err().unwrap();
                assert!(matches!(&error, ConfigureError::Fault(fault) if fault.cause == Cause::Timeout), "{error:?}");
            }
        }
    }
}

#[test]
fn deep_recursion() {
    assert_cause(&misbehaves("recurse"), Cause::Trap, "");
    // Without the guest's own stack check: the host's.
    let guests = lie(&[("(;REQUEST;)", "(call $deep)"), ("(;DATA;)", "(func $deep (call $deep) (call $deep))")]);
    assert_cause(&on_request(&guests).unwrap_err(), Cause::Trap, "call stack exhausted");
    assert!(is_next(&on_response(&guests).unwrap()));
}

#[test]
fn memory_bomb() {
    // Touching 16 MiB for the first time takes longer than 5 ms on a slow machine.
    let limits = GuestLimits { cpu: std::time::Duration::from_secs(5), ..GuestLimits::default() };
    let bomb = configure_with(&guest("behave"), serde_json::json!({ "do": "if-asked:bomb" }), limits, Isolation::Worker);
    let guests = bomb.unwrap().for_worker();
    assert_cause(&on_request(&guests).unwrap_err(), Cause::Memory, "memory");
    assert!(is_next(&guests.on_request(&exchange(), &request(None), &mut None).unwrap()));
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)";
    assert_cause(&on_request(&lie(&[("(;REQUEST;)", grow)])).unwrap_err(), Cause::Memory, "memory");
}

#[test]
fn refused_memory_that_a_guest_copes_with_is_no_fault() {
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";
    let guests = lie(&[("(;REQUEST;)", grow), ("(;RESPONSE;)", "(unreachable)")]);
    assert!(is_next(&on_request(&guests).unwrap()));
    assert_cause(&on_response(&guests).unwrap_err(), Cause::Trap, "unreachable");
}

#[test]
fn more_memory_than_its_limit_to_begin_with() {
    let limits = GuestLimits { memory: 128 << 10, ..patient() };
    let error = configure_with(&raw(&[]), serde_json::json!({}), limits, Isolation::Worker).err().unwrap();
    assert!(matches!(&error, ConfigureError::Fault(fault) if fault.cause == Cause::Memory), "{error:?}");
}

#[test]
fn table_growth() {
    let grow = "(loop $again (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 100)) (i32.const -1)))) (unreachable)";
    assert_cause(&on_request(&lie(&[("(;REQUEST;)", grow)])).unwrap_err(), Cause::Memory, "table entries");
}

#[test]
fn trap_in_each_phase() {
    assert!(matches!(sandbox().load(&raw(&[("(;DESCRIBE;)", "unreachable")]), None).err().unwrap(), LoadError::Describe(_)));
    let settings = serde_json::json!({ "do": "trap-configure" });
    let error = configure_with(&guest("behave"), settings, patient(), Isolation::Worker).err().unwrap();
    assert!(matches!(&error, ConfigureError::Fault(fault) if fault.cause == Cause::Trap), "{error:?}");
    assert_cause(&misbehaves("trap-request"), Cause::Trap, "unreachable");
    let guests = behave("trap-response", Isolation::Worker);
    assert_cause(&on_response(&guests).unwrap_err(), Cause::Trap, "unreachable");
    assert!(on_request(&guests).is_ok());
}

/// Handles stand in the host's memory, not in the guest's.
#[test]
fn hoarding_handles() {
    let import = r#"
        (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $stream (type $outer))
            (export "output-stream" (type $stream' (eq $outer)))
            (export "get-stdout" (func (result (own $stream'))))))
        (alias export $stdout "get-stdout" (func $get-stdout))
        (core func $get-stdout' (canon lower (func $get-stdout)))
        (core instance $host (export "get-stdout" (func $get-stdout')))"#;
    let guests = lie(&[
        ("(;IMPORT;)", import),
        ("(;CORE-IMPORT;)", r#"(import "host" "get-stdout" (func $get-stdout (result i32)))"#),
        ("(;WITH;)", r#"(with "host" (instance $host))"#),
        ("(;REQUEST;)", "(loop $again (drop (call $get-stdout)) (br $again))"),
    ]);
    assert_cause(&on_request(&guests).unwrap_err(), Cause::Trap, "too many handles");
    assert!(is_next(&on_response(&guests).unwrap()));
}

#[test]
fn exit_and_sleep_end_the_guest() {
    assert_cause(&misbehaves("exit"), Cause::Trap, "exited");
    assert_cause(&misbehaves("sleep"), Cause::Trap, "wait");
}

#[test]
fn huge_output() {
    assert_cause(&misbehaves("big-reply"), Cause::BadOutput, "1048577");
    assert_cause(&misbehaves("many-edits"), Cause::BadOutput, "257");
    assert_cause(&misbehaves("big-edits"), Cause::BadOutput, "1 MiB");
}

#[test]
fn invalid_http() {
    assert_cause(&misbehaves("bad-name"), Cause::BadOutput, "x y");
    assert_cause(&misbehaves("bad-status"), Cause::BadOutput, "101");
    assert_cause(&misbehaves("bad-method"), Cause::BadOutput, "G T");
    assert_cause(&misbehaves("bad-path"), Cause::BadOutput, "/a b");
    assert_cause(&misbehaves("bad-query"), Cause::BadOutput, "a#b");
    assert_cause(&misbehaves("bad-authority"), Cause::BadOutput, "user@evil");
}

#[test]
fn header_injection() {
    assert_cause(&misbehaves("injection"), Cause::BadOutput, "1\\r\\nset-cookie");
}

#[test]
fn forbidden_header() {
    assert_cause(&misbehaves("forbidden"), Cause::BadOutput, "transfer-encoding");
    assert_cause(&misbehaves("forbidden-reply"), Cause::BadOutput, "content-length");
}

#[test]
fn an_attribute_of_the_proxy() {
    assert_cause(&misbehaves("reserved-attribute"), Cause::BadOutput, "client.ip");
}

#[test]
fn a_request_s_decision_in_the_response_phase() {
    assert_cause(&on_response(&behave("forward-response", Isolation::Worker)).unwrap_err(), Cause::BadOutput, "forward");
    assert_cause(&on_response(&behave("path-response", Isolation::Worker)).unwrap_err(), Cause::BadOutput, "request");
}

#[test]
fn an_interest_in_no_header_name() {
    let settings = serde_json::json!({ "do": "bad-interest" });
    let error = configure_with(&guest("behave"), settings, patient(), Isolation::Worker).err().unwrap();
    assert!(matches!(&error, ConfigureError::Fault(fault) if fault.cause == Cause::BadOutput), "{error:?}");
}

#[test]
fn forward_to_an_unknown_upstream_ends_the_guest() {
    let guests = behave("forward-unknown", Isolation::Worker);
    assert!(matches!(on_request(&guests).unwrap().verdict, Verdict::Forward(name) if name == "nowhere"));
    assert_cause(&guests.impossible("forwards to nowhere"), Cause::BadOutput, "nowhere");
    assert!(on_request(&guests).is_ok());
    assert_eq!(guests.configured_for_test().counts().guests, 2);
}

#[test]
fn lies_about_lengths_and_pointers() {
    let data = |at: u32, words: &[u32]| {
        let bytes: String = words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {at}) \"{bytes}\")")
    };
    let edits = |words: &[u32]| data(2048 + 24, words);
    let one_edit = |words: &[u32]| format!("{} {}", edits(&[4096, 1]), data(4096, words));
    let lies = [
        ("misaligned return", "(return (i32.const 2049))".to_owned(), String::new()),
        ("return out of bounds", "(return (i32.const -16))".to_owned(), String::new()),
        ("return past the end", "(return (i32.const 262128))".to_owned(), String::new()),
        ("edits beyond count", String::new(), edits(&[4096, u32::MAX])),
        ("edits misaligned", String::new(), edits(&[4097, 1])),
        ("edits out of bounds", String::new(), edits(&[0xffff_fff0, 1])),
        ("empty list out of bounds", String::new(), edits(&[0xffff_fff0, 0])),
        ("name out of bounds", String::new(), one_edit(&[0, 0xffff_0000, 8, 768, 1])),
        ("name beyond the end", String::new(), one_edit(&[0, 768, 0x7fff_ffff, 768, 1])),
        ("value beyond the end", String::new(), one_edit(&[0, 780, 1, 262_140, 8])),
        ("empty name", String::new(), one_edit(&[0, 768, 0, 768, 1])),
        ("verdict 9", String::new(), data(2048, &[9])),
        ("edit 42", String::new(), one_edit(&[42, 768, 1, 768, 1])),
        ("option 7", String::new(), one_edit(&[6, 7, 768, 1])),
        ("forward to what is not UTF-8", String::new(), format!("{} (data (i32.const 4096) \"\\ff\\fe\")", data(2048, &[1, 4096, 2]))),
        ("body beyond the end", String::new(), data(2048, &[2, 200, 4, 0, 262_140, 8])),
        ("headers of a reply beyond the end", String::new(), data(2048, &[2, 200, 262_140, 1, 4, 0])),
        ("a body with 204", String::new(), data(2048, &[2, 204, 4, 0, 768, 4])),
    ];
    for (lie_name, code, data) in lies {
        let guests = lie(&[("(;REQUEST;)", &code), ("(;DATA;)", &data)]);
        let fault = on_request(&guests).expect_err(lie_name);
        assert_eq!(fault.cause, Cause::BadOutput, "{lie_name}: {}", fault.detail);
        if data.is_empty() {
            assert!(is_next(&on_response(&guests).unwrap()), "{lie_name}");
        }
    }
}

#[test]
fn an_allocator_that_lies() {
    for pointer in ["-8", "262140", "7"] {
        let code = format!("(if (i32.lt_u (local.get $size) (i32.const 64)) (then (return (i32.const {pointer}))))");
        let error =
            configure_with(&raw(&[("(;REALLOC;)", &code)]), serde_json::json!({"long": "x".repeat(100)}), patient(), Isolation::Worker);
        // Where no alignment is wanted, 7 is an honest answer to `configure`.
        let Ok(configured) = error else { continue };
        let guests = configured.for_worker();
        assert!(on_request(&guests).is_ok(), "nothing is asked for, so nothing is allocated");
    }
    let error = configure_with(&raw(&[("(;REALLOC;)", "(return (i32.const -8))")]), serde_json::json!({}), patient(), Isolation::Worker);
    let error = error.err().unwrap();
    assert!(matches!(&error, ConfigureError::Fault(fault) if fault.cause == Cause::BadOutput), "{error:?}");
}

#[test]
fn strings_that_are_not_utf_8() {
    let guests = lie(&[("(;ENCODING;)", "string-encoding=utf16")]);
    assert_cause(&on_request(&guests).unwrap_err(), Cause::BadOutput, "UTF-8");
}

#[test]
fn a_plan_that_lies() {
    // Word 0 is the result: 2 is neither ok nor err.
    let error =
        configure_with(&raw(&[("(;DATA;)", "(data (i32.const 1024) \"\\02\")")]), serde_json::json!({}), patient(), Isolation::Worker);
    assert!(matches!(error.err().unwrap(), ConfigureError::Fault(fault) if fault.cause == Cause::BadOutput));
}

#[test]
fn a_million_lines_are_stopped_and_the_log_stays_small() {
    let log = Lines::default();
    let fault = tracing::subscriber::with_default(log.subscriber(), || misbehaves_within("print-much", GuestLimits::default()));
    assert_cause(&fault, Cause::Timeout, "CPU");
    let lines = log.text().lines().filter(|line| line.contains("line ")).count();
    assert!((1..=100).contains(&lines), "{lines}");
}

#[test]
fn a_panic_s_text_goes_to_the_log_only() {
    let log = Lines::default();
    let fault = tracing::subscriber::with_default(log.subscriber(), || misbehaves("trap-request"));
    assert!(!fault.detail.contains("hunter2"), "{}", fault.detail);
    assert!(log.text().contains("hunter2"), "{}", log.text());
}

/// A log kept in memory.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + use<> {
        let to = self.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
