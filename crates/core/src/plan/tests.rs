//! The table of decisions, and the law of convergence over all states.

use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn facts() -> Facts {
    Facts {
        promised: 4 * MIB,
        stored: 4 * MIB,
        grown: 4 * MIB,
        filesystem: true,
        encrypted: false,
        mapped: u64::MAX,
        claimed: false,
        as_wanted: true,
    }
}

fn observed() -> Observed {
    Observed {
        volume: Some(facts()),
        leftover: false,
        staging: Spot::Free,
        target: Spot::Free,
        elsewhere: 0,
        attached: false,
    }
}

const OURS: Spot = Spot::Ours { readonly: false };

#[test]
fn the_table_of_decisions() {
    let exists = Wanted::Exists { size: 4 * MIB, copied: false, filesystem: true };
    let copied = Wanted::Exists { size: 4 * MIB, copied: true, filesystem: true };
    let none = Observed { volume: None, ..observed() };
    let staged = Observed { staging: OURS, ..observed() };
    let table = [
        ("a present volume is left alone", observed(), exists, Plan::Nothing),
        (
            "a new one is formatted once, before it is visible",
            none,
            exists,
            Plan::Steps(vec![Step::Build, Step::Format, Step::Commit]),
        ),
        (
            "a copy is never formatted",
            none,
            copied,
            Plan::Steps(vec![Step::Build, Step::Adopt, Step::Commit]),
        ),
        (
            "a leftover goes first",
            Observed { leftover: true, ..none },
            exists,
            Plan::Steps(vec![Step::Discard, Step::Build, Step::Format, Step::Commit]),
        ),
        (
            "another size is a conflict",
            observed(),
            Wanted::Exists { size: MIB, copied: false, filesystem: true },
            Plan::Conflict(Conflict::OtherSize),
        ),
        (
            "nothing stages an absent volume",
            none,
            Wanted::Staged,
            Plan::Conflict(Conflict::Missing),
        ),
        ("staging never formats", observed(), Wanted::Staged, Plan::Steps(vec![Step::Stage])),
        (
            "an image that lost its end is not lengthened",
            Observed { volume: Some(Facts { stored: MIB, ..facts() }), ..observed() },
            Wanted::Staged,
            Plan::Conflict(Conflict::CutShort),
        ),
        ("staged is staged", staged, Wanted::Staged, Plan::Nothing),
        (
            "a volume that is to be at one path alone is not published at a second one",
            Observed { elsewhere: 1, ..staged },
            Wanted::Published { readonly: false, exclusive: true },
            Plan::Conflict(Conflict::Elsewhere),
        ),
        (
            "at its one path it stays",
            Observed { target: Spot::Ours { readonly: false }, ..staged },
            Wanted::Published { readonly: false, exclusive: true },
            Plan::Nothing,
        ),
        (
            "a volume that a node has claimed is not deleted",
            Observed { volume: Some(Facts { claimed: true, ..facts() }), ..observed() },
            Wanted::Absent,
            Plan::Conflict(Conflict::InUse),
        ),
        (
            "a foreign mount is not covered",
            Observed { staging: Spot::Foreign, ..observed() },
            Wanted::Staged,
            Plan::Conflict(Conflict::StagingTaken),
        ),
        (
            "publishing needs a staged volume",
            observed(),
            Wanted::Published { readonly: false, exclusive: false },
            Plan::Conflict(Conflict::NotStaged),
        ),
        (
            "a published volume does not change its access",
            Observed { target: OURS, ..staged },
            Wanted::Published { readonly: true, exclusive: false },
            Plan::Conflict(Conflict::OtherAccess),
        ),
        ("shrinking does nothing", observed(), Wanted::Size(MIB), Plan::Nothing),
        (
            "growing offline leaves the filesystem to the next stage",
            observed(),
            Wanted::Size(8 * MIB),
            Plan::Steps(vec![Step::Promise(8 * MIB), Step::GrowStorage]),
        ),
        (
            "growing online grows all",
            staged,
            Wanted::Size(8 * MIB),
            Plan::Steps(vec![Step::Promise(8 * MIB), Step::GrowStorage, Step::GrowFilesystem]),
        ),
        (
            "an encrypted volume is unlocked to be staged",
            Observed { volume: Some(Facts { encrypted: true, ..facts() }), ..observed() },
            Wanted::Staged,
            Plan::Steps(vec![Step::Unlock, Step::Stage]),
        ),
        (
            "a mapping that is behind its storage follows before the filesystem does",
            Observed {
                volume: Some(Facts { encrypted: true, mapped: 2 * MIB, grown: 2 * MIB, ..facts() }),
                ..staged
            },
            Wanted::Size(4 * MIB),
            Plan::Steps(vec![Step::GrowMapping, Step::GrowFilesystem]),
        ),
        (
            "a used volume is not deleted",
            Observed { elsewhere: 1, ..staged },
            Wanted::Absent,
            Plan::Conflict(Conflict::InUse),
        ),
        (
            "an idle stage does not stop a delete",
            staged,
            Wanted::Absent,
            Plan::Steps(vec![Step::Unstage, Step::Trash]),
        ),
        ("deleting the absent is done", none, Wanted::Absent, Plan::Nothing),
    ];
    for (sentence, observed, wanted, expected) in table {
        assert_eq!(plan(&observed, wanted), expected, "{sentence}");
    }
}

