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
        Value::Times { minimum: minimum.as_secs_f64() * 1e3, median: median.as_secs_f64() * 1e3 }
    }

    /// The number that is compared: of times the median, because all that is compared was measured
    /// in turns and had the same neighbours.
    fn number(&self) -> f64 {
        match self {
            Value::Times { median, .. } => *median,
            Value::Bytes { bytes } => *bytes as f64,
            Value::Count { count } => *count as f64,
        }
    }

    fn text(&self) -> String {
        match self {
            Value::Times { minimum, median } => {
                format!("{} / {} ms", digits(*minimum), digits(*median))
            }
            Value::Bytes { bytes } => format!("{:.2} MB", *bytes as f64 / 1e6),
            Value::Count { count } => count.to_string(),
        }
    }
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

    fn cells(&self) -> [String; 6] {
        let dash = || "-".to_owned();
        let compared = match (&self.compared_with, &self.compared) {
            (Some(whom), Some(value)) => format!("{whom}: {}", value.text()),
            _ => dash(),
        };
        // "1/80" is read faster than 0.0125.
        let ratio = self.ratio.map_or_else(dash, |ratio| match ratio {
            small if small < 0.5 => format!("1/{:.0}", 1.0 / small),
            ratio => format!("{ratio:.2}×"),
        });
        let met = self.met.map_or("-", |met| if met { "met" } else { "missed" });
        let target = self.target.map_or_else(dash, AtMost::text);
        [self.what.clone(), self.becket.text(), compared, ratio, target, met.to_owned()]
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

/// Columns as wide as their widest cell, two spaces apart.
pub(crate) fn table(rows: &[Row]) -> String {
    let header = ["WHAT", "BECKET", "COMPARED WITH", "RATIO", "TARGET", "MET?"].map(str::to_owned);
    let lines: Vec<[String; 6]> =
        std::iter::once(header).chain(rows.iter().map(Row::cells)).collect();
    let width =
        |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for cells in &lines {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
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
            ["publish", "3.00 / 3.00 ms", "script: 30.0 / 30.0 ms", "1/10", "≤ 1 ms", "missed"]
        );
        let row = Row::new("create", ms(12)).against("bare", ms(10)).target(AtMost::Times(1.3));
        assert_eq!(row.cells()[3..], ["1.20×", "≤ 1.3×", "met"]);
    }
}
