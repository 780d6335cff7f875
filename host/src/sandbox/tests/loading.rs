//! From a file to a plugin: what is refused before it runs, what is said of it, what the memo shares.

use super::*;

fn refused(bytes: &[u8]) -> (&'static str, String) {
    let error = sandbox().load(bytes, None).err().expect("must be refused");
    (error.code(), error.to_string())
}

#[test]
fn what_is_no_component_is_said_to_be_what_it_is() {
    assert_eq!(refused(b"<html>").0, "E030");
    let module = wat::parse_str("(module)").unwrap();
    let (code, text) = refused(&module);
    assert!(code == "E030" && text.contains("core module"), "{text}");
    let whole = raw(&[]);
    assert_eq!(refused(&whole[..whole.len() / 2]).0, "E030");
}

#[test]
fn a_pin_must_match() {
    let bytes = raw(&[]);
    assert!(sandbox().load(&bytes, Some(&digest(&bytes))).is_ok());
    let error = sandbox().load(&bytes, Some(&[7; 32])).err().unwrap();
    assert!(error.code() == "E030" && error.to_string().contains("0707"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = sandbox().load_file(Path::new("/nowhere/x.wasm"), None).err().unwrap();
    assert!(error.code() == "E030" && error.to_string().contains("/nowhere/x.wasm"), "{error}");
}

#[test]
fn sockets_are_not_granted() {
    let (code, text) = refused(&guest("sockets"));
    assert!(code == "E031" && text.contains("wasi:sockets/") && text.contains("no plugin is granted"), "{text}");
}

#[test]
fn imports_that_are_not_granted_are_named() {
    let import = |text: &str| refused(&raw(&[("(;IMPORT;)", text)]));
    for (text, says) in [
        (
            r#"(import "portcullis:plugin/kv@0.1.1" (instance (export "touch" (func))))"#,
            "needs `touch` of `portcullis:plugin/kv@0.1.1`; this proxy offers 0.1.0, which does not have it",
        ),
        (
            r#"(import "portcullis:plugin/quota@0.1.0" (instance (export "get" (func))))"#,
            "needs `portcullis:plugin/quota@0.1.0`; this proxy offers no `quota`",
        ),
        (
            r#"(import "wasi:http/outgoing-handler@0.2.0" (instance))"#,
            "imports `wasi:http/outgoing-handler@0.2.0`, which no plugin is granted",
        ),
        (r#"(import "wasi:clocks/wall-clock@0.3.0" (instance))"#, "needs `wasi:clocks/wall-clock@0.3.0`; this proxy offers 0.2.0"),
        (
            r#"(import "wasi:random/random@0.2.6" (instance (export "roll-dice" (func))))"#,
            "imports `roll-dice` of `wasi:random/random@0.2.6`, which no plugin is granted",
        ),
        (r#"(import "hello" (func))"#, "imports `hello`, which no plugin is granted"),
        (r#"(import "my:own/thing" (instance))"#, "imports `my:own/thing`, which no plugin is granted"),
    ] {
        assert_eq!(import(text), ("E031", says.to_owned()));
    }
    let (code, text) = import(r#"(import "wasi:random/random@0.2.6" (instance (export "get-random-u64" (func (result u32)))))"#);
    assert!(code == "E031" && text.contains("another type"), "{text}");
}

#[test]
fn newer_types_are_asked_for_by_their_version() {
    let (code, text) = refused(&raw(&[("plugin/types@0.1.0", "plugin/types@0.2.0")]));
    assert_eq!((code, &*text), ("E031", "needs `portcullis:plugin/types@0.2.0`; this proxy offers 0.1.0"));
    assert!(sandbox().load(&raw(&[("plugin/types@0.1.0", "plugin/types@0.1.9")]), None).is_ok(), "same types, newer patch");
}

#[test]
fn exports_must_be_there_in_our_version_and_with_our_types() {
    for (mark, change, says) in [
        ("plugin/on-request@0.1.0", "plugin/on-request@0.2.0", "exports `portcullis:plugin/on-request@0.2.0`; this proxy offers 0.1.0"),
        ("plugin/lifecycle@0.1.0", "plugin/life@0.1.0", "does not export `portcullis:plugin/lifecycle@0.1.0`"),
    ] {
        assert_eq!(refused(&raw(&[(mark, change)])), ("E033", says.to_owned()));
    }
    let none = raw(&[("plugin/on-request@", "plugin/on-x@"), ("plugin/on-response@", "plugin/on-y@")]);
    assert_eq!(refused(&none), ("E033", "exports no phase, such as `on-request` or `on-accept`".to_owned()));
    let (code, text) = refused(&raw(&[(r#"(case "abort")"#, r#"(case "abort") (case "tarpit")"#)]));
    assert!(code == "E033" && text.contains("on-request@0.1.0#on-request") && text.contains("found 5 cases"), "{text}");
}

#[test]
fn a_description_must_be_one() {
    let (code, text) = refused(&raw(&[(r"{\22name\22", r"{\22nome\22")]));
    assert_eq!((code, &*text), ("E030", "cannot be described: no `name`"));
}

#[test]
fn memories_of_64_bit_are_refused() {
    assert_eq!(refused(&raw(&[("(;MEMORY;)", "i64")])).0, "E030");
}

#[test]
fn equal_files_are_one_plugin_while_it_is_used() {
    let bytes = raw(&[("raw", "war")]);
    let first = sandbox().load(&bytes, None).unwrap();
    assert!(Arc::ptr_eq(&first, &sandbox().load(&bytes, None).unwrap()));
    let other = sandbox().load(&raw(&[]), None).unwrap();
    assert!(!Arc::ptr_eq(&first, &other));
    let freed = Arc::downgrade(&first);
    drop(first);
    assert!(freed.upgrade().is_none());
    assert!(sandbox().load(&bytes, None).is_ok());
}

#[test]
fn several_files_load_at_once_in_the_order_given() {
    let (good, bad) = (raw(&[]), b"<html>".to_vec());
    let light = guest("light");
    let results = sandbox().load_all(&[(&good, None), (&bad, None), (&light, Some(digest(&light))), (&good, None)]);
    let names: Vec<_> = results.iter().map(|result| result.as_ref().map(|plugin| plugin.description().name.as_str()).ok()).collect();
    assert_eq!(names, [Some("raw"), None, Some("light"), Some("raw")]);
}

#[test]
fn inspection_shows_what_is_in_a_file() {
    let bytes = guest("behave");
    let seen = sandbox().inspect(&bytes).unwrap();
    assert_eq!((seen.size, seen.digest), (bytes.len(), digest(&bytes)));
    let stub = seen.imports.iter().find(|import| import.name.starts_with("wasi:cli/exit@")).unwrap();
    assert_eq!((&stub.items[..], &stub.standing), (&["exit".to_owned()][..], &Standing::Stub));
    assert!(seen.imports.iter().any(|import| import.standing == Standing::Types));
    assert!(seen.producers.iter().any(|producer| producer.name == "wit-component"), "{:?}", seen.producers);
    let plugin = seen.plugin.unwrap();
    assert_eq!((plugin.phases, &*plugin.description.version), ((true, true), "1.2.3"));
    let interest = plugin.plan.unwrap().heads.request.unwrap();
    assert_eq!(
        (interest.path, &interest.shown.headers[..], &interest.shown.attributes[..]),
        (true, &[http::header::USER_AGENT][..], &["client.ip".to_owned(), "tenant".to_owned()][..])
    );

    let seen = sandbox().inspect(&guest("sockets")).unwrap();
    assert!(seen.imports.iter().any(|import| matches!(import.standing, Standing::Refused(_))));
    assert_eq!(seen.plugin.unwrap_err().code(), "E031");
}
