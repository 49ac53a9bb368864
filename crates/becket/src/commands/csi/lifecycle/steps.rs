//! The life of one volume, step by step, as far as the driver's capabilities go.

use super::content::Place;
use super::life::Life;
use super::plan::{Plan, UNUSED_FIRST, Volume, seed, text, wrong};
use super::{Places, copies};
use crate::args::LifecycleArgs;
use crate::commands::csi::{Done, Failure};
use becket_core::{Error, size};
use becket_csi::client::{Capabilities, Code, Need};
use serde_json::{Value, json};

/// From the driver's name to the clone. What it made is in `life.undo`.
pub(super) fn live(life: &mut Life, args: &LifecycleArgs, places: &Places) -> Done {
    let plan = introduce(life, args, places)?;
    if !life.capabilities.has(Need::Controller("CREATE_DELETE_VOLUME")) {
        life.skip(
            "create",
            "the driver does not claim CREATE_DELETE_VOLUME: there is no volume to use",
        );
        return Ok(());
    }
    let mut volume = plan.create(life, "create", &places.name, args.size, Value::Null)?;
    again(life, &plan, &volume)?;
    validate(life, &plan, &volume)?;
    find(life, &volume)?;
    plan.bring_up(life, &mut volume)?;
    plan.write(life, &volume, "before")?;
    stats(life, &volume)?;
    second_target(life, &plan, &volume)?;
    let snapshot = copies::snapshot(life, &plan, &mut volume)?;
    plan.write(life, &volume, "after")?;
    expand(life, &plan, &mut volume)?;
    if let Some(snapshot) = snapshot {
        copies::restore(life, &plan, &snapshot)?;
    }
    copies::clone(life, &plan, &mut volume)
}

/// Who the driver is and what it can.
fn introduce<'a>(
    life: &mut Life,
    args: &'a LifecycleArgs,
    places: &'a Places,
) -> Result<Plan<'a>, Failure> {
    life.call("info", "GetPluginInfo", json!({}), |info| {
        Ok(format!("{} {}", text(info, "name"), text(info, "vendor_version")))
    })?;
    life.call("probe", "Probe", json!({}), |probe| match probe["ready"].as_bool() {
        Some(false) => Err(wrong("the driver is not ready")),
        _ => Ok("ready".to_owned()),
    })?;
    life.capabilities = Capabilities::read(&life.controller, life.node())?;
    let found = life.capabilities.clone();
    let claimed = format!(
        "{} of the plugin, {} of the controller, {} of the node",
        found.plugin.len() + found.expansion.len(),
        found.controller.len(),
        found.node.len()
    );
    life.report.note("capabilities", "", "OK", None, &claimed);
    let node = life.call("node", "NodeGetInfo", json!({}), |info| Ok(text(info, "node_id")))?;
    let shared = found.node.contains("SINGLE_NODE_MULTI_WRITER")
        && found.controller.contains("SINGLE_NODE_MULTI_WRITER");
    let mode = if shared { "SINGLE_NODE_MULTI_WRITER" } else { "SINGLE_NODE_WRITER" };
    let capability = match (args.block, &args.fs_type) {
        (true, _) => json!({"block": {}, "access_mode": {"mode": mode}}),
        (false, None) => json!({"mount": {}, "access_mode": {"mode": mode}}),
        (false, Some(kind)) => json!({"mount": {"fs_type": kind}, "access_mode": {"mode": mode}}),
    };
    let topology = match found.plugin.contains("VOLUME_ACCESSIBILITY_CONSTRAINTS") {
        true => node["accessible_topology"].clone(),
        false => Value::Null,
    };
    Ok(Plan { args, places, capability, node: text(&node, "node_id"), topology, shared })
}

fn again(life: &mut Life, plan: &Plan<'_>, volume: &Volume) -> Done {
    let request = plan.request(&volume.name, plan.size(), &Value::Null);
    life.call("create again", "CreateVolume", request, |answer| {
        let again = &answer["volume"];
        match (text(again, "volume_id") == volume.id, again["volume_context"] == volume.context) {
            (true, true) => Ok("the same volume".to_owned()),
            (false, _) => Err(wrong(format!("another volume, {}", text(again, "volume_id")))),
            (true, false) => Err(wrong("the same volume has another context")),
        }
    })
    .map(|_| ())
}

fn validate(life: &mut Life, plan: &Plan<'_>, volume: &Volume) -> Done {
    let request = json!({
        "volume_id": volume.id, "volume_context": volume.context,
        "volume_capabilities": [plan.capability],
    });
    life.call("validate", "ValidateVolumeCapabilities", request, |answer| match answer["confirmed"]
        .is_object()
    {
        true => Ok("confirmed".to_owned()),
        false => Err(wrong(format!("not confirmed: {}", text(answer, "message")))),
    })
    .map(|_| ())
}

