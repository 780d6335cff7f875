//! Detached signatures, made by Debian's minisign.

use super::{check, command, key, refused, runs, sign, site, with_plugin};
use portcullis_tests::{Origin, Proxy};

#[test]
fn a_signed_plugin_is_run_and_its_comment_is_shown() {
    let (app, dir) = (Origin::echo(), with_plugin());
    let (ours, _) = (key(dir.path(), "ours"), key(dir.path(), "other"));
    sign(dir.path(), "ours", "light.wasm", &["-t", "light 1.0 for edge"]);
    let config = format!(
        "[trust]\nkeys = {{ release = \"{ours}\" }}\n{}",
        site(&app, "source = \"light.wasm\"\nsigned-by = [{ file = \"other.pub\" }, \"release\"]")
    );
    let (well, text) = check(dir.path(), &config);
    assert!(well && text.contains("nothing is wrong"), "{text}");
    let proxy = Proxy::start_in(dir, &config);
    runs(&proxy);
    proxy.logged("plugin `light`: signed by release: light 1.0 for edge");
}

#[test]
fn both_of_minisigns_formats_are_known_and_the_signature_may_lie_elsewhere() {
    let (app, dir) = (Origin::echo(), with_plugin());
    let ours = key(dir.path(), "ours");
    sign(dir.path(), "ours", "light.wasm", &["-l", "-x", "old.sig"]);
    let config = site(&app, &format!("source = \"light.wasm\"\nsigned-by = \"{ours}\"\nsignature = \"old.sig\""));
    let (well, text) = check(dir.path(), &config);
    assert!(well, "{text}");
}

#[test]
fn what_is_not_signed_or_altered_or_signed_by_others_is_refused() {
    let (app, dir) = (Origin::echo(), with_plugin());
    let (ours, _) = (key(dir.path(), "ours"), key(dir.path(), "other"));
    let config = site(&app, &format!("source = \"light.wasm\"\nsigned-by = \"{ours}\""));
    let refuses = |why: &str| {
        let (well, text) = check(dir.path(), &config);
        assert!(!well && text.contains("error[E035]: plugin `light`") && text.contains("portcullis.toml:7:"), "{text}");
        assert!(text.contains(why), "{why}:\n{text}");
    };
    refuses("has no signature: ");
    sign(dir.path(), "other", "light.wasm", &[]);
    refuses("is signed with another key than ");
    std::fs::write(dir.path().join("light.wasm.minisig"), "nonsense\n").unwrap();
    refuses("not in minisign's format");
    sign(dir.path(), "ours", "light.wasm", &["-t", "light 1.0"]);
    assert!(check(dir.path(), &config).0);
    let signature = std::fs::read_to_string(dir.path().join("light.wasm.minisig")).unwrap();
    std::fs::write(dir.path().join("light.wasm.minisig"), signature.replace("light 1.0", "light 2.0")).unwrap();
    refuses("the signature does not fit the file");
    std::fs::write(dir.path().join("light.wasm.minisig"), signature).unwrap();
    let mut wasm = std::fs::read(dir.path().join("light.wasm")).unwrap();
    *wasm.last_mut().unwrap() ^= 1;
    std::fs::write(dir.path().join("light.wasm"), wasm).unwrap();
    refuses("the signature does not fit the file");
    assert!(refused(dir.path(), &config).contains("E035"));
}

#[test]
fn unsigned_plugins_can_be_refused_altogether() {
    let (app, dir) = (Origin::echo(), with_plugin());
    let ours = key(dir.path(), "ours");
    let trust = format!("[trust]\nkeys = {{ release = \"{ours}\" }}\nunsigned = \"refuse\"\n");
    let config = trust + &site(&app, "source = \"light.wasm\"");
    let (well, text) = check(dir.path(), &config);
    assert!(!well && text.contains("error[E035]: plugin `light` has no signature"), "{text}");
    sign(dir.path(), "ours", "light.wasm", &[]);
    let (well, text) = check(dir.path(), &config);
    assert!(well, "{text}");
    // Those in the binary are the proxy's own.
    let (well, text) = check(dir.path(), &config.replace("chain = [\"light\"]", "chain = [\"light\", \"request-id\"]"));
    assert!(well, "{text}");
}

#[test]
fn a_pin_holds_for_signed_files_too() {
    let (app, dir) = (Origin::echo(), with_plugin());
    let pinned = format!("source = \"light.wasm\"\nsha256 = \"{}\"", "ab".repeat(32));
    let (well, text) = check(dir.path(), &site(&app, &pinned));
    assert!(!well && text.contains("error[E030]: plugin `light` is not the file that was pinned"), "{text}");
    let found = text.lines().find_map(|line| line.split_once("found:  sha256 = \"")).unwrap().1.trim_end_matches('"').to_owned();
    let (well, text) = check(dir.path(), &site(&app, &format!("source = \"light.wasm\"\nsha256 = \"{found}\"")));
    assert!(well, "{text}");
}

#[test]
fn inspect_shows_whose_signature_it_is() {
    let dir = with_plugin();
    let (ours, other) = (key(dir.path(), "ours"), key(dir.path(), "other"));
    let inspect = |more: &[&str]| command(dir.path(), &[&["plugin", "inspect", "light.wasm"], more].concat());
    let (well, text) = inspect(&[]);
    assert!(well && text.contains("signature    none"), "{text}");
    sign(dir.path(), "ours", "light.wasm", &["-t", "light 1.0"]);
    let (well, text) = inspect(&[]);
    assert!(well && text.contains("signature    not checked") && text.contains("it says: light 1.0"), "{text}");
    let (well, text) = inspect(&["--signed-by", &other, "--signed-by", "ours.pub"]);
    assert!(well && text.contains("signature    by ours.pub: light 1.0"), "{text}");
    let (well, text) = inspect(&["--signed-by", &ours]);
    assert!(well && text.contains(&format!("signature    by {ours}: light 1.0")), "{text}");
    let (well, text) = inspect(&["--signed-by", "other.pub"]);
    assert!(!well && text.contains("signature    REFUSED: it is signed with another key than other.pub"), "{text}");
}
