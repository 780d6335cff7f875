//! An OCSP response (RFC 6960) as an operator's file: what it says of a certificate, and until when. Its signature is for clients to check;
//! nothing is fetched here.

use time::{Date, Month, OffsetDateTime, Time};

/// What a response says of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub status: Status,
    pub this_update: OffsetDateTime,
    /// `None`: newer information is always to be had, so nobody can say until when this holds.
    pub next_update: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Good,
    Revoked,
    Unknown,
}

/// What the response says of the certificate with this serial number (the DER integer's content); or what is wrong with it.
pub fn read(response: &[u8], serial: &[u8]) -> Result<Said, &'static str> {
    const NONE: &str = "is no OCSP response in DER";
    let (whole, rest) = sequence(response).ok_or(NONE)?;
    let (status, body) = tagged(0x0a, whole).filter(|_| rest.is_empty()).ok_or(NONE)?;
    if status != [0] {
        return Err("says that the responder could not answer");
    }
    let singles = responses(body).ok_or(NONE)?;
    find(singles, serial).ok_or("does not speak of the certificate")
}

/// The list in `responseBytes` → `BasicOCSPResponse` → `tbsResponseData`.
fn responses(body: &[u8]) -> Option<&[u8]> {
    let (bytes, _) = tagged(0xa0, body)?;
    let (bytes, _) = sequence(bytes)?;
    let (_kind, bytes) = tagged(0x06, bytes)?;
    let (basic, _) = tagged(0x04, bytes)?;
    let (basic, _) = sequence(basic)?;
    let (mut data, _) = sequence(basic)?;
    if let Some((_version, rest)) = tagged(0xa0, data) {
        data = rest;
    }
    let (_responder, data) = tagged(0xa1, data).or_else(|| tagged(0xa2, data))?;
    let (_produced, data) = tagged(0x18, data)?;
    sequence(data).map(|(list, _)| list)
}

fn find(mut singles: &[u8], serial: &[u8]) -> Option<Said> {
    while let Some((single, rest)) = sequence(singles) {
        let (id, after) = sequence(single)?;
        let (_algorithm, id) = sequence(id)?;
        let (_name, id) = tagged(0x04, id)?;
        let (_key, id) = tagged(0x04, id)?;
        let (of, _) = tagged(0x02, id)?;
        if of == serial {
            return said(after);
        }
        singles = rest;
    }
    None
}

fn said(single: &[u8]) -> Option<Said> {
    let (tag, _, rest) = element(single)?;
    let status = match tag {
        0x80 => Status::Good,
        0xa1 => Status::Revoked,
        _ => Status::Unknown,
    };
    let (this_update, rest) = tagged(0x18, rest)?;
    let next_update = match tagged(0xa0, rest) {
        Some((next, _)) => Some(time(tagged(0x18, next)?.0)?),
        None => None,
    };
    Some(Said { status, this_update: time(this_update)?, next_update })
}

/// `GeneralizedTime` as RFC 5280 allows it: `20261231235959Z`.
fn time(text: &[u8]) -> Option<OffsetDateTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u8>().ok();
    let month = Month::try_from(number(4..6)?).ok()?;
    let date = Date::from_calendar_date(text.get(..4)?.parse().ok()?, month, number(6..8)?).ok()?;
    Some(date.with_time(Time::from_hms(number(8..10)?, number(10..12)?, number(12..14)?).ok()?).assume_utc())
}

fn sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    tagged(0x30, bytes)
}

/// The content of an element with this tag, and what follows it.
fn tagged(wanted: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// Tag, content and what follows of a DER element (ITU-T X.690) with a one-byte tag.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = content.len();
        let mut out = vec![tag];
        match length {
            0..=0x7f => out.push(length as u8),
            _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        [out, content].concat()
    }

    /// A response with an empty signature.
    pub fn response(serial: &[u8], status: u8, next_update: Option<&str>) -> Vec<u8> {
        let id = der(0x30, &[&der(0x30, &[]), &der(0x04, &[b"name"]), &der(0x04, &[b"key"]), &der(0x02, &[serial])]);
        let next = next_update.map(|next| der(0xa0, &[&der(0x18, &[next.as_bytes()])])).unwrap_or_default();
        let single = der(0x30, &[&id, &der(status, &[]), &der(0x18, &[b"20200101000000Z"]), &next]);
        let data = der(0x30, &[&der(0xa2, &[&der(0x04, &[b"id"])]), &der(0x18, &[b"20200101000000Z"]), &der(0x30, &[&single])]);
        let basic = der(0x30, &[&data, &der(0x30, &[]), &der(0x03, &[&[0]])]);
        let bytes = der(0x30, &[&der(0x06, &[&[0x2b]]), &der(0x04, &[&basic])]);
        der(0x30, &[&der(0x0a, &[&[0]]), &der(0xa0, &[&bytes])])
    }

    #[test]
    fn what_a_response_says() {
        let good = read(&response(&[7, 8], 0x80, Some("20301231235958Z")), &[7, 8]).expect("readable");
        assert_eq!(good.status, Status::Good);
        assert_eq!(good.next_update.expect("there").to_string(), "2030-12-31 23:59:58.0 +00:00:00");
        assert_eq!(read(&response(&[7], 0xa1, None), &[7]).map(|said| (said.status, said.next_update)), Ok((Status::Revoked, None)));
        assert_eq!(read(&response(&[7], 0x80, None), &[8]), Err("does not speak of the certificate"));
        assert_eq!(read(&[0x30, 3, 0x0a, 1, 6], &[7]), Err("says that the responder could not answer"));
    }

    #[test]
    fn what_is_none_is_refused() {
        let whole = response(&[7], 0x80, Some("20301231235958Z"));
        for length in 0..whole.len() {
            assert!(read(&whole[..length], &[7]).is_err(), "{length}");
        }
        assert!(read(b"-----BEGIN", &[7]).is_err());
        assert!(read(&response(&[7], 0x80, Some("20301331235958Z")), &[7]).is_err());
    }
}
