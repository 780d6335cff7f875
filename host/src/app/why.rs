//! What codes and reason tokens mean: the tables of `config::Code`, of exchanges and of tunnels, for a command and for the book.

use crate::config::Code;
use crate::proxy::{REASONS, Reason};
use crate::tunnel::{TUNNEL_REASONS, TunnelReason};
use serde_json::{Value, json};
use std::fmt::Write;

/// One row of one of the tables.
#[derive(Debug, Clone, Copy)]
pub enum Meaning {
    /// Of a configuration's mistake.
    Mistake(Code),
    /// Of an exchange that the proxy answered or ended itself.
    Exchange(&'static Reason),
    /// Of a connection of the TCP corridor.
    Tunnel(&'static TunnelReason),
}

/// What `word` means: `E012`, `12`, `no_route`. One token may stand in both tables of reasons. Empty: nothing has this name.
pub fn why(word: &str) -> Vec<Meaning> {
    meanings().into_iter().filter(|meaning| meaning.is_called(word)).collect()
}

/// All there are, table by table.
pub fn meanings() -> Vec<Meaning> {
    let mistakes = Code::ALL.iter().copied().map(Meaning::Mistake);
    mistakes.chain(REASONS.iter().map(Meaning::Exchange)).chain(TUNNEL_REASONS.iter().map(Meaning::Tunnel)).collect()
}

/// The name most like `word`, if one is.
pub fn likely(word: &str) -> Option<String> {
    // As for keys of the configuration.
    const LIKE: f64 = 0.8;
    let likeness = |name: &str| strsim::jaro_winkler(&name.to_ascii_lowercase(), &word.to_ascii_lowercase());
    let names = meanings().into_iter().map(|meaning| meaning.name());
    let best = names.map(|name| (likeness(&name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= LIKE).map(|(_, name)| name)
}

impl Meaning {
    pub fn name(self) -> String {
        match self {
            Self::Mistake(code) => code.to_string(),
            Self::Exchange(reason) => reason.token.into(),
            Self::Tunnel(reason) => reason.token.into(),
        }
    }

    fn is_called(self, word: &str) -> bool {
        let digits = word.trim_start_matches(['E', 'e']);
        match self {
            Self::Mistake(code) => digits.parse() == Ok(code as u16),
            _ => self.name().eq_ignore_ascii_case(word),
        }
    }

    /// A line or two.
    pub fn text(self) -> String {
        let name = self.name();
        match self {
            Self::Mistake(code) => format!("{name} {}\n  {}\n", code.title(), code.explanation()),
            Self::Exchange(reason) => {
                let status = reason.status.map_or("no answer".to_owned(), |status| status.to_string());
                let error = reason.error.map(|error| format!("; Proxy-Status: error={error}")).unwrap_or_default();
                format!("{name} ({status}{error})\n  {}\n", reason.meaning)
            }
            Self::Tunnel(reason) => format!("{name} (TCP)\n  {}\n", reason.meaning),
        }
    }

    /// `{ kind, name, … }`
    pub fn json(self) -> Value {
        let name = self.name();
        match self {
            Self::Mistake(code) => json!({ "kind": "configuration", "name": name, "title": code.title(), "meaning": code.explanation() }),
            Self::Exchange(reason) => {
                let status = reason.status.map(|status| status.as_u16());
                json!({ "kind": "exchange", "name": name, "status": status, "error": reason.error, "meaning": reason.meaning })
            }
            Self::Tunnel(reason) => json!({ "kind": "tunnel", "name": name, "meaning": reason.meaning }),
        }
    }
}

/// All of them, in groups.
pub fn text(of: &[Meaning]) -> String {
    of.iter().fold(String::new(), |mut out, meaning| {
        let _ = write!(out, "{}", meaning.text());
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_however_they_are_written() {
        for word in ["E012", "e12", "12", "012"] {
            assert!(matches!(why(word)[..], [Meaning::Mistake(Code::Undefined)]), "{word}");
        }
        assert!(why("E999").is_empty() && why("").is_empty());
    }

    #[test]
    fn a_token_of_both_corridors_has_both_meanings() {
        assert!(matches!(why("connect_refused")[..], [Meaning::Exchange(_), Meaning::Tunnel(_)]));
        let said = text(&why("no_route"));
        assert!(said.starts_with("no_route (404 Not Found; Proxy-Status: error=destination_not_found)\n  No route"), "{said}");
        assert_eq!(why("client_gone")[0].json()["status"], Value::Null);
    }

    #[test]
    fn what_is_misspelt_is_guessed() {
        assert_eq!(likely("conect_refused").as_deref(), Some("connect_refused"));
        assert_eq!(likely("qqq"), None);
    }
}
