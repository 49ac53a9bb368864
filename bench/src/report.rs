//! What was measured, as a table for people and as JSON for programs.

use crate::measure::Samples;
use serde::Serialize;
use std::time::Duration;

/// One measured value.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    /// Times, in milliseconds.
    Times {
        /// The fastest.
        #[serde(rename = "minimumMs")]
        minimum: f64,
        /// The middle one.
        #[serde(rename = "medianMs")]
        median: f64,
    },
    /// Calls, in milliseconds, and how many of them are answered in a second.
    Calls {
        /// The fastest.
        #[serde(rename = "minimumMs")]
        minimum: f64,
        /// The middle one.
        #[serde(rename = "medianMs")]
        median: f64,
        /// 95 of 100 are not slower.
        #[serde(rename = "p95Ms")]
        p95: f64,
        /// 99 of 100 are not slower.
        #[serde(rename = "p99Ms")]
        p99: f64,
        /// All of them, over the time from the first to the last.
        #[serde(rename = "perSecond")]
        per_second: f64,
    },
    /// A size in bytes.
    Bytes {
        /// How many.
        bytes: u64,
    },
    /// A number of things.
    Count {
        /// How many.
        count: u64,
    },
}

/// What a value is held against.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AtMost {
    /// The median, in milliseconds.
    Ms(f64),
    /// Bytes.
    Bytes(u64),
    /// Times what it is compared with.
    Times(f64),
}

/// One line of the report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    what: String,
    becket: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared_with: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<AtMost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

impl From<&Samples> for Value {
    fn from(samples: &Samples) -> Value {
        Value::times(samples.least(), samples.median())
    }
}

impl Value {
    /// Times from durations.
    pub(crate) fn times(minimum: Duration, median: Duration) -> Value {
        Value::Times { minimum: ms(minimum), median: ms(median) }
    }

    /// Calls that were made within `wall`.
    pub(crate) fn calls(samples: &Samples, wall: Duration) -> Value {
        Value::Calls {
            minimum: ms(samples.least()),
            median: ms(samples.median()),
            p95: ms(samples.percentile(95)),
            p99: ms(samples.percentile(99)),
            per_second: samples.count() as f64 / wall.as_secs_f64().max(f64::MIN_POSITIVE),
        }
    }

    /// The number that is compared: of times the median, because all that is compared was measured
    /// in turns and had the same neighbours.
    fn number(&self) -> f64 {
        match self {
            Value::Times { median, .. } | Value::Calls { median, .. } => *median,
            Value::Bytes { bytes } => *bytes as f64,
            Value::Count { count } => *count as f64,
        }
    }

    fn text(&self) -> String {
        match self {
            Value::Times { minimum, median } => {
                format!("{} / {} ms", digits(*minimum), digits(*median))
            }
            Value::Calls { minimum, median, p95, p99, per_second } => {
                let times = [minimum, median, p95, p99].map(|time| digits(*time)).join(" / ");
                format!("{times} ms, {per_second:.0}/s")
            }
            Value::Bytes { bytes } => format!("{:.2} MB", *bytes as f64 / 1e6),
            Value::Count { count } => count.to_string(),
        }
    }

