//! Hellos made by rustls, cut in every way; and what is none.

use super::*;
use std::sync::Arc;

/// What rustls would send to `name`, as one record.
fn hello(name: &str, alpn: &[&str]) -> Vec<u8> {
    let mut settings = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    settings.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = name.to_owned().try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(settings), name).expect("a client");
    let mut sent = Vec::new();
    client.write_tls(&mut sent).expect("memory");
    sent
}

/// The same message in records of at most `size` bytes.
fn in_records(whole: &[u8], size: usize) -> Vec<u8> {
    let records = whole[5..].chunks(size);
    records.flat_map(|part| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat()).collect()
}

/// A message around a body.
fn message(body: &[u8]) -> Vec<u8> {
    let inner = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), body].concat();
    [&[22, 3, 1][..], &(inner.len() as u16).to_be_bytes(), &inner].concat()
}

/// A hello with these extensions.
fn with_extensions(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let all: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat())
        .collect();
    let fixed = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 0x01], &[1, 0]].concat();
    message(&[&fixed[..], &(all.len() as u16).to_be_bytes(), &all].concat())
}

fn sni(name: &[u8]) -> Vec<u8> {
    let length = name.len() as u16;
    [&(length + 3).to_be_bytes()[..], &[0], &length.to_be_bytes(), name].concat()
}

fn read(bytes: &[u8]) -> Result<Option<ClientHello>, BadHello> {
    HelloReader::default().read(bytes)
}

#[test]
fn a_hello_tells_what_the_client_can() {
    let hello = read(&hello("Db.Example.com", &["h2", "postgresql"])).expect("sound").expect("whole");
    assert_eq!(hello.sni.as_deref(), Some("db.example.com"));
    assert!(hello.offers(b"postgresql") && hello.offers(b"h2") && !hello.offers(b"http/1.1"));
    assert_eq!((hello.version, hello.highest_version()), (0x0303, 0x0304));
    assert_eq!(hello.versions, [0x0304, 0x0303]);
    assert!(hello.ciphers.contains(&0x1301) && hello.groups.contains(&29) && hello.signatures.contains(&0x0403));
    assert!(hello.extensions.contains(&0) && hello.extensions.contains(&51));
}

#[test]
fn it_comes_in_any_pieces() {
    let whole = hello("a.example.com", &["h2"]);
    let expected = read(&whole).expect("sound");
    for size in [1, 2, 3, 4, 5, 100, 4000] {
        let sent = in_records(&whole, size);
        if sent.len() > MOST_HELLO {
            continue;
        }
        let mut reader = HelloReader::default();
        for end in 0..sent.len() {
            assert_eq!(reader.read(&sent[..end]), Ok(None), "{end} of {} bytes in records of {size}", sent.len());
        }
        assert_eq!(reader.read(&sent), Ok(expected.clone()), "records of {size}");
        assert_eq!(read(&[&sent[..], b"early data"].concat()), Ok(expected.clone()));
    }
}

#[test]
fn other_protocols_are_known_by_their_first_bytes() {
    for other in
        [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", b"\0\0\0\x08\x04\xd2\x16\x2f", b"PROXY TCP4", &[0x80, 0x2e, 1], &[22, 2], &[23, 3, 3]]
    {
        assert_eq!(read(other), Err(BadHello::NotTls), "{other:?}");
    }
    assert_eq!(read(&[22, 3, 1, 0, 0]), Err(BadHello::NotTls), "an empty record");
    assert_eq!(read(&[22, 3, 1, 0xff, 0xff]), Err(BadHello::NotTls), "a record of 64 KiB");
    assert_eq!(read(&[22, 3, 1, 0, 1, 2]), Err(BadHello::Malformed), "a server hello");
    assert_eq!(read(&[22, 3, 1, 0, 1, 1, 23, 3, 3]), Err(BadHello::Malformed), "data between the hello's records");
}

#[test]
fn a_hello_that_does_not_end_is_given_up() {
    assert_eq!(read(&[22, 3, 1, 0, 4, 1, 0, 0x40, 1]), Err(BadHello::TooLarge), "says that it will be too large");
    let endless = [22, 3, 1, 0, 1, 1].iter().copied().chain([22, 3, 1, 0, 1, 0].into_iter().cycle());
    let long: Vec<u8> = endless.take(MOST_HELLO).collect();
    // Type and length are all the first four records have: 1, 0, 0, 0.
    assert_eq!(read(&long), Err(BadHello::Malformed), "an empty hello");
    let slow = [in_records(&[&[0; 5][..], &[1, 0, 0x30, 0], &[0; 0x2fff]].concat(), 1)].concat();
    assert_eq!(read(&slow), Err(BadHello::TooLarge), "in records of one byte it does not fit");
}

#[test]
fn names_are_host_names() {
    let named = |name: &[u8]| read(&with_extensions(&[(0, &sni(name))])).map(|hello| hello.expect("whole").sni.map(|sni| sni.to_string()));
    assert_eq!(named(b"A.b_c.example.").as_ref().map(Option::as_deref), Ok(Some("a.b_c.example")));
    assert_eq!(named(b"10.0.0.1"), Ok(None));
    assert_eq!(named(b"::1"), Ok(None));
    for bad in [&b""[..], b".", b"a..b", b"a b", b"a/../b", b"\xff", b"a\0", &[b'a'; 64], &b"a.".repeat(130)] {
        assert_eq!(named(bad), Err(BadHello::Malformed), "{bad:?}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let name = sni(b"a.example");
    assert_eq!(read(&with_extensions(&[(0, &name), (0, &name)])), Err(BadHello::Malformed), "twice the same extension");
    for (kind, content) in
        [(0, &name[..4]), (0, &[0, 0]), (10, &[0, 3, 0, 29, 0]), (16, &[0, 1, 0]), (16, &[0, 0]), (43, &[2, 3]), (43, &[2, 3, 4, 0])]
    {
        assert_eq!(read(&with_extensions(&[(kind, content)])), Err(BadHello::Malformed), "extension {kind}: {content:?}");
    }
    assert!(read(&with_extensions(&[(0x0a0a, &[]), (21, &[0; 9])])).is_ok());
    let bare = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0, 0x2f], &[1, 0]].concat();
    assert!(matches!(read(&message(&bare)), Ok(Some(hello)) if hello.extensions.is_empty()));
    assert_eq!(read(&message(&[&bare[..], &[0]].concat())), Err(BadHello::Malformed), "half a length");
    for end in 0..bare.len() {
        assert_eq!(read(&message(&bare[..end])), Err(BadHello::Malformed), "{end} bytes");
    }
}

#[test]
fn so_many_extensions_are_nobody_s() {
    let many = |count: u16| (0..count).map(|kind| (0x4000 + kind, &b""[..])).collect::<Vec<_>>();
    assert!(read(&with_extensions(&many(128))).expect("sound").is_some());
    assert_eq!(read(&with_extensions(&many(129))), Err(BadHello::Malformed));
}
