//! `cache-control`: the first rule that holds decides.

use super::{chained, refused, said, start};
use portcullis_tests::{Origin, get};

#[test]
fn responses_are_told_how_long_they_may_be_kept() {
    let app = Origin::echo();
    let rules = "rules = [{ path = \"/bytes/*\", set = \"public, max-age=60\" }, { status = [500, 503], set = \"no-store\" }]";
    let proxy = start(&app, &format!("{{ use = \"cache-control\", {rules} }}"), "");
    for (path, expected) in
        [("/bytes/3", Some("public, max-age=60")), ("/status/503", Some("no-store")), ("/x", None), ("/status/404", None)]
    {
        assert_eq!(get(proxy.http(), "a.test", path).header("cache-control"), expected, "{path}");
    }
}

#[test]
fn mistakes_and_doubts_point_into_the_rule() {
    let app = Origin::echo();
    let text = refused(&app, "{ use = \"cache-control\", rules = [{ path = \"assets/*\", set = \"max-age=long\" }] }", "");
    assert!(text.contains("a path is /prefix/*") && text.contains("max-age wants seconds") && text.contains("portcullis.toml:"), "{text}");
    let (text, content) = said(&chained(&app, "{ use = \"cache-control\", rules = [{ set = \"publik\" }] }", ""), &["check"]);
    assert!(content && text.contains("`publik` is no directive that caches know"), "{text}");
}
