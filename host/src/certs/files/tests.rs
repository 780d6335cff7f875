//! PEM files on disk, good and bad, through `check_files`.

use super::*;
use crate::certs::Severity;
use crate::config::Location;
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use tempfile::TempDir;

struct Pair {
    dir: TempDir,
    key: KeyPair,
}

impl Pair {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory"), key: KeyPair::generate().expect("a key") }
    }

    /// Writes a certificate for `name` that ends in `days`, and its key.
    fn write(&self, name: &str, days: i64) -> CertifiedFiles {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days);
        let cert = params.self_signed(&self.key).expect("signed").pem();
        self.files(&cert, &self.key.serialize_pem())
    }

    fn files(&self, cert: &str, key: &str) -> CertifiedFiles {
        let (cert_file, key_file) = (self.dir.path().join("cert.pem"), self.dir.path().join("key.pem"));
        fs::write(&cert_file, cert).expect("written");
        fs::write(&key_file, key).expect("written");
        let at = |column| Location { file: "edge.toml".into(), line: 3, column };
        CertifiedFiles { cert: cert_file, key: key_file, ocsp: None, at: at(9), key_at: at(29) }
    }
}

fn codes(files: &CertifiedFiles, site: &str) -> Vec<(&'static str, Severity)> {
    let problems = check_files(files, &[SiteName::Exact(site.into())]);
    assert!(problems.iter().all(|problem| problem.at.line == 3), "{problems:?}");
    problems.into_iter().map(|problem| (problem.code, problem.severity)).collect()
}

#[test]
fn a_good_pair_has_no_problems() {
    assert_eq!(codes(&Pair::new().write("a.example.com", 90), "a.example.com"), []);
}

#[test]
fn key_of_another_certificate() {
    let pair = Pair::new();
    let files = pair.write("a.example.com", 90);
    fs::write(&files.key, KeyPair::generate().expect("a key").serialize_pem()).expect("written");
    assert_eq!(codes(&files, "a.example.com"), [(CertProblem::KEY_DIFFERS, Severity::Error)]);
}

#[test]
fn another_name_and_over_are_both_told() {
    let found = codes(&Pair::new().write("b.example.com", -1), "a.example.com");
    assert_eq!(found, [(CertProblem::NOT_COVERED, Severity::Error), (CertProblem::VALIDITY, Severity::Error)]);
}

#[test]
fn ending_soon_is_a_warning() {
    assert_eq!(codes(&Pair::new().write("a.example.com", 13), "a.example.com"), [(CertProblem::VALIDITY, Severity::Warning)]);
    assert_eq!(codes(&Pair::new().write("a.example.com", 15), "a.example.com"), []);
}

#[test]
fn unreadable_files_are_named_one_by_one() {
    let pair = Pair::new();
    let swapped = pair.files(&pair.key.serialize_pem(), "no pem");
    let problems = check_files(&swapped, &[SiteName::Any]);
    let messages: Vec<&str> = problems.iter().map(|problem| &*problem.message).collect();
    assert!(messages[0].starts_with("no certificate in ") && messages[0].ends_with("cert.pem"), "{messages:?}");
    assert!(messages[1].starts_with("no private key in ") && messages[1].ends_with("key.pem"), "{messages:?}");

    let columns: Vec<u32> = problems.iter().map(|problem| problem.at.column).collect();
    assert_eq!(columns, [9, 29], "each where its file is named");

    let missing = CertifiedFiles { cert: pair.dir.path().join("nowhere.pem"), ..swapped };
    let problems = check_files(&missing, &[SiteName::Any]);
    assert!(problems[0].message.starts_with("cannot read "), "{problems:?}");
    assert!(problems.iter().all(|problem| problem.code == CertProblem::UNREADABLE));
}

#[test]
fn pem_around_garbage_is_no_certificate() {
    let pair = Pair::new();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(codes(&pair.files(garbage, &pair.key.serialize_pem()), "a"), [(CertProblem::UNREADABLE, Severity::Error)]);
}

#[test]
fn an_ocsp_response_is_sent_while_it_holds() {
    let pair = Pair::new();
    let site = || SiteName::Exact("a.example.com".into());
    let mut files = pair.write("a.example.com", 90);
    let serial = {
        let (certified, _) = load(&files, &[site()], OffsetDateTime::now_utc()).expect("good");
        X509Certificate::from_der(&certified.key.cert[0]).expect("a certificate").1.raw_serial().to_vec()
    };
    let staple = pair.dir.path().join("a.ocsp");
    files.ocsp = Some(staple.clone());
    let now = OffsetDateTime::now_utc();
    let outcome = |response: &[u8]| {
        fs::write(&staple, response).expect("written");
        load(&files, &[site()], now)
    };
    let tomorrow = (now + Duration::days(1)).format(time::macros::format_description!("[year][month][day]000000Z")).expect("formatted");
    let response = crate::certs::ocsp::tests::response(&serial, 0x80, Some(&tomorrow));
    let (certified, warnings) = outcome(&response).expect("good");
    assert_eq!((certified.at(now).ocsp.clone(), warnings), (Some(response), vec![]));
    assert_eq!(certified.at(now + Duration::days(2)).ocsp, None, "an old one is not sent");
    let (certified, warnings) = outcome(&crate::certs::ocsp::tests::response(&serial, 0x80, Some("20200102000000Z"))).expect("good");
    assert_eq!((certified.at(now).ocsp.clone(), warnings[0].code), (None, CertProblem::VALIDITY));
    for bad in
        [crate::certs::ocsp::tests::response(b"x", 0x80, None), crate::certs::ocsp::tests::response(&serial, 0xa1, None), b"-----".to_vec()]
    {
        assert_eq!(outcome(&bad).expect_err("bad")[0].code, CertProblem::UNREADABLE);
    }
}