fn find(life: &mut Life, volume: &Volume) -> Done {
    if !life.capabilities.has(Need::Controller("LIST_VOLUMES")) {
        life.skip("list", "the controller does not claim LIST_VOLUMES");
        return Ok(());
    }
    let mut token = String::new();
    loop {
        let (mut found, asked) = (false, token.clone());
        let page = life.call("list", "ListVolumes", json!({"starting_token": token}), |page| {
            let entries = page["entries"].as_array().map_or(&[][..], Vec::as_slice);
            found = entries.iter().any(|entry| entry["volume"]["volume_id"] == *volume.id);
            match (found, text(page, "next_token")) {
                (true, _) => Ok(format!("found among {}", entries.len())),
                (false, next) if next.is_empty() => Err(wrong("the volume is not in the list")),
                (false, next) if next == asked => Err(wrong("the list goes on where it began")),
                (false, _) => Ok(format!("not among the first {}", entries.len())),
            }
        })?;
        token = text(&page, "next_token");
        if found {
            return Ok(());
        }
    }
}

fn stats(life: &mut Life, volume: &Volume) -> Done {
    if !life.capabilities.has(Need::Node("GET_VOLUME_STATS")) {
        life.skip("stats", "the node does not claim GET_VOLUME_STATS");
        return Ok(());
    }
    let request = json!({
        "volume_id": volume.id, "volume_path": volume.place.target,
        "staging_target_path": volume.staging,
    });
    life.call("stats", "NodeGetVolumeStats", request, |answer| {
        let usage = answer["usage"].as_array().map_or(&[][..], Vec::as_slice);
        let bytes = usage.iter().find(|usage| usage["unit"] == "BYTES");
        let bytes = bytes.ok_or_else(|| wrong("no usage in bytes"))?;
        let number = |name: &str| size::display(bytes[name].as_u64().unwrap_or_default());
        Ok(format!("{} of {} used", number("used"), number("total")))
    })
    .map(|_| ())
}

fn second_target(life: &mut Life, plan: &Plan<'_>, volume: &Volume) -> Done {
    if !plan.shared {
        life.skip("publish 2nd", "the driver does not claim SINGLE_NODE_MULTI_WRITER");
        return Ok(());
    }
    let second = Place { target: volume.place.target.with_file_name("second"), ..volume.place };
    plan.publish(life, volume, "publish 2nd", &second)?;
    let (seed, size) = (seed(&volume.name, "before"), plan.size());
    life.here("read 2nd", || second.read(&seed, size))
}

/// Doubles the volume: in use, or, where the driver can or will not do that, out of use, as Kubernetes
/// does it then.
fn expand(life: &mut Life, plan: &Plan<'_>, volume: &mut Volume) -> Done {
    if !life.capabilities.has(Need::Controller("EXPAND_VOLUME")) {
        life.skip("expand", "the controller does not claim EXPAND_VOLUME");
        return Ok(());
    }
    let before = volume.place.size().unwrap_or_default();
    let wanted = volume.size.saturating_mul(2);
    // A driver that says nothing about it is one of many that can do both.
    let expansion = &life.capabilities.expansion;
    let online = expansion.is_empty() || expansion.contains("ONLINE");
    let refused = match online {
        false => Some("the plugin does not claim ONLINE: the volume is taken down first"),
        true => match grow(life, plan, volume, wanted, true) {
            Err(Failure::Refused(refused)) if refused.status.code == Code::FailedPrecondition => {
                Some(UNUSED_FIRST)
            }
            done => done.map(|()| None)?,
        },
    };
    if let Some(why) = refused {
        life.skip("expand in use", why);
        life.take_down(&volume.id)?;
        grow(life, plan, volume, wanted, false)?;
    }
    let (place, size) = (volume.place.clone(), volume.size);
    life.here("size", || grown(&place, before, size))?;
    let (seed, size) = (seed(&volume.name, "after"), plan.size());
    life.here("read", || volume.place.read(&seed, size))
}

/// Grows the storage, and what is on it where the driver asks for that; between them the volume is brought
/// up, unless it is in use.
fn grow(life: &mut Life, plan: &Plan<'_>, volume: &mut Volume, wanted: u64, in_use: bool) -> Done {
    let request = json!({
        "volume_id": volume.id, "capacity_range": {"required_bytes": wanted},
        "volume_capability": plan.capability,
    });
    let answer = life.call("expand", "ControllerExpandVolume", request, |answer| {
        let got = answer["capacity_bytes"].as_u64().unwrap_or_default();
        match got >= wanted {
            true => Ok(format!("to {}", size::display(got))),
            false => {
                Err(wrong(format!("to {}, not {}", size::display(got), size::display(wanted))))
            }
        }
    })?;
    volume.size = answer["capacity_bytes"].as_u64().unwrap_or(wanted);
    if !in_use {
        plan.bring_up(life, volume)?;
    }
    if answer["node_expansion_required"] == true {
        let request = json!({
            "volume_id": volume.id, "volume_path": volume.place.target,
            "capacity_range": {"required_bytes": wanted},
            "staging_target_path": volume.staging, "volume_capability": plan.capability,
        });
        life.call("expand at node", "NodeExpandVolume", request, |_| Ok(String::new()))?;
    }
    Ok(())
}

/// A device is as large as was answered. A filesystem keeps some for itself, and may be the host's.
fn grown(place: &Place, before: u64, wanted: u64) -> Result<String, Error> {
    let now = place.size()?;
    match place.block {
        true if now < wanted => Err(wrong(format!("the device has {}", size::display(now)))),
        true => Ok(format!("the device has {}", size::display(now))),
        false => Ok(format!(
            "the filesystem had {} and has {}",
            size::display(before),
            size::display(now)
        )),
    }
}
