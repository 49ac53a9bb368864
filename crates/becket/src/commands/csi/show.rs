//! What `becket csi` shows: answers in columns, the list of RPCs, what an RPC is made of.

use super::secrets::Hidden;
use super::{Done, connect};
use crate::args::Reach;
use crate::output::{self, Form};
use becket_core::Result;
use becket_csi::client::{Capabilities, need};
use becket_csi::shape::{DynamicMessage, FieldShape, Rpc, columns, fields};
use serde_json::{Value, json};

/// The answers of one call: plain fields first, then the list.
pub(super) fn answers(messages: &[DynamicMessage], hidden: &Hidden) -> Result<()> {
    let mut columns = columns(messages);
    // Beside a list, an empty field such as the next token says nothing.
    columns.fields.retain(|(_, text)| !columns.listed || !text.is_empty());
    let mut text = output::lines(&columns.fields);
    if !columns.rows.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        let header: Vec<&str> = columns.header.iter().map(String::as_str).collect();
        text += &output::table(&header, &columns.rows);
    } else if columns.listed {
        output::say("the list is empty");
    }
    output::print(&hidden.strip(&text))
}

/// All RPCs; with an endpoint, also which of them the driver unlocks. A driver that cannot be asked does
/// not keep the list from being shown.
pub(super) fn rpcs(reach: &Reach, form: Form) -> Done {
    let asked = reach.endpoint.as_ref().map(|endpoint| {
        let client = connect(Some(endpoint), reach.timeout)?;
        Ok(Capabilities::read(&client, &client)?)
    });
    let (found, failure) = match asked {
        Some(Ok(found)) => (Some(found), None),
        Some(Err(failure)) => (None, Some(failure)),
        None => (None, None),
    };
    let unlocked = |rpc: &Rpc| found.as_ref().map(|found| found.has(need(rpc)));
    let objects: Vec<Value> = Rpc::all()
        .map(|rpc| {
            json!({
                "service": rpc.service(), "rpc": rpc.name(), "alpha": rpc.alpha(),
                "streams": rpc.streams(), "needs": need(&rpc).to_string(),
                "unlocked": unlocked(&rpc),
            })
        })
        .collect();
    let mut header = vec!["service", "rpc", "needs", "marks"];
    header.extend(found.as_ref().map(|_| "driver"));
    let rows: Vec<Vec<String>> = Rpc::all()
        .map(|rpc| {
            let marks = [(rpc.alpha(), "alpha"), (rpc.streams(), "stream")];
            let marks: Vec<&str> =
                marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
            let driver = unlocked(&rpc).map(|unlocked| if unlocked { "yes" } else { "no" });
            let row = [&rpc.service(), rpc.name(), &need(&rpc).to_string(), &marks.join(", ")];
            row.into_iter().chain(driver).map(str::to_owned).collect()
        })
        .collect();
    output::list(form, &objects, &header, &rows)?;
    failure.map_or(Ok(()), Err)
}

/// What the RPC is asked with and what it answers.
pub(super) fn description(name: &str, form: Form) -> Done {
    let rpc = Rpc::named(name)?;
    let (request, answer) = (fields(&rpc.request()), fields(&rpc.answer()));
    if form == Form::Json {
        let list = |fields: &[FieldShape]| -> Vec<Value> {
            let object = |field: &FieldShape| json!({"path": field.path, "type": field.of, "marks": field.marks});
            fields.iter().map(object).collect()
        };
        return Ok(output::json(&json!({
            "rpc": rpc.name(), "service": rpc.service(), "alpha": rpc.alpha(),
            "streams": rpc.streams(), "needs": need(&rpc).to_string(),
            "request": list(&request), "answer": list(&answer),
        }))?);
    }
    let alpha = if rpc.alpha() { ", alpha" } else { "" };
    let answers = if rpc.streams() { "answer, a stream of" } else { "answer" };
    let text = format!(
        "{}.{}{alpha}, needs: {}\n\n{}\n{}",
        rpc.service(),
        rpc.name(),
        need(&rpc),
        part("request", &request),
        part(answers, &answer)
    );
    Ok(output::print(&text)?)
}

fn part(title: &str, fields: &[FieldShape]) -> String {
    if fields.is_empty() {
        return format!("{}\n(no fields)\n", title.to_uppercase());
    }
    let row =
        |field: &FieldShape| vec![field.path.clone(), field.marks.join(", "), field.of.clone()];
    let rows: Vec<Vec<String>> = fields.iter().map(row).collect();
    output::table(&[title, "marks", "type"], &rows)
}
