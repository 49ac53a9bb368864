//! The specification's table of second `NodePublishVolume` calls: each access mode, the same or
//! another target path, the same or other arguments.

use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::{Ground, made};
use crate::csi::need::{CREATE, Need};
use crate::csi::on_node::OnNode;
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use tonic::Code;

/// One cell: its place in the table is part of its type, so that it is a function like any other
/// check.
macro_rules! cell {
    ($severity:ident, $id:expr, $clause:expr => $($place:tt)*) => {
        check!($id, $severity, [CREATE, Need::NodeService, Need::Here] => cell::<$($place)*>, $clause)
    };
}

macro_rules! clause {
    ($mode:literal => $other:literal) => {
        concat!(
            "NodePublishVolume: a second one of ",
            $mode,
            " at the same target is OK with the same arguments and ALREADY_EXISTS with others; ",
            "at another target it is ",
            $other
        )
    };
}

/// The cells of one access mode: its number, its word in ids, its name, and what another target
/// gives.
macro_rules! row {
    ($number:literal, $word:literal, $mode:literal => $other:literal) => {
        [
            cell!(Must, concat!("publish-", $word, "-same"),
                clause!($mode => $other) => $number, false, false),
            cell!(Should, concat!("publish-", $word, "-other-arguments"),
                clause!($mode => $other) => $number, false, true),
            cell!(Should, concat!("publish-", $word, "-other-target"),
                clause!($mode => $other) => $number, true, false),
            cell!(Should, concat!("publish-", $word, "-other-both"),
                clause!($mode => $other) => $number, true, true),
        ]
    };
}

pub(super) const CHECKS: &[Check] = ROWS.as_flattened();

const ROWS: &[[Check; 4]] = &[
    row!(1, "writer", "SINGLE_NODE_WRITER" => "FAILED_PRECONDITION"),
    row!(2, "reader", "SINGLE_NODE_READER_ONLY" => "FAILED_PRECONDITION"),
    row!(3, "readers", "MULTI_NODE_READER_ONLY" => "OK"),
    row!(4, "one-of-nodes", "MULTI_NODE_SINGLE_WRITER" => "OK"),
    row!(5, "all-nodes", "MULTI_NODE_MULTI_WRITER" => "OK"),
    row!(6, "single-writer", "SINGLE_NODE_SINGLE_WRITER" => "FAILED_PRECONDITION"),
    row!(7, "multi-writer", "SINGLE_NODE_MULTI_WRITER" => "OK"),
];

/// The table itself.
fn wanted(mode: Mode, other_target: bool, other_arguments: bool) -> Code {
    match (other_target, other_arguments) {
        (false, false) => Code::Ok,
        (false, true) => Code::AlreadyExists,
        (true, _) => match mode {
            Mode::SingleNodeMultiWriter
            | Mode::MultiNodeReaderOnly
            | Mode::MultiNodeSingleWriter
            | Mode::MultiNodeMultiWriter => Code::Ok,
            _ => Code::FailedPrecondition,
        },
    }
}

/// A second publication in mode `MODE`, compared with the first.
async fn cell<const MODE: i32, const OTHER_TARGET: bool, const OTHER_ARGUMENTS: bool>(
    g: &Ground,
) -> Verdict {
    judge(g, Mode::try_from(MODE).unwrap_or_default(), OTHER_TARGET, OTHER_ARGUMENTS).await
}

async fn judge(g: &Ground, mode: Mode, other_target: bool, other_arguments: bool) -> Verdict {
    let newer = matches!(mode, Mode::SingleNodeSingleWriter | Mode::SingleNodeMultiWriter);
    if newer && !g.survey.multi_writer() {
        return skip("the driver does not claim SINGLE_NODE_MULTI_WRITER on both sides");
    }
    let mut request = g.create_request(g.access());
    request.volume_capabilities = vec![g.with_mode(g.access(), mode)];
    let answer = g.calls.create_volume(request.clone()).await;
    if answer.result.is_err() {
        let mode = mode.as_str_name();
        return skip(format!("the driver makes no {mode} volumes: {}", answer.shown()));
    }
    let first = g.staged(made(request, answer.prepared()?)?).await?;
    // A mode for readers is published for reading.
    let readonly = matches!(mode, Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly);
    g.calls.node_publish_volume(published(&first, readonly)).await.prepared()?;
    let there = if other_target { g.elsewhere(&first)? } else { first.clone() };
    let request = published(&there, readonly != other_arguments);
    let what = match (other_target, other_arguments) {
        (false, false) => "the same again",
        (false, true) => "the same target again, with the other readonly",
        (true, false) => "another target, the same arguments",
        (true, true) => "another target, with the other readonly",
    };
    let what = format!("{}, {what}", mode.as_str_name());
    let answer = g.calls.node_publish_volume(request).await.when(what);
    let (asked, ok) = (answer.asked(), answer.result.is_ok());
    let wanted = wanted(mode, other_target, other_arguments);
    if readonly && wanted == Code::AlreadyExists {
        // What may only be read fits both values of `readonly`, as long as nobody can write.
        answer.is(&[Code::AlreadyExists, Code::Ok])?;
        let refuses = first.refuses_writing().is_some();
        return want(refuses, asked, "it can be written now", "it can only be read");
    }
    answer.is(&[wanted])?;
    first.expect_there()?;
    if !ok && other_target {
        let nothing = crate::csi::content::look(std::path::Path::new(&there.target))?.is_none();
        return want(nothing, asked, "an error, and something at the target", "nothing there");
    }
    there.expect_there()
}

fn published(here: &OnNode, readonly: bool) -> csi::NodePublishVolumeRequest {
    csi::NodePublishVolumeRequest { readonly, ..here.publish_request() }
}
