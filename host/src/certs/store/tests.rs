//! Which certificate is chosen, and what is said when there is none.

use super::ordered::age_problem;
use super::*;
use crate::certs::Severity;
use crate::config::CertifiedFiles;
use std::fs;

fn at() -> Location {
    Location { file: "edge.toml".into(), line: 1, column: 1 }
}

fn site(name: SiteName, tls: TlsSpec) -> Site {
    Site { name, aliases: Vec::new(), tls, client: None, routes: Vec::new(), at: at() }
}

fn exact(name: &str) -> SiteName {
    SiteName::Exact(name.into())
}

/// Writes a self-signed certificate for `names` as `<dir>/<file>.pem`.
fn files(dir: &Path, file: &str, names: &[&str]) -> TlsSpec {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("made");
    let (cert, key) = (dir.join(format!("{file}.pem")), dir.join(format!("{file}.key")));
    fs::write(&cert, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    TlsSpec::Files(CertifiedFiles { cert, key, ocsp: None, at: at(), key_at: at() })
}

/// The names on the certificate that `choose` picks.
fn chosen(store: &Store, sni: Option<&str>, local: &str) -> Option<String> {
    let local = local.parse().expect("an address");
    assert_eq!(store.answer(sni, Some(local)) == Answer::Certificate, store.choose(sni, Some(local)).is_some());
    let key = store.choose(sni, Some(local))?;
    Some(Coverage::read(&key.cert[0]).expect("a certificate").listed())
}

#[test]
fn exact_then_wildcard_then_any() {
    let dir = tempfile::tempdir().expect("a directory");
    let sites = [
        site(SiteName::Any, files(dir.path(), "any", &["any.test"])),
        site(SiteName::Wildcard("example.com".into()), files(dir.path(), "wild", &["*.example.com", "*.deep.example.com", "other.org"])),
        site(exact("a.example.com"), files(dir.path(), "a", &["a.example.com"])),
        site(exact("plain.example.com"), TlsSpec::Off),
    ];
    let (store, warnings) = Store::open(&sites, dir.path()).expect("good");
    assert_eq!(warnings, []);
    let wild = "*.example.com, *.deep.example.com, other.org";
    let table = [
        ("a.example.com", "a.example.com"),
        ("b.example.com", wild),
        ("x.deep.example.com", wild),
        ("x.y.example.com", "any.test"),
        ("example.com", "any.test"),
        ("other.org", "any.test"),
    ];
    for (sni, want) in table {
        assert_eq!(chosen(&store, Some(sni), "10.0.0.1").as_deref(), Some(want), "{sni}");
    }
    assert_eq!(chosen(&store, None, "10.0.0.1").as_deref(), Some("any.test"));
}

#[test]
fn without_a_default_unknown_names_get_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = Store::open(&[site(exact("a.test"), files(dir.path(), "a", &["a.test"]))], dir.path()).expect("good");
    assert_eq!(chosen(&store, Some("b.test"), "10.0.0.1"), None);
    assert_eq!(chosen(&store, None, "10.0.0.1"), None);
}

#[test]
fn without_sni_the_local_address_decides() {
    let dir = tempfile::tempdir().expect("a directory");
    let sites =
        [site(exact("localhost"), TlsSpec::Local), site(exact("10.0.0.1"), TlsSpec::Local), site(exact("[fd00::1]"), TlsSpec::Local)];
    let (store, _) = Store::open(&sites, dir.path()).expect("good");
    assert_eq!(chosen(&store, None, "10.0.0.1").as_deref(), Some("10.0.0.1"));
    assert_eq!(chosen(&store, None, "fd00::1").as_deref(), Some("fd00::1"));
    assert_eq!(chosen(&store, None, "192.168.0.9").as_deref(), Some("10.0.0.1"));
    let (store, _) = Store::open(&sites[..1], dir.path()).expect("good");
    assert_eq!(chosen(&store, None, "127.0.0.1").as_deref(), Some("localhost, 127.0.0.1, ::1"));
}

#[test]
fn the_errors_of_all_sites_come_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("ca"), "a file where a directory is wanted").expect("written");
    let missing = CertifiedFiles { cert: dir.path().join("no.pem"), key: dir.path().join("no.key"), ocsp: None, at: at(), key_at: at() };
    let sites = [
        site(exact("a.test"), files(dir.path(), "b", &["b.test"])),
        site(exact("c.test"), TlsSpec::Local),
        site(exact("d.test"), TlsSpec::Local),
        site(exact("e.test"), TlsSpec::Files(missing)),
    ];
    let problems = Store::open(&sites, dir.path()).err().expect("refused");
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["E021", "E027", "E025", "E025"]);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Error));
}

#[test]
fn each_name_of_a_site_asks_its_clients() {
    let dir = tempfile::tempdir().expect("a directory");
    let TlsSpec::Files(ca) = files(dir.path(), "partners", &["partners"]) else { unreachable!() };
    let client = ClientCertSpec { ca: ca.cert, ca_at: at(), crl: None, require: true, forward: None };
    for tls in [TlsSpec::Local, files(dir.path(), "both", &["a.test", "b.test"])] {
        let asking = Site { aliases: vec![exact("b.test")], client: Some(client.clone()), ..site(exact("a.test"), tls.clone()) };
        let open = site(exact("open.test"), TlsSpec::Local);
        let (store, _) = Store::open(&[open, asking], dir.path()).unwrap_or_else(|problems| panic!("{problems:?}"));
        for name in ["a.test", "b.test"] {
            let number = store.guard(Some(name), None).unwrap_or_else(|| panic!("{name} of {tls:?}"));
            let shown = store.guarded_certificate(number).expect("there");
            assert!(Coverage::read(&shown.cert[0]).expect("a certificate").listed().contains(name), "{name} of {tls:?}");
        }
        assert_eq!(store.guard(Some("open.test"), None), None);
    }
}

#[test]
fn a_local_leaf_is_renewed_while_running() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = Store::open(&[site(exact("localhost"), TlsSpec::Local)], dir.path()).expect("good");
    let certified = |now| store.sites[0].1.certified(now).expect("there");
    let now = OffsetDateTime::now_utc();
    let first = certified(now).cert.clone();
    assert_eq!(certified(now + Duration::days(4)).cert, first);
    let renewed = certified(now + Duration::days(5)).cert.clone();
    assert_ne!(renewed, first);
    assert_eq!(certified(now + Duration::days(9)).cert, renewed);

    fs::remove_dir_all(dir.path()).expect("removed");
    assert_eq!(certified(now + Duration::days(11)).cert, renewed, "an old leaf is better than none");
}

#[test]
fn an_ordered_certificate_that_was_not_renewed_is_told() {
    let spec = AcmeSpec { challenge: Default::default(), issuer: Default::default(), at: at() };
    let now = OffsetDateTime::now_utc();
    let left = |days: i64| {
        let not_after = now + Duration::days(days);
        let kept = Coverage { dns: Vec::new(), ips: Vec::new(), not_before: not_after - Duration::days(90), not_after };
        age_problem(&spec, &exact("a.example.com"), &kept, now).map(|problem| (problem.code, problem.severity))
    };
    assert_eq!(left(16), None);
    assert_eq!(left(14), Some(("E022", Severity::Warning)));
    assert_eq!(left(-1), Some(("E022", Severity::Warning)));
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(check_acme(&spec, &exact("a.example.com"), Some(dir.path())), []);
    assert!(!dir.path().join("acme").exists(), "a look makes nothing");
}
