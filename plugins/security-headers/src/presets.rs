//! What holds where nothing is written.

use portcullis_sdk::prelude::*;

#[settings]
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    #[default]
    Site,
    Strict,
    Api,
    None,
}

impl Preset {
    /// The value of a setting.
    pub fn says(self, key: &str) -> Option<&'static str> {
        let [site, strict, api] = match key {
            // Subdomains are not this site's to speak for, unless somebody says so.
            "hsts" => ["max-age=31536000", "max-age=63072000; includeSubDomains", "max-age=31536000"],
            // No script is touched: what loads from where is each page's own affair.
            "csp" => [
                "object-src 'none'; base-uri 'self'; frame-ancestors 'self'",
                "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
                "default-src 'none'; frame-ancestors 'none'",
            ],
            "frame" => ["SAMEORIGIN", "DENY", "DENY"],
            "content-type" => ["nosniff"; 3],
            "referrer" => ["strict-origin-when-cross-origin", "no-referrer", "no-referrer"],
            "permissions" => [CAREFUL, CAREFUL, "off"],
            // Windows that a page opens to log in elsewhere still find their way back.
            "opener" => ["same-origin-allow-popups", "same-origin", "off"],
            "resource" => ["off", "same-origin", "same-origin"],
            _ => return None,
        };
        match self {
            Self::Site => Some(site),
            Self::Strict => Some(strict),
            Self::Api => Some(api),
            Self::None => None,
        }
    }
}

const CAREFUL: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// <https://www.w3.org/TR/referrer-policy/>
pub const REFERRERS: [&str; 8] = [
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];