/// What taking a step does to the world: the model that the law is checked against.
fn take(step: Step, mut world: Observed, wanted: Wanted) -> Observed {
    match step {
        Step::Discard => world.leftover = false,
        Step::Build | Step::Format | Step::Adopt => world.leftover = true,
        Step::Commit => {
            let Wanted::Exists { size, filesystem, .. } = wanted else {
                panic!("commit without a wish")
            };
            world.leftover = false;
            world.volume = Some(Facts {
                promised: size,
                stored: size,
                grown: size,
                filesystem,
                encrypted: false,
                mapped: u64::MAX,
                claimed: false,
                as_wanted: true,
            });
        }
        Step::Promise(size) => change(&mut world, |facts| facts.promised = size),
        Step::GrowStorage => change(&mut world, |facts| facts.stored = facts.promised),
        Step::GrowMapping => change(&mut world, |facts| facts.mapped = facts.stored),
        Step::GrowFilesystem => change(&mut world, |facts| facts.grown = facts.promised),
        Step::Unlock => change(&mut world, |facts| facts.mapped = facts.stored),
        Step::Stage => {
            world.staging = OURS;
            change(&mut world, |facts| facts.grown = facts.promised);
        }
        Step::Bind { readonly } => world.target = Spot::Ours { readonly },
        Step::Unstage => world.staging = Spot::Free,
        Step::Detach => world.attached = false,
        Step::Trash => world.volume = None,
    }
    world
}

fn change(world: &mut Observed, with: impl FnOnce(&mut Facts)) {
    with(world.volume.as_mut().expect("a step on a volume that is absent"));
}

fn spots() -> impl Strategy<Value = Spot> {
    prop_oneof![
        Just(Spot::Free),
        any::<bool>().prop_map(|readonly| Spot::Ours { readonly }),
        Just(Spot::Foreign)
    ]
}

fn worlds() -> impl Strategy<Value = Observed> {
    let numbers = (1..6u64, 1..6u64, 1..6u64, 1..6u64);
    let facts = (numbers, any::<[bool; 4]>()).prop_map(
        |((promised, stored, grown, mapped), [filesystem, encrypted, claimed, as_wanted])| Facts {
            promised: promised * MIB,
            stored: stored * MIB,
            grown: grown.min(stored) * MIB,
            filesystem,
            encrypted,
            mapped: if encrypted { mapped.min(stored) * MIB } else { u64::MAX },
            claimed,
            as_wanted,
        },
    );
    (proptest::option::of(facts), any::<bool>(), spots(), spots(), 0..3usize, any::<bool>())
        .prop_map(|(volume, leftover, staging, target, elsewhere, attached)| Observed {
            volume,
            leftover,
            staging,
            target,
            elsewhere,
            attached,
        })
}

fn wishes() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        (1..6u64, any::<bool>(), any::<bool>()).prop_map(|(size, copied, filesystem)| {
            Wanted::Exists { size: size * MIB, copied, filesystem }
        }),
        (1..9u64).prop_map(|size| Wanted::Size(size * MIB)),
        Just(Wanted::Staged),
        any::<(bool, bool)>()
            .prop_map(|(readonly, exclusive)| Wanted::Published { readonly, exclusive }),
        Just(Wanted::Unstaged),
        Just(Wanted::Absent),
    ]
}

proptest! {
    #[test]
    fn applying_a_plan_and_planning_again_gives_nothing(world in worlds(), wanted in wishes()) {
        if let Plan::Steps(steps) = plan(&world, wanted) {
            prop_assert!(!steps.is_empty());
            let after = steps.iter().fold(world, |world, step| take(*step, world, wanted));
            prop_assert_eq!(plan(&after, wanted), Plan::Nothing, "after {:?}", steps);
        }
    }

    #[test]
    fn a_plan_cut_short_anywhere_still_ends_where_it_should(
        world in worlds(), wanted in wishes(), cut in 0..6usize,
    ) {
        if let Plan::Steps(steps) = plan(&world, wanted) {
            let cut_short = steps.iter().take(cut).fold(world, |world, step| take(*step, world, wanted));
            let again = match plan(&cut_short, wanted) {
                Plan::Steps(steps) => steps.iter().fold(cut_short, |world, step| take(*step, world, wanted)),
                Plan::Nothing => cut_short,
                Plan::Conflict(conflict) => return Err(TestCaseError::fail(format!("{conflict:?}"))),
            };
            prop_assert_eq!(plan(&again, wanted), Plan::Nothing);
        }
    }

    #[test]
    fn only_a_new_volume_without_an_origin_is_ever_formatted(world in worlds(), wanted in wishes()) {
        if let Plan::Steps(steps) = plan(&world, wanted) && steps.contains(&Step::Format) {
            prop_assert!(world.volume.is_none());
            let asked = matches!(wanted, Wanted::Exists { copied: false, filesystem: true, .. });
            prop_assert!(asked);
            prop_assert_eq!(steps.last(), Some(&Step::Commit));
        }
    }

    #[test]
    fn what_is_used_is_never_trashed(world in worlds()) {
        if let Plan::Steps(steps) = plan(&world, Wanted::Absent) && steps.contains(&Step::Trash) {
            prop_assert!(world.elsewhere == 0 && world.target == Spot::Free);
        }
    }
}
