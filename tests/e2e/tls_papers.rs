//! What else is done with a site's TLS: an OCSP response that is stapled, secrets that are logged when somebody asks for it.

use crate::mtls::{ask, ca, s_client, server, site};
use portcullis_tests::{Proxy, tools};
use rcgen::{CertificateParams, KeyPair, SerialNumber};
use std::fs;
use std::process::Command;

#[test]
fn secrets_are_logged_by_the_flag_only() {
    let config = format!(
        "{}routes = {{ \"/*\" = {{ respond = \"hi\" }} }}\n",
        site("open.test", "").lines().take(2).map(|line| format!("{line}\n")).collect::<String>()
    );
    for flag in [&[][..], &["--tls-key-log", "secrets"]] {
        let dir = tempfile::tempdir().unwrap();
        server(dir.path());
        let proxy = Proxy::start_with(dir, &config, flag, &[("SSLKEYLOGFILE", "from-environment")]);
        assert_eq!(ask(&proxy, "open.test", &[]), (0, "hi".into()));
        let written = fs::read_to_string(proxy.dir.path().join("secrets")).unwrap_or_default();
        assert_eq!(written.contains("CLIENT_TRAFFIC_SECRET_0 "), !flag.is_empty(), "{written}");
        assert_eq!(proxy.log().contains("THE SECRETS OF ALL TLS CONNECTIONS"), !flag.is_empty());
        assert!(!proxy.dir.path().join("from-environment").exists());
    }
}

#[test]
fn an_ocsp_response_is_stapled() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let openssl = |arguments: &[&str]| {
        let output = Command::new(tools::need("openssl", "openssl")).current_dir(at).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let issuer = ca(at, "issuer");
    let mut params = CertificateParams::new(vec!["open.test".to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from(0x1f));
    let key = KeyPair::generate().unwrap();
    fs::write(at.join("server.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(at.join("server.key"), key.serialize_pem()).unwrap();
    fs::write(at.join("issuer.key"), issuer.key().serialize_pem()).unwrap();
    fs::write(at.join("index.txt"), "V\t900101000000Z\t\t1F\tunknown\t/CN=open.test\n").unwrap();
    openssl(&["ocsp", "-issuer", "issuer.pem", "-cert", "server.pem", "-reqout", "request.der"]);
    openssl(&[
        "ocsp",
        "-index",
        "index.txt",
        "-CA",
        "issuer.pem",
        "-rsigner",
        "issuer.pem",
        "-rkey",
        "issuer.key",
        "-reqin",
        "request.der",
        "-respout",
        "response.der",
        "-ndays",
        "2",
    ]);
    let proxy = Proxy::start_in(
        dir,
        "[site.\"open.test\"]\ntls = { cert = \"server.pem\", key = \"server.key\", ocsp = \"response.der\" }\nroutes = { \"/*\" = { respond = \"hi\" } }\n",
    );
    let said = s_client(&proxy, "open.test", &["-status"]);
    assert!(said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"), "{said}");
}
