//! The local CA in a state directory of its own, also with many openers at once.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::thread;

fn exact(name: &str) -> SiteName {
    SiteName::Exact(name.into())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn everything_is_owner_only() {
    let state = tempfile::tempdir().expect("a directory");
    let ca = LocalCa::open(state.path()).expect("made");
    ca.leaf(&exact("localhost"), OffsetDateTime::now_utc()).expect("a leaf");
    assert_eq!(mode(&state.path().join("ca")), 0o700);
    for file in ["ca/root.key.pem", "ca/root.pem", "leaves/localhost.pem"] {
        assert_eq!(mode(&state.path().join(file)), 0o600, "{file}");
    }
    let copy = fs::read_to_string(ca.root_file()).expect("readable");
    assert!(copy.starts_with("-----BEGIN CERTIFICATE-----") && !copy.contains("PRIVATE"));
}

#[test]
fn leaves_cover_their_sites() {
    let state = tempfile::tempdir().expect("a directory");
    let ca = LocalCa::open(state.path()).expect("made");
    let now = OffsetDateTime::now_utc();
    let sites = [exact("a.test"), SiteName::Wildcard("w.test".into()), exact("127.0.0.1"), exact("[::1]"), SiteName::Any];
    for site in sites {
        let leaf = ca.leaf(&site, now).expect("a leaf");
        assert!(leaf.coverage.covers(&Subject::of(&site)), "{site}");
    }
}

#[test]
fn a_leaf_is_kept_until_a_third_of_its_life_is_left() {
    let state = tempfile::tempdir().expect("a directory");
    let site = exact("localhost");
    let now = OffsetDateTime::now_utc();
    let first = LocalCa::open(state.path()).expect("made").leaf(&site, now).expect("a leaf");

    let ca = LocalCa::open(state.path()).expect("opened again");
    let kept = ca.leaf(&site, now + Duration::days(4)).expect("a leaf");
    assert_eq!(kept.key.cert, first.key.cert);
    let renewed = ca.leaf(&site, now + Duration::days(5)).expect("a leaf");
    assert_ne!(renewed.key.cert, first.key.cert);
}

#[test]
fn a_leaf_of_another_root_or_a_torn_one_is_replaced() {
    let state = tempfile::tempdir().expect("a directory");
    let (site, now) = (exact("localhost"), OffsetDateTime::now_utc());
    let old = LocalCa::open(state.path()).expect("made").leaf(&site, now).expect("a leaf");

    fs::remove_file(state.path().join("ca/root.key.pem")).expect("removed");
    let ca = LocalCa::open(state.path()).expect("a new root");
    assert_ne!(ca.leaf(&site, now).expect("a leaf").key.cert, old.key.cert);

    fs::write(state.path().join("leaves/localhost.pem"), "torn").expect("written");
    assert!(ca.leaf(&site, now).is_ok());
}

#[test]
fn many_at_once_agree_on_one_root() {
    let state = tempfile::tempdir().expect("a directory");
    let open = || {
        let ca = LocalCa::open(state.path()).expect("opened");
        ca.leaf(&exact("localhost"), OffsetDateTime::now_utc()).expect("a leaf");
        ca.root
    };
    let roots: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]));
    let left: Vec<_> = fs::read_dir(state.path().join("ca")).expect("readable").map(|entry| entry.expect("there").file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_broken_root_is_not_replaced_behind_the_operator_s_back() {
    let state = tempfile::tempdir().expect("a directory");
    LocalCa::open(state.path()).expect("made");
    fs::write(state.path().join("ca/root.key.pem"), "broken").expect("written");
    let error = LocalCa::open(state.path()).err().expect("refused").to_string();
    assert!(error.contains("root.key.pem") && error.contains("remove the file"), "{error}");
}
