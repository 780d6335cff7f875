//! Where two files are not the same: for programs section by section, because one byte more moves everything that follows. As much as is
//! needed to find the reason; diffoscope tells all.

use std::collections::BTreeMap;

/// One line for each part that differs.
pub fn parts(one: &[u8], other: &[u8]) -> Vec<String> {
    let whole = || vec![("file".to_owned(), one, other)];
    let pairs = sections(one).zip(sections(other)).map_or_else(whole, |(one, other)| pairs(&one, &other));
    let differ = pairs.iter().filter(|(_, one, other)| one != other);
    let mut lines: Vec<String> = differ.map(|(name, one, other)| difference(name, one, other)).collect();
    if lines.is_empty() && one != other {
        lines.push(difference("file", one, other));
    }
    lines
}

type Sections<'f> = BTreeMap<String, &'f [u8]>;

/// What only one has is nothing in the other.
fn pairs<'f>(one: &Sections<'f>, other: &Sections<'f>) -> Vec<(String, &'f [u8], &'f [u8])> {
    let names: Vec<&String> = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name))).collect();
    let of = |sections: &Sections<'f>, name: &String| sections.get(name).copied().unwrap_or_default();
    names.into_iter().map(|name| (name.clone(), of(one, name), of(other, name))).collect()
}

/// Of an ELF file of 64 bits, little endian; nothing of others.
fn sections(file: &[u8]) -> Option<Sections<'_>> {
    /// It takes no space in the file.
    const NOBITS: usize = 8;
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (number(file, 0x28, 8)?, number(file, 0x3a, 2)?, number(file, 0x3c, 2)?);
    let header = |index: usize| file.get(table.checked_add(index.checked_mul(size)?)?..);
    let content = |header: &[u8]| {
        let (from, length) = (number(header, 0x18, 8)?, number(header, 0x20, 8)?);
        file.get(from..from.checked_add(length)?)
    };
    let names = content(header(number(file, 0x3e, 2)?)?)?;
    let headers = (0..count).filter_map(header).filter(|header| number(header, 4, 4) != Some(NOBITS));
    let named = headers.filter_map(|header| Some((name(names, number(header, 0, 4)?)?, content(header)?)));
    Some(named.collect())
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn name(names: &[u8], at: usize) -> Option<String> {
    let name = names.get(at..)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn difference(name: &str, one: &[u8], other: &[u8]) -> String {
    let at = one.iter().zip(other).position(|(one, other)| one != other).unwrap_or(one.len().min(other.len()));
    let lengths = if one.len() == other.len() { String::new() } else { format!(" ({} and {} bytes)", one.len(), other.len()) };
    format!("{name} from {at:#x} on{lengths}: {} against {}", around(one, at), around(other, at))
}

/// The text that this byte is in, or else what is there in hexadecimal.
fn around(bytes: &[u8], at: usize) -> String {
    /// The longest text to each side, enough for the path of a file.
    const SIDE: usize = 100;
    let printable = |byte: &&u8| byte.is_ascii_graphic() || **byte == b' ';
    let (before, after) = bytes.split_at(at.min(bytes.len()));
    let before = before.iter().rev().take(SIDE).take_while(printable).count();
    let after = after.iter().take(SIDE).take_while(printable).count();
    if before + after >= 6 {
        return format!("`{}`", String::from_utf8_lossy(&bytes[at - before..at + after]));
    }
    let there: Vec<String> = bytes.iter().skip(at).take(8).map(|byte| format!("{byte:02x}")).collect();
    if there.is_empty() { "nothing".to_owned() } else { there.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_has_no_parts() {
        assert_eq!(parts(b"same", b"same"), Vec::<String>::new());
        assert_eq!(parts(b"", b""), Vec::<String>::new());
    }

    #[test]
    fn text_is_shown_as_text_and_bytes_as_bytes() {
        assert_eq!(
            parts(b"\0/home/a/lib.rs\0", b"\0/home/bob/lib.rs\0"),
            ["file from 0x7 on (16 and 18 bytes): `/home/a/lib.rs` against `/home/bob/lib.rs`"]
        );
        assert_eq!(parts(&[0, 1], &[0, 2]), ["file from 0x1 on: 01 against 02"]);
        assert_eq!(parts(&[0], &[0, 2]), ["file from 0x1 on (1 and 2 bytes): nothing against 02"]);
    }

    #[test]
    fn programs_are_told_by_section() {
        let ours = std::fs::read(std::env::current_exe().expect("a path")).expect("readable");
        let found = sections(&ours).expect("ELF");
        assert!(found.contains_key(".text") && found.contains_key(".rodata"), "{:?}", found.keys());
        let mut other = ours.clone();
        let rodata = found[".rodata"].as_ptr() as usize - ours.as_ptr() as usize;
        other[rodata + 3] ^= 1;
        let lines = parts(&ours, &other);
        assert!(lines.len() == 1 && lines[0].starts_with(".rodata from 0x3 on: "), "{lines:?}");
    }

    #[test]
    fn a_broken_program_is_a_file() {
        let mut broken = b"\x7fELF\x02\x01".to_vec();
        broken.extend([0xff; 80]);
        let lines = parts(&broken, b"\x7fELF\x02\x01");
        assert!(lines.len() == 1 && lines[0].starts_with("file from 0x6 on"), "{lines:?}");
    }
}
