//! The table, for people and for programs.

use super::{Row, Spread};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// All figures.
pub struct Benched {
    pub(super) file: String,
    pub(super) size: usize,
    pub(super) compiled: usize,
    pub(super) cold: Spread,
    pub(super) warm: Spread,
    /// Linear memory of a guest, and what of it was touched.
    pub(super) guest: Option<(usize, usize)>,
    pub(super) rows: Vec<Row>,
}

impl Benched {
    /// Whether there is a figure for everything.
    pub fn measured(&self) -> bool {
        self.rows.iter().all(|row| row.cost.is_ok())
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "file      {} ({} bytes; {} KiB compiled)", self.file, self.size, self.compiled >> 10);
        let _ = writeln!(out, "load      {}, from the cache of compiled plugins {}", milliseconds(self.cold), milliseconds(self.warm));
        if let Some((memory, touched)) = self.guest {
            let _ = writeln!(out, "guest     {} KiB of memory, {} KiB of it touched", memory >> 10, touched >> 10);
        }
        let _ = writeln!(out, "\n{:<11}{:<14}{:>12}  {:<20}", "guest", "phase", "CPU per call", "[10% .. 90%]");
        for Row { isolation, phase, scene, cost } in &self.rows {
            let _ = match cost {
                Ok(Spread { median, low, high }) => {
                    let around = format!("[{} .. {}]", micro(*low), micro(*high));
                    writeln!(out, "{isolation:<11}{phase:<14}{:>9} µs  {around:<20}{scene}", micro(*median))
                }
                Err(fault) => writeln!(out, "{isolation:<11}{phase:<14}fault ({fault})  {scene}"),
            };
        }
        out
    }

    pub fn json(&self) -> Value {
        let spread = |spread: &Spread| json!({ "median_ns": ns(spread.median), "low_ns": ns(spread.low), "high_ns": ns(spread.high) });
        let row = |row: &Row| {
            let mut shown = json!({ "isolate": row.isolation, "phase": row.phase, "request": row.scene });
            match &row.cost {
                Ok(cost) => shown["cpu"] = spread(cost),
                Err(fault) => shown["fault"] = json!(fault),
            }
            shown
        };
        json!({
            "file": self.file, "size": self.size, "compiled": self.compiled,
            "load": { "cold": spread(&self.cold), "warm": spread(&self.warm) },
            "guest": self.guest.map(|(memory, touched)| json!({ "memory": memory, "touched": touched })),
            "calls": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Three digits that count.
fn micro(time: Duration) -> String {
    let micros = time.as_nanos() as f64 / 1000.0;
    match micros {
        ..10.0 => format!("{micros:.2}"),
        ..100.0 => format!("{micros:.1}"),
        _ => format!("{micros:.0}"),
    }
}

fn milliseconds(Spread { median, low, high }: Spread) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    format!("{:.2} ms [{:.2} .. {:.2}]", ms(median), ms(low), ms(high))
}