    /// Of calls, less than [`Value::text`]: what others are compared by.
    fn short(&self) -> String {
        match self {
            Value::Calls { minimum, median, per_second, .. } => {
                format!("{} / {} ms, {per_second:.0}/s", digits(*minimum), digits(*median))
            }
            other => other.text(),
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl AtMost {
    fn text(self) -> String {
        match self {
            AtMost::Ms(most) => format!("≤ {most} ms"),
            AtMost::Bytes(most) => format!("≤ {} MB", most / 1_000_000),
            AtMost::Times(most) => format!("≤ {most}×"),
        }
    }
}

impl Row {
    /// Becket's value alone.
    pub(crate) fn new(what: impl Into<String>, becket: impl Into<Value>) -> Row {
        Row {
            what: what.into(),
            becket: becket.into(),
            compared_with: None,
            compared: None,
            ratio: None,
            peer: None,
            peer_ratio: None,
            target: None,
            met: None,
        }
    }

    /// Another's value beside it.
    pub(crate) fn against(mut self, whom: &str, value: impl Into<Value>) -> Row {
        let value = value.into();
        self.ratio = Some(self.becket.number() / value.number());
        self.compared_with = Some(whom.to_owned());
        self.compared = Some(value);
        self
    }

    /// The value of another driver for the same, where one is measured.
    pub(crate) fn beside(mut self, peer: Option<impl Into<Value>>) -> Row {
        self.peer = peer.map(Into::into);
        self.peer_ratio = self.peer.as_ref().map(|peer| self.becket.number() / peer.number());
        self
    }

    /// A target, which is met or missed.
    pub(crate) fn target(mut self, target: impl Into<Option<AtMost>>) -> Row {
        self.target = target.into();
        self.met = self.target.map(|target| match target {
            AtMost::Ms(most) => self.becket.number() <= most,
            AtMost::Bytes(most) => self.becket.number() <= most as f64,
            AtMost::Times(most) => self.ratio.is_some_and(|ratio| ratio <= most),
        });
        self
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let dash = || "-".to_owned();
        let compared = match (&self.compared_with, &self.compared) {
            (Some(whom), Some(value)) => format!("{whom}: {}", value.short()),
            _ => dash(),
        };
        let ratio = self.ratio.map_or_else(dash, times);
        let peer = self.peer.as_ref().map_or_else(dash, Value::short);
        let peer_ratio = self.peer_ratio.map_or_else(dash, times);
        let met = self.met.map_or("-", |met| if met { "met" } else { "missed" });
        let target = self.target.map_or_else(dash, AtMost::text);
        let (what, becket) = (self.what.clone(), self.becket.text());
        [what, becket, compared, ratio, peer, peer_ratio, target, met.to_owned()]
    }
}

/// "1/80" is read faster than 0.0125.
fn times(ratio: f64) -> String {
    match ratio {
        small if small < 0.5 => format!("1/{:.0}", 1.0 / small),
        ratio => format!("{ratio:.2}×"),
    }
}

/// Three digits that mean something.
fn digits(number: f64) -> String {
    match number {
        large if large >= 100.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

const COLUMNS: [&str; 8] =
    ["WHAT", "BECKET", "COMPARED WITH", "RATIO", "PEER", "RATIO", "TARGET", "MET?"];

/// The columns of a peer, which are left out where none was measured.
const OF_PEER: std::ops::RangeInclusive<usize> = 4..=5;

/// Columns as wide as their widest cell, two spaces apart.
pub(crate) fn table(rows: &[Row]) -> String {
    let header = COLUMNS.map(str::to_owned);
    let lines: Vec<[String; COLUMNS.len()]> =
        std::iter::once(header).chain(rows.iter().map(Row::cells)).collect();
    let peer = rows.iter().any(|row| row.peer.is_some());
    let shown = (0..COLUMNS.len()).filter(|column| peer || !OF_PEER.contains(column));
    let width =
        |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<(usize, usize)> = shown.map(|column| (column, width(column))).collect();
    let mut text = String::new();
    for cells in &lines {
        let padded: Vec<String> =
            widths.iter().map(|(column, width)| format!("{:width$}", cells[*column])).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_held_against_its_target() {
        let ms = |ms| Value::times(Duration::from_millis(ms), Duration::from_millis(ms));
        let row = Row::new("publish", ms(3)).against("script", ms(30)).target(AtMost::Ms(1.0));
        assert_eq!(
            row.cells(),
            [
                "publish",
                "3.00 / 3.00 ms",
                "script: 30.0 / 30.0 ms",
                "1/10",
                "-",
                "-",
                "≤ 1 ms",
                "missed"
            ]
        );
        let row = Row::new("create", ms(12)).against("bare", ms(10)).target(AtMost::Times(1.3));
        assert_eq!(row.cells()[3..], ["1.20×", "-", "-", "≤ 1.3×", "met"]);
    }

    #[test]
    fn a_peer_has_columns_where_there_is_one() {
        let calls = |count: u64| {
            let mut samples = Samples::default();
            (1..=count).for_each(|ms| samples.add(Duration::from_millis(ms)));
            Value::calls(&samples, Duration::from_secs(1))
        };
        let alone = Row::new("create", calls(4)).beside(None::<Value>);
        assert_eq!(
            table(&[alone]),
            "WHAT    BECKET                             COMPARED WITH  RATIO  TARGET  MET?\n\
             create  1.00 / 3.00 / 4.00 / 4.00 ms, 4/s  -              -      -       -\n"
        );
        let beside = table(&[Row::new("create", calls(4)).beside(Some(calls(1)))]);
        assert!(beside.contains("  1.00 / 1.00 ms, 1/s  3.00×  "), "{beside}");
    }
}
