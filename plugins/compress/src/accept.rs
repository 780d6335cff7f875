//! `Accept-Encoding` (RFC 9110, section 12.5.3).

use crate::Coding;

/// What a client takes, with weights in thousandths.
#[derive(Debug, Default)]
pub struct Accepted {
    codings: Vec<(Coding, u16)>,
    /// Of `*`.
    others: Option<u16>,
    identity: Option<u16>,
}

impl Accepted {
    /// Of all lines of the field; without any, nothing but the body as it is.
    pub fn of<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Self {
        let mut accepted = Self::default();
        for line in lines {
            for member in line.split(|byte| *byte == b',').filter_map(|member| core::str::from_utf8(member).ok()) {
                let mut parts = member.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default().to_ascii_lowercase();
                // A weight that cannot be read is none that anybody asked for.
                let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q="))).map_or(Some(1000), weight);
                let Some(weight) = weight else { continue };
                match &*name {
                    "*" => accepted.others = Some(weight),
                    "identity" => accepted.identity = Some(weight),
                    "gzip" | "x-gzip" => accepted.codings.push((Coding::Gzip, weight)),
                    "br" => accepted.codings.push((Coding::Br, weight)),
                    "zstd" => accepted.codings.push((Coding::Zstd, weight)),
                    _ => {}
                }
            }
        }
        accepted
    }

    fn weight(&self, coding: Coding) -> u16 {
        let named = self.codings.iter().find(|(named, _)| *named == coding).map(|(_, weight)| *weight);
        named.or(self.others).unwrap_or(0)
    }

    /// The coding that the client likes best; of equal ones, the first of `offered`. `None`: rather as it is.
    pub fn best(&self, offered: &[Coding]) -> Option<Coding> {
        let most = offered.iter().map(|coding| self.weight(*coding)).max().filter(|most| *most > 0)?;
        if self.identity.is_some_and(|identity| identity > most) {
            return None;
        }
        offered.iter().copied().find(|coding| self.weight(*coding) == most)
    }
}

/// `0.5` as 500.
fn weight(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = format!("{part:0<3}").parse::<u16>().ok()?;
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1000),
        _ => None,
    }
}
