//! `becket csi RPC`: one call, or many of them measured.

use super::secrets::{Hidden, Secrets};
use super::{Done, connect, show};
use crate::args::CsiArgs;
use crate::output::{self, Form};
use becket_core::{Error, Kind, Result};
use becket_csi::client::{Client, Load, Plan, Refused, code_name};
use becket_csi::shape::{DynamicMessage, Rpc, assign, has_secrets, merge_json, to_json};
use serde_json::{Value, json};
use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

pub(super) fn run(args: &CsiArgs, form: Form) -> Done {
    let name = args.rpc.as_ref().ok_or_else(|| {
        Error::new(Kind::Invalid, "it is not said which RPC to call")
            .hint("`becket csi list` shows all, `becket csi --help` what else there is")
    })?;
    let rpc = Rpc::named(name)?;
    let mut request = request(&rpc, &args.input)?;
    Secrets::read(args.secrets.as_deref())?.fill(&rpc, &mut request);
    let client = connect(args.reach.endpoint.as_ref(), args.reach.timeout)?;
    match args.repeat {
        None => call(&client, &rpc, &request, form),
        Some(calls) => {
            let plan = Plan { calls, at_once: args.concurrency };
            load(&client, &rpc, &request, plan, form)
        }
    }
}

/// The request that the inputs make, in their order.
fn request(rpc: &Rpc, inputs: &[String]) -> Result<DynamicMessage> {
    let mut request = rpc.empty_request();
    for input in inputs {
        if input.trim_start().starts_with('{') {
            let typed = json_of(input, "an input")?;
            // Alone first: what came from a file may have secrets.
            let mut alone = rpc.empty_request();
            merge_json(&mut alone, &typed)?;
            if has_secrets(&alone) {
                return Err(Error::new(
                    Kind::Denied,
                    "secrets are not taken from the command line",
                )
                .hint("other users of this host could read them there; use --secrets FILE"));
            }
            merge_json(&mut request, &typed)?;
        } else if input == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| unreadable("stdin", &error))?;
            merge_json(&mut request, &json_of(&text, "stdin")?)?;
        } else if let Some(path) = input.strip_prefix('@') {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
            merge_json(&mut request, &json_of(&text, path)?)?;
        } else {
            assign(&mut request, input)?;
        }
    }
    Ok(request)
}

/// The parser's errors say where, and show nothing of the text.
fn json_of(text: &str, from: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(Kind::Invalid, format!("cannot read JSON from `{from}`: {error}"))
    })
}

fn unreadable(path: &str, error: &std::io::Error) -> Error {
    Error::new(Kind::Invalid, format!("cannot read `{path}`: {error}"))
}

/// One call. JSON is written as it comes; a table is laid out when all is there.
fn call(client: &Client, rpc: &Rpc, request: &DynamicMessage, form: Form) -> Done {
    let hidden = Hidden::of(request);
    let mut messages = Vec::new();
    let mut written = Ok(());
    let outcome = client.call_each(rpc, request, &mut |message| {
        match form {
            Form::Table => messages.push(message),
            Form::Json => written = print_json(rpc, &message, &hidden),
        }
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    written?;
    if form == Form::Table {
        show::answers(&messages, &hidden)?;
    }
    let mut status = outcome.status;
    if !status.is_ok() {
        status.message = hidden.strip(&status.message);
        return Err(Refused { rpc: rpc.name().to_owned(), status }.into());
    }
    if form == Form::Table {
        let milliseconds = outcome.elapsed.as_secs_f64() * 1000.0;
        output::say(format_args!("{} answered OK in {milliseconds:.1} ms", rpc.name()));
    }
    Ok(())
}

/// A stream's messages on one line each, so that a reader can tell them from each other.
fn print_json(rpc: &Rpc, message: &DynamicMessage, hidden: &Hidden) -> Result<()> {
    let json = to_json(message);
    let text = match rpc.streams() {
        true => json.to_string(),
        false => format!("{json:#}"),
    };
    output::print(&(hidden.strip(&text) + "\n"))
}

/// Many calls.
fn load(client: &Client, rpc: &Rpc, request: &DynamicMessage, plan: Plan, form: Form) -> Done {
    let hidden = Hidden::of(request);
    let load = client.load(rpc, plan, request);
    show_load(rpc, plan, &load, &hidden, form)?;
    match load.failure {
        None => Ok(()),
        Some(mut status) => {
            status.message = hidden.strip(&status.message);
            Err(Refused { rpc: rpc.name().to_owned(), status }.into())
        }
    }
}

/// The percentiles that are shown, by name.
const SHOWN: [(&str, f64); 5] =
    [("min", 0.0), ("median", 50.0), ("p95", 95.0), ("p99", 99.0), ("max", 100.0)];

fn show_load(rpc: &Rpc, plan: Plan, load: &Load, hidden: &Hidden, form: Form) -> Result<()> {
    if form == Form::Json {
        let milliseconds: serde_json::Map<String, Value> = SHOWN
            .iter()
            .map(|(name, percent)| {
                ((*name).to_owned(), thousandths(load.percentile(*percent)).into())
            })
            .collect();
        let codes: serde_json::Map<String, Value> = load
            .codes
            .iter()
            .map(|(name, (calls, _))| ((*name).to_owned(), (*calls).into()))
            .collect();
        return output::json(&json!({
            "rpc": rpc.name(), "calls": plan.calls, "concurrency": plan.at_once,
            "seconds": load.wall.as_secs_f64(), "perSecond": load.per_second().round(),
            "milliseconds": milliseconds, "codes": codes,
        }));
    }
    let mut fields = vec![
        ("rpc", rpc.name().to_owned()),
        ("calls", format!("{}, {} at the same time", plan.calls, plan.at_once)),
        ("took", format!("{:.3} s", load.wall.as_secs_f64())),
        ("per second", format!("{:.1}", load.per_second())),
    ];
    fields.extend(SHOWN.iter().map(|(name, percent)| {
        (*name, format!("{:.3} ms", thousandths(load.percentile(*percent))))
    }));
    output::print(&(output::lines(&fields) + "\n"))?;
    let rows: Vec<Vec<String>> = load
        .codes
        .values()
        .map(|(calls, status)| {
            let said = becket_core::error::shown(&hidden.strip(&status.message));
            vec![code_name(status.code).to_owned(), calls.to_string(), said]
        })
        .collect();
    output::print(&output::table(&["code", "calls", "the first says"], &rows))
}

fn thousandths(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
