//! A report as JUnit XML, which build servers show.

use crate::report::{Outcome, Report, Verdict};

/// The report with one test suite for each area.
pub fn xml(report: &Report) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let name = escaped(&format!("{} against CSI {}", report.driver, report.specification));
    text += &format!("<testsuites name=\"{name}\" time=\"{}\">\n", seconds(report.milliseconds));
    for summary in &report.areas {
        let area = summary.area.word();
        let outcomes: Vec<&Outcome> =
            report.checks.iter().filter(|outcome| outcome.area == summary.area).collect();
        text += &format!(
            "  <testsuite name=\"{area}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" \
             skipped=\"{}\">\n",
            outcomes.len(),
            summary.failed,
            summary.could_not_run,
            summary.skipped,
        );
        for outcome in outcomes {
            text += &case(area, outcome);
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

fn case(area: &str, outcome: &Outcome) -> String {
    let time = seconds(outcome.milliseconds);
    let open = format!(
        "    <testcase classname=\"csi.{area}\" name=\"{}\" time=\"{time}\"",
        escaped(outcome.id)
    );
    let reason = escaped(outcome.reason.as_deref().unwrap_or_default());
    let inner = match outcome.verdict {
        Verdict::Passed => return open + "/>\n",
        Verdict::Skipped => format!("      <skipped message=\"{reason}\"/>\n"),
        Verdict::CouldNotRun => format!("      <error message=\"{reason}\"/>\n"),
        Verdict::Failed => failure(outcome),
    };
    format!("{open}>\n{inner}    </testcase>\n")
}

fn failure(outcome: &Outcome) -> String {
    let mut words = format!("clause: {}\n", outcome.clause);
    for finding in &outcome.findings {
        words += &format!("asked: {}\n", finding.asked);
        words += &format!("got: {}\nwanted: {}\n", finding.got, finding.wanted);
    }
    let first = outcome.findings.first().map(|finding| finding.got.as_str()).unwrap_or_default();
    format!(
        "      <failure type=\"{}\" message=\"{}\">{}</failure>\n",
        outcome.severity.word(),
        escaped(first),
        escaped(&words)
    )
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// Text as XML may hold it; what XML cannot hold at all becomes a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                escaped.push(letter);
            }
            _ => escaped.push('?'),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_escaped_or_replaced() {
        assert_eq!(escaped("a<b>&\"c\"\u{1}é"), "a&lt;b&gt;&amp;&quot;c&quot;?é");
    }
}
