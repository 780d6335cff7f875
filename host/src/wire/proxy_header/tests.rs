//! Headers as they are sent and as nobody should send them.

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn told(bytes: &[u8]) -> Told {
    let (length, told) = read_proxy_header(bytes).expect("sound").expect("whole");
    assert_eq!(length, bytes.len());
    told
}

fn client(source: &str, destination: &str) -> Told {
    Told::Client { source: address(source), destination: address(destination), more: Box::default() }
}

/// A header of version 2 around what follows its fixed part.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = V2.to_vec();
    header.extend([command, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

const V4: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 0x13, 0x88, 0x01, 0xbb];

#[test]
fn lines_of_version_1() {
    assert_eq!(told(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n"), client("192.0.2.7:5000", "192.0.2.1:443"));
    assert_eq!(told(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n"), client("[2001:db8::7]:0", "[::1]:65535"));
    assert_eq!(told(b"PROXY UNKNOWN\r\n"), Told::Nobody);
    assert_eq!(told(b"PROXY UNKNOWN ffff:f... whatever\r\n"), Told::Nobody);
}

#[test]
fn what_is_wrong_with_a_line() {
    use BadProxyHeader::*;
    for (line, bad) in [
        ("GET / HTTP/1.1\r\n", Missing),
        ("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", Unfit),
        ("PROXY \r\n", Unfit),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Malformed),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", Malformed),
        ("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", Malformed),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", Malformed),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", Malformed),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", Malformed),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Malformed),
        ("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", Malformed),
        ("PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", Malformed),
    ] {
        assert_eq!(read_proxy_header(line.as_bytes()), Err(bad), "{line}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(200));
    assert_eq!(read_proxy_header(long.as_bytes()), Err(TooLong));
    let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert!(longest.len() <= MOST_V1 && matches!(read_proxy_header(longest.as_bytes()), Ok(Some(_))));
}

#[test]
fn headers_of_version_2() {
    assert_eq!(told(&binary(0x21, 0x11, &V4)), client("192.0.2.7:5000", "192.0.2.1:443"));
    let mut v6 = vec![0; 31];
    v6.extend([1, 0, 80, 0, 81]);
    assert_eq!(told(&binary(0x21, 0x21, &v6)), client("[::]:80", "[::1]:81"));
    assert_eq!(told(&binary(0x20, 0x00, &[])), Told::Nobody);
    assert_eq!(told(&binary(0x20, 0x77, b"ignored")), Told::Nobody, "LOCAL says nothing else");
    assert_eq!(told(&binary(0x21, 0x00, &[])), Told::Nobody);
    assert_eq!(told(&binary(0x21, 0x31, &[0; 216])), Told::Nobody);
}

#[test]
fn what_is_wrong_with_a_binary_header() {
    use BadProxyHeader::*;
    let with = |tlvs: &[u8]| binary(0x21, 0x11, &[&V4, tlvs].concat());
    for (header, bad) in [
        (binary(0x11, 0x11, &V4), Unfit),
        (binary(0x22, 0x11, &V4), Unfit),
        (binary(0x21, 0x12, &V4), Unfit),
        (binary(0x21, 0x41, &V4), Unfit),
        (binary(0x21, 0x11, &V4[..11]), Malformed),
        (with(&[1, 0]), Malformed),
        (with(&[1, 0, 9, 1]), Malformed),
        (with(&[2, 0, 1, 0xff]), Malformed),
        (with(&[2, 0, 1, b'\n']), Malformed),
        (with(&[0x20, 0, 4, 1, 0, 0, 0]), Malformed),
        (with(&[0x20, 0, 6, 1, 0, 0, 0, 0, 0x21]), Malformed),
        (with(&[3, 0, 4, 0, 0, 0, 0]), Checksum),
        (with(&[3, 0, 3, 0, 0, 0]), Malformed),
    ] {
        assert_eq!(read_proxy_header(&header), Err(bad), "{header:?}");
    }
    let mut vast = binary(0x21, 0x11, &[]);
    vast[14] = 0xff;
    assert_eq!(read_proxy_header(&vast), Err(TooLong), "before it has come");
}

#[test]
fn more_than_addresses() {
    let mut out = Vec::new();
    let tls = ProxyTls { version: Some("TLSv1.3"), verified: true, client_cn: Some("me") };
    let header = ProxyHeader {
        addresses: Some((address("192.0.2.7:5000"), address("192.0.2.1:443"))),
        alpn: Some(b"h2"),
        authority: Some("a.test"),
        tls: Some(tls),
    };
    header.put_v2(&mut out);
    let Told::Client { source, more, .. } = told(&out) else { panic!("a client") };
    let tls = ProxiedTls { version: Some("TLSv1.3".into()), client_cn: Some("me".into()) };
    assert_eq!(source, address("192.0.2.7:5000"));
    assert_eq!(*more, Proxied { alpn: Some((*b"h2").into()), authority: Some("a.test".into()), tls: Some(tls) });
}

#[test]
fn a_name_that_was_not_verified_is_no_name() {
    let tlv = |client: u8, verify: u8| [&V4[..], &[0x20, 0, 10, client, 0, 0, 0, verify, 0x22, 0, 2, b'm', b'e']].concat();
    let name = |client, verify| match told(&binary(0x21, 0x11, &tlv(client, verify))) {
        Told::Client { more, .. } => more.tls.and_then(|tls| tls.client_cn),
        Told::Nobody => panic!("a client"),
    };
    assert_eq!(name(7, 0).as_deref(), Some("me"));
    assert_eq!((name(7, 1), name(1, 0)), (None, None));
}

#[test]
fn checksums() {
    // The check value of CRC-32C.
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    let mut header = binary(0x21, 0x11, &[&V4[..], &[3, 0, 4, 0, 0, 0, 0, 4, 0, 1, 0]].concat());
    let sum = crc32c(header.iter().copied()).to_be_bytes();
    let at = FIXED + V4.len() + 3;
    header[at..at + 4].copy_from_slice(&sum);
    assert_eq!(told(&header), client("192.0.2.7:5000", "192.0.2.1:443"));
    header[20] ^= 1;
    assert_eq!(read_proxy_header(&header), Err(BadProxyHeader::Checksum));
}

#[test]
fn written_headers_are_read_alike_and_in_any_pieces() {
    for (source, destination) in
        [("192.0.2.7:1", "192.0.2.1:2"), ("[2001:db8::1]:1", "[::1]:2"), ("192.0.2.7:1", "[::1]:2"), ("[::ffff:1.2.3.4]:1", "1.2.3.4:2")]
    {
        let addresses = Some((address(source), address(destination)));
        let header = ProxyHeader { addresses, ..ProxyHeader::default() };
        for put in [ProxyHeader::put_v1, ProxyHeader::put_v2] {
            let mut out = Vec::new();
            put(&header, &mut out);
            let Told::Client { source: read, .. } = told(&out) else { panic!("a client") };
            assert_eq!((read.ip().to_canonical(), read.port()), (address(source).ip().to_canonical(), 1));
            for cut in 0..out.len() {
                assert_eq!(read_proxy_header(&out[..cut]), Ok(None), "{cut}");
            }
            out.extend(b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!(read_proxy_header(&out).expect("sound").map(|(length, _)| length), Some(out.len() - 18));
        }
    }
    let mut nobody = Vec::new();
    ProxyHeader::default().put_v1(&mut nobody);
    assert_eq!((told(&nobody), &*nobody), (Told::Nobody, &b"PROXY UNKNOWN\r\n"[..]));
}
